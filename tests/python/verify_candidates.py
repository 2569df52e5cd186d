"""References with right and wrong candidates for the checker's tests: source text only.

The examples that several tests take apart; the corpus is in ``tests/verification``.
A case is a reference, a candidate and what the check must say. Right ones are written as people
and models write them; wrong ones each carry one known kind of mistake or of cheating.
"""

from __future__ import annotations

from dataclasses import dataclass

from kernelllm_jupyter.values import Problem

HEAD = """
import math
import torch
import torch.nn as nn
import torch.nn.functional as F
"""
TRITON = HEAD + "import triton\nimport triton.language as tl\n"


@dataclass(frozen=True)
class Case:
    """``code`` is a reason's code; empty where the verdict is enough."""

    name: str
    reference: str
    candidate: str
    verdict: str = "correct"
    code: str = ""

    def problem(self) -> Problem:
        return Problem(HEAD + self.reference, "Model")

    def source(self) -> str:
        return TRITON + self.candidate


def elementwise(expression: str, *, names: str = "x", prelude: str = "", wrap: str = "") -> str:
    """A candidate that computes ``expression`` of flat inputs, block by block."""
    inputs = names.split()
    pointers = ", ".join(f"{name}_ptr" for name in inputs)
    loads = "\n".join(f"    {name} = tl.load({name}_ptr + offsets, mask=mask)" for name in inputs)
    return f"""
@triton.jit
def apply_kernel({pointers}, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
{loads}
{prelude}
    tl.store(out_ptr + offsets, {expression}, mask=mask)

class ModelNew(nn.Module):
    def forward(self, {", ".join(inputs)}):
        out = torch.empty_like({inputs[0]})
        n = out.numel()
        apply_kernel[(triton.cdiv(n, 128),)]({", ".join(inputs)}, out, n, BLOCK=128)
        return out{wrap}
"""


def model(body: str, inputs: str, init: str = "") -> str:
    """A reference whose forward returns ``body`` of ``x`` (and ``y``)."""
    arguments = "x, y" if inputs.count("torch.") > 1 else "x"
    return f"""
class Model(nn.Module):
    def forward(self, {arguments}):
        return {body}

def get_inputs():
    return [{inputs}]

def get_init_inputs():
    return [{init}]
"""


ROWS = "torch.randn(6, 70)"

ADD_RELU = model("torch.relu(x + y)", f"{ROWS}, {ROWS}")
GELU = model("F.gelu(x)", ROWS)
TANH = model("torch.tanh(x)", ROWS)
SOFTMAX = model("torch.softmax(x, dim=-1)", ROWS)
SUM = model("x.sum()", "torch.rand(50, 41)")
ROW_SUM = model("x.sum(dim=1)", ROWS)
HALF = model("torch.sigmoid(x) * x", "torch.randn(5, 60).half()")
BF16 = model(
    "torch.relu(x) * y + x", "torch.randn(5, 60).bfloat16(), torch.randn(5, 60).bfloat16()"
)
INTEGER = model("x * 3 + 1", "torch.randint(-50, 50, (7, 33))")
MATMUL = model("x @ y", "torch.randn(33, 40), torch.randn(40, 21)")
PAIR = model("(x + 1, x.sum(dim=1))", ROWS)
NAMED = model("{'double': x * 2, 'sign': x > 0}", ROWS)
RELU_OF_RAND = model("torch.relu(x)", "torch.rand(6, 70)")

LAYER_NORM = """
class Model(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.norm = nn.LayerNorm(features)

    def forward(self, x):
        return self.norm(x)

def get_inputs():
    return [torch.randn(6, 48)]

def get_init_inputs():
    return [48]
"""

LINEAR_RELU = """
class Model(nn.Module):
    def __init__(self, features, out):
        super().__init__()
        self.linear = nn.Linear(features, out)

    def forward(self, x):
        return torch.relu(self.linear(x))

def get_inputs():
    return [torch.randn(9, 24)]

def get_init_inputs():
    return [[24, 17], {}]
"""

SOFTMAX_KERNEL = """
@triton.jit
def softmax_kernel(x_ptr, out_ptr, columns, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    mask = offsets < columns
    x = tl.load(x_ptr + row * columns + offsets, mask=mask, other=-float("inf"))
    e = tl.exp({shifted})
    tl.store(out_ptr + row * columns + offsets, e / tl.sum(e, axis=0), mask=mask)

class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        rows, columns = x.shape
        softmax_kernel[(rows,)](x, out, columns, BLOCK=triton.next_power_of_2(columns))
        return out
"""

NORM_KERNEL = """
@triton.jit
def norm_kernel(x_ptr, w_ptr, b_ptr, out_ptr, n, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + row * n + offsets, mask=mask, other=0.0).to(tl.float32)
    mean = tl.sum(x, axis=0) / n
    centred = tl.where(mask, x - mean, 0.0)
    rstd = 1.0 / tl.sqrt(tl.sum(centred * centred, axis=0) / n + eps)
    w = tl.load(w_ptr + offsets, mask=mask)
    b = tl.load(b_ptr + offsets, mask=mask)
    tl.store(out_ptr + row * n + offsets, {result}, mask=mask)

class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.norm = nn.LayerNorm(features)

    def forward(self, x):
        out = torch.empty_like(x)
        n = x.shape[-1]
        norm_kernel[(x.shape[0],)](
            x, self.norm.weight, self.norm.bias, out, n, {eps}, BLOCK=triton.next_power_of_2(n)
        )
        return out
"""

MATMUL_KERNEL = """
@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    columns = tl.program_id(1) * BN + tl.arange(0, BN)
    total = tl.zeros((BM, BN), dtype=tl.float32)
    for start in range(0, K, BK):
        inner = start + tl.arange(0, BK)
        a = tl.load(
            a_ptr + rows[:, None] * K + inner[None, :],
            mask=(rows[:, None] < M) & (inner[None, :] < K), other=0.0,
        ){cast}
        b = tl.load(
            b_ptr + inner[:, None] * N + columns[None, :],
            mask=(inner[:, None] < K) & (columns[None, :] < N), other=0.0,
        ){cast}
        total += tl.dot(a, b, input_precision="ieee")
    mask = (rows[:, None] < M) & (columns[None, :] < N)
    tl.store(c_ptr + rows[:, None] * N + columns[None, :], total, mask=mask)

class ModelNew(nn.Module):
    def forward(self, x, y):
        m, k = x.shape
        n = y.shape[1]
        out = torch.empty((m, n), device=x.device, dtype=x.dtype)
        grid = (triton.cdiv(m, 16), triton.cdiv(n, 16))
        matmul_kernel[grid](x, y, out, m, n, k, BM=16, BN=16, BK=16)
        return out
"""

LINEAR_KERNEL = """
@triton.jit
def linear_relu_kernel(x_ptr, w_ptr, b_ptr, out_ptr, K, N, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    column = tl.program_id(1)
    k = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * K + k, mask=k < K, other=0.0)
    w = tl.load(w_ptr + column * K + k, mask=k < K, other=0.0)
    total = tl.sum(x * w, axis=0) + tl.load(b_ptr + column)
    tl.store(out_ptr + row * N + column, tl.maximum(total, 0.0))

class ModelNew(nn.Module):
    def __init__(self, features, out):
        super().__init__()
        {weights}

    def forward(self, x):
        out = torch.empty((x.shape[0], {n}), device=x.device, dtype=x.dtype)
        linear_relu_kernel[(x.shape[0], {n})](
            x, {w}, {b}, out, x.shape[1], {n}, BLOCK=triton.next_power_of_2(x.shape[1])
        )
        return out
"""

ATOMIC_SUM = """
@triton.jit
def sum_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n, other=0.0)
    tl.atomic_add(out_ptr, tl.sum(x, axis=0))

class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.zeros((), device=x.device, dtype=x.dtype)
        sum_kernel[(triton.cdiv(x.numel(), 64),)](x, out, x.numel(), BLOCK=64)
        return out
"""

PAIR_KERNEL = """
@triton.jit
def pair_kernel(x_ptr, out_ptr, sum_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + row * n + offsets, mask=mask, other=0.0)
    tl.store(out_ptr + row * n + offsets, x + 1, mask=mask)
    tl.store(sum_ptr + row, tl.sum(x, axis=0))

class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        total = torch.empty(x.shape[0], device=x.device, dtype=x.dtype)
        pair_kernel[(x.shape[0],)](x, out, total, x.shape[1], BLOCK=128)
        return {result}
"""

NAMED_KERNEL = """
@triton.jit
def named_kernel(x_ptr, out_ptr, sign_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask)
    tl.store(out_ptr + offsets, x * 2, mask=mask)
    tl.store(sign_ptr + offsets, x > 0, mask=mask)

class ModelNew(nn.Module):
    def forward(self, x):
        out, sign = torch.empty_like(x), torch.empty_like(x, dtype=torch.bool)
        named_kernel[(triton.cdiv(x.numel(), 64),)](x, out, sign, x.numel(), BLOCK=64)
        return {"double": out, "sign": sign}
"""

AUTOTUNED = """
@triton.autotune(
    configs=[triton.Config({"BLOCK": 64}, num_warps=2), triton.Config({"BLOCK": 256}, num_warps=4)],
    key=["n"],
)
@triton.jit
def apply_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask)
    y = tl.load(y_ptr + offsets, mask=mask)
    tl.store(out_ptr + offsets, tl.maximum(x + y, 0.0), mask=mask)

class ModelNew(nn.Module):
    def forward(self, x, y):
        out = torch.empty_like(x)
        grid = lambda meta: (triton.cdiv(x.numel(), meta["BLOCK"]),)
        apply_kernel[grid](x, y, out, x.numel())
        return out
"""

INDUCTOR = """
from torch._inductor.runtime.triton_heuristics import grid
from torch._C import _cuda_getCurrentRawStream as get_raw_stream
from torch._inductor.runtime.triton_helpers import libdevice, math as tl_math
from torch._inductor.runtime import triton_helpers
assert_size_stride = torch._C._dynamo.guards.assert_size_stride
empty_strided_cuda = torch._C._dynamo.guards._empty_strided_cuda

@triton.jit
def triton_poi_fused_tanh_0(in_ptr0, out_ptr0, xnumel, XBLOCK: tl.constexpr):
    xnumel = 420
    xoffset = tl.program_id(0) * XBLOCK
    xindex = xoffset + tl.arange(0, XBLOCK)[:]
    xmask = xindex < xnumel
    x0 = xindex
    tmp0 = tl.load(in_ptr0 + x0, xmask)
    tmp1 = libdevice.tanh(tmp0)
    tl.store(out_ptr0 + x0, tmp1, xmask)

def call(args):
    arg0_1, = args
    args.clear()
    assert_size_stride(arg0_1, (6, 70), (70, 1))
    with torch.cuda._DeviceGuard(0):
        torch.cuda.set_device(0)
        buf0 = empty_strided_cuda((6, 70), (70, 1), torch.float32)
        get_raw_stream(0)
        triton_poi_fused_tanh_0[grid(420)](arg0_1, buf0, 420, XBLOCK=256, num_warps=4, num_stages=1)
        del arg0_1
    return (buf0,)

class ModelNew(nn.Module):
    def forward(self, input_0):
        output = call([input_0])
        return output[0]
"""

INDUCTOR_SOFTMAX = """
from torch._inductor.runtime import triton_helpers

@triton.jit
def triton_per_fused_softmax(in_ptr0, out_ptr0, xnumel, rnumel, XBLOCK: tl.constexpr):
    RBLOCK: tl.constexpr = 128
    xindex = tl.program_id(0) * XBLOCK + tl.arange(0, XBLOCK)[:, None]
    rindex = tl.arange(0, RBLOCK)[None, :]
    mask = (xindex < xnumel) & (rindex < rnumel)
    tmp0 = tl.load(in_ptr0 + (rindex + rnumel * xindex), mask, other=0.0)
    tmp1 = tl.broadcast_to(tmp0, [XBLOCK, RBLOCK])
    tmp3 = tl.where(mask, tmp1, float("-inf"))
    tmp4 = triton_helpers.max2(tmp3, 1)[:, None]
    tmp6 = tl.exp(tmp0 - tmp4)
    tmp7 = tl.where(mask, tmp6, 0)
    tmp8 = tl.sum(tmp7, 1)[:, None]
    tl.store(out_ptr0 + (rindex + rnumel * xindex), tmp6 / tmp8, mask)

class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_strided(tuple(x.shape), x.stride(), device="cuda", dtype=torch.float32)
        triton_per_fused_softmax[(triton.cdiv(x.shape[0], 4),)](
            x, out, x.shape[0], x.shape[1], XBLOCK=4
        )
        return out
"""

CUDA_SPELLINGS = """
@triton.jit
def apply_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask)
    tl.store(out_ptr + offsets, 0.5 * x * (1 + tl.math.erf(x * 0.7071067811865476)), mask=mask)

class ModelNew(nn.Module):
    def forward(self, x):
        assert x.is_cuda and x.device.type == "cuda"
        x = x.cuda().to("cuda:0").contiguous()
        out = torch.empty(x.shape, device=x.device, dtype=x.dtype)
        with torch.cuda.device(x.device):
            apply_kernel[(triton.cdiv(x.numel(), 128),)](x, out, x.numel(), BLOCK=128)
        torch.cuda.synchronize()
        return out.to(torch.device("cuda"))
"""

ADD_RELU_RIGHT = elementwise("tl.maximum(x + y, 0.0)", names="x y")
LINEAR_BY_NAME = {
    "weights": "self.linear = nn.Linear(features, out)",
    "n": "self.linear.out_features",
    "w": "self.linear.weight",
    "b": "self.linear.bias",
}
LINEAR_BY_SEED = {
    "weights": "lin = nn.Linear(features, out); self.w = lin.weight; self.b = lin.bias",
    "n": "self.b.numel()",
    "w": "self.w",
    "b": "self.b",
}


#: Right when programs run in order, as the interpreter runs them; a race on a GPU.
IN_PLACE_SHIFT = """
@triton.jit
def shift_kernel(x_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    nexts = tl.load(x_ptr + offsets + 1, mask=offsets + 1 < n, other=0.0)
    tl.store(x_ptr + offsets, nexts * 2, mask=offsets < n)

class ModelNew(nn.Module):
    def forward(self, x):
        out = x.clone()
        shift_kernel[(triton.cdiv(x.numel(), 64),)](out, x.numel(), BLOCK=64)
        return out
"""


def filled(template: str, **parts: str) -> str:
    for name, text in parts.items():
        template = template.replace("{" + name + "}", text)
    return template


RIGHT = [
    Case("add relu", ADD_RELU, ADD_RELU_RIGHT),
    Case("add relu, autotuned", ADD_RELU, AUTOTUNED),
    Case("exact gelu, with CUDA spellings", GELU, CUDA_SPELLINGS),
    Case(
        "tanh from an exponential",
        TANH,
        elementwise("1.0 - 2.0 / (tl.exp(2.0 * x) + 1.0)"),
    ),
    Case("tanh, TorchInductor's style", TANH, INDUCTOR),
    Case("softmax", SOFTMAX, filled(SOFTMAX_KERNEL, shifted="x - tl.max(x, axis=0)")),
    Case("softmax, TorchInductor's helpers", SOFTMAX, INDUCTOR_SOFTMAX),
    Case("sum by atomics", SUM, ATOMIC_SUM),
    Case(
        "layer norm", LAYER_NORM, filled(NORM_KERNEL, result="centred * rstd * w + b", eps="1e-5")
    ),
    Case("linear relu, same names", LINEAR_RELU, filled(LINEAR_KERNEL, **LINEAR_BY_NAME)),
    Case("linear relu, other names", LINEAR_RELU, filled(LINEAR_KERNEL, **LINEAR_BY_SEED)),
    Case("matmul", MATMUL, filled(MATMUL_KERNEL, cast="")),
    Case(
        "float16 silu",
        HALF,
        elementwise("(f / (1.0 + tl.exp(-f))).to(tl.float16)", prelude="    f = x.to(tl.float32)"),
    ),
    Case("bfloat16", BF16, elementwise("tl.maximum(x, 0.0) * y + x", names="x y")),
    Case("integers", INTEGER, elementwise("x * 3 + 1")),
    Case("two outputs", PAIR, filled(PAIR_KERNEL, result="out, total")),
    Case("a dict", NAMED, NAMED_KERNEL),
    Case("relu of uniform inputs", RELU_OF_RAND, elementwise("tl.maximum(x, 0.0)")),
]

#: A function of its own, for modules that do more than it.
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

#: A launch that nothing depends on.
DECOY = """
@triton.jit
def decoy_kernel(out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tl.store(out_ptr + offsets, offsets * 2.0, mask=offsets < n)
"""

COPY = """
@triton.jit
def copy_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + offsets, tl.load(x_ptr + offsets, mask=offsets < n), mask=offsets < n)
"""


def _replaced(source: str, old: str, new: str) -> str:
    assert source.count(old) >= 1, old
    return source.replace(old, new)


WRONG = [
    Case("zeros", GELU, elementwise("x * 0.0"), "incorrect"),
    Case("a constant", SOFTMAX, elementwise("x * 0.0 + 0.0142857"), "incorrect"),
    Case("the input", RELU_OF_RAND, elementwise("x"), "incorrect"),
    Case(
        "mask off by one",
        ADD_RELU,
        _replaced(ADD_RELU_RIGHT, "offsets < n", "offsets < n - 1"),
        "incorrect",
        "nan",
    ),
    Case(
        "last block missing",
        ADD_RELU,
        _replaced(ADD_RELU_RIGHT, "triton.cdiv(n, 128)", "n // 128"),
        "incorrect",
        "nan",
    ),
    Case(
        "no mask",
        ADD_RELU,
        ADD_RELU_RIGHT.replace(", mask=mask", ""),
        "rejected",
        "out_of_bounds",
    ),
    Case(
        "float16 arithmetic",
        GELU,
        elementwise(
            "(0.5 * h * (1 + tl.erf(x * 0.7071067811865476).to(tl.float16))).to(tl.float32)",
            prelude="    h = x.to(tl.float16)",
        ),
        "incorrect",
        "wrong_values",
    ),
    Case("float16 matmul", MATMUL, filled(MATMUL_KERNEL, cast=".to(tl.float16)"), "incorrect"),
    Case(
        "tanh gelu for the exact one",
        GELU,
        elementwise(
            "x * (1.0 - 1.0 / (tl.exp(2.0 * u) + 1.0))",
            prelude="    u = 0.7978845608028654 * (x + 0.044715 * x * x * x)",
        ),
        "incorrect",
        "wrong_values",
    ),
    Case(
        "eps 1e-3",
        LAYER_NORM,
        filled(NORM_KERNEL, result="centred * rstd * w + b", eps="1e-3"),
        "incorrect",
    ),
    Case(
        "weights ignored",
        LAYER_NORM,
        filled(NORM_KERNEL, result="centred * rstd + 0.0 * (w + b)", eps="1e-5"),
        "incorrect",
    ),
    Case(
        "softmax without the maximum",
        SOFTMAX,
        filled(SOFTMAX_KERNEL, shifted="x"),
        "incorrect",
    ),
    Case("dtype", HALF, elementwise("x", wrap=".float()"), "incorrect", "dtype"),
    Case(
        "shape",
        ADD_RELU,
        _replaced(ADD_RELU_RIGHT, "return out", "return out[:5]"),
        "incorrect",
        "shape",
    ),
    Case(
        "transposed",
        model("x @ y", "torch.randn(16, 16), torch.randn(16, 16)"),
        _replaced(filled(MATMUL_KERNEL, cast=""), "return out", "return out.t()"),
        "incorrect",
    ),
    Case("structure", PAIR, filled(PAIR_KERNEL, result="out"), "incorrect", "structure"),
    Case(
        "sum without its last part",
        SUM,
        _replaced(ATOMIC_SUM, "triton.cdiv(x.numel(), 64)", "x.numel() // 64"),
        "incorrect",
    ),
    Case(
        "a store without an atomic",
        SUM,
        _replaced(ATOMIC_SUM, "tl.atomic_add", "tl.store"),
        "rejected",
        "data_race",
    ),
    Case(
        "a sum that is loaded, added to and stored",
        SUM,
        _replaced(
            ATOMIC_SUM,
            "tl.atomic_add(out_ptr, tl.sum(x, axis=0))",
            "tl.store(out_ptr, tl.load(out_ptr) + tl.sum(x, axis=0))",
        ),
        "rejected",
        "data_race",
    ),
    Case(
        "neighbours read what others overwrite",
        model("torch.cat([x[1:], x[:1] * 0]) * 2", "torch.randn(300)"),
        IN_PLACE_SHIFT,
        "rejected",
        "data_race",
    ),
    Case(
        "PyTorch does the work",
        GELU,
        "class ModelNew(nn.Module):\n    def forward(self, x):\n        return F.gelu(x)\n",
        "rejected",
        "no_launch",
    ),
    Case(
        "decoy launch",
        GELU,
        DECOY
        + """
class ModelNew(nn.Module):
    def forward(self, x):
        scratch = torch.empty(8)
        decoy_kernel[(1,)](scratch, 8, BLOCK=8)
        return F.gelu(x)
""",
        "rejected",
        "decoy_launch",
    ),
    Case(
        "PyTorch computes, Triton copies",
        GELU,
        COPY
        + """
class ModelNew(nn.Module):
    def forward(self, x):
        y = F.gelu(x)
        out = torch.empty_like(y)
        copy_kernel[(triton.cdiv(y.numel(), 128),)](y, out, y.numel(), BLOCK=128)
        return out
""",
        "rejected",
        "aten_only",
    ),
    Case(
        "numpy computes, Triton copies",
        ADD_RELU,
        COPY
        + """
class ModelNew(nn.Module):
    def forward(self, a, b):
        import numpy
        y = torch.from_numpy(numpy.maximum(a.numpy() + b.numpy(), 0))
        out = torch.empty_like(y)
        copy_kernel[(triton.cdiv(y.numel(), 128),)](y, out, y.numel(), BLOCK=128)
        return out
""",
        "rejected",
        "host_arithmetic",
    ),
    Case(
        "cached by shape",
        ADD_RELU,
        _replaced(
            ADD_RELU_RIGHT,
            "        out = torch.empty_like(x)",
            "        if hasattr(self, 'kept'):\n            return self.kept\n"
            "        out = self.kept = torch.empty_like(x)",
        ),
        "rejected",
        "cached_result",
    ),
    Case(
        "computed, and the first result returned again",
        ADD_RELU,
        _replaced(
            ADD_RELU_RIGHT,
            "        return out",
            "        self.kept = getattr(self, 'kept', out)\n        return self.kept.clone()",
        ),
        "rejected",
        "cached_result",
    ),
    Case(
        "cached by address",
        ADD_RELU,
        _replaced(
            ADD_RELU_RIGHT,
            "        out = torch.empty_like(x)",
            "        kept = self.__dict__.setdefault('kept', {})\n"
            "        if x.data_ptr() in kept:\n            return kept[x.data_ptr()].clone()\n"
            "        out = kept[x.data_ptr()] = torch.empty_like(x)",
        ),
        "rejected",
        "cached_result",
    ),
    Case(
        "one output for all calls",
        ADD_RELU,
        _replaced(
            ADD_RELU_RIGHT,
            "        out = torch.empty_like(x)",
            "        if not hasattr(self, 'kept'):\n            self.kept = torch.empty_like(x)\n"
            "        out = self.kept",
        ),
        "rejected",
        "output_reused",
    ),
    Case(
        "patched comparison",
        GELU,
        "torch.allclose = torch.equal = lambda *a, **k: True\n"
        "torch.testing.assert_close = lambda *a, **k: None\n"
        "torch.Tensor.__eq__ = lambda *a: torch.ones((), dtype=torch.bool)\n"
        + elementwise("x * 0.5"),
        "rejected",
        "tampering",
    ),
    Case(
        "input overwritten",
        ADD_RELU,
        _replaced(ADD_RELU_RIGHT, "out = torch.empty_like(x)", "out = x"),
        "rejected",
        "input_overwritten",
    ),
    Case(
        "weight overwritten",
        LINEAR_RELU,
        _replaced(
            filled(LINEAR_KERNEL, **LINEAR_BY_NAME),
            "        return out",
            "        self.linear.weight.mul_(1.0000001)\n        return out",
        ),
        "rejected",
        "weights_overwritten",
    ),
    Case(
        "lazy subclass",
        GELU,
        "class Lazy(torch.Tensor):\n    pass\n"
        + _replaced(elementwise("x"), "return out", "return F.gelu(x).as_subclass(Lazy)"),
        "rejected",
        "foreign_output",
    ),
    Case(
        "right in one configuration only",
        ADD_RELU,
        _replaced(
            _replaced(AUTOTUNED, 'meta["BLOCK"]', "256"),
            "torch.empty_like(x)",
            "torch.zeros_like(x)",
        ),
        "incorrect",
    ),
    Case(
        "no ModelNew",
        GELU,
        "class Model2(nn.Module):\n    pass\n",
        "compile_error",
        "no_model_new",
    ),
    Case("no Python", GELU, "class ModelNew(nn.Module:\n", "compile_error", "syntax"),
    Case(
        "an unknown name in the Triton kernel",
        GELU,
        elementwise("tl.gelu_exact(x)"),
        "runtime_error",
        "exception",
    ),
]
