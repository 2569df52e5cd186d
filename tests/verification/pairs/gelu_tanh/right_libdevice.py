# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


from triton.language.extra.cuda import libdevice


@triton.jit
def new_gelu(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i < n, other=0.0)
    cube = libdevice.pow(x, 3.0)
    t = libdevice.tanh(0.7978845608028654 * (x + 0.044715 * cube))
    tl.store(y_ptr + i, 0.5 * x * (1.0 + t), mask=i < n)


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        x = x.contiguous()
        n = y.numel()
        new_gelu[(triton.cdiv(n, 256),)](x, y, n, BLOCK=256, num_warps=4)
        return y
