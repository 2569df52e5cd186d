"""Triton kernels of many shapes, written as people and models write them. Source text only."""

from __future__ import annotations

from verify_candidates import Case

RIGHT_KERNELS = [
    Case(
        "flash attention",
        """
class Model(nn.Module):
    def forward(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v)
def get_inputs():
    return [torch.randn(1, 2, 40, 16), torch.randn(1, 2, 40, 16), torch.randn(1, 2, 40, 16)]
""",
        """
@triton.jit
def attend(
    q_ptr, k_ptr, v_ptr, o_ptr, L, scale,
    D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
):
    start = tl.program_id(0) * BM
    head = tl.program_id(1)
    base = head * L * D
    m = start + tl.arange(0, BM)
    d = tl.arange(0, D)
    q = tl.load(q_ptr + base + m[:, None] * D + d[None, :], mask=m[:, None] < L, other=0.0)
    top = tl.full([BM], float("-inf"), tl.float32)
    total = tl.zeros([BM], tl.float32)
    acc = tl.zeros([BM, D], tl.float32)
    for j in range(0, L, BN):
        n = j + tl.arange(0, BN)
        k = tl.load(k_ptr + base + n[None, :] * D + d[:, None], mask=n[None, :] < L, other=0.0)
        s = tl.dot(q, k, input_precision="ieee") * scale
        s = tl.where(n[None, :] < L, s, float("-inf"))
        new = tl.maximum(top, tl.max(s, axis=1))
        p = tl.exp(s - new[:, None])
        alpha = tl.exp(top - new)
        total = total * alpha + tl.sum(p, axis=1)
        v = tl.load(v_ptr + base + n[:, None] * D + d[None, :], mask=n[:, None] < L, other=0.0)
        acc = acc * alpha[:, None] + tl.dot(p, v, input_precision="ieee")
        top = new
    tl.store(o_ptr + base + m[:, None] * D + d[None, :], acc / total[:, None], mask=m[:, None] < L)
class ModelNew(nn.Module):
    def forward(self, q, k, v):
        out = torch.empty_like(q)
        B, H, L, D = q.shape
        attend[(triton.cdiv(L, 16), B * H)](q, k, v, out, L, 1.0 / math.sqrt(D), D=D, BM=16, BN=16)
        return out
""",
    ),
    Case(
        "conv2d",
        """
class Model(nn.Module):
    def __init__(self, i, o, k):
        super().__init__()
        self.conv = nn.Conv2d(i, o, k, padding=1)
    def forward(self, x):
        return self.conv(x)
def get_inputs():
    return [torch.randn(2, 3, 9, 9)]
def get_init_inputs():
    return [3, 4, 3]
""",
        """
@triton.jit
def conv(
    x_ptr, w_ptr, b_ptr, o_ptr, C, H, W, O,
    P: tl.constexpr, K: tl.constexpr, BLOCK: tl.constexpr,
):
    n = tl.program_id(0)
    o = tl.program_id(1)
    p = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    y = p // W
    x = p % W
    total = tl.zeros([BLOCK], tl.float32) + tl.load(b_ptr + o)
    for c in range(C):
        for i in tl.static_range(K):
            for j in tl.static_range(K):
                yy = y + i - P
                xx = x + j - P
                ok = (yy >= 0) & (yy < H) & (xx >= 0) & (xx < W) & (p < H * W)
                v = tl.load(x_ptr + ((n * C + c) * H + yy) * W + xx, mask=ok, other=0.0)
                total += v * tl.load(w_ptr + ((o * C + c) * K + i) * K + j)
    tl.store(o_ptr + (n * O + o) * H * W + p, total, mask=p < H * W)
class ModelNew(nn.Module):
    def __init__(self, i, o, k):
        super().__init__()
        self.conv = nn.Conv2d(i, o, k, padding=1)
    def forward(self, x):
        N, C, H, W = x.shape
        O = self.conv.out_channels
        out = torch.empty(N, O, H, W, device=x.device)
        conv[(N, O, triton.cdiv(H * W, 64))](
            x, self.conv.weight, self.conv.bias, out, C, H, W, O, P=1, K=3, BLOCK=64
        )
        return out
""",
    ),
    Case(
        "maxpool",
        """
class Model(nn.Module):
    def forward(self, x):
        return F.max_pool2d(x, 2)
def get_inputs():
    return [torch.randn(2, 3, 8, 8)]
""",
        """
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
""",
    ),
    Case(
        "strided 2d",
        """
class Model(nn.Module):
    def forward(self, x):
        return x.t() * 2

def get_inputs():
    return [torch.randn(20, 30)]

def get_init_inputs():
    return []
""",
        """
@triton.jit
def t2(x_ptr, o_ptr, M, N, sm, sn, om, on, BM: tl.constexpr, BN: tl.constexpr):
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    n = tl.program_id(1) * BN + tl.arange(0, BN)
    mask = (m[:, None] < M) & (n[None, :] < N)
    x = tl.load(x_ptr + m[:, None] * sm + n[None, :] * sn, mask=mask)
    tl.store(o_ptr + m[:, None] * om + n[None, :] * on, x * 2, mask=mask)
class ModelNew(nn.Module):
    def forward(self, x):
        xt = x.t()
        out = torch.empty(xt.shape, device=x.device, dtype=x.dtype)
        M, N = xt.shape
        t2[(triton.cdiv(M, 16), triton.cdiv(N, 16))](
            xt, out, M, N, *xt.stride(), *out.stride(), BM=16, BN=16
        )
        return out
""",
    ),
    Case(
        "persistent",
        """
class Model(nn.Module):
    def forward(self, x):
        return x * 2 + 1

def get_inputs():
    return [torch.randn(1000)]

def get_init_inputs():
    return []
""",
        """
SCALE = tl.constexpr(2.0)
@triton.jit
def affine(x):
    return x * SCALE + 1
@triton.jit
def p(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    blocks = tl.cdiv(n, BLOCK)
    for b in range(tl.program_id(0), blocks, tl.num_programs(0)):
        i = b * BLOCK + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + i, mask=i < n).to(tl.float32)
        tl.store(o_ptr + i, affine(x).to(o_ptr.dtype.element_ty), mask=i < n)
class Apply(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        out = torch.empty_like(x)
        p[(3,)](x, out, x.numel(), BLOCK=64)
        return out
class ModelNew(nn.Module):
    def forward(self, x):
        return Apply.apply(x)
""",
    ),
    Case(
        "two stage reduction",
        """
class Model(nn.Module):
    def forward(self, x):
        return x.max()

def get_inputs():
    return [torch.randn(3000)]

def get_init_inputs():
    return []
""",
        """
@triton.jit
def part(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i < n, other=float("-inf"))
    tl.store(o_ptr + tl.program_id(0), tl.max(x, axis=0))
class ModelNew(nn.Module):
    def forward(self, x):
        g = triton.cdiv(x.numel(), 256)
        mid = torch.empty(g, device=x.device)
        out = torch.empty((), device=x.device)
        part[(g,)](x, mid, x.numel(), BLOCK=256)
        part[(1,)](mid, out, g, BLOCK=triton.next_power_of_2(g))
        return out
""",
    ),
    Case(
        "atomic max, cas lock",
        """
class Model(nn.Module):
    def forward(self, x):
        return x.sum(0)

def get_inputs():
    return [torch.rand(9, 16)]

def get_init_inputs():
    return []
""",
        """
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
        lock = torch.zeros(1, dtype=torch.int32, device=x.device)
        locked[(x.shape[0],)](x, out, lock, x.shape[1], BLOCK=16)
        return out
""",
    ),
    Case(
        "optional pointer and bool mask",
        """
class Model(nn.Module):
    def forward(self, x, y):
        return torch.where(y, x, 0.0)

def get_inputs():
    return [torch.randn(6, 70), torch.rand(6, 70) > 0.5]

def get_init_inputs():
    return []
""",
        """
@triton.jit
def sel(x_ptr, y_ptr, z_ptr, o_ptr, n, HAS_Z: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, mask=i < n)
    y = tl.load(y_ptr + i, mask=i < n, other=0)
    if HAS_Z:
        x += tl.load(z_ptr + i, mask=i < n)
    tl.store(o_ptr + i, tl.where(y != 0, x, 0.0), mask=i < n)
class ModelNew(nn.Module):
    def forward(self, x, y):
        out = torch.empty_like(x)
        sel[(triton.cdiv(x.numel(), 64),)](x, y, None, out, x.numel(), HAS_Z=False, BLOCK=64)
        return out
""",
    ),
    Case(
        "scan",
        """
class Model(nn.Module):
    def forward(self, x):
        return x.cumprod(-1)

def get_inputs():
    return [torch.rand(6, 70) + 0.5]

def get_init_inputs():
    return []
""",
        """
@triton.jit
def mul(a, b):
    return a * b
@triton.jit
def scan(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * n + i, mask=i < n, other=1.0)
    tl.store(o_ptr + row * n + i, tl.associative_scan(x, 0, mul), mask=i < n)
class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        scan[(x.shape[0],)](x, out, x.shape[1], BLOCK=128)
        return out
""",
    ),
    Case(
        "2d block softmax fp16",
        """
class Model(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=0)

def get_inputs():
    return [torch.randn(30, 12).half()]

def get_init_inputs():
    return []
""",
        """
@triton.jit
def soft(x_ptr, o_ptr, M, N, BM: tl.constexpr, BN: tl.constexpr):
    m = tl.arange(0, BM)
    n = tl.program_id(0) * BN + tl.arange(0, BN)
    mask = (m[:, None] < M) & (n[None, :] < N)
    x = tl.load(x_ptr + m[:, None] * N + n[None, :], mask=mask, other=float("-inf")).to(tl.float32)
    e = tl.exp(x - tl.max(x, axis=0)[None, :])
    tl.store(o_ptr + m[:, None] * N + n[None, :], e / tl.sum(e, axis=0, keep_dims=True), mask=mask)
class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        soft[(triton.cdiv(x.shape[1], 4),)](x, out, x.shape[0], x.shape[1], BM=32, BN=4)
        return out
""",
    ),
    Case(
        "half matmul bias gelu",
        """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(48, 20).half()
    def forward(self, x):
        return F.gelu(self.l(x))
def get_inputs():
    return [torch.randn(17, 48).half()]
""",
        """
@triton.jit
def lin(a_ptr, w_ptr, b_ptr, c_ptr, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    n = tl.program_id(1) * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), dtype=tl.float32)
    for s in range(0, tl.cdiv(K, BK)):
        k = s * BK + tl.arange(0, BK)
        a_mask = (m[:, None] < M) & (k[None, :] < K)
        a = tl.load(a_ptr + m[:, None] * K + k[None, :], mask=a_mask, other=0.0)
        w_mask = (n[None, :] < N) & (k[:, None] < K)
        w = tl.load(w_ptr + n[None, :] * K + k[:, None], mask=w_mask, other=0.0)
        acc = tl.dot(a, w, acc)
    acc += tl.load(b_ptr + n, mask=n < N, other=0.0)[None, :].to(tl.float32)
    acc = 0.5 * acc * (1 + tl.erf(acc * 0.7071067811865476))
    mask = (m[:, None] < M) & (n[None, :] < N)
    tl.store(c_ptr + m[:, None] * N + n[None, :], acc.to(tl.float16), mask=mask)
class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(48, 20).half()
    def forward(self, x):
        M, K = x.shape
        N = 20
        out = torch.empty(M, N, device=x.device, dtype=x.dtype)
        lin[(triton.cdiv(M, 16), triton.cdiv(N, 16))](
            x, self.l.weight, self.l.bias, out, M, N, K, BM=16, BN=16, BK=16
        )
        return out
""",
    ),
    Case(
        "extern kernels",
        """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(8, 6)
    def forward(self, x):
        return torch.relu(self.l(x))
def get_inputs():
    return [torch.randn(5, 8)]
""",
        """
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
""",
    ),
]
