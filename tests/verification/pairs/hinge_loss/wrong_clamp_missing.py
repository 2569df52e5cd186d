# expect: incorrect
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def hinge(p_ptr, t_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    p = tl.load(p_ptr + i, mask=i < n)
    t = tl.load(t_ptr + i, mask=i < n)
    tl.store(out_ptr + i, 1.0 - p * t, mask=i < n)


class ModelNew(nn.Module):
    def forward(self, predictions, targets):
        p, t = predictions.contiguous(), targets.contiguous()
        out = torch.empty_like(p)
        hinge[(triton.cdiv(p.numel(), 64),)](p, t, out, p.numel(), BLOCK=64)
        return out.mean()
