# expect: incorrect
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def huber(p_ptr, t_ptr, out_ptr, n, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    i = pid * BLOCK + tl.arange(0, BLOCK)
    d = tl.load(p_ptr + i, mask=i < n, other=0.0) - tl.load(t_ptr + i, mask=i < n, other=0.0)
    a = tl.abs(d)
    loss = 0.5 * d * d
    tl.store(out_ptr + pid, tl.sum(loss, axis=0))


class ModelNew(nn.Module):
    def forward(self, predictions, targets):
        predictions, targets = predictions.contiguous(), targets.contiguous()
        n = predictions.numel()
        blocks = triton.cdiv(n, 128)
        out = torch.empty(blocks, device=predictions.device)
        huber[(blocks,)](predictions, targets, out, n, BLOCK=128)
        return out.sum() / n
