# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def soft(x_ptr, o_ptr, M, N, BM: tl.constexpr, BN: tl.constexpr):
    m = tl.arange(0, BM)
    n = tl.program_id(0) * BN + tl.arange(0, BN)
    mask = (m[:, None] < M) & (n[None, :] < N)
    x = tl.load(x_ptr + m[:, None] * N + n[None, :], mask=mask, other=float("-inf")).to(tl.float32)
    e = tl.exp(x - tl.max(x, axis=0)[None, :])
    tl.store(o_ptr + m[:, None] * N + n[None, :], e / tl.sum(e, axis=0, keep_dims=True), mask=mask)
class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        soft[(triton.cdiv(x.shape[1], 4),)](x, out, x.shape[0], x.shape[1], BM=32, BN=4)
        return out
