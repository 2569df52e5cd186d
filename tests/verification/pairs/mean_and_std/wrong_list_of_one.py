# expect: incorrect structure
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def moments(x_ptr, m_ptr, s_ptr, N, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * N + i, mask=i < N, other=0.0)
    mean = tl.sum(x, axis=0) / N
    d = tl.where(i < N, x - mean, 0.0)
    tl.store(m_ptr + row, mean)
    tl.store(s_ptr + row, tl.sqrt(tl.sum(d * d, axis=0) / (N - 1)))


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        out = torch.empty((2, x.shape[0]), device=x.device, dtype=x.dtype)
        moments[(x.shape[0],)](x, out[0], out[1], x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]))
        return out
