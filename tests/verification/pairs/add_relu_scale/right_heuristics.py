# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.heuristics({"BLOCK": lambda args: max(64, min(1024, triton.next_power_of_2(args["n"] // 8)))})
@triton.jit
def fused(x_ptr, y_ptr, out_ptr, n, scale, BLOCK: tl.constexpr):
    offs = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    a = tl.load(x_ptr + offs, mask=offs < n)
    b = tl.load(y_ptr + offs, mask=offs < n)
    tl.store(out_ptr + offs, tl.maximum(a + b, 0.0) * scale, mask=offs < n)


class ModelNew(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, x, y):
        x, y = x.contiguous(), y.contiguous()
        out = torch.empty_like(x)
        n = x.numel()
        fused[lambda meta: (triton.cdiv(n, meta["BLOCK"]),)](x, y, out, n, self.scale)
        return out
