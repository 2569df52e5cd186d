# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def max_kernel(x_ptr, y_ptr, n, R, C, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = i < n
    base = (i // C) * R * C + i % C
    best = tl.full([BLOCK], -float("inf"), dtype=tl.float32)
    for r in range(R):
        best = tl.maximum(best, tl.load(x_ptr + base + r * C, mask=mask, other=-float("inf")))
    tl.store(y_ptr + i, best, mask=mask)


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()

    def forward(self, x):
        x = x.contiguous()
        B, R, C = x.shape
        y = torch.empty((B, C), device=x.device, dtype=x.dtype)
        max_kernel[(triton.cdiv(B * C, 64),)](x, y, B * C, R, C, BLOCK=64)
        return y
