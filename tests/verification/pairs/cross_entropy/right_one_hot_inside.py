# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def ce(x_ptr, t_ptr, out_ptr, B, C, BB: tl.constexpr, BC: tl.constexpr):
    r = tl.program_id(0) * BB + tl.arange(0, BB)
    c = tl.arange(0, BC)
    live = (r[:, None] < B) & (c[None, :] < C)
    x = tl.load(x_ptr + r[:, None] * C + c[None, :], mask=live, other=-1e30)
    t = tl.load(t_ptr + r, mask=r < B, other=0)
    top = tl.max(x, axis=1)
    lse = top + tl.log(tl.sum(tl.where(live, tl.exp(x - top[:, None]), 0.0), axis=1))
    picked = tl.sum(tl.where(c[None, :] == t[:, None], x, 0.0), axis=1)
    tl.atomic_add(out_ptr, tl.sum(tl.where(r < B, lse - picked, 0.0), axis=0) / B)


class ModelNew(nn.Module):
    def forward(self, predictions, targets):
        predictions = predictions.contiguous()
        B, C = predictions.shape
        out = torch.zeros((), device=predictions.device)
        ce[(triton.cdiv(B, 8),)](predictions, targets, out, B, C, BB=8, BC=triton.next_power_of_2(C))
        return out
