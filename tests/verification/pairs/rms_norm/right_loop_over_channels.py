# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def rms_kernel(x_ptr, y_ptr, total, C, HW, eps, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = i < total
    b = i // HW
    p = i % HW
    base = b * C * HW + p
    acc = tl.zeros([BLOCK], dtype=tl.float32)
    for c in range(C):
        v = tl.load(x_ptr + base + c * HW, mask=mask, other=0.0)
        acc += v * v
    scale = tl.rsqrt(acc / C + eps)
    for c in range(C):
        v = tl.load(x_ptr + base + c * HW, mask=mask, other=0.0)
        tl.store(y_ptr + base + c * HW, v * scale, mask=mask)


class ModelNew(nn.Module):
    def __init__(self, num_features, eps=1e-5):
        super().__init__()
        self.C = num_features
        self.eps = eps

    def forward(self, x):
        x = x.contiguous()
        B, C, H, W = x.shape
        y = torch.empty_like(x)
        rms_kernel[(triton.cdiv(B * H * W, 64),)](x, y, B * H * W, C, H * W, self.eps, BLOCK=64)
        return y
