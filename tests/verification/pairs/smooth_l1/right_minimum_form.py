# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def huber(p_ptr, t_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    p = tl.load(p_ptr + i, mask=i < n, other=0.0)
    t = tl.load(t_ptr + i, mask=i < n, other=0.0)
    a = tl.abs(p - t)
    q = tl.minimum(a, 1.0)
    tl.atomic_add(out_ptr, tl.sum(q * (a - 0.5 * q), axis=0))


class ModelNew(nn.Module):
    def forward(self, predictions, targets):
        total = torch.zeros((), device=predictions.device)
        n = predictions.numel()
        huber[(triton.cdiv(n, 64),)](predictions.contiguous(), targets.contiguous(), total, n, BLOCK=64)
        return total / n
