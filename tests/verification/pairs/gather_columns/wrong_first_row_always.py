# expect: incorrect
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def gather(x_ptr, i_ptr, y_ptr, N, K, total, BLOCK: tl.constexpr):
    p = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = p < total
    index = tl.load(i_ptr + p, mask=mask, other=0)
    x = tl.load(x_ptr + index, mask=mask)
    tl.store(y_ptr + p, x, mask=mask)


class ModelNew(nn.Module):
    def forward(self, x, index):
        x, index = x.contiguous(), index.contiguous()
        y = torch.empty(index.shape, device=x.device, dtype=x.dtype)
        gather[(triton.cdiv(y.numel(), 64),)](x, index, y, x.shape[1], index.shape[1], y.numel(), BLOCK=64)
        return y
