# expect: refused
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def conv_relu(x_ptr, w_ptr, b_ptr, y_ptr, CI, CO, H, W, HO, WO, P, K: tl.constexpr, BLOCK: tl.constexpr):
    b = tl.program_id(0)
    o = tl.program_id(1)
    p = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    oy = p // WO
    ox = p % WO
    live = p < HO * WO
    acc = tl.zeros([BLOCK], tl.float32)
    for c in range(CI):
        for i in range(K):
            for j in range(K):
                iy = oy + i - P + 1
                ix = ox + j - P
                ok = live & (iy >= 0) & (iy < H) & (ix >= 0) & (ix < W)
                x = tl.load(x_ptr + ((b * CI + c) * H + iy) * W + ix, mask=ok, other=0.0)
                acc += x * tl.load(w_ptr + ((o * CI + c) * K + i) * K + j)
    acc += tl.load(b_ptr + o)
    tl.store(y_ptr + (b * CO + o) * HO * WO + p, tl.maximum(acc, 0.0), mask=live)


class ModelNew(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=1)

    def forward(self, x):
        x = x.contiguous()
        B, CI, H, W = x.shape
        conv = self.conv
        K = conv.kernel_size[0]
        P = conv.padding[0]
        HO, WO = H + 2 * P - K + 1, W + 2 * P - K + 1
        y = torch.empty(B, conv.out_channels, HO, WO, device=x.device, dtype=x.dtype)
        conv_relu[(B, conv.out_channels, triton.cdiv(HO * WO, 64))](
            x, conv.weight, conv.bias, y, CI, conv.out_channels, H, W, HO, WO, P, K=K, BLOCK=64
        )
        return y
