# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def softmax_kernel(x_ptr, out_ptr, M, N, stride, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    r = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    c = tl.arange(0, BLOCK)
    mask = (r[:, None] < M) & (c[None, :] < N)
    at = r[:, None] * stride + c[None, :]
    x = tl.load(x_ptr + at, mask=mask, other=float("-inf")).to(tl.float32)
    top = tl.max(x, axis=1)
    safe = tl.where(r < M, top, 0.0)
    e = tl.exp(x - safe[:, None])
    total = tl.sum(e, axis=1)
    tl.store(out_ptr + at, e / tl.where(r < M, total, 1.0)[:, None], mask=mask)


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        M, N = x.shape
        out = torch.empty_like(x)
        softmax_kernel[(triton.cdiv(M, 8),)](x, out, M, N, x.stride(0), ROWS=8, BLOCK=triton.next_power_of_2(N))
        return out
