# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def apply_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask)
    u=0.7978845608028654*(x+0.044715*x*x*x)
    t=2*tl.sigmoid(2*u)-1
    tl.store(out_ptr + offsets, 0.5*x*(1+t), mask=mask)

class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        n = out.numel()
        apply_kernel[(triton.cdiv(n, 128),)](x, out, n, BLOCK=128)
        return out
