# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def row_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + row * n + offsets, mask=mask, other=0.0)
    m=tl.sum(x,axis=0)/n
    c=tl.where(mask,x-m,0.0)
    r=c/tl.sqrt(tl.sum(c*c,axis=0)/n+1e-5)
    tl.store(out_ptr + row * n + offsets, r, mask=mask)

class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty(x.shape, device=x.device, dtype=x.dtype)
        n = x.shape[-1]
        row_kernel[(x.numel() // n,)](x, out, n, BLOCK=triton.next_power_of_2(n))
        return out
