# expect: incorrect
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def lookup(t_ptr, w_ptr, y_ptr, D, scale, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    t = tl.load(t_ptr + row)
    d = tl.arange(0, BLOCK)
    w = tl.load(w_ptr + t * D + d, mask=d < D)
    tl.store(y_ptr + row * D + d, w, mask=d < D)


class ModelNew(nn.Module):
    def __init__(self, vocabulary, dim):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dim)

    def forward(self, tokens):
        tokens = tokens.contiguous()
        w = self.embedding.weight
        D = w.shape[1]
        y = torch.empty(*tokens.shape, D, device=w.device, dtype=w.dtype)
        lookup[(tokens.numel(),)](tokens, w, y, D, D ** 0.5, BLOCK=triton.next_power_of_2(D))
        return y
