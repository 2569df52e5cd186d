# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def pool(x_ptr, o_ptr, W, OW, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row = i // OW
    col = i % OW
    best = tl.full([BLOCK], float("-inf"), tl.float32)
    for dy in range(2):
        for dx in range(2):
            at = x_ptr + (row * 2 + dy) * W + col * 2 + dx
            best = tl.maximum(best, tl.load(at, mask=i < n, other=float("-inf")))
    tl.store(o_ptr + i, best, mask=i < n)
class ModelNew(nn.Module):
    def forward(self, x):
        N, C, H, W = x.shape
        out = torch.empty(N, C, H // 2, W // 2, device=x.device)
        pool[(triton.cdiv(out.numel(), 64),)](x, out, W, W // 2, out.numel(), BLOCK=64)
        return out
