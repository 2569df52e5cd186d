# expect: incorrect
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def extremes(x_ptr, lo_ptr, hi_ptr, c_ptr, N, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    mask = i < N
    x = tl.load(x_ptr + row * N + i, mask=mask, other=0.0)
    tl.store(lo_ptr + row, tl.min(tl.where(mask, x, float("inf")), axis=0))
    tl.store(hi_ptr + row, tl.max(tl.where(mask, x, float("-inf")), axis=0))
    tl.store(c_ptr + row, tl.sum((mask & (x >= 0)).to(tl.int64), axis=0))


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        rows = x.shape[0]
        low = torch.empty(rows, device=x.device, dtype=x.dtype)
        high = torch.empty_like(low)
        count = torch.empty(rows, device=x.device, dtype=torch.int64)
        extremes[(rows,)](x, low, high, count, x.shape[1], BLOCK=32)
        return {"low": low, "high": high, "positive": count}
