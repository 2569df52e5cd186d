# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def part(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i < n, other=float("-inf"))
    tl.store(o_ptr + tl.program_id(0), tl.max(x, axis=0))
class ModelNew(nn.Module):
    def forward(self, x):
        g = triton.cdiv(x.numel(), 256)
        mid = torch.empty(g, device=x.device)
        out = torch.empty((), device=x.device)
        part[(g,)](x, mid, x.numel(), BLOCK=256)
        part[(1,)](mid, out, g, BLOCK=triton.next_power_of_2(g))
        return out
