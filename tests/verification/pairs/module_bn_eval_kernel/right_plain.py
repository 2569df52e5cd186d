# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def bn_kernel(x_ptr, m_ptr, v_ptr, w_ptr, b_ptr, out_ptr, n, C, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    c = offsets % C
    x = tl.load(x_ptr + offsets, mask=mask)
    m = tl.load(m_ptr + c); v = tl.load(v_ptr + c); w = tl.load(w_ptr + c); b = tl.load(b_ptr + c)
    tl.store(out_ptr + offsets, (x - m) / tl.sqrt(v + 1e-5) * w + b, mask=mask)
class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm1d(16)
    def forward(self, x):
        out = torch.empty_like(x)
        bn = self.bn
        bn_kernel[(triton.cdiv(x.numel(), 64),)](
            x, bn.running_mean, bn.running_var, bn.weight, bn.bias, out, x.numel(), 16, BLOCK=64
        )
        return out
