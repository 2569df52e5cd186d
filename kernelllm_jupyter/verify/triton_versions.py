"""What differs between the versions of Triton's interpreter that users have (3.3 to 3.9).

Everything else in this package wraps the interpreter's methods and passes unknown arguments
through, so that a changed signature needs no entry here.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy
import triton
import triton.language as tl
import triton.runtime.interpreter as tri

__all__ = ["mend", "reduced"]


def mend() -> None:
    """Make an older interpreter do what the newest one does."""
    _index_by_scalars()
    _take_booleans()
    builder = tri.InterpreterBuilder
    if not hasattr(builder, "get_int1_ty"):
        # Missing up to 3.4, and asked for by every store of a comparison.
        builder.get_int1_ty = lambda self: tl.int1
    if not hasattr(builder, "get_bf16"):
        # Missing up to 3.6, and asked for by every constant beside a bfloat16.
        builder.get_bf16 = lambda self, value: self.create_fp_trunc(
            self.get_fp32(value), tl.bfloat16
        )
    # Up to 3.6 they keep NaN, which only the "minimum" and "maximum" forms do.
    builder.create_minnumf = lambda self, a, b: self.binary_op(a, b, numpy.fmin)
    builder.create_maxnumf = lambda self, a, b: self.binary_op(a, b, numpy.fmax)
    builder.create_clampf = _clamp
    builder.create_histogram = _histogram
    builder.get_all_ones_value = _all_ones


def _take_booleans() -> None:
    """3.6 holds a boolean argument as 32 bits and then refuses that."""
    original = tri._implicit_cvt

    def convert(argument: Any) -> Any:
        if isinstance(argument, bool):
            return tl.tensor(tri.TensorHandle(numpy.array([argument]), tl.int1), tl.int1)
        return original(argument)

    tri._implicit_cvt = convert


def _clamp(self: Any, value: Any, low: Any, high: Any, propagate_nan: Any) -> Any:
    """Up to 3.6 NaN always stays."""
    limited = numpy.fmin(numpy.fmax(value.data, low.data), high.data)
    if propagate_nan != triton._C.libtriton.ir.PROPAGATE_NAN.NONE:
        limited = numpy.where(numpy.isnan(value.data), value.data, limited)
    return tri.TensorHandle(limited, value.dtype.scalar)


def _histogram(self: Any, values: Any, bins: int, mask: Any = None) -> Any:
    """Up to 3.6 the last bin takes a value too many, up to 3.3 the counts are too wide."""
    counted = (values.data >= 0) & (values.data < bins)
    if mask is not None:
        counted = counted & mask.data
    counts = numpy.bincount(values.data[counted].astype(numpy.int64), minlength=bins)
    return tri.TensorHandle(counts.astype(numpy.int32), tl.int32)


def _all_ones(self: Any, kind: Any) -> Any:
    """Up to 3.3 there is none of a boolean, which every ``~`` asks for."""
    numpy_kind = tri._get_np_dtype(kind)
    ones = numpy.bitwise_not(numpy.zeros(1, numpy_kind))
    return tri.TensorHandle(ones, kind.scalar)


def reduced(results: list[Any]) -> Any:
    """What ``generic_reduce`` returns: a list, and up to 3.3 one tensor or a tuple of them."""
    if "isinstance(ret, (list" in inspect.getsource(tri.ReduceScanOpInterface.apply):
        return results
    return results[0] if len(results) == 1 else tuple(results)


def _index_by_scalars() -> None:
    """Up to 3.6, ``range(0, n, BLOCK)`` fails with numpy 2.4: scalars are arrays of shape (1,)."""
    original = tri._patch_lang_tensor

    def patch(tensor: Any, *rest: Any) -> None:
        original(tensor, *rest)
        tensor.__index__ = lambda self: int(self.handle.data.reshape(-1)[0])

    tri._patch_lang_tensor = patch
