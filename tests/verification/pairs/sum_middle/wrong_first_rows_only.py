# expect: incorrect
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def sum_kernel(x_ptr, y_ptr, R, C, BR: tl.constexpr, BC: tl.constexpr):
    b = tl.program_id(0)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    acc = tl.zeros([BC], tl.float32)
    for r0 in range(0, 64, BR):
        r = r0 + tl.arange(0, BR)
        x = tl.load(
            x_ptr + b * R * C + r[:, None] * C + c[None, :],
            mask=(r[:, None] < R) & (c[None, :] < C), other=0.0,
        )
        acc += tl.sum(x, axis=0)
    tl.store(y_ptr + b * C + c, acc, mask=c < C)


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, x):
        x = x.contiguous()
        B, R, C = x.shape
        y = torch.empty((B, 1, C), device=x.device, dtype=x.dtype)
        sum_kernel[(B, triton.cdiv(C, 16))](x, y, R, C, BR=16, BC=16)
        return y
