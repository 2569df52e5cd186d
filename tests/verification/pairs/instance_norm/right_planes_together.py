# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def inorm(x_ptr, y_ptr, planes, S, eps, PB: tl.constexpr, BLOCK: tl.constexpr):
    p = tl.program_id(0) * PB + tl.arange(0, PB)[:, None]
    i = tl.arange(0, BLOCK)[None, :]
    mask = (p < planes) & (i < S)
    x = tl.load(x_ptr + p * S + i, mask=mask, other=0.0)
    mean = tl.sum(x, axis=1, keep_dims=True) / S
    d = tl.where(mask, x - mean, 0.0)
    var = tl.sum(d * d, axis=1, keep_dims=True) / S
    tl.store(y_ptr + p * S + i, d * tl.rsqrt(var + eps), mask=mask)


class ModelNew(nn.Module):
    def __init__(self, num_features):
        super().__init__()

    def forward(self, x):
        x = x.contiguous()
        B, C, H, W = x.shape
        y = torch.empty_like(x)
        inorm[(triton.cdiv(B * C, 8),)](x, y, B * C, H * W, 1e-5, PB=8, BLOCK=triton.next_power_of_2(H * W))
        return y
