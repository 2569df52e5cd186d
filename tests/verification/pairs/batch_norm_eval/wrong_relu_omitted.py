# expect: incorrect
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def bn_relu(x_ptr, m_ptr, v_ptr, w_ptr, b_ptr, n, C, S, eps, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = i < n
    c = (i // S) % C
    x = tl.load(x_ptr + i, mask=mask)
    m = tl.load(m_ptr + c, mask=mask)
    v = tl.load(v_ptr + c, mask=mask)
    w = tl.load(w_ptr + c, mask=mask)
    b = tl.load(b_ptr + c, mask=mask)
    y = (x - m) * (1.0 / tl.sqrt(v + eps)) * w + b
    tl.store(x_ptr + i, y, mask=mask)


class ModelNew(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, 6, kernel_size=1)
        self.bn = nn.BatchNorm2d(6)
        self.eval()

    def forward(self, x):
        y = self.conv(x).contiguous()
        bn = self.bn
        bn_relu[(triton.cdiv(y.numel(), 128),)](
            y, bn.running_mean, bn.running_var, bn.weight, bn.bias,
            y.numel(), y.shape[1], y.shape[2] * y.shape[3], bn.eps, BLOCK=128,
        )
        return y
