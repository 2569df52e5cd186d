# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def scan(x_ptr, m_ptr, y_ptr, N, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * N + i, mask=i < N, other=0.0)
    k = tl.load(m_ptr + row * N + i, mask=i < N, other=0)
    tl.store(y_ptr + row * N + i, tl.cumsum(x * k.to(tl.float32), axis=0), mask=i < N)


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()

    def forward(self, x, mask):
        x = x.contiguous()
        y = torch.empty_like(x)
        scan[(x.shape[0],)](x, mask.contiguous().to(torch.uint8), y, x.shape[1], BLOCK=128)
        return y
