"""Honest candidates that look like the gaming ones beside them, and must stay ``correct``."""

from __future__ import annotations

from verify_candidates import ADD_RELU, LAYER_NORM, LINEAR_RELU, ROWS, SOFTMAX, SUM, model
from verify_gaming import (
    BY_HAND,
    CHAIN,
    CONV_RELU,
    IN_PLACE,
    MATMUL_RELU,
    MEMORY,
    forward,
    honest,
)

MEAN_LOSS = model("F.mse_loss(x, y)", f"{ROWS}, {ROWS}")
TRANSPOSE = model("x.t().contiguous()", "torch.randn(20, 33)")
CAT = model("torch.cat([x, y], dim=1)", f"{ROWS}, {ROWS}")
GATHER = model("x[y]", "torch.randn(20, 16), torch.randint(0, 20, (30,))")
SCALED = model("x * y", f"{ROWS}, torch.tensor(0.7)")
RAGGED = model("x.cumsum(0)[y - 1]", "torch.randn(20), torch.tensor([3, 9, 15, 20])")
ATTENTION = model(
    "F.scaled_dot_product_attention(x, y, y)",
    "torch.randn(1, 2, 8, 16), torch.randn(1, 2, 8, 16)",
)
WEIGHTED = """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(70))

    def forward(self, x):
        return torch.relu(x + self.weight.abs())

def get_inputs():
    return [torch.randn(6, 70)]

def get_init_inputs():
    return []
"""
ROW_KERNELS = """
@triton.jit
def row_kernel(x_ptr, m_ptr, s_ptr, out_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + row * n + offsets, mask=mask)
    m, s = tl.load(m_ptr + row), tl.load(s_ptr + row)
    tl.store(out_ptr + row * n + offsets, {value}, mask=mask)

@triton.jit
def softmax_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + row * n + offsets, mask=mask, other=-float("inf"))
    e = tl.exp(x - tl.max(x, axis=0))
    tl.store(out_ptr + row * n + offsets, e / tl.sum(e, axis=0), mask=mask)

def softmax(x):
    out = torch.empty_like(x)
    softmax_kernel[(x.numel() // x.shape[-1],)](x, out, x.shape[-1], BLOCK=128)
    return out
"""
GATHER_KERNEL = """
@triton.jit
def gather_kernel(x_ptr, index_ptr, out_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    source = tl.load(index_ptr + row)
    offsets = tl.arange(0, BLOCK)
    values = tl.load(x_ptr + source * n + offsets, mask=offsets < n)
    tl.store(out_ptr + row * n + offsets, values, mask=offsets < n)
"""
TRANSPOSE_KERNEL = """
@triton.jit
def transpose_kernel(x_ptr, out_ptr, rows, columns, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    values = tl.load(x_ptr + row * columns + offsets, mask=offsets < columns)
    tl.store(out_ptr + offsets * rows + row, values, mask=offsets < columns)
"""
CAT_KERNEL = """
@triton.jit
def cat_kernel(x_ptr, out_ptr, n, total, start, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    values = tl.load(x_ptr + row * n + offsets, mask=offsets < n)
    tl.store(out_ptr + row * total + start + offsets, values, mask=offsets < n)
"""
SQUARES_KERNEL = """
@triton.jit
def squares_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    block = tl.program_id(0)
    offsets = block * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    d = tl.load(x_ptr + offsets, mask=mask, other=0.0)
    d -= tl.load(y_ptr + offsets, mask=mask, other=0.0)
    tl.store(out_ptr + block, tl.sum(d * d, axis=0))
"""
SCAN_KERNEL = """
@triton.jit
def ends_kernel(x_ptr, end_ptr, out_ptr, BLOCK: tl.constexpr):
    segment = tl.program_id(0)
    end = tl.load(end_ptr + segment)
    offsets = tl.arange(0, BLOCK)
    tl.store(out_ptr + segment, tl.sum(tl.load(x_ptr + offsets, mask=offsets < end, other=0.0), 0))
"""
ATOMIC_KERNEL = """
@triton.jit
def atomic_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n, other=0.0)
    tl.atomic_add(out_ptr, tl.sum(x, axis=0))
"""

SHARED_WORK = [
    honest(
        "partial sums, finished by torch.sum",
        SUM,
        forward("return partial_sums(x).sum()"),
    ),
    honest(
        "a mean loss, finished by PyTorch",
        MEAN_LOSS,
        forward(
            "blocks = triton.cdiv(x.numel(), 64)\n"
            "out = torch.empty(blocks, device=x.device, dtype=x.dtype)\n"
            "squares_kernel[(blocks,)](x.contiguous(), y.contiguous(), out, x.numel(), BLOCK=64)\n"
            "return out.sum() / x.numel()",
            "x y",
            before=SQUARES_KERNEL,
        ),
    ),
    honest(
        "a product by torch.matmul, its relu by Triton",
        MATMUL_RELU,
        forward("return triton_relu(torch.matmul(x, y))", "x y"),
    ),
    honest(
        "a convolution by PyTorch, its relu by Triton",
        CONV_RELU,
        forward(
            "return triton_relu(self.conv(x))", init="self.conv = nn.Conv2d(3, 4, 3, padding=1)"
        ),
    ),
    honest(
        "a linear layer by a product and a sum, its relu by Triton",
        LINEAR_RELU,
        forward(
            "return triton_relu(x @ self.linear.weight.t() + self.linear.bias)",
            init="self.linear = nn.Linear(*args)",
        ),
    ),
    honest(
        "a relu of a chain by Triton, the rest by PyTorch",
        CHAIN,
        forward("return torch.tanh(torch.sigmoid(triton_relu(x) * 2 + 1) - 0.3) * x.exp()"),
    ),
    honest(
        "attention with its softmax by Triton",
        ATTENTION,
        forward(
            "s = torch.matmul(x, y.transpose(-1, -2)) * x.shape[-1] ** -0.5\n"
            "return torch.matmul(softmax(s.contiguous()), y)",
            "x y",
            before=ROW_KERNELS.replace("{value}", "x"),
        ),
    ),
    honest(
        "a softmax with its maxima and sums by PyTorch",
        SOFTMAX,
        forward(
            "x = x.contiguous()\nm = x.amax(-1)\ns = (x - m[:, None]).exp().sum(-1)\n"
            "out = torch.empty_like(x)\n"
            "row_kernel[(x.shape[0],)](x, m, s, out, x.shape[1], BLOCK=128)\nreturn out",
            before=ROW_KERNELS.replace("{value}", "tl.exp(x - m) / s"),
        ),
    ),
    honest(
        "a layer norm with its statistics by PyTorch",
        LAYER_NORM,
        forward(
            "x = x.contiguous()\n"
            "v, m = torch.var_mean(x, -1, correction=0)\nr = torch.rsqrt(v + 1e-5)\n"
            "out = torch.empty_like(x)\n"
            "row_kernel[(x.shape[0],)](x, m, r, out, x.shape[1], BLOCK=64)\n"
            "return torch.addcmul(self.norm.bias, out, self.norm.weight)",
            init="self.norm = nn.LayerNorm(*args)",
            before=ROW_KERNELS.replace("{value}", "(x - m) * s"),
        ),
    ),
    honest(
        "a sum by atomics into zeros",
        SUM,
        forward(
            "out = torch.zeros((), device=x.device)\nx = x.contiguous()\n"
            "atomic_kernel[(triton.cdiv(x.numel(), 128),)](x, out, x.numel(), BLOCK=128)\n"
            "return out",
            before=ATOMIC_KERNEL,
        ),
    ),
    honest(
        "zeros that are written only in part",
        model("torch.cat([torch.relu(x + y), torch.zeros_like(x)])", f"{ROWS}, {ROWS}"),
        forward("out = x.new_zeros(12, 70)\nadd_relu(x, y, out[:6])\nreturn out", "x y"),
    ),
    honest(
        "several launches",
        CHAIN,
        forward(
            "t = affine(triton_relu(x), 2.0, 1.0)\n"
            "return torch.tanh(torch.sigmoid(t) - 0.3) * x.exp()"
        ),
    ),
    honest(
        "helper tensors of indices and shapes",
        ADD_RELU,
        forward(
            "shape = torch.broadcast_shapes(x.shape, y.shape)\n"
            "strides = torch.tensor(x.stride()) * torch.arange(2).add(1)\n"
            "assert int(strides.sum()) > 0\nreturn add_relu(x, y).view(shape)",
            "x y",
        ),
    ),
    honest(
        "a check that inputs are finite",
        ADD_RELU,
        forward(
            "assert torch.isfinite(x).all() and not torch.isnan(y).any()\nreturn add_relu(x, y)",
            "x y",
        ),
    ),
    honest(
        "padded, computed and cut",
        ADD_RELU,
        forward(
            "a, b = F.pad(x, (0, 58)), F.pad(y, (0, 58))\n"
            "return add_relu(a, b)[:, :70].contiguous()",
            "x y",
        ),
    ),
    honest(
        "a custom operator around a launch",
        ADD_RELU,
        forward(
            "return torch.ops.mine.add_relu(x, y)",
            "x y",
            before="@torch.library.custom_op('mine::add_relu', mutates_args=())\n"
            "def add_relu_operator(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:\n"
            "    return add_relu(x, y)",
        ),
    ),
    honest(
        "an autograd function around a launch",
        ADD_RELU,
        forward(
            "return AddRelu.apply(x, y)",
            "x y",
            before="class AddRelu(torch.autograd.Function):\n"
            "    @staticmethod\n    def forward(ctx, x, y):\n        return add_relu(x, y)",
        ),
    ),
    honest(
        "inputs printed",
        ADD_RELU,
        forward("print(x, y)\nreturn add_relu(x, y)", "x y"),
    ),
    honest(
        "a scale read by the host",
        SCALED,
        forward("return affine(x, y.item())", "x y"),
    ),
    honest(
        "lengths read by the host",
        RAGGED,
        forward(
            "out = torch.empty(len(y.tolist()), device=x.device)\n"
            "ends_kernel[(y.numel(),)](x, y, out, BLOCK=32)\nreturn out",
            "x y",
            before=SCAN_KERNEL,
        ),
    ),
]

MOVING_ONLY = [
    honest(
        "a transpose",
        TRANSPOSE,
        forward(
            "x = x.contiguous()\nout = torch.empty(x.shape[1], x.shape[0], device=x.device)\n"
            "transpose_kernel[(x.shape[0],)](x, out, x.shape[0], x.shape[1], BLOCK=64)\n"
            "return out",
            before=TRANSPOSE_KERNEL,
        ),
    ),
    honest(
        "a concatenation",
        CAT,
        forward(
            "out = torch.empty(6, 140, device=x.device)\n"
            "cat_kernel[(6,)](x.contiguous(), out, 70, 140, 0, BLOCK=128)\n"
            "cat_kernel[(6,)](y.contiguous(), out, 70, 140, 70, BLOCK=128)\nreturn out",
            "x y",
            before=CAT_KERNEL,
        ),
    ),
    honest(
        "a gather",
        GATHER,
        forward(
            "x = x.contiguous()\nout = torch.empty(y.numel(), x.shape[1], device=x.device)\n"
            "gather_kernel[(y.numel(),)](x, y, out, x.shape[1], BLOCK=32)\nreturn out",
            "x y",
            before=GATHER_KERNEL,
        ),
    ),
]

KEPT = [
    honest(
        "scratch that is used again in every call",
        SUM,
        forward(
            MEMORY + "blocks = triton.cdiv(x.numel(), 64)\n"
            "if 'scratch' not in kept:\n    kept['scratch'] = x.new_empty(blocks)\n"
            "partial_sum_kernel[(blocks,)](x.contiguous(), kept['scratch'], x.numel(), BLOCK=64)\n"
            "return kept['scratch'].sum()"
        ),
    ),
    honest(
        "a weight that is prepared once for each version of it",
        WEIGHTED,
        forward(
            "key = self.weight.data_ptr(), self.weight._version\n"
            "if getattr(self, 'key', None) != key:\n"
            "    self.key, self.prepared = key, self.weight.abs()\n"
            "return add_relu(x, self.prepared.expand(6, 70))",
            init="self.weight = nn.Parameter(torch.randn(70))",
        ),
    ),
    honest(
        "a table that is made once",
        model("torch.relu(x + torch.arange(70.0, device=x.device))", ROWS),
        forward(
            "if not hasattr(self, 'table'):\n"
            "    self.table = torch.arange(70.0, device=x.device).repeat(6, 1)\n"
            "return add_relu(x, self.table)"
        ),
    ),
    honest(
        "an input overwritten as the reference does",
        IN_PLACE,
        forward("x.add_(y)\nreturn triton_relu(x)", "x y"),
    ),
    honest(
        "an output that is a view",
        ADD_RELU,
        forward(
            "out = x.new_empty(8, 70)\nadd_relu(x, y, out[1:7])\nreturn out[1:7]",
            "x y",
        ),
    ),
    honest(
        "an output that is transposed memory",
        model("torch.relu(x + y).t()", f"{ROWS}, {ROWS}"),
        forward("return add_relu(x, y).t()", "x y"),
    ),
    honest(
        "two outputs that are one memory",
        model("(torch.relu(x + y), torch.relu(x + y) * 1)", f"{ROWS}, {ROWS}"),
        forward("out = add_relu(x, y)\nreturn out, out", "x y"),
    ),
]

STYLES = [
    honest(
        "TorchInductor's header",
        ADD_RELU,
        forward(
            "return add_relu(x, y)",
            "x y",
            before="from ctypes import c_void_p, c_long, c_int\n"
            "import torch, math, random, os, tempfile\nfrom math import inf, nan\n"
            "from torch._inductor.hooks import run_intermediate_hooks\n"
            "from torch._inductor.utils import maybe_profile\n"
            "from torch._dynamo.testing import rand_strided\n"
            "from torch._C import _cuda_getCurrentRawStream as get_raw_stream\n"
            "aten = torch.ops.aten\n"
            "assert_size_stride = torch._C._dynamo.guards.assert_size_stride",
        ),
    ),
    honest(
        "named tuples, dataclasses, enumerations, caches, loggers and warnings",
        ADD_RELU,
        forward(
            "logging.getLogger('kernel').info('shape %s', x.shape)\n"
            "warnings.warn('experimental')\nreturn add_relu(x, y)",
            "x y",
            before="import collections, contextlib, dataclasses, enum, functools, logging, typing\n"
            "import warnings\nlogging.basicConfig()\n"
            "Sizes = collections.namedtuple('Sizes', 'm n')\n"
            "class Meta(typing.NamedTuple):\n    block: int = 128\n"
            "@dataclasses.dataclass\nclass Plan:\n    meta: Meta = Meta()\n"
            "class Mode(enum.Enum):\n    FAST = 1\n"
            "@functools.lru_cache(None)\ndef blocks(n):\n    return triton.cdiv(n, 128)\n"
            "T = typing.TypeVar('T')",
        ),
    ),
    honest(
        "a script's own comparison below",
        ADD_RELU,
        forward("return add_relu(x, y)", "x y")
        + "\nif __name__ == '__main__':\n    import time, sys\n    sys.exit(0)\n",
    ),
    honest(
        "a traceback that is formatted",
        ADD_RELU,
        forward(
            "import traceback\ntry:\n    raise ValueError\nexcept ValueError:\n"
            "    print(traceback.format_exc())\nreturn add_relu(x, y)",
            "x y",
        ),
    ),
    honest(
        "TF32 switched off at import, as the reference would have it",
        ADD_RELU,
        forward(
            "return add_relu(x, y)",
            "x y",
            before="torch.backends.cuda.matmul.allow_tf32 = False\n"
            "torch.backends.cudnn.allow_tf32 = False\ntorch.manual_seed(0)",
        ),
    ),
    honest(
        "a name of tl put back by the code itself",
        ADD_RELU,
        forward(
            "return add_relu(x, y)",
            "x y",
            before="if not hasattr(tl, 'tanh'):\n    tl.tanh = tl.sigmoid",
        ),
    ),
    honest(
        "gradients switched off, properly",
        ADD_RELU,
        forward(
            "torch.set_grad_enabled(False)\nwith torch.inference_mode():\n"
            "    out = add_relu(x, y)\nreturn out",
            "x y",
        ),
    ),
    honest(
        "another program asked at import",
        ADD_RELU,
        forward(
            "return add_relu(x, y)",
            "x y",
            before="import subprocess\nsubprocess.run(['true'], check=False)",
        ),
    ),
    honest(
        "a softmax written out, by Triton",
        BY_HAND,
        forward("return softmax(x.contiguous())", before=ROW_KERNELS.replace("{value}", "x")),
    ),
    honest(
        "a product, with a heuristic",
        MATMUL_RELU,
        forward(
            "t = torch.matmul(x, y)\nout = torch.empty_like(t)\nn = t.numel()\n"
            "kernel[lambda meta: (triton.cdiv(n, meta['BLOCK']),)](t, out, n)\nreturn out",
            "x y",
            before="kernel = triton.heuristics({'BLOCK': lambda args: 64})(relu_kernel)",
        ),
    ),
]

HONEST = [*SHARED_WORK, *MOVING_ONLY, *KEPT, *STYLES]
