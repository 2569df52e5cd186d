# expect: incorrect
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def epilogue(y_ptr, n, sub, mul, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    y = tl.load(y_ptr + i, mask=i < n)
    tl.store(y_ptr + i, (y - sub) * mul, mask=i < n)


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features, subtract_value, multiply_value):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.sub = subtract_value
        self.mul = multiply_value

    def forward(self, x):
        y = self.linear(x).contiguous()
        n = y.numel()
        epilogue[(triton.cdiv(n, 128),)](y, n, self.sub, self.mul, BLOCK=128)
        return y
