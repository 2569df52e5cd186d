# expect: incorrect
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def partial_mse(p_ptr, t_ptr, out_ptr, n, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    i = pid * BLOCK + tl.arange(0, BLOCK)
    p = tl.load(p_ptr + i, mask=i < n, other=0.0)
    t = tl.load(t_ptr + i, mask=i < n, other=0.0)
    d = p - t
    tl.store(out_ptr + pid, tl.sum(d * d, axis=0))


class ModelNew(nn.Module):
    def forward(self, predictions, targets):
        p = predictions.contiguous()
        t = targets.contiguous()
        n = p.numel()
        blocks = triton.cdiv(n, 256)
        partial = torch.empty(blocks, device=p.device, dtype=torch.float32)
        partial_mse[(blocks,)](p, t, partial, n, BLOCK=256)
        return partial[::2].sum() * 2 / n
