# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def mse(p_ptr, t_ptr, out_ptr, n, BLOCK: tl.constexpr):
    acc = tl.zeros([BLOCK], tl.float32)
    for start in range(0, n, BLOCK):
        i = start + tl.arange(0, BLOCK)
        p = tl.load(p_ptr + i, mask=i < n, other=0.0)
        t = tl.load(t_ptr + i, mask=i < n, other=0.0)
        acc += (p - t) * (p - t)
    tl.store(out_ptr, tl.sum(acc, axis=0) / n)


class ModelNew(nn.Module):
    def forward(self, predictions, targets):
        out = torch.empty((), device=predictions.device)
        mse[(1,)](predictions.contiguous(), targets.contiguous(), out, predictions.numel(), BLOCK=256)
        return out
