# expect: incorrect
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def kernel(x_ptr, y_ptr, C, L, BC: tl.constexpr, BL: tl.constexpr):
    b = tl.program_id(0)
    c = tl.arange(0, BC)
    l = tl.program_id(1) * BL + tl.arange(0, BL)
    mask = (c[:, None] < C) & (l[None, :] < L)
    at = b * C * L + c[:, None] * L + l[None, :]
    x = tl.load(x_ptr + at, mask=mask, other=float("-inf"))
    top = tl.where(l < L, tl.max(x, axis=0), 0.0)
    e = tl.exp(x - top[None, :])
    s = tl.sum(e, axis=1)
    tl.store(y_ptr + at, e / s[:, None], mask=mask)


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        B, C, L = x.shape
        y = torch.empty_like(x)
        kernel[(B, triton.cdiv(L, 16))](x, y, C, L, BC=triton.next_power_of_2(C), BL=16)
        return y
