# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def argmax_kernel(x_ptr, y_ptr, N, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * N + i, mask=i < N, other=float("-inf"))
    top = tl.max(x, axis=0)
    first = tl.min(tl.where((x == top) & (i < N), i, N), axis=0)
    tl.store(y_ptr + row, first.to(tl.int64))


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()

    def forward(self, x):
        x = x.contiguous()
        y = torch.empty((x.shape[0],), device=x.device, dtype=torch.long)
        argmax_kernel[(x.shape[0],)](x, y, x.shape[1], BLOCK=64)
        return y
