# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def emb_kernel(i_ptr, w_ptr, out_ptr, D, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    index = tl.load(i_ptr + row)
    d = tl.arange(0, BLOCK)
    w = tl.load(w_ptr + index * D + d, mask=d < D)
    tl.store(out_ptr + row * D + d, tl.maximum(w, 0.0), mask=d < D)
class ModelNew(nn.Module):
    def __init__(self, n, d):
        super().__init__()
        self.emb = nn.Embedding(n, d)
    def forward(self, i):
        D = self.emb.weight.shape[1]
        out = torch.empty(*i.shape, D, device=i.device)
        emb_kernel[(i.numel(),)](i, self.emb.weight, out, D, BLOCK=triton.next_power_of_2(D))
        return out
