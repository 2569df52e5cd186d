"""bfloat16 in Triton's interpreter: computed in float32 and rounded to nearest even.

numpy has no bfloat16, so the interpreter keeps it as the 16 raw bits and computes on those as if
they were integers, silently. Here every operation on such a handle widens it first and rounds the
result, as the hardware does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import triton.language as tl
import triton.runtime.interpreter as tri

__all__ = ["install", "is_bfloat16", "narrowed", "widened"]

Array = Any
#: Builder methods and how many of their leading arguments are values.
ARITHMETIC = {
    "binary_op": 2,
    "unary_op": 1,
    "create_fabs": 1,
    "create_rsqrt": 1,
    "create_erf": 1,
    "create_fma": 3,
    "create_clampf": 3,
}
COMPARISONS = (
    numpy.less,
    numpy.less_equal,
    numpy.greater,
    numpy.greater_equal,
    numpy.equal,
    numpy.not_equal,
)


def widened(bits: Array) -> Array:
    """Raw bfloat16 bits as float32."""
    return (numpy.ascontiguousarray(bits).astype(numpy.uint32) << 16).view(numpy.float32)


def narrowed(values: Array) -> Array:
    """float32 as raw bfloat16 bits, rounded to nearest even; NaN stays NaN."""
    bits = numpy.ascontiguousarray(values, dtype=numpy.float32).view(numpy.uint32)
    tie = (bits >> numpy.uint32(16)) & numpy.uint32(1)
    rounded = ((bits + tie + numpy.uint32(0x7FFF)) >> 16).astype(numpy.uint16)
    return numpy.where(numpy.isnan(values), numpy.uint16(0x7FC0), rounded)


def is_bfloat16(handle: Any) -> bool:
    """Whether a handle holds raw bfloat16 bits."""
    return (
        isinstance(handle, tri.TensorHandle)
        and handle.dtype.scalar == tl.bfloat16
        and handle.data.dtype == numpy.uint16
    )


def _wide(handle: Any) -> Any:
    return tri.TensorHandle(widened(handle.data), tl.float32) if is_bfloat16(handle) else handle


def install() -> None:
    """Wrap the builder's arithmetic, casts, products and reductions."""
    builder = tri.InterpreterBuilder
    for name, count in ARITHMETIC.items():
        setattr(builder, name, _in_float32(getattr(builder, name), count))
    builder.cast_impl = _cast(builder.cast_impl)
    builder.create_fp_to_fp = _convert(builder.create_fp_to_fp)
    builder.create_dot = _dot(builder.create_dot)
    for operation in (tri.ReduceOps, tri.ScanOps):
        operation.apply_impl = _reduce(operation.apply_impl)


def _in_float32(original: Callable[..., Any], count: int) -> Callable[..., Any]:
    def method(self: Any, *arguments: Any) -> Any:
        values, rest = arguments[:count], arguments[count:]
        if not any(is_bfloat16(value) for value in values):
            return original(self, *arguments)
        result = original(self, *map(_wide, values), *rest)
        if rest and rest[0] in COMPARISONS:
            return tri.TensorHandle(result.data, tl.int1)
        if result.data.dtype != numpy.float32:
            return result
        return tri.TensorHandle(narrowed(result.data), tl.bfloat16)

    return method


def _cast(original: Callable[..., Any]) -> Callable[..., Any]:
    def cast_impl(self: Any, source: Any, target: Any) -> Any:
        before, after = source.dtype.scalar, target.scalar
        if before == tl.bfloat16 and after != tl.bfloat16:
            wide = _wide(source)
            return wide if after == tl.float32 else original(self, wide, target)
        if after == tl.bfloat16 and before != tl.bfloat16:
            return tri.TensorHandle(narrowed(source.data.astype(numpy.float32)), tl.bfloat16)
        return original(self, source, target)

    return cast_impl


def _convert(original: Callable[..., Any]) -> Callable[..., Any]:
    plain = {tl.bfloat16, tl.float16, tl.float32, tl.float64}

    def create_fp_to_fp(self: Any, source: Any, target: Any, *rest: Any) -> Any:
        before, after = source.dtype.scalar, target.scalar
        if tl.bfloat16 in (before, after) and {before, after} <= plain:
            return self.cast_impl(source, target)
        return original(self, source, target, *rest)

    return create_fp_to_fp


def _dot(original: Callable[..., Any]) -> Callable[..., Any]:
    def create_dot(self: Any, a: Any, b: Any, accumulator: Any, *rest: Any) -> Any:
        if not (is_bfloat16(a) or is_bfloat16(b)):
            return original(self, a, b, accumulator, *rest)
        product = numpy.matmul(
            _wide(a).data.astype(numpy.float32), _wide(b).data.astype(numpy.float32)
        )
        total = product + _wide(accumulator).data
        if is_bfloat16(accumulator):
            return tri.TensorHandle(narrowed(total), tl.bfloat16)
        return tri.TensorHandle(total.astype(accumulator.data.dtype), accumulator.dtype.scalar)

    return create_dot


def _reduce(original: Callable[..., Any]) -> Callable[..., Any]:
    def apply_impl(self: Any, given: Any) -> Any:
        inputs = given if isinstance(given, tuple) else (given,)
        narrow = [is_bfloat16(value.handle) for value in inputs]
        if not any(narrow):
            return original(self, given)
        wide = tuple(
            _retyped(value, _wide(value.handle), tl.float32) if is_narrow else value
            for value, is_narrow in zip(inputs, narrow, strict=True)
        )
        result = original(self, wide if isinstance(given, tuple) else wide[0])
        results = tuple(result) if isinstance(result, tuple | list) else (result,)
        back = tuple(
            _retyped(value, tri.TensorHandle(narrowed(value.handle.data), tl.bfloat16), tl.bfloat16)
            if is_narrow and value.handle.data.dtype == numpy.float32
            else value
            for value, is_narrow in zip(results, [*narrow, False, False], strict=False)
        )
        return back if isinstance(result, tuple | list) else back[0]

    return apply_impl


def _retyped(value: Any, handle: Any, dtype: Any) -> Any:
    shape = list(handle.data.shape)
    return tl.tensor(handle, tl.block_type(dtype, shape) if value.type.is_block() else dtype)
