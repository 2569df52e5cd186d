# expect: rejected
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def add_rows(x_ptr, y_ptr, R, C, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    c = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * C + c, mask=c < C, other=0.0)
    at = y_ptr + (row // R) * C + c
    tl.store(at, tl.load(at, mask=c < C) + x, mask=c < C)


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()

    def forward(self, x):
        x = x.contiguous()
        B, R, C = x.shape
        y = torch.zeros((B, C), device=x.device, dtype=x.dtype)
        add_rows[(B * R,)](x, y, R, C, BLOCK=triton.next_power_of_2(C))
        return y.unsqueeze(1)
