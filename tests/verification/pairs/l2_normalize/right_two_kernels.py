# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def squares(x_ptr, s_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    part = tl.program_id(1)
    i = part * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * n + i, mask=i < n, other=0.0)
    tl.atomic_add(s_ptr + row, tl.sum(x * x, axis=0))


@triton.jit
def scale(x_ptr, s_ptr, y_ptr, total, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i < total)
    s = tl.load(s_ptr + i // n, mask=i < total, other=1.0)
    tl.store(y_ptr + i, x / tl.sqrt(s), mask=i < total)


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        rows, n = x.shape
        sums = torch.zeros(rows, device=x.device, dtype=torch.float32)
        y = torch.empty_like(x)
        squares[(rows, triton.cdiv(n, 64))](x, sums, n, BLOCK=64)
        scale[(triton.cdiv(rows * n, 256),)](x, sums, y, rows * n, n, BLOCK=256)
        return y
