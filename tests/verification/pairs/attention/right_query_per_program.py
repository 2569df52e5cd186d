# expect: correct
import math

import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def attend(q_ptr, k_ptr, v_ptr, o_ptr, L, scale, D: tl.constexpr, BL: tl.constexpr):
    row = tl.program_id(0)
    base = (row // L) * L * D
    d = tl.arange(0, D)
    n = tl.arange(0, BL)
    live = n[:, None] < L
    q = tl.load(q_ptr + row * D + d)
    k = tl.load(k_ptr + base + n[:, None] * D + d[None, :], mask=live, other=0.0)
    s = tl.sum(q[None, :] * k, axis=1) * scale
    s = tl.where(n < L, s, -float("inf"))
    p = tl.exp(s - tl.max(s, axis=0))
    p = p / tl.sum(p, axis=0)
    v = tl.load(v_ptr + base + n[:, None] * D + d[None, :], mask=live, other=0.0)
    tl.store(o_ptr + row * D + d, tl.sum(p[:, None] * v, axis=0))


class ModelNew(nn.Module):
    def forward(self, q, k, v):
        q, k, v = (t.contiguous() for t in (q, k, v))
        B, H, L, D = q.shape
        o = torch.empty_like(q)
        attend[(B * H * L,)](q, k, v, o, L, 1.0 / math.sqrt(D), D=D, BL=triton.next_power_of_2(L))
        return o
