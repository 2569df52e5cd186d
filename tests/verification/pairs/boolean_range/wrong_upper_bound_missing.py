# expect: incorrect
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def flags(x_ptr, k_ptr, y_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = i < n
    x = tl.load(x_ptr + i, mask=mask, other=0.0)
    k = tl.load(k_ptr + i, mask=mask, other=0).to(tl.int1)
    tl.store(y_ptr + i, (x > -0.5) & k, mask=mask)


class ModelNew(nn.Module):
    def forward(self, x, keep):
        x, keep = x.contiguous(), keep.contiguous()
        y = torch.empty(x.shape, device=x.device, dtype=torch.bool)
        flags[(triton.cdiv(x.numel(), 64),)](x, keep, y, x.numel(), BLOCK=64)
        return y
