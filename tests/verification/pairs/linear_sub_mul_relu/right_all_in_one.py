# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def fused(x_ptr, w_ptr, b_ptr, y_ptr, M, N, K, sub, mul, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    n = tl.program_id(1) * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), dtype=tl.float32)
    for k0 in range(0, K, BK):
        k = k0 + tl.arange(0, BK)
        x = tl.load(x_ptr + m[:, None] * K + k[None, :], mask=(m[:, None] < M) & (k[None, :] < K), other=0.0)
        w = tl.load(w_ptr + n[:, None] * K + k[None, :], mask=(n[:, None] < N) & (k[None, :] < K), other=0.0)
        acc += tl.dot(x, tl.trans(w), input_precision="ieee")
    b = tl.load(b_ptr + n, mask=n < N, other=0.0)
    acc = (acc + b[None, :] - sub) * mul
    tl.store(y_ptr + m[:, None] * N + n[None, :], tl.where(acc > 0, acc, 0.0), mask=(m[:, None] < M) & (n[None, :] < N))


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features, subtract_value, multiply_value):
        super().__init__()
        lin = nn.Linear(in_features, out_features)
        self.w = nn.Parameter(lin.weight.detach())
        self.b = nn.Parameter(lin.bias.detach())
        self.sub, self.mul = subtract_value, multiply_value

    def forward(self, x):
        x = x.contiguous()
        M, K = x.shape
        N = self.w.shape[0]
        y = torch.empty(M, N, device=x.device, dtype=x.dtype)
        fused[(triton.cdiv(M, 16), triton.cdiv(N, 16))](
            x, self.w, self.b, y, M, N, K, self.sub, self.mul, BM=16, BN=16, BK=32
        )
        return y
