# expect: rejected input_overwritten
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def add_norm(x_ptr, r_ptr, w_ptr, b_ptr, y_ptr, s_ptr, N, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    mask = i < N
    s = tl.load(x_ptr + row * N + i, mask=mask, other=0.0) + tl.load(r_ptr + row * N + i, mask=mask, other=0.0)
    tl.store(s_ptr + row * N + i, s, mask=mask)
    mean = tl.sum(s, axis=0) / N
    d = tl.where(mask, s - mean, 0.0)
    rstd = 1.0 / tl.sqrt(tl.sum(d * d, axis=0) / N + eps)
    w = tl.load(w_ptr + i, mask=mask)
    b = tl.load(b_ptr + i, mask=mask)
    tl.store(y_ptr + row * N + i, d * rstd * w + b, mask=mask)


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm = nn.LayerNorm(dim)

    def forward(self, x, residual):
        x, residual = x.contiguous(), residual.contiguous()
        N = x.shape[-1]
        y, s = torch.empty_like(x), residual
        add_norm[(x.numel() // N,)](
            x, residual, self.norm.weight, self.norm.bias, y, s, N, self.norm.eps, BLOCK=triton.next_power_of_2(N)
        )
        return y, s
