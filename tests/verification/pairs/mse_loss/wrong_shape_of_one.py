# expect: incorrect shape
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def mse(p_ptr, t_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = i < n
    d = tl.load(p_ptr + i, mask=mask, other=0.0) - tl.load(t_ptr + i, mask=mask, other=0.0)
    tl.atomic_add(out_ptr, tl.sum(d * d, axis=0) / n)


class ModelNew(nn.Module):
    def forward(self, predictions, targets):
        predictions, targets = predictions.contiguous(), targets.contiguous()
        out = torch.zeros(1, device=predictions.device, dtype=torch.float32)
        n = predictions.numel()
        mse[(triton.cdiv(n, 128),)](predictions, targets, out, n, BLOCK=128)
        return out
