# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def prod_kernel(x_ptr, y_ptr, M, N, BLOCK: tl.constexpr):
    m = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    p = tl.full([BLOCK], 1.0, tl.float32)
    for j in range(N):
        p *= tl.load(x_ptr + m * N + j, mask=m < M, other=1.0)
    tl.store(y_ptr + m, p, mask=m < M)


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        M, N = x.shape
        y = torch.empty(M, device=x.device, dtype=x.dtype)
        prod_kernel[(triton.cdiv(M, 16),)](x, y, M, N, BLOCK=16)
        return y
