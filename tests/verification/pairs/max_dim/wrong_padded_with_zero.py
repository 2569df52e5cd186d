# expect: incorrect
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def max_kernel(x_ptr, y_ptr, R, C, BR: tl.constexpr, BC: tl.constexpr):
    b = tl.program_id(0)
    r = tl.arange(0, BR)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    x = tl.load(
        x_ptr + b * R * C + r[:, None] * C + c[None, :],
        mask=(r[:, None] < R) & (c[None, :] < C), other=0.0,
    )
    tl.store(y_ptr + b * C + c, tl.max(x, axis=0), mask=c < C)


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, x):
        x = x.contiguous()
        B, R, C = x.shape
        y = torch.empty((B, C), device=x.device, dtype=x.dtype)
        max_kernel[(B, triton.cdiv(C, 16))](x, y, R, C, BR=triton.next_power_of_2(R), BC=16)
        return y
