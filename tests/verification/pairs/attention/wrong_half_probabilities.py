# expect: incorrect
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def attend(q_ptr, k_ptr, v_ptr, o_ptr, L, scale, D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):
    bh = tl.program_id(1)
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    d = tl.arange(0, D)
    base = bh * L * D
    q = tl.load(q_ptr + base + m[:, None] * D + d[None, :], mask=m[:, None] < L, other=0.0)
    top = tl.full([BM], float("-inf"), dtype=tl.float32)
    total = tl.zeros([BM], dtype=tl.float32)
    acc = tl.zeros([BM, D], dtype=tl.float32)
    for start in range(0, L, BN):
        n = start + tl.arange(0, BN)
        k = tl.load(k_ptr + base + n[:, None] * D + d[None, :], mask=n[:, None] < L, other=0.0)
        s = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        s = tl.where(n[None, :] < L, s, float("-inf"))
        new = tl.maximum(top, tl.max(s, axis=1))
        alpha = tl.exp(top - new)
        p = tl.exp(s - new[:, None])
        total = total * alpha + tl.sum(p, axis=1)
        v = tl.load(v_ptr + base + n[:, None] * D + d[None, :], mask=n[:, None] < L, other=0.0)
        acc = acc * alpha[:, None] + tl.dot(p.to(tl.float16), v.to(tl.float16))
        top = new
    tl.store(o_ptr + base + m[:, None] * D + d[None, :], acc / total[:, None], mask=m[:, None] < L)


class ModelNew(nn.Module):
    def forward(self, q, k, v):
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        B, H, L, D = q.shape
        o = torch.empty_like(q)
        attend[(triton.cdiv(L, 16), B * H)](q, k, v, o, L, D ** -0.5, D=D, BM=16, BN=16)
        return o
