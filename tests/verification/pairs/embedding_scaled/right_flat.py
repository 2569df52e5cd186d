# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def lookup(t_ptr, w_ptr, y_ptr, n, scale, D: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    t = tl.load(t_ptr + i // D, mask=i < n, other=0)
    w = tl.load(w_ptr + t * D + i % D, mask=i < n, other=0.0)
    tl.store(y_ptr + i, w * scale, mask=i < n)


class ModelNew(nn.Module):
    def __init__(self, vocabulary, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocabulary, dim))

    def forward(self, tokens):
        tokens = tokens.contiguous()
        D = self.weight.shape[1]
        y = torch.empty(*tokens.shape, D, device=tokens.device)
        n = y.numel()
        lookup[(triton.cdiv(n, 128),)](tokens, self.weight, y, n, float(D) ** 0.5, D=D, BLOCK=128)
        return y
