# expect: incorrect
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def rope(x_ptr, c_ptr, s_ptr, y_ptr, L, D, H: tl.constexpr):
    row = tl.program_id(0)
    t = row % L
    d = tl.arange(0, H)
    a = tl.load(x_ptr + row * D + d)
    b = tl.load(x_ptr + row * D + H + d)
    ca = tl.load(c_ptr + t * D + d)
    cb = tl.load(c_ptr + t * D + d)
    sa = tl.load(s_ptr + t * D + d)
    sb = tl.load(s_ptr + t * D + H + d)
    tl.store(y_ptr + row * D + d, a * ca - b * sa)
    tl.store(y_ptr + row * D + H + d, b * cb + a * sb)


class ModelNew(nn.Module):
    def forward(self, x, cos, sin):
        x = x.contiguous()
        D = x.shape[-1]
        L = x.shape[-2]
        y = torch.empty_like(x)
        rope[(x.numel() // D,)](x, cos.contiguous(), sin.contiguous(), y, L, D, H=D // 2)
        return y
