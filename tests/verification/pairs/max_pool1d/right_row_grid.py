# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def pool(x_ptr, y_ptr, L, LO, S, P, D, K: tl.constexpr, BK: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    o = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)[:, None]
    k = tl.arange(0, BK)[None, :]
    at = o * S - P + k * D
    ok = (o < LO) & (k < K) & (at >= 0) & (at < L)
    x = tl.load(x_ptr + row * L + at, mask=ok, other=-float("inf"))
    y = tl.max(x, axis=1)
    out = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y_ptr + row * LO + out, y, mask=out < LO)


class ModelNew(nn.Module):
    def __init__(self, kernel_size, stride, padding, dilation):
        super().__init__()
        self.pool = nn.MaxPool1d(kernel_size, stride=stride, padding=padding, dilation=dilation)

    def forward(self, x):
        p = self.pool
        x = x.contiguous()
        B, C, L = x.shape
        LO = (L + 2 * p.padding - p.dilation * (p.kernel_size - 1) - 1) // p.stride + 1
        y = x.new_empty(B, C, LO)
        pool[(B * C, triton.cdiv(LO, 16))](
            x, y, L, LO, p.stride, p.padding, p.dilation,
            K=p.kernel_size, BK=triton.next_power_of_2(p.kernel_size), BLOCK=16,
        )
        return y
