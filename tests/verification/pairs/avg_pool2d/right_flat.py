# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def pool(x_ptr, y_ptr, H, W, HO, WO, n, K: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = i < n
    ox = i % WO
    oy = (i // WO) % HO
    plane = i // (WO * HO)
    acc = tl.zeros([BLOCK], tl.float32)
    for dy in range(K):
        for dx in range(K):
            acc += tl.load(x_ptr + plane * H * W + (oy * K + dy) * W + ox * K + dx, mask=mask, other=0.0)
    tl.store(y_ptr + i, acc / (K * K), mask=mask)


class ModelNew(nn.Module):
    def __init__(self, kernel_size):
        super().__init__()
        self.k = kernel_size

    def forward(self, x):
        x = x.contiguous()
        B, C, H, W = x.shape
        HO, WO = H // self.k, W // self.k
        y = torch.empty(B, C, HO, WO, device=x.device, dtype=x.dtype)
        pool[(triton.cdiv(y.numel(), 32),)](x, y, H, W, HO, WO, y.numel(), K=self.k, BLOCK=32)
        return y
