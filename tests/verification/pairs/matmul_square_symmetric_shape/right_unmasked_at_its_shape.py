# expect: correct single_shape
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def kernel(a_ptr, b_ptr, c_ptr, S: tl.constexpr, BM: tl.constexpr):
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    k = tl.arange(0, S)
    n = tl.arange(0, S)
    a = tl.load(a_ptr + m[:, None] * S + k[None, :])
    b = tl.load(b_ptr + n[None, :] * S + k[:, None])
    tl.store(c_ptr + m[:, None] * S + n[None, :], tl.dot(a, b, input_precision="ieee"))


class ModelNew(nn.Module):
    def forward(self, a, b):
        c = torch.empty(32, 32, device=a.device)
        kernel[(2,)](a.contiguous(), b.contiguous(), c, S=32, BM=16)
        return c
