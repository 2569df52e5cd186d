# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def rms(x_ptr, w_ptr, y_ptr, N, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * N + i, mask=i < N, other=0.0).to(tl.float32)
    r = 1 / tl.sqrt(tl.sum(x * x, axis=0) / N + eps)
    w = tl.load(w_ptr + i, mask=i < N)
    tl.store(y_ptr + row * N + i, x * r * w, mask=i < N)


class ModelNew(nn.Module):
    def __init__(self, dim, eps=1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim, dtype=torch.bfloat16))
        self.eps = eps

    def forward(self, x):
        x = x.contiguous()
        y = torch.empty_like(x)
        rms[(x.numel() // x.shape[-1],)](x, self.weight, y, x.shape[-1], self.eps, BLOCK=64)
        return y
