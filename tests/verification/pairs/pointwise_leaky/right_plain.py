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

    tl.store(out_ptr + offsets, tl.where(x>0,x,0.01*x), mask=mask)

class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        n = out.numel()
        apply_kernel[(triton.cdiv(n, 128),)](x, out, n, BLOCK=128)
        return out
