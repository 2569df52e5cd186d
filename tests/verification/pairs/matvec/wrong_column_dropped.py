# expect: incorrect shape
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def mv(a_ptr, v_ptr, y_ptr, K, stride, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    acc = tl.zeros([BLOCK], tl.float32)
    for start in range(0, K, BLOCK):
        k = start + tl.arange(0, BLOCK)
        a = tl.load(a_ptr + row * stride + k, mask=k < K, other=0.0)
        v = tl.load(v_ptr + k, mask=k < K, other=0.0)
        acc += a * v
    tl.store(y_ptr + row, tl.sum(acc, axis=0))


class ModelNew(nn.Module):
    def forward(self, A, v):
        A = A.contiguous()
        v = v.contiguous()
        y = torch.empty((A.shape[0], 1), device=A.device, dtype=A.dtype)
        mv[(A.shape[0],)](A, v, y, A.shape[1], A.stride(0), BLOCK=128)
        return y.squeeze(1)
