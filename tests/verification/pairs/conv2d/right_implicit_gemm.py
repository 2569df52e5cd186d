# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def conv_relu(
    x_ptr, w_ptr, b_ptr, y_ptr, NP, CI, CO, H, W, P, K: tl.constexpr,
    BP: tl.constexpr, BO: tl.constexpr, BK: tl.constexpr,
):
    p = tl.program_id(0) * BP + tl.arange(0, BP)
    o = tl.program_id(1) * BO + tl.arange(0, BO)
    b = p // (H * W)
    oy = (p // W) % H
    ox = p % W
    inner = CI * K * K
    acc = tl.zeros((BP, BO), tl.float32)
    for k0 in range(0, inner, BK):
        k = k0 + tl.arange(0, BK)
        c = k // (K * K)
        i = (k // K) % K
        j = k % K
        iy = oy[:, None] + i[None, :] - P
        ix = ox[:, None] + j[None, :] - P
        ok = (p[:, None] < NP) & (k[None, :] < inner) & (iy >= 0) & (iy < H) & (ix >= 0) & (ix < W)
        x = tl.load(x_ptr + ((b[:, None] * CI + c[None, :]) * H + iy) * W + ix, mask=ok, other=0.0)
        w = tl.load(w_ptr + o[None, :] * inner + k[:, None], mask=(o[None, :] < CO) & (k[:, None] < inner), other=0.0)
        acc += tl.dot(x, w, input_precision="ieee")
    acc += tl.load(b_ptr + o, mask=o < CO, other=0.0)[None, :]
    acc = tl.maximum(acc, 0.0)
    at = (b[:, None] * CO + o[None, :]) * H * W + oy[:, None] * W + ox[:, None]
    tl.store(y_ptr + at, acc, mask=(p[:, None] < NP) & (o[None, :] < CO))


class ModelNew(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=1)

    def forward(self, x):
        assert self.conv.kernel_size == (3, 3)
        x = x.contiguous()
        B, CI, H, W = x.shape
        CO = self.conv.out_channels
        y = torch.empty(B, CO, H, W, device=x.device, dtype=x.dtype)
        NP = B * H * W
        conv_relu[(triton.cdiv(NP, 32), triton.cdiv(CO, 16))](
            x, self.conv.weight, self.conv.bias, y, NP, CI, CO, H, W, 1, K=3, BP=32, BO=16, BK=16
        )
        return y
