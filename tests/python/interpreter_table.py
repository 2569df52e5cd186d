"""What Triton's language computes, one expression a line, and what PyTorch makes of the same.

Every expression becomes a Triton kernel of its own that loads ``x`` and ``y`` as blocks of 8 x 16,
computes, and stores the result flat; ``python interpreter_table.py`` runs them all in the mended
interpreter and prints one JSON object: the expressions that fail, with the reason.
"""

# ruff: noqa: E501, RUF009
from __future__ import annotations

import importlib.util
import json
import math
import re
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch

M, N = 8, 16
Maker = Callable[[], torch.Tensor]


def real(dtype: torch.dtype = torch.float32, rows: int = M, columns: int = N) -> Maker:
    return lambda: torch.randn(rows, columns).to(dtype)


def positive() -> torch.Tensor:
    return torch.rand(M, N) * 4 + 0.01


def whole(
    dtype: torch.dtype = torch.int32,
    low: int = -1000,
    high: int = 1000,
    rows: int = M,
    columns: int = N,
) -> Maker:
    return lambda: torch.randint(low, high, (rows, columns)).to(dtype)


def tile(dtype: torch.dtype = torch.float32) -> Maker:
    """Large enough for a product of any type in any version."""
    return whole(dtype, -128, 128, 16, 32) if dtype == torch.int8 else real(dtype, 16, 32)


def nonzero() -> torch.Tensor:
    made = torch.randint(-9, 10, (M, N), dtype=torch.int32)
    return torch.where(made == 0, 7, made)


def small() -> torch.Tensor:
    return torch.randint(0, 16, (M, N), dtype=torch.int32)


def extreme() -> torch.Tensor:
    """Numbers that no integer holds, and ordinary ones."""
    numbers = torch.randn(M, N) * 300
    special = [math.nan, math.inf, -math.inf, 1e20, -1e20, 3e9, -3e9, 70000.0, 300.7, -300.7]
    numbers.view(-1)[: len(special)] = torch.tensor(special)
    return numbers


def flags() -> torch.Tensor:
    return torch.rand(M, N) > 0.5


@dataclass(frozen=True)
class Line:
    """``of`` computes the expected result from ``x`` and ``y``; 0-d results are stored as one."""

    expression: str
    of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    x: Maker = real()
    y: Maker = real()
    tolerance: float = 1e-6
    prelude: str = ""
    #: The first Triton version whose language has it.
    since: tuple[int, int] = (3, 3)


I32, I64, U8, I8, I16 = torch.int32, torch.int64, torch.uint8, torch.int8, torch.int16
BF16, F16, F32, F64 = torch.bfloat16, torch.float16, torch.float32, torch.float64
E4, E5 = torch.float8_e4m3fn, torch.float8_e5m2


def _saturated(x: torch.Tensor, low: int, high: int, bits: int | None = None) -> torch.Tensor:
    whole = torch.nan_to_num(x.double().trunc(), nan=0.0, posinf=1e30, neginf=-1e30)
    inside = whole.clamp(low, high).to(torch.int64)
    return (
        inside if bits is None else ((inside + (1 << (bits - 1))) % (1 << bits)) - (1 << (bits - 1))
    )


def _scan(x: torch.Tensor) -> torch.Tensor:
    """h = h * 0.5 + x along rows."""
    h, out = torch.zeros(M), []
    for column in x.unbind(1):
        h = h * 0.5 + column
        out.append(h)
    return torch.stack(out, 1)


def _tree(x: torch.Tensor) -> torch.Tensor:
    """A sum along rows that rounds at every addition, pair by pair."""
    while x.shape[1] > 1:
        x = x[:, 0::2] + x[:, 1::2]
    return x[:, 0]


COMBINE = """
@triton.jit
def larger(a, b):
    return tl.maximum(a, b)

@triton.jit
def product(a, b):
    return a * b

@triton.jit
def welford(m1, s1, n1, m2, s2, n2):
    n = n1 + n2
    d = m2 - m1
    r = n2 / n
    return m1 + d * r, s1 + s2 + d * d * n1 * r, n

@triton.jit
def keep_larger(v1, i1, v2, i2):
    first = (v1 > v2) | ((v1 == v2) & (i1 < i2))
    return tl.where(first, v1, v2), tl.where(first, i1, i2)

@triton.jit
def branching(a, b):
    if a > b:
        r = a
    else:
        r = b
    return r

@triton.jit
def linear(a1, b1, a2, b2):
    return a1 * a2, b1 * a2 + b2

@triton.jit
def square_plus(a, b: tl.constexpr):
    return a * a + b

@triton.jit
def twice(a):
    return square_plus(a, 1) * 2

@triton.jit
def both(a):
    return a + 1, a * 2
"""
ROWS = "tl.broadcast_to(tl.arange(0, 8)[:, None], [8, 16])"
COLUMNS = "tl.broadcast_to(tl.arange(0, 16)[None, :], [8, 16])"

ELEMENTWISE = [
    *(
        Line(expression, of, maker)
        for expression, of, maker in [
            ("tl.exp(x)", lambda x, y: x.exp(), real()),
            ("tl.exp2(x)", lambda x, y: x.exp2(), real()),
            ("tl.log(x)", lambda x, y: x.log(), positive),
            ("tl.log2(x)", lambda x, y: x.log2(), positive),
            ("tl.sin(x) + tl.cos(x)", lambda x, y: x.sin() + x.cos(), real()),
            ("tl.sqrt(x)", lambda x, y: x.sqrt(), positive),
            ("tl.sqrt_rn(x)", lambda x, y: x.sqrt(), positive),
            ("tl.rsqrt(x)", lambda x, y: x.rsqrt(), positive),
            ("tl.erf(x)", lambda x, y: x.erf(), real()),
            ("tl.floor(x) + tl.ceil(x) * 3", lambda x, y: x.floor() + x.ceil() * 3, real()),
            ("tl.abs(x)", lambda x, y: x.abs(), real()),
            ("tl.abs(x)", lambda x, y: x.abs(), whole()),
            ("tl.abs(x)", lambda x, y: x.abs(), real(BF16)),
            ("tl.sigmoid(x)", lambda x, y: x.sigmoid(), real()),
            ("tl.softmax(x)", lambda x, y: x.softmax(0), real()),
            ("tl.fma(x, y, x)", lambda x, y: torch.addcmul(x, x, y), real()),
            ("tl.fdiv(x, y)", lambda x, y: x / y, real()),
            ("tl.div_rn(x, y)", lambda x, y: x / y, real()),
            ("tl.maximum(x, y) - tl.minimum(x, y)", lambda x, y: (x - y).abs(), real()),
            ("tl.clamp(x, -0.5, 0.5)", lambda x, y: x.clamp(-0.5, 0.5), real()),
            ("tl.where(x > y, x, y * 2)", lambda x, y: torch.where(x > y, x, y * 2), real()),
            ("-x + y", lambda x, y: y - x, real()),
            (
                "tl.add(x, y) * tl.mul(x, y) - tl.sub(x, y)",
                lambda x, y: (x + y) * (x * y) - (x - y),
                real(),
            ),
            ("x % 0.75", lambda x, y: torch.fmod(x, 0.75), real()),
            ("tl.exp(x)", lambda x, y: x.exp(), real(F64)),
            ("twice(x)", lambda x, y: (x * x + 1) * 2, real()),
            ("tl.sin(x)", lambda x, y: x.double().sin().float(), lambda: torch.randn(M, N) * 1e4),
        ]
    ),
    Line("(x > y) & (y > 0) | ~(x > 0)", lambda x, y: (x > y) & (y > 0) | ~(x > 0)),
    Line("(x > y).to(tl.int32) + (x <= y)", lambda x, y: torch.ones(M, N, dtype=I32)),
    Line("(x > y).to(tl.float32)", lambda x, y: (x > y).float()),
    Line("tl.erf((x >= 0).to(tl.float32))", lambda x, y: (x >= 0).float().erf()),
    Line("(x == x).to(tl.float32, bitcast=False)", lambda x, y: torch.ones(M, N)),
    Line("(x > y).to(tl.int32)", lambda x, y: (x > y).to(I32), whole()),
    Line("(x > y).to(tl.int64) * x", lambda x, y: (x > y) * x.long(), whole(dtype=torch.int64)),
    Line("(x > y).to(tl.float16)", lambda x, y: (x > y).half(), real(F16)),
    Line("(x > y).to(tl.bfloat16)", lambda x, y: (x > y).bfloat16(), real(BF16)),
    Line("(x > 0) == (y > 0)", lambda x, y: (x > 0) == (y > 0)),
    Line("(x > 0).logical_and(y > 0).logical_or(x > 1)", lambda x, y: (x > 0) & (y > 0) | (x > 1)),
    Line("tl.maximum(x, y)", lambda x, y: torch.fmax(x, y), extreme),
    Line(
        "tl.maximum(x, y, propagate_nan=tl.PropagateNan.ALL)",
        lambda x, y: torch.maximum(x, y),
        extreme,
    ),
    Line(
        "tl.clamp(x, 0.0, 6.0)",
        lambda x, y: torch.fmin(torch.fmax(x, torch.tensor(0.0)), torch.tensor(6.0)),
        extreme,
    ),
    Line("x == x", lambda x, y: x == x, extreme),
    Line("x != x", lambda x, y: x != x, extreme),
]

INTEGERS = [
    Line("x // y", lambda x, y: torch.div(x, y, rounding_mode="trunc"), whole(), nonzero),
    Line("x % y", lambda x, y: torch.fmod(x, y), whole(), nonzero),
    Line("tl.cdiv(x, 7)", lambda x, y: (x + 6) // 7, whole(low=0)),
    Line("x * 1000003", lambda x, y: (x.long() * 1000003).to(I32), whole(low=-(2**30), high=2**30)),
    Line("x + x + x", lambda x, y: x + x + x, whole(I8, -128, 128)),
    Line(
        "x.to(tl.int64) * 1000003", lambda x, y: x.long() * 1000003, whole(low=-(2**30), high=2**30)
    ),
    Line("x << y", lambda x, y: x << y, whole(), small),
    Line("x >> y", lambda x, y: x >> y, whole(), small),
    Line(
        "(x.to(tl.uint32) >> 3).to(tl.int64)",
        lambda x, y: (x.long() % 2**32) >> 3,
        whole(),
    ),
    Line("(x & y) ^ (x | 5)", lambda x, y: (x & y) ^ (x | 5), whole(), whole()),
    Line("~x", lambda x, y: ~x, whole()),
    Line("-x", lambda x, y: -x, whole()),
    Line(
        "tl.umulhi(x.to(tl.uint32), y.to(tl.uint32)).to(tl.int64)",
        lambda x, y: ((x.long() % 2**32) * (y.long() % 2**32)) >> 32,
        whole(low=0, high=2**31 - 1),
        whole(low=0, high=2**31 - 1),
    ),
    Line("x.to(tl.uint8).to(tl.int32)", lambda x, y: x.long().remainder(256).to(I32), whole()),
    Line("x.to(tl.int8)", lambda x, y: x.to(I8), whole()),
    Line("x / y", lambda x, y: x / y, whole(), nonzero),
    Line("x * 0.5", lambda x, y: x * 0.5, whole()),
    Line("x + y", lambda x, y: x + y, whole(I64, -(2**40), 2**40), whole()),
    Line("tl.maximum(x, y)", lambda x, y: torch.maximum(x, y), whole(I64), whole(I64)),
    Line("tl.minimum(x, 0)", lambda x, y: x.clamp(max=0), whole()),
    Line("x != 0", lambda x, y: x != 0, small),
    Line("x.to(tl.int1)", lambda x, y: x != 0, small),
    Line("(x & 3) == 1", lambda x, y: x % 4 == 1, whole()),
    Line("tl.where(x, y, -y)", lambda x, y: torch.where(x, y, -y), flags),
    Line("(x > y).to(tl.float32)", lambda x, y: (x > y).float()),
    Line("(x > y) * 2.5", lambda x, y: (x > y) * 2.5),
    Line("(x == x).to(tl.float16)", lambda x, y: torch.ones_like(x), real(F16)),
    Line("(x > y).to(tl.int32)", lambda x, y: (x > y).to(I32), whole(), whole()),
    Line("(x <= y).to(tl.bfloat16)", lambda x, y: (x <= y).to(BF16), real(BF16), real(BF16)),
]

CASTS = [
    *(
        Line(f"x.to(tl.{name})", lambda x, y, dtype=dtype: x.to(dtype), maker)
        for name, dtype in [
            ("float16", F16),
            ("bfloat16", BF16),
            ("float32", F32),
            ("float64", F64),
            ("int32", I32),
            ("int64", I64),
        ]
        for maker in [
            lambda: torch.randn(M, N) * 100,
            lambda: torch.randn(M, N).bfloat16() * 100,
            lambda: torch.randn(M, N).half() * 100,
            whole(),
            whole(I64),
            whole(U8, 0, 256),
            lambda: torch.randn(M, N).to(E4),
            lambda: torch.randn(M, N).to(E5),
            lambda: torch.randn(M, N).double() * 100,
        ]
        # The language itself has no cast from an 8-bit float to an integer.
        if not ("int" in name and maker().dtype in (E4, E5))
    ),
    Line("x.to(tl.int32)", lambda x, y: _saturated(x, -(2**31), 2**31 - 1).to(I32), extreme),
    Line(
        "x.to(tl.int64)",
        lambda x, y: torch.where(
            torch.isnan(x),
            -(2**63),
            torch.where(
                x > 1e19,
                2**63 - 1,
                torch.where(x < -1e19, -(2**63), torch.nan_to_num(x.clamp(-1e10, 1e10)).long()),
            ),
        ),
        extreme,
    ),
    Line("x.to(tl.int16)", lambda x, y: _saturated(x, -(2**15), 2**15 - 1).to(I16), extreme),
    Line("x.to(tl.int8)", lambda x, y: _saturated(x, -(2**15), 2**15 - 1, 8).to(I8), extreme),
    Line("x.to(tl.uint32).to(tl.int64)", lambda x, y: _saturated(x, 0, 2**32 - 1), extreme),
    Line(
        "x.to(tl.uint8).to(tl.int32)",
        lambda x, y: (_saturated(x, 0, 2**16 - 1) % 256).to(I32),
        extreme,
    ),
    Line(
        "x.to(tl.float8e4nv).to(tl.float32)",
        lambda x, y: x.clamp(-448, 448).to(E4).float(),
        extreme,
    ),
    Line(
        "x.to(tl.float8e5).to(tl.float32)",
        lambda x, y: x.clamp(-57344, 57344).to(E5).float(),
        extreme,
    ),
    Line(
        "x.to(tl.float8e4nv)",
        lambda x, y: x.to(E4),
        lambda: torch.randn(M, N) * 10 ** torch.randint(-4, 2, (M, N)),
    ),
    Line(
        "x.to(tl.float8e5)",
        lambda x, y: x.to(E5),
        lambda: torch.randn(M, N) * 10 ** torch.randint(-6, 4, (M, N)),
    ),
    Line("x.to(tl.float8e4nv)", lambda x, y: x.to(E4), real(BF16)),
    Line("x.to(tl.float8e5)", lambda x, y: x.to(E5), real(F16)),
    Line("x.to(tl.int32, bitcast=True)", lambda x, y: x.view(I32)),
    Line("x.to(tl.int16, bitcast=True)", lambda x, y: x.view(I16), real(BF16)),
    Line("tl.cast(x, tl.bfloat16)", lambda x, y: x.bfloat16(), extreme),
    Line(
        "x.to(tl.float16)",
        lambda x, y: x.half(),
        lambda: torch.randn(M, N) * 10.0 ** torch.randint(-8, 6, (M, N)),
    ),
    Line(
        "x.to(tl.bfloat16, fp_downcast_rounding='rtz')",
        lambda x, y: (x.view(I32) & -65536).view(F32).bfloat16(),
    ),
    Line(
        "x.to(tl.float16, fp_downcast_rounding='rtz').to(tl.float32)",
        lambda x, y: (x.view(I32) & -8192).view(F32),
        lambda: torch.rand(M, N) + 0.5,
    ),
]

BFLOAT16 = [
    Line(expression, of, real(BF16), real(BF16))
    for expression, of in [
        ("x + y", lambda x, y: x + y),
        ("x * y - x", lambda x, y: x * y - x),
        ("x / y", lambda x, y: (x.float() / y.float()).bfloat16()),
        (
            "x * 1.7 + 0.3",
            lambda x, y: x * torch.tensor(1.7, dtype=BF16) + torch.tensor(0.3, dtype=BF16),
        ),
        ("-x", lambda x, y: -x),
        ("tl.abs(x)", lambda x, y: x.abs()),
        ("tl.maximum(x, 0.0)", lambda x, y: x.relu()),
        ("x > y", lambda x, y: x > y),
        ("tl.where(x >= 0.25, x, y)", lambda x, y: torch.where(x >= 0.25, x, y)),
        ("x + 1", lambda x, y: x + 1),
        ("x + tl.full([8, 16], 0.1, tl.bfloat16)", lambda x, y: x + torch.tensor(0.1).bfloat16()),
        ("tl.max(x, 1)", lambda x, y: x.float().amax(1)),
        ("tl.min(x, 0)", lambda x, y: x.float().amin(0)),
        ("tl.argmax(x, 1)", lambda x, y: x.argmax(1).to(I32)),
        ("tl.sum(x, 1)", lambda x, y: _tree(x)),
        ("tl.sum(x.to(tl.float32), 1)", lambda x, y: x.float().sum(1)),
        ("tl.reduce(x, 1, larger)", lambda x, y: x.amax(1)),
        ("tl.sort(x, 1)", lambda x, y: x.sort(1).values),
        ("tl.trans(x)", lambda x, y: x.t()),
        (
            "tl.sigmoid(x.to(tl.float32)).to(tl.bfloat16)",
            lambda x, y: x.float().sigmoid().bfloat16(),
        ),
        ("tl.flip(x, 1)", lambda x, y: x.flip(1)),
        ("tl.clamp(x, -0.5, 0.5)", lambda x, y: x.clamp(-0.5, 0.5)),
        ("tl.fma(x, y, x)", lambda x, y: (x.double() * y.double() + x.double()).bfloat16()),
        ("x.to(tl.float32) * y", lambda x, y: x.float() * y.float()),
    ]
]

BFLOAT16.append(
    Line(
        "tl.dot(x, tl.trans(y))",
        lambda x, y: x.float() @ y.float().t(),
        tile(BF16),
        tile(BF16),
        1e-5,
    )
)

REDUCTIONS = [
    Line("tl.sum(x, 1)", lambda x, y: x.sum(1)),
    Line("tl.sum(x, 0)", lambda x, y: x.sum(0)),
    Line("tl.sum(x, -1)", lambda x, y: x.sum(1)),
    Line("tl.sum(x)", lambda x, y: x.sum(), tolerance=1e-5),
    Line("tl.sum(tl.sum(x, 1), 0)", lambda x, y: x.sum(), tolerance=1e-5),
    Line("tl.sum(x, 1, keep_dims=True)", lambda x, y: x.sum(1, keepdim=True)),
    Line("x - tl.max(x, 1)[:, None]", lambda x, y: x - x.amax(1, keepdim=True)),
    Line("x - tl.max(x, 1, keep_dims=True)", lambda x, y: x - x.amax(1, keepdim=True)),
    Line("tl.max(x, 0)", lambda x, y: x.amax(0)),
    Line("tl.max(x)", lambda x, y: x.max()),
    Line("tl.min(x, 1)", lambda x, y: x.amin(1)),
    Line("tl.max(x, 1)", lambda x, y: x.amax(1), whole()),
    Line("tl.max(x, 1)", lambda x, y: torch.where(x.isnan(), -math.inf, x).amax(1), extreme),
    Line("tl.sum(x, 1)", lambda x, y: x.sum(1).to(I32), whole()),
    Line("tl.sum(x, 1)", lambda x, y: x.sum(1).to(I32), whole(I8, -128, 128)),
    Line("tl.sum(x, 1)", lambda x, y: x.sum(1), whole(I64, -(2**50), 2**50)),
    Line("tl.sum((x > 0).to(tl.int32), 1)", lambda x, y: (x > 0).sum(1).to(I32)),
    Line("tl.sum(x > 0, 1)", lambda x, y: (x > 0).sum(1).to(I32)),
    Line("tl.sum(x, 1)", lambda x, y: _tree(x), real(F16)),
    Line("tl.sum(x, 1, dtype=tl.float32)", lambda x, y: x.float().sum(1), real(F16)),
    Line("tl.argmax(x, 1)", lambda x, y: x.argmax(1).to(I32)),
    Line("tl.argmin(x, 0)", lambda x, y: x.argmin(0).to(I32)),
    Line(
        "tl.argmax(x // 500, 1)",
        lambda x, y: torch.tensor(
            [row.index(max(row)) for row in torch.div(x, 500, rounding_mode="trunc").tolist()],
            dtype=I32,
        ),
        whole(),
    ),
    Line("tl.argmax(x, 1, tie_break_left=False)", lambda x, y: x.argmax(1).to(I32)),
    Line(
        "v + i",
        lambda x, y: x.amax(1) + x.argmax(1),
        prelude="v, i = tl.max(x, 1, return_indices=True)",
    ),
    Line(
        "v * i",
        lambda x, y: x.amin(1) * x.argmin(1),
        prelude="v, i = tl.min(x, 1, return_indices=True)",
    ),
    Line(
        "tl.xor_sum(x, 1)",
        lambda x, y: torch.tensor(numpy.bitwise_xor.reduce(x.numpy(), 1)),
        whole(),
    ),
    Line(
        "tl.reduce_or(x, 1)",
        lambda x, y: torch.tensor(numpy.bitwise_or.reduce(x.numpy(), 1)),
        whole(),
    ),
    Line("tl.reduce(x, 1, larger)", lambda x, y: x.amax(1)),
    Line("tl.reduce(x, 0, product)", lambda x, y: x.prod(0)),
    Line("tl.reduce(x, None, larger)", lambda x, y: x.max()),
    Line("tl.reduce(x, 1, larger, keep_dims=True)", lambda x, y: x.amax(1, keepdim=True)),
    Line("tl.reduce(x, 1, branching)", lambda x, y: x.amax(1)),
    Line(
        "s / n",
        lambda x, y: x.var(1, correction=0),
        prelude="m, s, n = tl.reduce((x, tl.zeros_like(x), tl.full(x.shape, 1.0, tl.float32)), 1, welford)",
        tolerance=1e-5,
    ),
    Line(
        "i",
        lambda x, y: x.argmax(1).to(I32),
        prelude=f"v, i = tl.reduce((x, {COLUMNS}), 1, keep_larger)",
    ),
    Line(
        "i",
        lambda x, y: (x.argmax(1) * 3).to(I32),
        prelude=f"v, i = tl.reduce((x, {COLUMNS} * 3), 1, keep_larger)",
    ),
    Line("tl.cumsum(x, 1)", lambda x, y: x.cumsum(1), tolerance=1e-5),
    Line("tl.cumsum(x, 0)", lambda x, y: x.cumsum(0), tolerance=1e-5),
    Line("tl.cumsum(x, 1, reverse=True)", lambda x, y: x.flip(1).cumsum(1).flip(1), tolerance=1e-5),
    Line("tl.cumsum(x, 1)", lambda x, y: x.cumsum(1).to(I32), whole()),
    Line("tl.cumprod(x, 1)", lambda x, y: x.cumprod(1)),
    Line("tl.associative_scan(x, 1, larger)", lambda x, y: x.cummax(1).values),
    Line("tl.associative_scan(x, 0, larger)", lambda x, y: x.cummax(0).values),
    Line(
        "tl.associative_scan(x, 1, larger, reverse=True)",
        lambda x, y: x.flip(1).cummax(1).values.flip(1),
    ),
    Line("tl.associative_scan(x, 1, branching)", lambda x, y: x.cummax(1).values),
    Line(
        "h",
        lambda x, y: _scan(x),
        prelude="a, h = tl.associative_scan((tl.full(x.shape, 0.5, tl.float32), x), 1, linear)",
    ),
    Line("tl.sort(x, 1)", lambda x, y: x.sort(1).values),
    Line("tl.sort(x, descending=True)", lambda x, y: x.sort(1, descending=True).values),
    Line("tl.sort(x, 1)", lambda x, y: x.sort(1).values, whole()),
    Line("tl.topk(x, 4)", lambda x, y: x.topk(4, 1).values),
    Line(
        "tl.histogram(tl.ravel(x), 16)",
        lambda x, y: torch.bincount(x.view(-1), minlength=16).to(I32),
        small,
    ),
    Line(
        "tl.histogram(tl.ravel(x), 8)",
        lambda x, y: torch.bincount(x.view(-1), minlength=16)[:8].to(I32),
        small,
    ),
]

SHAPES = [
    Line("tl.flip(x, 0)", lambda x, y: x.flip(0), since=(3, 4)),
    Line("tl.flip(x, 1)", lambda x, y: x.flip(1)),
    Line("tl.trans(x)", lambda x, y: x.t()),
    Line("x.T", lambda x, y: x.t()),
    Line("tl.permute(x, (1, 0))", lambda x, y: x.t()),
    Line(
        "tl.permute(tl.reshape(x, [2, 4, 16]), 2, 0, 1)",
        lambda x, y: x.view(2, 4, 16).permute(2, 0, 1),
    ),
    Line("tl.reshape(x, [16, 8])", lambda x, y: x.reshape(16, 8)),
    Line("tl.view(x, [4, 32])", lambda x, y: x.reshape(4, 32)),
    Line("tl.ravel(x)", lambda x, y: x.reshape(-1)),
    Line("x.reshape(2, 2, 32)", lambda x, y: x.reshape(2, 2, 32)),
    Line("tl.sum(tl.reshape(x, [2, 4, 16]), 1)", lambda x, y: x.view(2, 4, 16).sum(1)),
    Line("tl.expand_dims(tl.sum(x, 1), 1) + x", lambda x, y: x.sum(1, keepdim=True) + x),
    Line("tl.expand_dims(x, [0, 3])", lambda x, y: x[None, :, :, None]),
    Line("tl.squeeze(tl.unsqueeze(x, 0), 0)", lambda x, y: x),
    Line("tl.broadcast_to(tl.sum(x, 0)[None, :], [8, 16])", lambda x, y: x.sum(0).expand(M, N)),
    Line("tl.sum(x, 0)[None, None, :] * x[None]", lambda x, y: (x.sum(0) * x)[None]),
    Line(
        "a + b",
        lambda x, y: x.sum(1, keepdim=True) + x,
        prelude="a, b = tl.broadcast(tl.sum(x, 1)[:, None], x)",
    ),
    Line("tl.join(x, y)", lambda x, y: torch.stack([x, y], -1)),
    Line(
        "a * b",
        lambda x, y: x[:, 0::2] * x[:, 1::2],
        prelude="a, b = tl.split(tl.reshape(x, [8, 8, 2]))",
    ),
    Line("tl.interleave(x, y)", lambda x, y: torch.stack([x, y], -1).reshape(M, 2 * N)),
    Line(
        "tl.cat(tl.ravel(x), tl.ravel(y), can_reorder=True)",
        lambda x, y: torch.cat([x.view(-1), y.view(-1)]),
    ),
    Line("tl.gather(x, y, 1)", lambda x, y: x.gather(1, y.long()), real(), small),
    Line("tl.gather(x, y % 8, 0)", lambda x, y: x.gather(0, (y % 8).long()), real(), small),
    Line("tl.zeros([8, 16], tl.float32) + tl.zeros_like(x) + x", lambda x, y: x),
    Line("tl.full([8, 16], 3, tl.int32)", lambda x, y: torch.full((M, N), 3, dtype=I32)),
    Line(
        "tl.arange(0, 16)[None, :] + tl.arange(0, 8)[:, None] * 100",
        lambda x, y: torch.arange(16, dtype=I32)[None] + torch.arange(8, dtype=I32)[:, None] * 100,
    ),
    Line(
        "a + b * 100",
        lambda x, y: torch.tensor([0, 1, 100, 101, 2, 3, 102, 103], dtype=I32),
        prelude="i = tl.arange(0, 8)\n    a, b = tl.swizzle2d(i // 2, i % 2, 4, 2, 2)",
    ),
    Line(
        "tl.dot(x, tl.trans(y), input_precision='ieee')",
        lambda x, y: x @ y.t(),
        tile(),
        tile(),
        1e-5,
    ),
    Line(
        "tl.dot(x, tl.trans(y), acc=tl.dot(y, tl.trans(x), input_precision='ieee'), input_precision='ieee')",
        lambda x, y: x @ y.t() + y @ x.t(),
        tile(),
        tile(),
        1e-5,
    ),
    Line(
        "tl.dot(x, tl.trans(y))", lambda x, y: x.float() @ y.float().t(), tile(F16), tile(F16), 1e-5
    ),
    Line(
        "tl.dot(x, tl.trans(y), out_dtype=tl.float16)",
        lambda x, y: (x.float() @ y.float().t()).half(),
        tile(F16),
        tile(F16),
        2e-3,
    ),
    Line(
        "tl.dot(x, tl.trans(y))", lambda x, y: x.float() @ y.float().t(), tile(E4), tile(E4), 1e-5
    ),
    Line(
        "tl.dot(x, tl.trans(y))", lambda x, y: x.float() @ y.float().t(), tile(E5), tile(E5), 1e-5
    ),
    Line("tl.dot(x, tl.trans(y))", lambda x, y: x.int() @ y.int().t(), tile(I8), tile(I8)),
    Line(
        "tl.dot(x, tl.trans(y))", lambda x, y: x @ y.t(), tile(F64), tile(F64), 1e-12, since=(3, 4)
    ),
    Line(
        "tl.dot(tl.reshape(x, [2, 16, 32]), tl.permute(tl.reshape(y, [2, 16, 32]), 0, 2, 1), input_precision='ieee')",
        lambda x, y: x.view(2, 16, 32) @ y.view(2, 16, 32).mT,
        real(rows=32, columns=32),
        real(rows=32, columns=32),
        1e-5,
    ),
    Line(
        "tl.multiple_of(tl.max_contiguous(tl.max_constancy(x, [1, 1]), [1, 1]), [1, 1])",
        lambda x, y: x,
    ),
]

CONTROL = [
    Line(
        "r",
        lambda x, y: x * 5,
        prelude="r = tl.zeros_like(x)\n    for i in range(5):\n        r += x",
    ),
    Line(
        "r",
        lambda x, y: x * 6,
        prelude="r = tl.zeros_like(x)\n    for i in tl.range(0, 12, 2, num_stages=2):\n        r += x",
    ),
    Line(
        "r",
        lambda x, y: x * 6,
        prelude="r = tl.zeros_like(x)\n    for i in tl.static_range(1, 4):\n        r += x * i",
    ),
    Line(
        "r",
        lambda x, y: x * 16,
        prelude="r = x\n    k = 1\n    while k < 16:\n        r = r + r\n        k *= 2",
    ),
    Line(
        "r",
        lambda x, y: x * 2 if x.sum() > 0 else x * 3,
        prelude="if tl.sum(tl.sum(x, 1), 0) > 0:\n        r = x * 2\n    else:\n        r = x * 3",
    ),
    Line(
        "r",
        lambda x, y: x + 1,
        prelude="tl.static_assert(ROWS == 8)\n    tl.device_assert(ROWS == 8)\n    r = x + 1 if ROWS == 8 else x",
    ),
    Line("p * q", lambda x, y: (x + 1) * x * 2, prelude="p, q = both(x)"),
    Line(
        "tl.program_id(0) + tl.num_programs(0) * 10 + tl.num_programs(1) * 100 + x",
        lambda x, y: x + 110,
    ),
    Line("r", lambda x, y: x * 7, prelude="K: tl.constexpr = ROWS // 2 + 3\n    r = x * K"),
    Line(
        "r",
        lambda x, y: x * 4,
        prelude="tl.debug_barrier()\n    tl.assume(tl.program_id(0) == 0)\n    r = x * (ROWS >> 1)",
    ),
    Line(
        "r",
        lambda x, y: x * 3,
        prelude="n = tl.sum((x == x).to(tl.int32), 1)\n    n = tl.max(n, 0)\n    r = tl.zeros_like(x)\n    for i in range(0, n, 6):\n        r += x",
    ),
    Line(
        "r",
        lambda x, y: x * 2 + 8,
        prelude="r = x * (2.0 if ROWS > 4 and COLUMNS >= 16 else 3.0) + min(ROWS, COLUMNS)",
    ),
    Line("(0 < x) & (x < 1)", lambda x, y: (x > 0) & (x < 1)),
    Line("0 < x < 1", lambda x, y: (x > 0) & (x < 1)),
    Line("x > 0 and y > 0", lambda x, y: (x > 0) & (y > 0)),
    Line("x > 1 or y > 1 or x < y", lambda x, y: (x > 1) | (y > 1) | (x < y)),
    Line("not x > 0", lambda x, y: ~(x > 0)),
    Line("min(x, y) + max(x, 0.5)", lambda x, y: torch.minimum(x, y) + x.clamp(min=0.5)),
    Line(
        "r",
        lambda x, y: x + 12,
        prelude="r = x\n    for i in range(1, 4):\n        r += (i * 2).to(tl.float32)",
    ),
    Line(
        "r",
        lambda x, y: x - 3,
        prelude="r = x\n    for i in range(-3, 3):\n        r += i % 4 // 1",
    ),
    Line(
        "r",
        lambda x, y: x,
        prelude="s = tl.sum(tl.sum(x, 1), 0)\n    r = x\n    if s > 1e9 or s < -1e9:\n        r = y",
    ),
    Line(
        "r",
        lambda x, y: x * 2,
        prelude="r = x\n    if ROWS == 8 and not COLUMNS == 8:\n        r = x * 2",
    ),
    Line("r", lambda x, y: x + 1, prelude="assert ROWS == 8, 'no'\n    r = x + 1"),
    Line("tl.rand(7, tl.ravel(" + COLUMNS + ")) * 0 + 1", lambda x, y: torch.ones(M * N)),
]

LINES = [*ELEMENTWISE, *INTEGERS, *CASTS, *BFLOAT16, *REDUCTIONS, *SHAPES, *CONTROL]
IMPORTS = "import triton\nimport triton.language as tl\n"


def name_of(line: Line, number: int) -> str:
    return f"{number}: {line.prelude + '; ' if line.prelude else ''}{line.expression}"


def source_of(line: Line) -> str:
    body = f"    {line.prelude}\n" if line.prelude else ""
    return f"""{IMPORTS}{COMBINE}
@triton.jit
def kernel(x_ptr, y_ptr, o_ptr, SIZE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    at = tl.arange(0, ROWS)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    x = tl.load(x_ptr + at)
    y = tl.load(y_ptr + at)
{body}    result = {line.expression}
    if SIZE == 0:
        tl.store(o_ptr, result)
    else:
        tl.store(o_ptr + tl.arange(0, SIZE), tl.reshape(result, [SIZE]))
"""


def try_line(line: Line, path: Path) -> str | None:
    """What is wrong with a line; None where it is right."""
    path.write_text(source_of(line))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.manual_seed(5)
    x, y = line.x(), line.y()
    expected = line.of(x, y)
    size = expected.numel() if expected.ndim else 0
    out = torch.zeros(max(size, 1), dtype=expected.dtype)
    module.kernel[(1,)](x, y, out, SIZE=size, ROWS=x.shape[0], COLUMNS=x.shape[1])
    return difference(out.reshape(expected.shape), expected, line.tolerance)


def difference(got: torch.Tensor, expected: torch.Tensor, tolerance: float) -> str | None:
    if not expected.dtype.is_floating_point:
        wrong = got != expected
    elif tolerance == 1e-6 and expected.dtype not in (F32, F64):
        wrong = ~((got.float() == expected.float()) | (got.isnan() & expected.isnan()))
    else:
        wrong = ~torch.isclose(
            got.double(), expected.double(), rtol=tolerance, atol=tolerance, equal_nan=True
        )
    if not wrong.any():
        return None
    return f"{int(wrong.sum())} of {wrong.numel()}: got {got[wrong][:4].tolist()}, expected {expected[wrong][:4].tolist()}"


def main() -> None:
    from kernelllm_jupyter.verify import interpreter
    from kernelllm_jupyter.verify.watching.audit import Launches

    interpreter.install(Launches())
    import triton
    import triton.language as tl

    version = tuple(map(int, triton.__version__.split(".")[:2]))
    failures: dict[str, Any] = {}
    absent = []
    with tempfile.TemporaryDirectory() as folder:
        for number, line in enumerate(LINES):
            name = name_of(line, number)
            words = set(re.findall(r"\btl\.(\w+)", source_of(line)))
            if version < line.since or any(not hasattr(tl, word) for word in words):
                absent.append(name)
                continue
            try:
                wrong = try_line(line, Path(folder) / f"line_{number}.py")
            except Exception as error:
                cause = error
                while cause.__cause__ is not None:
                    cause = cause.__cause__
                wrong = f"{type(cause).__name__}: {cause}"
                if "-v" in sys.argv:
                    traceback.print_exc()
            if wrong is not None:
                failures[name] = wrong
    print(json.dumps({"count": len(LINES), "failures": failures, "absent": absent}))


if __name__ == "__main__":
    main()
