# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def swiglu(x_ptr, y_ptr, n, D, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row = i // D
    g = tl.load(x_ptr + row * 2 * D + i % D, mask=i < n, other=0.0).to(tl.float32)
    v = tl.load(x_ptr + row * 2 * D + D + i % D, mask=i < n, other=0.0)
    s = (g / (1.0 + tl.exp(-g))).to(tl.float16)
    tl.store(y_ptr + i, s * v, mask=i < n)


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        D = x.shape[-1] // 2
        y = torch.empty((*x.shape[:-1], D), device=x.device, dtype=torch.float16)
        swiglu[(triton.cdiv(y.numel(), 128),)](x, y, y.numel(), D, BLOCK=128)
        return y
