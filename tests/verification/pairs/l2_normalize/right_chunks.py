# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def l2(x_ptr, y_ptr, n, x_stride, y_stride, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    acc = tl.zeros([BLOCK], tl.float32)
    for j in tl.range(0, n, BLOCK):
        i = j + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * x_stride + i, mask=i < n, other=0.0)
        acc += x * x
    norm = tl.sqrt(tl.sum(acc, axis=0))
    for j in tl.range(0, n, BLOCK):
        i = j + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * x_stride + i, mask=i < n, other=0.0)
        tl.store(y_ptr + row * y_stride + i, x / norm, mask=i < n)


class ModelNew(nn.Module):
    def forward(self, x):
        if x.stride(-1) != 1:
            x = x.contiguous()
        y = torch.empty_like(x, memory_format=torch.contiguous_format)
        l2[(x.shape[0],)](x, y, x.shape[1], x.stride(0), y.stride(0), BLOCK=64)
        return y
