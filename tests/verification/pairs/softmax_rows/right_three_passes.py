# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def row_max(x_ptr, m_ptr, N, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * N + i, mask=i < N, other=-float("inf"))
    tl.store(m_ptr + row, tl.max(x, axis=0))


@triton.jit
def exponentials(x_ptr, m_ptr, e_ptr, s_ptr, N, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * N + i, mask=i < N, other=-float("inf"))
    e = tl.exp(x - tl.load(m_ptr + row))
    tl.store(e_ptr + row * N + i, e, mask=i < N)
    tl.store(s_ptr + row, tl.sum(e, axis=0))


@triton.jit
def divide(e_ptr, s_ptr, n, N, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    e = tl.load(e_ptr + i, mask=i < n)
    s = tl.load(s_ptr + i // N, mask=i < n, other=1.0)
    tl.store(e_ptr + i, e / s, mask=i < n)


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        M, N = x.shape
        block = triton.next_power_of_2(N)
        m = torch.empty(M, device=x.device, dtype=x.dtype)
        s = torch.empty(M, device=x.device, dtype=x.dtype)
        e = torch.empty_like(x)
        row_max[(M,)](x, m, N, BLOCK=block)
        exponentials[(M,)](x, m, e, s, N, BLOCK=block)
        divide[(triton.cdiv(M * N, 256),)](e, s, M * N, N, BLOCK=256)
        return e
