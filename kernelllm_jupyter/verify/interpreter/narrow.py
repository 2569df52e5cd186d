"""Arithmetic on bfloat16 and 8-bit floats in Triton's interpreter, and casts as a GPU makes them.

numpy has none of these types, so the interpreter keeps their raw bits and computes on those as if
they were integers, silently. Here every operation on such a handle widens it first and rounds the
result, as the hardware does. What a comparison gives is a truth value; the interpreter goes on
calling it by the type of what was compared, so that a cast to that type would leave it as it is.
Casts from floats to integers saturate, as ``cvt.rzi`` does; numpy leaves them undefined.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import triton
import triton.language as tl
import triton.runtime.interpreter as tri

from kernelllm_jupyter.verify.interpreter.formats import (
    FORMATS,
    format_of,
    narrow_handle,
    wide_handle,
)
from kernelllm_jupyter.verify.interpreter.libdevice_functions import saturated

__all__ = ["install"]

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


def install() -> None:
    """Wrap the builder's arithmetic and replace its casts."""
    builder = tri.InterpreterBuilder
    for name, count in ARITHMETIC.items():
        setattr(builder, name, _in_float32(getattr(builder, name), count))
    builder.cast_impl = _cast
    builder.create_fp_to_fp = _convert


def _in_float32(original: Callable[..., Any], count: int) -> Callable[..., Any]:
    def method(self: Any, *arguments: Any) -> Any:
        kinds = [
            value.dtype.scalar
            for value in arguments[:count]
            if value.data.dtype.kind == "u" and format_of(value) is not None
        ]
        rest = arguments[count:]
        values = map(wide_handle, arguments[:count]) if kinds else arguments[:count]
        result = original(self, *values, *rest)
        if rest and rest[0] in COMPARISONS:
            return tri.TensorHandle(result.data, tl.int1)
        if not kinds or result.data.dtype != numpy.float32:
            return result
        return narrow_handle(result.data, kinds[0])

    return method


def _cast(self: Any, source: Any, target: Any) -> Any:
    before, after = source.dtype.scalar, target.scalar
    if before == after:
        return tri.TensorHandle(source.data, after)
    values = wide_handle(source).data
    if after.name in FORMATS:
        return narrow_handle(values, after)
    kind = tri._get_np_dtype(after)
    if values.dtype.kind == "f" and kind.kind in "iu":
        return tri.TensorHandle(_truncated(values, kind), after)
    return tri.TensorHandle(values.astype(kind), after)


def _convert(self: Any, source: Any, target: Any, rounding: Any) -> Any:
    toward_zero = rounding == triton._C.libtriton.ir.ROUNDING_MODE.RTZ
    after = target.scalar
    if not toward_zero:
        return _cast(self, source, target)
    values = wide_handle(source).data
    if after.name in FORMATS:
        return narrow_handle(values, after, toward_zero=True)
    kind = tri._get_np_dtype(after)
    rounded = values.astype(kind)
    beyond = numpy.abs(rounded.astype(numpy.float64)) > numpy.abs(values.astype(numpy.float64))
    back = numpy.nextafter(rounded, numpy.zeros((), kind))
    return tri.TensorHandle(numpy.where(beyond, back, rounded), after)


def _truncated(values: Array, kind: Any) -> Array:
    """Floats as integers: toward zero, saturated, NaN as PTX has it.

    8-bit results are the low bits of 16-bit ones, because PTX has no shorter conversion.
    """
    wide = numpy.dtype(f"{kind.kind}{max(kind.itemsize, 2)}")
    return saturated(numpy.trunc(values), wide).astype(kind)
