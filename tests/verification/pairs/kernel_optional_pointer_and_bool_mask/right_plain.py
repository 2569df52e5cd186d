# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def sel(x_ptr, y_ptr, z_ptr, o_ptr, n, HAS_Z: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i < n)
    y = tl.load(y_ptr + i, mask=i < n, other=0)
    if HAS_Z:
        x += tl.load(z_ptr + i, mask=i < n)
    tl.store(o_ptr + i, tl.where(y != 0, x, 0.0), mask=i < n)
class ModelNew(nn.Module):
    def forward(self, x, y):
        out = torch.empty_like(x)
        sel[(triton.cdiv(x.numel(), 64),)](x, y, None, out, x.numel(), HAS_Z=False, BLOCK=64)
        return out
