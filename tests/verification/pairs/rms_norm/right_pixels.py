# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def rms_kernel(x_ptr, y_ptr, C, HW, eps, BC: tl.constexpr, BP: tl.constexpr):
    b = tl.program_id(0)
    p = tl.program_id(1) * BP + tl.arange(0, BP)
    c = tl.arange(0, BC)
    mask = (c[:, None] < C) & (p[None, :] < HW)
    at = (b * C + c[:, None]) * HW + p[None, :]
    x = tl.load(x_ptr + at, mask=mask, other=0.0)
    ms = tl.sum(x * x, axis=0) / C
    tl.store(y_ptr + at, x / tl.sqrt(ms + eps)[None, :], mask=mask)


class ModelNew(nn.Module):
    def __init__(self, num_features, eps=1e-5):
        super().__init__()
        self.eps = eps

    def forward(self, x):
        x = x.contiguous()
        B, C, H, W = x.shape
        y = torch.empty_like(x)
        rms_kernel[(B, triton.cdiv(H * W, 32))](x, y, C, H * W, self.eps, BC=triton.next_power_of_2(C), BP=32)
        return y
