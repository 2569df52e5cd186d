# expect: refused
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def dw(x_ptr, w_ptr, y_ptr, C, H, W, HO, WO, S, K: tl.constexpr, BLOCK: tl.constexpr):
    plane = tl.program_id(0)
    p = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    live = p < HO * WO
    oy = p // WO
    ox = p % WO
    acc = tl.zeros([BLOCK], tl.float32)
    for i in range(K):
        for j in range(K):
            x = tl.load(x_ptr + plane * H * W + (oy * S + i) * W + ox * S + j, mask=live, other=0.0)
            acc += x * tl.load(w_ptr + plane * K * K + i * K + j)
    tl.store(y_ptr + plane * HO * WO + p, acc, mask=live)


class ModelNew(nn.Module):
    def __init__(self, in_channels, kernel_size, stride=1):
        super().__init__()
        self.conv2d = nn.Conv2d(in_channels, in_channels, kernel_size, stride=stride, groups=in_channels, bias=False)

    def forward(self, x):
        x = x.contiguous()
        B, C, H, W = x.shape
        K = self.conv2d.kernel_size[0]
        S = self.conv2d.stride[0]
        HO = (H - K) // S + 1
        WO = (W - K) // S + 1
        y = torch.empty(B, C, HO, WO, device=x.device, dtype=x.dtype)
        dw[(B * C, triton.cdiv(HO * WO, 32))](x, self.conv2d.weight, y, C, H, W, HO, WO, S, K=K, BLOCK=32)
        return y
