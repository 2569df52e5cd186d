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
    keep = tl.load(m_ptr + row * N + i, mask=i < N, other=0).to(tl.int1)
    x = tl.where(keep, x, 0.0)
    tl.store(y_ptr + row * N + i, tl.cumsum(x, axis=0), mask=i < N)


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()

    def forward(self, x, mask):
        x = x.contiguous()
        y = torch.empty_like(x)
        scan[(x.shape[0],)](x, mask.contiguous(), y, x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]))
        return y
