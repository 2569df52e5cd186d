# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def ce_kernel(x_ptr, t_ptr, out_ptr, rows, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * n + offsets, mask=offsets < n, other=-float("inf"))
    m = tl.max(x, axis=0)
    lse = m + tl.log(tl.sum(tl.exp(x - m), axis=0))
    t = tl.load(t_ptr + row)
    picked = tl.load(x_ptr + row * n + t)
    tl.atomic_add(out_ptr, (lse - picked) / rows)
class ModelNew(nn.Module):
    def forward(self, x, t):
        out = torch.zeros((), device=x.device)
        ce_kernel[(x.shape[0],)](x, t, out, x.shape[0], x.shape[1], BLOCK=16)
        return out
