# expect: incorrect
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def kl(p_ptr, t_ptr, out_ptr, C, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    c = tl.arange(0, BLOCK)
    mask = c < C
    p = tl.load(p_ptr + row * C + c, mask=mask, other=1.0)
    t = tl.load(t_ptr + row * C + c, mask=mask, other=0.0)
    positive = t > 0
    term = tl.where(positive, -t * tl.log(p), -t * tl.log(p))
    tl.store(out_ptr + row, tl.sum(tl.where(mask, term, 0.0), axis=0))


class ModelNew(nn.Module):
    def forward(self, predictions, targets):
        predictions, targets = predictions.contiguous(), targets.contiguous()
        B, C = predictions.shape
        out = torch.empty(B, device=predictions.device)
        kl[(B,)](predictions, targets, out, C, BLOCK=triton.next_power_of_2(C))
        return out.sum() / B
