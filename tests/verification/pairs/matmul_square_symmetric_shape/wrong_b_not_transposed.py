# expect: incorrect wrong_values
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def kernel(a_ptr, b_ptr, c_ptr, S, BM: tl.constexpr, BK: tl.constexpr):
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    n = tl.program_id(1) * BM + tl.arange(0, BM)
    acc = tl.zeros((BM, BM), dtype=tl.float32)
    for k0 in range(0, S, BK):
        k = k0 + tl.arange(0, BK)
        a = tl.load(a_ptr + m[:, None] * S + k[None, :], mask=(m[:, None] < S) & (k[None, :] < S), other=0.0)
        b = tl.load(b_ptr + k[:, None] * S + n[None, :], mask=(n[None, :] < S) & (k[:, None] < S), other=0.0)
        acc += tl.dot(a, b, input_precision="ieee")
    tl.store(c_ptr + m[:, None] * S + n[None, :], acc, mask=(m[:, None] < S) & (n[None, :] < S))


class ModelNew(nn.Module):
    def forward(self, a, b):
        a, b = a.contiguous(), b.contiguous()
        S = a.shape[0]
        c = torch.empty_like(a)
        kernel[(triton.cdiv(S, 16), triton.cdiv(S, 16))](a, b, c, S, BM=16, BK=16)
        return c
