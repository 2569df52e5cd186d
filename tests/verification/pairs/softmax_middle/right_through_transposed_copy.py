# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def kernel(x_ptr, y_ptr, C, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    c = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * C + c, mask=c < C, other=float("-inf"))
    e = tl.exp(x - tl.max(x, axis=0))
    tl.store(y_ptr + row * C + c, e / tl.sum(e, axis=0), mask=c < C)


class ModelNew(nn.Module):
    def forward(self, x):
        B, C, L = x.shape
        t = x.transpose(1, 2).contiguous()
        y = torch.empty_like(t)
        kernel[(B * L,)](t, y, C, BLOCK=triton.next_power_of_2(C))
        return y.transpose(1, 2).contiguous()
