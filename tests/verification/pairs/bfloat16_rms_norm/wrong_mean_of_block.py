# expect: incorrect
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def rms(x_ptr, w_ptr, y_ptr, N, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * N + i, mask=i < N, other=0.0).to(tl.float32)
    r = tl.rsqrt(tl.sum(x * x, axis=0) / BLOCK + eps)
    w = tl.load(w_ptr + i, mask=i < N, other=0.0).to(tl.float32)
    tl.store(y_ptr + row * N + i, ((x * r).to(tl.bfloat16).to(tl.float32) * w).to(tl.bfloat16), mask=i < N)


class ModelNew(nn.Module):
    def __init__(self, dim, eps=1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim, dtype=torch.bfloat16))
        self.eps = eps

    def forward(self, x):
        x = x.contiguous()
        N = x.shape[-1]
        y = torch.empty_like(x)
        rms[(x.numel() // N,)](x, self.weight, y, N, self.eps, BLOCK=triton.next_power_of_2(N))
        return y
