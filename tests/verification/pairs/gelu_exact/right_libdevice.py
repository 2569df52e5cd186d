# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


from triton.language.extra import libdevice


@triton.jit
def gelu_kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    offs = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offs, mask=offs < n)
    half = x * 0.5
    e = libdevice.erf(x / 1.4142135623730951)
    tl.store(y_ptr + offs, half + half * e, mask=offs < n)


def gelu(x):
    x = x.contiguous()
    y = torch.empty_like(x)
    with torch.cuda.device(x.device):
        gelu_kernel[(triton.cdiv(x.numel(), 128),)](x, y, x.numel(), BLOCK=128)
    return y


class ModelNew(torch.nn.Module):
    def forward(self, x):
        return gelu(x)
