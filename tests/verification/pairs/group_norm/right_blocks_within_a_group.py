# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def gn(x_ptr, w_ptr, b_ptr, y_ptr, C, G, S, eps, BLOCK: tl.constexpr):
    n = tl.program_id(0)
    g = tl.program_id(1)
    per = C // G
    size = per * S
    base = (n * G + g) * size
    s1 = 0.0
    for k in range(0, tl.cdiv(size, BLOCK)):
        i = k * BLOCK + tl.arange(0, BLOCK)
        s1 += tl.sum(tl.load(x_ptr + base + i, mask=i < size, other=0.0), axis=0)
    mean = s1 / size
    s2 = 0.0
    for k in range(0, tl.cdiv(size, BLOCK)):
        i = k * BLOCK + tl.arange(0, BLOCK)
        d = tl.load(x_ptr + base + i, mask=i < size, other=0.0) - mean
        d = tl.where(i < size, d, 0.0)
        s2 += tl.sum(d * d, axis=0)
    rstd = 1.0 / tl.sqrt(s2 / size + eps)
    for k in range(0, tl.cdiv(size, BLOCK)):
        i = k * BLOCK + tl.arange(0, BLOCK)
        c = g * per + i // S
        w = tl.load(w_ptr + c, mask=i < size, other=0.0)
        b = tl.load(b_ptr + c, mask=i < size, other=0.0)
        x = tl.load(x_ptr + base + i, mask=i < size, other=0.0)
        tl.store(y_ptr + base + i, (x - mean) * rstd * w + b, mask=i < size)


class ModelNew(nn.Module):
    def __init__(self, num_features, num_groups):
        super().__init__()
        self.gn = nn.GroupNorm(num_groups=num_groups, num_channels=num_features)

    def forward(self, x):
        x = x.contiguous()
        B, C, H, W = x.shape
        y = torch.empty_like(x)
        G = self.gn.num_groups
        gn[(B, G)](x, self.gn.weight, self.gn.bias, y, C, G, H * W, self.gn.eps, BLOCK=64)
        return y
