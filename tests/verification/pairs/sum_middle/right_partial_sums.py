# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def partial_sum(x_ptr, p_ptr, R, C, PARTS, BR: tl.constexpr, BC: tl.constexpr):
    b = tl.program_id(0)
    part = tl.program_id(1)
    r = part * BR + tl.arange(0, BR)
    c = tl.program_id(2) * BC + tl.arange(0, BC)
    x = tl.load(x_ptr + (b * R + r[:, None]) * C + c[None, :], mask=(r[:, None] < R) & (c[None, :] < C), other=0.0)
    tl.store(p_ptr + (b * PARTS + part) * C + c, tl.sum(x, axis=0), mask=c < C)


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, x):
        x = x.contiguous()
        B, R, C = x.shape
        parts = triton.cdiv(R, 32)
        p = torch.empty((B, parts, C), device=x.device, dtype=torch.float32)
        partial_sum[(B, parts, triton.cdiv(C, 64))](x, p, R, C, parts, BR=32, BC=64)
        return p.sum(dim=1, keepdim=True)
