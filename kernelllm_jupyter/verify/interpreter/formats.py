"""Floats that numpy lacks: bfloat16 and the 8-bit formats, kept as raw bits by the interpreter.

Widening to float32 is exact. Narrowing rounds to nearest even, or toward zero, and saturates where
the hardware does: conversions to 8-bit floats end at the largest finite number (``cvt.satfinite``
on NVIDIA), those to bfloat16 and float16 at infinity.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy
import triton.language as tl
import triton.runtime.interpreter as tri

__all__ = ["FORMATS", "format_of", "narrow_handle", "narrowed", "wide_handle", "widened"]

Array = Any


@dataclass(frozen=True)
class Eight:
    """An 8-bit float: its exponent's bits and bias, and how it spells NaN and infinity.

    ``unsigned_zero`` formats have no negative zero; its bits are their NaN. ``top`` is the largest
    finite number's bits.
    """

    exponent_bits: int
    bias: int
    top: int
    nan: int
    infinity: int | None = None
    unsigned_zero: bool = False


EIGHT = {
    "fp8e5": Eight(5, 15, top=0x7B, nan=0x7F, infinity=0x7C),
    "fp8e4nv": Eight(4, 7, top=0x7E, nan=0x7F),
    "fp8e5b16": Eight(5, 16, top=0x7F, nan=0x80, unsigned_zero=True),
    "fp8e4b8": Eight(4, 8, top=0x7F, nan=0x80, unsigned_zero=True),
    # Triton's own: neither NaN nor infinity, all bits are numbers.
    "fp8e4b15": Eight(4, 15, top=0x7F, nan=0x7F),
}
FORMATS = frozenset([tl.bfloat16.name, *EIGHT])


def format_of(handle: Any) -> str | None:
    """The name of the format whose raw bits a handle holds; None for what numpy knows."""
    if not isinstance(handle, tri.TensorHandle):
        return None
    name: str = handle.dtype.scalar.name
    return name if name in FORMATS and handle.data.dtype.kind == "u" else None


def widened(bits: Array, name: str = "bf16") -> Array:
    """Raw bits as float32."""
    if name == "bf16":
        return (numpy.ascontiguousarray(bits).astype(numpy.uint32) << 16).view(numpy.float32)
    return _values(name)[numpy.asarray(bits, dtype=numpy.uint8)]


def narrowed(values: Array, name: str = "bf16", *, toward_zero: bool = False) -> Array:
    """Numbers as raw bits."""
    if name == "bf16":
        return _narrowed_to_bfloat16(values, toward_zero)
    return _narrowed_to_eight(values, name, toward_zero)


def wide_handle(handle: Any) -> Any:
    """The handle in float32, where it holds raw bits."""
    name = format_of(handle)
    return handle if name is None else tri.TensorHandle(widened(handle.data, name), tl.float32)


def narrow_handle(values: Array, dtype: Any, *, toward_zero: bool = False) -> Any:
    """A handle of ``dtype``, one of :data:`FORMATS`, that holds ``values``."""
    return tri.TensorHandle(narrowed(values, dtype.name, toward_zero=toward_zero), dtype)


def _narrowed_to_bfloat16(values: Array, toward_zero: bool) -> Array:
    single = numpy.ascontiguousarray(values, dtype=numpy.float32)
    bits = single.view(numpy.uint32)
    if toward_zero:
        rounded = (bits >> numpy.uint32(16)).astype(numpy.uint16)
    else:
        tie = (bits >> numpy.uint32(16)) & numpy.uint32(1)
        rounded = ((bits + tie + numpy.uint32(0x7FFF)) >> numpy.uint32(16)).astype(numpy.uint16)
    return numpy.where(numpy.isnan(single), numpy.uint16(0x7FC0), rounded)


def _narrowed_to_eight(values: Array, name: str, toward_zero: bool) -> Array:
    kind = EIGHT[name]
    numbers = numpy.asarray(values)
    numbers = numbers if numbers.dtype == numpy.float64 else numbers.astype(numpy.float32)
    positive = _values(name)[: kind.top + 1].astype(numpy.float64)
    magnitude = numpy.abs(numbers.astype(numpy.float64))
    # Positive numbers are in the order of their bits.
    lower = numpy.searchsorted(positive, magnitude, side="right") - 1
    lower = numpy.clip(lower, 0, kind.top)
    if not toward_zero:
        upper = numpy.minimum(lower + 1, kind.top)
        middle = (positive[lower] + positive[upper]) / 2
        lower = numpy.where(
            (magnitude > middle) | ((magnitude == middle) & (lower % 2 == 1)), upper, lower
        )
    bits = lower.astype(numpy.uint8)
    signed = numpy.signbit(numbers)
    if kind.unsigned_zero:
        signed = signed & (bits != 0)
    bits = numpy.where(signed, bits | numpy.uint8(0x80), bits)
    return numpy.where(numpy.isnan(numbers), numpy.uint8(kind.nan), bits)


@cache
def _values(name: str) -> Array:
    """What each of the 256 patterns stands for."""
    kind = EIGHT[name]
    mantissa_bits = 7 - kind.exponent_bits
    bits = numpy.arange(256)
    exponent = (bits & 0x7F) >> mantissa_bits
    fraction = (bits & ((1 << mantissa_bits) - 1)) / (1 << mantissa_bits)
    magnitude = numpy.where(
        exponent == 0,
        numpy.ldexp(fraction, 1 - kind.bias),
        numpy.ldexp(1 + fraction, exponent - kind.bias),
    )
    if kind.infinity is not None:
        magnitude[(bits & 0x7F) == kind.infinity] = numpy.inf
        magnitude[(bits & 0x7F) > kind.infinity] = numpy.nan
    values = numpy.where(bits & 0x80, -magnitude, magnitude).astype(numpy.float32)
    if kind.unsigned_zero:
        values[kind.nan] = numpy.nan
    elif name == "fp8e4nv":
        values[[0x7F, 0xFF]] = numpy.nan
    return values
