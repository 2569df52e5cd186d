# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def max_kernel(x_ptr, y_ptr, R, C, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    c = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * C + c, mask=c < C)
    tl.atomic_max(y_ptr + (row // R) * C + c, x, mask=c < C)


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()

    def forward(self, x):
        x = x.contiguous()
        B, R, C = x.shape
        y = torch.full((B, C), -float("inf"), device=x.device, dtype=x.dtype)
        max_kernel[(B * R,)](x, y, R, C, BLOCK=32)
        return y
