# expect: incorrect
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def attend(q_ptr, k_ptr, v_ptr, o_ptr, L, scale, D: tl.constexpr, B: tl.constexpr):
    first = tl.program_id(0) * B
    base = tl.program_id(1) * L * D
    m = first + tl.arange(0, B)
    d = tl.arange(0, D)
    q = tl.load(q_ptr + base + m[:, None] * D + d[None, :], mask=m[:, None] < L, other=0.0)
    top = tl.full([B], float("-inf"), dtype=tl.float32)
    total = tl.zeros([B], dtype=tl.float32)
    acc = tl.zeros([B, D], dtype=tl.float32)
    for start in range(0, first + B, B):
        n = start + tl.arange(0, B)
        k = tl.load(k_ptr + base + n[None, :] * D + d[:, None], mask=n[None, :] < L, other=0.0)
        s = tl.dot(q, k, input_precision="ieee") * scale
        s = tl.where((n[None, :] < m[:, None]) & (n[None, :] < L), s, float("-inf"))
        new = tl.maximum(top, tl.max(s, axis=1))
        alpha = tl.exp(top - new)
        p = tl.exp(s - new[:, None])
        total = total * alpha + tl.sum(p, axis=1)
        v = tl.load(v_ptr + base + n[:, None] * D + d[None, :], mask=n[:, None] < L, other=0.0)
        acc = acc * alpha[:, None] + tl.dot(p, v, input_precision="ieee")
        top = new
    tl.store(o_ptr + base + m[:, None] * D + d[None, :], acc / total[:, None], mask=m[:, None] < L)


class ModelNew(nn.Module):
    def forward(self, q, k, v):
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        B, H, L, D = q.shape
        o = torch.empty_like(q)
        attend[(triton.cdiv(L, 16), B * H)](q, k, v, o, L, D ** -0.5, D=D, B=16)
        return o
