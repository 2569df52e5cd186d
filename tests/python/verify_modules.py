"""Modules as notebooks hold them: weights, modes, nested inputs, layouts. Source text only."""

from __future__ import annotations

from verify_candidates import Case

RELU = """
@triton.jit
def relu_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n)
    tl.store(out_ptr + offsets, tl.maximum(x, 0.0), mask=offsets < n)

def relu(x):
    x = x.contiguous()
    out = torch.empty_like(x)
    relu_kernel[(triton.cdiv(x.numel(), 1024),)](x, out, x.numel(), BLOCK=1024)
    return out
"""

RIGHT_MODULES = [
    Case(
        "conv bn relu (train)",
        """
class Model(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, 8, 3)
        self.bn = nn.BatchNorm2d(8)
    def forward(self, x):
        return torch.relu(self.bn(self.conv(x)))

def get_inputs():
    return [torch.randn(2,3,8,8)]

def get_init_inputs():
    return [3]
""",
        RELU
        + """
class ModelNew(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, 8, 3)
        self.bn = nn.BatchNorm2d(8)
    def forward(self, x):
        return relu(self.bn(self.conv(x)))""",
    ),
    Case(
        "dropout relu",
        """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.3)
    def forward(self, x):
        return torch.relu(self.drop(x))

def get_inputs():
    return [torch.randn(4,8)]

def get_init_inputs():
    return []
""",
        RELU
        + """
class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.3)
    def forward(self, x):
        return relu(self.drop(x))""",
    ),
    Case(
        "bn eval kernel",
        """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm1d(16)
    def forward(self, x):
        return self.bn(x)

def get_inputs():
    return [torch.randn(20,16)]

def get_init_inputs():
    return []
""",
        """
@triton.jit
def bn_kernel(x_ptr, m_ptr, v_ptr, w_ptr, b_ptr, out_ptr, n, C, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    c = offsets % C
    x = tl.load(x_ptr + offsets, mask=mask)
    m = tl.load(m_ptr + c); v = tl.load(v_ptr + c); w = tl.load(w_ptr + c); b = tl.load(b_ptr + c)
    tl.store(out_ptr + offsets, (x - m) / tl.sqrt(v + 1e-5) * w + b, mask=mask)
class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm1d(16)
    def forward(self, x):
        out = torch.empty_like(x)
        bn = self.bn
        bn_kernel[(triton.cdiv(x.numel(), 64),)](
            x, bn.running_mean, bn.running_var, bn.weight, bn.bias, out, x.numel(), 16, BLOCK=64
        )
        return out
""",
    ),
    Case(
        "embedding",
        """
class Model(nn.Module):
    def __init__(self, n, d):
        super().__init__()
        self.emb = nn.Embedding(n, d)
    def forward(self, i):
        return torch.relu(self.emb(i))

def get_inputs():
    return [torch.randint(0, 30, (4, 5))]

def get_init_inputs():
    return [30, 12]
""",
        """
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
""",
    ),
    Case(
        "cross entropy",
        """
class Model(nn.Module):
    def forward(self, x, t):
        return F.cross_entropy(x, t)

def get_inputs():
    return [torch.randn(12, 10), torch.randint(0, 10, (12,))]
""",
        """
@triton.jit
def ce_kernel(x_ptr, t_ptr, out_ptr, rows, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * n + offsets, mask=offsets < n, other=-float("inf"))
    m = tl.max(x, axis=0)
    lse = m + tl.log(tl.sum(tl.exp(x - m), axis=0))
    t = tl.load(t_ptr + row)
    picked = tl.load(x_ptr + row * n + t)
    tl.atomic_add(out_ptr, (lse - picked) / rows)
class ModelNew(nn.Module):
    def forward(self, x, t):
        out = torch.zeros((), device=x.device)
        ce_kernel[(x.shape[0],)](x, t, out, x.shape[0], x.shape[1], BLOCK=16)
        return out
""",
    ),
    Case(
        "inplace ref",
        """
class Model(nn.Module):
    def forward(self, x):
        return x.relu_()

def get_inputs():
    return [torch.randn(5,9)]

def get_init_inputs():
    return []
""",
        RELU
        + """
class ModelNew(nn.Module):
    def forward(self, x):
        x.copy_(relu(x))
        return x
""",
    ),
    Case(
        "inplace ref, pure candidate",
        """
class Model(nn.Module):
    def forward(self, x):
        return x.relu_()

def get_inputs():
    return [torch.randn(5,9)]

def get_init_inputs():
    return []
""",
        RELU
        + """
class ModelNew(nn.Module):
    def forward(self, x):
        return relu(x)
""",
    ),
    Case(
        "nested inputs",
        """
class Model(nn.Module):
    def forward(self, xs, scale=2.0, mode=None):
        return torch.relu(xs[0]) * scale + xs[1]['b']

def get_inputs():
    return [[torch.randn(3,4), {'b': torch.randn(3,4)}], 3.0, 'abc']

def get_init_inputs():
    return []
""",
        RELU
        + """
class ModelNew(nn.Module):
    def forward(self, xs, scale=2.0, mode=None):
        return relu(xs[0]) * scale + xs[1]['b']
""",
    ),
    Case(
        "noncontiguous input",
        """
class Model(nn.Module):
    def forward(self, x):
        return torch.relu(x)

def get_inputs():
    return [torch.randn(9,5).t()]

def get_init_inputs():
    return []
""",
        RELU
        + """
class ModelNew(nn.Module):
    def forward(self, x):
        return relu(x)
""",
    ),
    Case(
        "expanded input",
        """
class Model(nn.Module):
    def forward(self, x):
        return torch.relu(x)

def get_inputs():
    return [torch.randn(1,5).expand(7,5)]

def get_init_inputs():
    return []
""",
        RELU
        + """
class ModelNew(nn.Module):
    def forward(self, x):
        return relu(x)
""",
    ),
    Case(
        "kwargs init",
        """
class Model(nn.Module):
    def __init__(self, a, b=1.0):
        super().__init__()
        self.a, self.b = a, b
    def forward(self, x):
        return torch.relu(x) * self.a + self.b

def get_inputs():
    return [torch.randn(9,5)]

def get_init_inputs():
    return [[2.0], {"b": 3.0}]
""",
        RELU
        + """
class ModelNew(nn.Module):
    def __init__(self, a, b=1.0):
        super().__init__()
        self.a, self.b = a, b
    def forward(self, x):
        return relu(x) * self.a + self.b
""",
    ),
    Case(
        "float32 inside",
        """
class Model(nn.Module):
    def forward(self, x):
        y = x.float() * torch.tensor(1.5)
        return torch.relu(y + torch.zeros(5, dtype=torch.float32)).to(x.dtype)

def get_inputs():
    return [torch.randn(9,5).half()]

def get_init_inputs():
    return []
""",
        RELU
        + """
class ModelNew(nn.Module):
    def forward(self, x):
        return relu(x.float()*1.5).half()
""",
    ),
    Case(
        "cuda reference",
        """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(5, device='cuda'))
    def forward(self, x):
        assert x.is_cuda
        return torch.relu(x) * self.w

def get_inputs():
    return [torch.randn(9,5).cuda()]

def get_init_inputs():
    return []
""",
        RELU
        + """
class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(5, device='cuda'))
    def forward(self, x):
        return relu(x) * self.w
""",
    ),
    Case(
        "lstm ref",
        """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(6, 7, batch_first=True)
    def forward(self, x):
        y, (h, c) = self.rnn(x)
        return torch.relu(y), h

def get_inputs():
    return [torch.randn(2,3,6)]

def get_init_inputs():
    return []
""",
        RELU
        + """
class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(6, 7, batch_first=True)
    def forward(self, x):
        y, (h, c) = self.rnn(x)
        return relu(y), h
""",
    ),
]
