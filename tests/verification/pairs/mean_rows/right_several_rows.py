# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def mean_kernel(x_ptr, y_ptr, M, N, inverse, BM: tl.constexpr, BN: tl.constexpr):
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    total = tl.zeros([BM, BN], tl.float32)
    for start in range(0, N, BN):
        n = start + tl.arange(0, BN)
        total += tl.load(x_ptr + m[:, None] * N + n[None, :], mask=(m[:, None] < M) & (n[None, :] < N), other=0.0)
    tl.store(y_ptr + m, tl.sum(total, axis=1) * inverse, mask=m < M)


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()

    def forward(self, x):
        lead = x.shape[:-1]
        x = x.reshape(-1, x.shape[-1]).contiguous()
        M, N = x.shape
        y = torch.empty(M, device=x.device, dtype=x.dtype)
        mean_kernel[(triton.cdiv(M, 16),)](x, y, M, N, 1.0 / N, BM=16, BN=32)
        return y.reshape(lead)
