# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def fused(x_ptr, y_ptr, out_ptr, n, scale, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    step = tl.num_programs(0) * BLOCK
    for base in range(start, n, step):
        i = base + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + i, mask=i < n, other=0.0)
        y = tl.load(y_ptr + i, mask=i < n, other=0.0)
        s = x + y
        tl.store(out_ptr + i, tl.where(s > 0, s, 0.0) * scale, mask=i < n)


class ModelNew(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = float(scale)

    def forward(self, x, y):
        x = x.contiguous()
        y = y.contiguous()
        out = torch.empty(x.shape, device=x.device, dtype=x.dtype)
        fused[(4,)](x, y, out, x.numel(), self.scale, BLOCK=128)
        return out
