"""``tl.dot`` as a GPU computes it: float32 operands in the precision that was asked for.

A tensor core takes float32 operands in TF32: it ignores their last 13 bits (Triton hands them over
as they are). ``tf32x3`` splits every operand into two such parts and makes three products,
``bf16x3`` and ``bf16x6`` likewise with bfloat16; ``ieee`` is float32 itself. Products are summed in
the accumulator's type. What order a GPU sums in is not imitated.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy
import triton
import triton.runtime.interpreter as tri
from triton.backends.nvidia.compiler import min_dot_size

from kernelllm_jupyter.verify import fake_driver
from kernelllm_jupyter.verify.interpreter.formats import (
    format_of,
    narrow_handle,
    narrowed,
    wide_handle,
    widened,
)
from kernelllm_jupyter.verify.watching.audit import Launches

__all__ = ["install", "truncated_to_tf32"]

Array = Any
PRECISIONS = ("tf32", "tf32x3", "ieee", "bf16x3", "bf16x6")
#: Which parts of the two operands are multiplied besides the largest ones, by their number.
SMALL_PAIRS = {2: [(1, 0), (0, 1)], 3: [(1, 1), (2, 0), (0, 2), (1, 0), (0, 1)]}


def install(launches: Launches) -> None:
    """Replace the interpreter's product."""
    options = tri.interpreter_builder.options
    known = triton._C.libtriton.ir.INPUT_PRECISION.__members__
    allowed = tuple(name for name in PRECISIONS if name in {k.lower() for k in known})
    tri.interpreter_builder.options = replace(options, allowed_dot_input_precisions=allowed)

    def create_dot(self: Any, a: Any, b: Any, accumulator: Any, precision: Any, *_: Any) -> Any:
        return _dot(launches, a, b, accumulator, precision.name.lower())

    tri.InterpreterBuilder.create_dot = create_dot
    # The interpreter takes products of any size, a tensor core does not.
    smallest = min_dot_size(fake_driver.TARGET)
    tri.interpreter_builder.codegen_fns["min_dot_size"] = smallest


def _dot(launches: Launches, a: Any, b: Any, accumulator: Any, precision: str) -> Any:
    is_single = a.data.dtype == numpy.float32
    left, right = wide_handle(a).data, wide_handle(b).data
    total = wide_handle(accumulator).data
    if is_single and precision != "ieee":
        if precision == "tf32":
            launches.notes.add("tf32")
        product = _split_product(left, right, precision)
    elif total.dtype.kind == "i":
        # Exact, and much faster than a product of integers: 2^53 is never reached.
        product = numpy.matmul(left.astype(numpy.float64), right.astype(numpy.float64))
        product = product.astype(numpy.int64).astype(total.dtype)
    else:
        kind = numpy.promote_types(left.dtype, numpy.float32)
        product = numpy.matmul(left.astype(kind, copy=False), right.astype(kind, copy=False))
    result = product + total
    if format_of(accumulator) is not None:
        return narrow_handle(result, accumulator.dtype.scalar)
    return tri.TensorHandle(result.astype(accumulator.data.dtype, copy=False), accumulator.dtype)


def _split_product(left: Array, right: Array, precision: str) -> Array:
    if precision == "tf32":
        return numpy.matmul(truncated_to_tf32(left), truncated_to_tf32(right))
    if precision == "tf32x3":
        parts = 2
        ours, theirs = (_parts(x, parts, _rounded_to_tf32) for x in (left, right))
    else:
        parts = {"bf16x3": 2, "bf16x6": 3}[precision]
        ours, theirs = (_parts(x, parts, _rounded_to_bfloat16) for x in (left, right))
    small = sum(numpy.matmul(ours[i], theirs[j]) for i, j in SMALL_PAIRS[parts])
    # Infinity less infinity is NaN in the small parts, and decides nothing.
    return numpy.nan_to_num(small, nan=0.0, posinf=numpy.inf, neginf=-numpy.inf) + numpy.matmul(
        ours[0], theirs[0]
    )


def _parts(values: Array, count: int, rounded: Any) -> list[Array]:
    """``values`` as a sum of ``count`` numbers of the short format, the largest first."""
    parts = []
    rest = values
    for _ in range(count):
        parts.append(rounded(rest))
        rest = rest - parts[-1]
    return parts


def truncated_to_tf32(values: Array) -> Array:
    """float32 less its last 13 bits; NaN stays NaN."""
    bits = numpy.ascontiguousarray(values).view(numpy.uint32) & numpy.uint32(0xFFFFE000)
    return numpy.where(numpy.isnan(values), values, bits.view(numpy.float32))


def _rounded_to_tf32(values: Array) -> Array:
    """``cvt.rna.tf32.f32``: to nearest, ties away from zero."""
    bits = numpy.ascontiguousarray(values).view(numpy.uint32)
    rounded = ((bits + numpy.uint32(0x1000)) & numpy.uint32(0xFFFFE000)).view(numpy.float32)
    return numpy.where(numpy.isfinite(values), rounded, values)


def _rounded_to_bfloat16(values: Array) -> Array:
    return widened(narrowed(values))
