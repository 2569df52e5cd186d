# expect: correct
import torch
import torch.nn as nn
import triton
import triton.language as tl


from torch._inductor.select_algorithm import extern_kernels
from torch._inductor.runtime.triton_heuristics import grid
reinterpret_tensor = torch.ops.inductor._reinterpret_tensor
empty_strided_cuda = torch._C._dynamo.guards._empty_strided_cuda
@triton.jit
def fused(in_out_ptr0, in_ptr0, xnumel, XBLOCK: tl.constexpr):
    xindex = tl.program_id(0) * XBLOCK + tl.arange(0, XBLOCK)[:]
    xmask = xindex < xnumel
    x0 = xindex % 6
    tmp0 = tl.load(in_out_ptr0 + xindex, xmask)
    tmp1 = tl.load(in_ptr0 + x0, xmask, eviction_policy='evict_last')
    tmp2 = tmp0 + tmp1
    tmp3 = tl.full([1], 0, tl.int32)
    tl.store(in_out_ptr0 + xindex, triton_max(tmp3, tmp2), xmask)
@triton.jit
def triton_max(a, b):
    return tl.maximum(a, b)
class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(8, 6)
    def forward(self, input_0):
        w = self.l.weight
        buf0 = empty_strided_cuda((5, 6), (6, 1), torch.float32)
        extern_kernels.mm(input_0, reinterpret_tensor(w, (8, 6), (1, 8), 0), out=buf0)
        buf1 = buf0
        fused[grid(30)](buf1, self.l.bias, 30, XBLOCK=32, num_warps=1, num_stages=1)
        return buf1
