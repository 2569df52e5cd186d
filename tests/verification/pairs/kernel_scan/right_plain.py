# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def mul(a, b):
    return a * b
@triton.jit
def scan(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * n + i, mask=i < n, other=1.0)
    tl.store(o_ptr + row * n + i, tl.associative_scan(x, 0, mul), mask=i < n)
class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        scan[(x.shape[0],)](x, out, x.shape[1], BLOCK=128)
        return out
