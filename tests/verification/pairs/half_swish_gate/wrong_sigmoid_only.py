# expect: incorrect
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def swiglu(x_ptr, y_ptr, D, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    d = tl.arange(0, BLOCK)
    g = tl.load(x_ptr + row * 2 * D + d, mask=d < D, other=0.0).to(tl.float32)
    v = tl.load(x_ptr + row * 2 * D + D + d, mask=d < D, other=0.0).to(tl.float32)
    tl.store(y_ptr + row * D + d, (tl.sigmoid(g) * v).to(tl.float16), mask=d < D)


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        D = x.shape[-1] // 2
        y = torch.empty((*x.shape[:-1], D), device=x.device, dtype=x.dtype)
        swiglu[(x.numel() // (2 * D),)](x, y, D, BLOCK=triton.next_power_of_2(D))
        return y
