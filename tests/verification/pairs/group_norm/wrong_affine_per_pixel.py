# expect: incorrect
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def gn(x_ptr, w_ptr, b_ptr, y_ptr, C, G, S, eps, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    g = pid % G
    per = C // G
    size = per * S
    i = tl.arange(0, BLOCK)
    mask = i < size
    x = tl.load(x_ptr + pid * size + i, mask=mask, other=0.0)
    mean = tl.sum(x, axis=0) / size
    d = tl.where(mask, x - mean, 0.0)
    rstd = tl.rsqrt(tl.sum(d * d, axis=0) / size + eps)
    c = g * per + i % per
    w = tl.load(w_ptr + c, mask=mask)
    b = tl.load(b_ptr + c, mask=mask)
    tl.store(y_ptr + pid * size + i, d * rstd * w + b, mask=mask)


class ModelNew(nn.Module):
    def __init__(self, num_features, num_groups):
        super().__init__()
        self.gn = nn.GroupNorm(num_groups=num_groups, num_channels=num_features)

    def forward(self, x):
        x = x.contiguous()
        B, C = x.shape[:2]
        S = x.numel() // (B * C)
        G = self.gn.num_groups
        y = torch.empty_like(x)
        gn[(B * G,)](
            x, self.gn.weight, self.gn.bias, y, C, G, S, self.gn.eps,
            BLOCK=triton.next_power_of_2(C // G * S),
        )
        return y
