# expect: refused
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def transpose(x_ptr, y_ptr, M, N, BM: tl.constexpr, BN: tl.constexpr):
    b = tl.program_id(2)
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    n = tl.program_id(1) * BN + tl.arange(0, BN)
    x = tl.load(x_ptr + b * M * N + m[:, None] * N + n[None, :], mask=(m[:, None] < M) & (n[None, :] < N))
    tl.store(y_ptr + b * M * N + n[:, None] * M + m[None, :], x, mask=(n[:, None] < N) & (m[None, :] < M))


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        B, M, N = x.shape
        y = torch.empty((B, N, M), device=x.device, dtype=x.dtype)
        transpose[(triton.cdiv(M, 16), triton.cdiv(N, 16), B)](x, y, M, N, BM=16, BN=16)
        return y
