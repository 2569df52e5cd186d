# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def var_kernel(x_ptr, y_ptr, N, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    first = tl.load(x_ptr + row * N)
    s = tl.zeros([BLOCK], tl.float32)
    q = tl.zeros([BLOCK], tl.float32)
    for start in range(0, N, BLOCK):
        i = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * N + i, mask=i < N, other=0.0)
        d = tl.where(i < N, x - first, 0.0)
        s += d
        q += d * d
    total = tl.sum(s, axis=0)
    tl.store(y_ptr + row, (tl.sum(q, axis=0) - total * total / N) / (N - 1))


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        y = x.new_empty((x.shape[0], 1))
        var_kernel[(x.shape[0],)](x, y, x.shape[1], BLOCK=16)
        return y
