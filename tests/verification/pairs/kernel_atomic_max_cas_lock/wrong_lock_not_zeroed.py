# expect: rejected data_race
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def locked(x_ptr, o_ptr, lock_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * n + i, mask=i < n)
    while tl.atomic_cas(lock_ptr, 0, 1) == 1:
        pass
    acc = tl.load(o_ptr + i, mask=i < n)
    tl.store(o_ptr + i, acc + x, mask=i < n)
    tl.atomic_xchg(lock_ptr, 0)
class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.zeros(x.shape[1], device=x.device)
        lock = torch.empty(1, dtype=torch.int32, device=x.device)
        locked[(x.shape[0],)](x, out, lock, x.shape[1], BLOCK=16)
        return out
