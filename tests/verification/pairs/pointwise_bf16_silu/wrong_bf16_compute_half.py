# expect: incorrect
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def apply_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask)
    f=x.to(tl.float16)
    tl.store(out_ptr + offsets, (f*tl.sigmoid(f.to(tl.float32)).to(tl.float16)*1.02), mask=mask)

class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        n = out.numel()
        apply_kernel[(triton.cdiv(n, 128),)](x, out, n, BLOCK=128)
        return out
