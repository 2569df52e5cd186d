# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def deconv(
    x_ptr, w_ptr, b_ptr, y_ptr, CI, CO, H, W, HO, WO, S, P, K: tl.constexpr, BLOCK: tl.constexpr,
):
    b = tl.program_id(0)
    o = tl.program_id(1)
    p = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    live = p < HO * WO
    oy = p // WO
    ox = p % WO
    acc = tl.zeros([BLOCK], tl.float32)
    for c in range(CI):
        for i in range(K):
            for j in range(K):
                ty = oy + P - i
                tx = ox + P - j
                iy = ty // S
                ix = tx // S
                ok = live & (ty >= 0) & (tx >= 0) & (ty % S == 0) & (tx % S == 0) & (iy < H) & (ix < W)
                x = tl.load(x_ptr + ((b * CI + c) * H + iy) * W + ix, mask=ok, other=0.0)
                acc += x * tl.load(w_ptr + ((c * CO + o) * K + i) * K + j)
    tl.store(y_ptr + (b * CO + o) * HO * WO + p, acc + tl.load(b_ptr + o), mask=live)


class ModelNew(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride, padding):
        super().__init__()
        self.deconv = nn.ConvTranspose2d(in_channels, out_channels, kernel_size, stride=stride, padding=padding)

    def forward(self, x):
        x = x.contiguous()
        B, CI, H, W = x.shape
        d = self.deconv
        CO, K, S, P = d.out_channels, d.kernel_size[0], d.stride[0], d.padding[0]
        HO = (H - 1) * S - 2 * P + K
        WO = (W - 1) * S - 2 * P + K
        y = torch.empty(B, CO, HO, WO, device=x.device, dtype=x.dtype)
        deconv[(B, CO, triton.cdiv(HO * WO, 64))](x, d.weight, d.bias, y, CI, CO, H, W, HO, WO, S, P, K=K, BLOCK=64)
        return y
