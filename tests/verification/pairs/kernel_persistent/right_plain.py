# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


SCALE = tl.constexpr(2.0)
@triton.jit
def affine(x):
    return x * SCALE + 1
@triton.jit
def p(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    blocks = tl.cdiv(n, BLOCK)
    for b in range(tl.program_id(0), blocks, tl.num_programs(0)):
        i = b * BLOCK + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + i, mask=i < n).to(tl.float32)
        tl.store(o_ptr + i, affine(x).to(o_ptr.dtype.element_ty), mask=i < n)
class Apply(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        out = torch.empty_like(x)
        p[(3,)](x, out, x.numel(), BLOCK=64)
        return out
class ModelNew(nn.Module):
    def forward(self, x):
        return Apply.apply(x)
