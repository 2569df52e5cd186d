# expect: incorrect
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def inorm(x_ptr, y_ptr, S, eps, BLOCK: tl.constexpr):
    plane = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    mask = i < S
    x = tl.load(x_ptr + plane * S + i, mask=mask, other=0.0)
    mean = tl.sum(x, axis=0) / S
    d = tl.where(mask, x - mean, 0.0)
    var = tl.sum(d * d, axis=0) / S
    tl.store(y_ptr + plane * S + i, d / tl.sqrt(var + eps), mask=mask)


class ModelNew(nn.Module):
    def __init__(self, num_features):
        super().__init__()
        self.eps = 1e-5

    def forward(self, x):
        x = x.contiguous()
        B, C, H, W = x.shape
        y = torch.empty_like(x)
        inorm[(B,)](x, y, C * H * W, self.eps, BLOCK=triton.next_power_of_2(C * H * W))
        return y
