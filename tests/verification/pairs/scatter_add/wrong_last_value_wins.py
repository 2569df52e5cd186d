# expect: refused
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def scatter(i_ptr, v_ptr, y_ptr, n, BLOCK: tl.constexpr):
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    i = tl.load(i_ptr + p, mask=p < n, other=0)
    v = tl.load(v_ptr + p, mask=p < n, other=0.0)
    tl.store(y_ptr + i, v, mask=p < n)


class ModelNew(nn.Module):
    def forward(self, index, values):
        y = torch.zeros(20, device=values.device, dtype=values.dtype)
        index, values = index.contiguous(), values.contiguous()
        scatter[(triton.cdiv(values.numel(), 64),)](index, values, y, values.numel(), BLOCK=64)
        return y
