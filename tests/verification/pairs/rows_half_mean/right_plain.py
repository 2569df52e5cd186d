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
    r=tl.sum(x.to(tl.float32),axis=0)/n
    tl.store(out_ptr + row, r)

class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty(x.shape[:-1], device=x.device, dtype=x.dtype)
        n = x.shape[-1]
        row_kernel[(x.numel() // n,)](x, out, n, BLOCK=triton.next_power_of_2(n))
        return out
