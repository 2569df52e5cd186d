# expect: refused
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def bmm_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, ab, am, ak, bb, bk, bn, cb, cm, cn,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):
    z = tl.program_id(2)
    rm = tl.program_id(0) * BM + tl.arange(0, BM)
    rn = tl.program_id(1) * BN + tl.arange(0, BN)
    acc = tl.zeros([BM, BN], dtype=tl.float32)
    for k0 in range(0, K, BK):
        rk = k0 + tl.arange(0, BK)
        a = tl.load(a_ptr + z * ab + rm[:, None] * am + rk[None, :] * ak, mask=(rm[:, None] < M) & (rk[None, :] < K), other=0.0)
        b = tl.load(b_ptr + z * bb + rk[:, None] * bk + rn[None, :] * bn, mask=(rk[:, None] < K) & (rn[None, :] < N), other=0.0)
        acc += tl.dot(a, b, input_precision="ieee")
    tl.store(c_ptr + z * cb + rm[:, None] * cm + rn[None, :] * cn, acc, mask=(rm[:, None] < M) & (rn[None, :] < N))


class ModelNew(nn.Module):
    def forward(self, A, B):
        Z, M, K = A.shape
        N = B.shape[-1]
        C = torch.empty((Z, M, N), device=A.device, dtype=A.dtype)
        bmm_kernel[(triton.cdiv(M, 16), triton.cdiv(N, 16), Z - 1)](
            A, B, C, M, N, K, *A.stride(), *B.stride(), *C.stride(), BM=16, BN=16, BK=16
        )
        return C
