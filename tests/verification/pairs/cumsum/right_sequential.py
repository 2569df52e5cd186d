# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def scan(x_ptr, y_ptr, M, N, BLOCK: tl.constexpr):
    m = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    acc = tl.zeros([BLOCK], dtype=tl.float32)
    for j in range(0, N):
        acc += tl.load(x_ptr + m * N + j, mask=m < M, other=0.0)
        tl.store(y_ptr + m * N + j, acc, mask=m < M)


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()

    def forward(self, x):
        x = x.contiguous()
        y = torch.empty_like(x)
        scan[(triton.cdiv(x.shape[0], 16),)](x, y, x.shape[0], x.shape[1], BLOCK=16)
        return y
