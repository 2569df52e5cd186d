# expect: refused
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def kernel(x_ptr, wt_ptr, b_ptr, y_ptr, N, K, BN: tl.constexpr, BK: tl.constexpr):
    row = tl.program_id(0)
    n = tl.program_id(1) * BN + tl.arange(0, BN)
    acc = tl.load(b_ptr + n, mask=n < N, other=0.0)
    for k0 in range(0, K, BK):
        k = k0 + tl.arange(0, BK)
        x = tl.load(x_ptr + row * K + k, mask=k < K, other=0.0)
        w = tl.load(wt_ptr + k[:, None] * N + n[None, :], mask=(k[:, None] < K) & (n[None, :] < N), other=0.0)
        acc += tl.sum(x[:, None] * w, axis=0)
    tl.store(y_ptr + row * N + n, 0.5 * acc * (1.0 + tl.math.erf(acc * 0.70710678118)), mask=n < N)


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x):
        x = x.contiguous()
        wt = self.linear.weight.contiguous().view(self.linear.weight.shape[1], self.linear.weight.shape[0])
        M, K = x.shape
        N = wt.shape[1]
        y = x.new_empty(M, N)
        kernel[(M, triton.cdiv(N, 32))](x, wt, self.linear.bias, y, N, K, BN=32, BK=32)
        return y
