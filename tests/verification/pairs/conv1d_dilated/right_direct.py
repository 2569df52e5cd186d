# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def conv1d(x_ptr, w_ptr, y_ptr, CI, CO, L, LO, S, D, K: tl.constexpr, BLOCK: tl.constexpr):
    b = tl.program_id(0)
    o = tl.program_id(1)
    p = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    mask = p < LO
    acc = tl.zeros([BLOCK], dtype=tl.float32)
    for c in range(CI):
        for k in range(K):
            x = tl.load(x_ptr + (b * CI + c) * L + p * S + k * D, mask=mask, other=0.0)
            w = tl.load(w_ptr + (o * CI + c) * K + k)
            acc += x * w
    tl.store(y_ptr + (b * CO + o) * LO + p, acc, mask=mask)


class ModelNew(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, dilation=1, bias=False):
        super().__init__()
        self.conv1d = nn.Conv1d(in_channels, out_channels, kernel_size, stride=stride, dilation=dilation, bias=bias)

    def forward(self, x):
        x = x.contiguous()
        B, CI, L = x.shape
        conv = self.conv1d
        K, S, D = conv.kernel_size[0], conv.stride[0], conv.dilation[0]
        LO = (L - D * (K - 1) - 1) // S + 1
        y = torch.empty(B, conv.out_channels, LO, device=x.device, dtype=x.dtype)
        conv1d[(B, conv.out_channels, triton.cdiv(LO, 16))](
            x, conv.weight, y, CI, conv.out_channels, L, LO, S, D, K=K, BLOCK=16
        )
        return y
