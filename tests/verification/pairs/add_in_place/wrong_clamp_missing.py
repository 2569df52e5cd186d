# expect: incorrect
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def add_clamp(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    s = tl.load(x_ptr + i, mask=i < n) + tl.load(y_ptr + i, mask=i < n)
    tl.store(x_ptr + i, s, mask=i < n)


class ModelNew(nn.Module):
    def forward(self, x, y):
        assert x.is_contiguous()
        add_clamp[(triton.cdiv(x.numel(), 64),)](x, y.contiguous(), x.numel(), BLOCK=64)
        return x
