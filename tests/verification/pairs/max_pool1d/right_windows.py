# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def pool(
    x_ptr, y_ptr, L, LO, total, stride, pad, dil, K: tl.constexpr, BLOCK: tl.constexpr,
):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = i < total
    row = i // LO
    o = i % LO
    best = tl.full([BLOCK], float("-inf"), tl.float32)
    for k in tl.static_range(K):
        at = o * stride - pad + k * dil
        x = tl.load(x_ptr + row * L + at, mask=live & (at >= 0) & (at < L), other=float("-inf"))
        best = tl.maximum(best, x)
    tl.store(y_ptr + i, best, mask=live)


class ModelNew(nn.Module):
    def __init__(self, kernel_size, stride, padding, dilation):
        super().__init__()
        self.k, self.s, self.p, self.d = kernel_size, stride, padding, dilation

    def forward(self, x):
        x = x.contiguous()
        B, C, L = x.shape
        LO = (L + 2 * self.p - self.d * (self.k - 1) - 1) // self.s + 1
        y = torch.empty((B, C, LO), device=x.device, dtype=x.dtype)
        pool[(triton.cdiv(y.numel(), 64),)](x, y, L, LO, y.numel(), self.s, self.p, self.d, K=self.k, BLOCK=64)
        return y
