"""Reductions and scans at array speed, rounded as a GPU rounds them.

The interpreter calls a combine function of the Triton kernel's own once for every element (6 s for
8,192 of them). The function is elementwise, so it can as well take whole slices: neighbours are
combined pair by pair, which keeps their order and needs associativity only, as Triton itself does.

Sums of 16-bit floats are made the same way, because a GPU rounds every single addition
(``add.bf16``), where numpy would round once. The largest and smallest ignore NaN, as ``max.f32``
does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import triton.language as tl
import triton.runtime.interpreter as tri

from kernelllm_jupyter.verify.interpreter.formats import format_of, widened
from kernelllm_jupyter.verify.triton_versions import reduced

__all__ = ["install"]

Arrays = list[Any]


def install() -> None:
    """Replace the per-element loops; they remain the way out where slices do not work."""
    tri.ReduceOps.generic_reduce = _reduce(tri.ReduceOps.generic_reduce)
    tri.ReduceOps.sum = _sum(tri.ReduceOps.sum)
    tri.ReduceOps.min_max = _min_max
    tri.ScanOps.generic_scan = _scan(tri.ScanOps.generic_scan)
    for name in ("cumsum", "cumprod"):
        setattr(tri.ScanOps, name, _rounded_scan(getattr(tri.ScanOps, name)))


def _is_short(value: Any) -> bool:
    """Whether additions of this type round so coarsely that their number shows."""
    return format_of(value.handle) is not None or value.handle.data.dtype == numpy.float16


def _sum(original: Callable[..., Any]) -> Callable[..., Any]:
    def sum_(self: Any, value: Any) -> Any:
        return _reduce_slices(self, (value,))[0] if _is_short(value) else original(self, value)

    return sum_


def _rounded_scan(original: Callable[..., Any]) -> Callable[..., Any]:
    def scan(self: Any, value: Any) -> Any:
        return _scan_slices(self, (value,)) if _is_short(value) else original(self, value)

    return scan


def _min_max(self: Any, value: Any, val_reduce_op: Any = None, idx_reduce_op: Any = None) -> Any:
    """The largest or smallest of each slice, its first position, or both."""
    given = value[0] if isinstance(value, tuple) else value
    raw = given.handle.data
    name = format_of(given.handle)
    numbers = raw if name is None else widened(raw, name)
    largest = "max" in (val_reduce_op or idx_reduce_op).__name__
    if numbers.dtype.kind == "f":
        worst = numbers.dtype.type(-numpy.inf if largest else numpy.inf)
        compared = numpy.where(numpy.isnan(numbers), worst, numbers)
    else:
        compared = numbers
    if self.axis is None:
        raw, compared, numbers = raw.reshape(-1), compared.reshape(-1), numbers.reshape(-1)
    axis = 0 if self.axis is None else self.axis
    at = numpy.expand_dims((numpy.argmax if largest else numpy.argmin)(compared, axis=axis), axis)
    # Where all are NaN, so is the first of them.
    best = numpy.take_along_axis(raw, at, axis)
    if self.axis is None:
        shape = (1,) * len(given.handle.data.shape) if self.keep_dims else ()
        best, at = best.reshape(shape), at.reshape(shape)
    elif not self.keep_dims:
        best, at = best.squeeze(axis), at.squeeze(axis)
    results = []
    if val_reduce_op:
        results.append(self.to_tensor(best, given.dtype.scalar))
    if idx_reduce_op:
        results.append(self.to_tensor(at, tl.int32))
    return results[0] if len(results) == 1 else tuple(results)


def _combine(operation: Any, dtypes: list[Any], left: Arrays, right: Arrays) -> Arrays:
    """The combine function on two lists of equally shaped arrays."""
    made = operation.combine_fn.rewrite()(
        *(_tensor(array, dtype) for array, dtype in zip(left, dtypes, strict=True)),
        *(_tensor(array, dtype) for array, dtype in zip(right, dtypes, strict=True)),
    )
    results = made if isinstance(made, tuple) else (made,)
    arrays = []
    for result, before, dtype in zip(results, left, dtypes, strict=True):
        if isinstance(result, tl.tensor):
            array = tri.interpreter_builder.cast_impl(result.handle, dtype).data
        else:
            array = numpy.asarray(result)
        arrays.append(numpy.broadcast_to(array, before.shape).astype(before.dtype))
    return arrays


def _tensor(array: Any, dtype: Any) -> Any:
    block = tl.block_type(dtype, list(array.shape))
    return tl.tensor(tri.TensorHandle(numpy.ascontiguousarray(array), dtype), block)


def _moved(inputs: Any, axis: int) -> tuple[Arrays, list[Any]]:
    arrays = [numpy.moveaxis(value.handle.data, axis, 0) for value in inputs]
    return arrays, [value.dtype.scalar for value in inputs]


def _reduce(original: Callable[..., Any]) -> Callable[..., Any]:
    def generic_reduce(self: Any, inputs: Any) -> Any:
        try:
            return reduced(_reduce_slices(self, inputs))
        except Exception:
            # A combine function that branches on its values takes single elements only.
            return original(self, inputs)

    return generic_reduce


def _reduce_slices(self: Any, inputs: Any) -> list[Any]:
    whole = self.axis is None
    flat, axis = self.unravel(inputs, self.axis)
    arrays, dtypes = _moved(flat, axis)
    while len(arrays[0]) > 1:
        even = len(arrays[0]) // 2 * 2
        rest = [array[even:] for array in arrays]
        paired = _combine(
            self, dtypes, [a[0:even:2] for a in arrays], [a[1:even:2] for a in arrays]
        )
        arrays = [numpy.concatenate([a, b]) for a, b in zip(paired, rest, strict=True)]
    results = []
    for array, value in zip(arrays, flat, strict=True):
        left = array[0]
        if self.keep_dims:
            shape = [1] * len(inputs[0].shape) if whole else None
            left = left.reshape(shape) if shape else numpy.expand_dims(left, axis)
        elif whole:
            left = left.item()
        results.append(self.to_tensor(left, value.dtype.scalar))
    return results


def _scan(original: Callable[..., Any]) -> Callable[..., Any]:
    def generic_scan(self: Any, inputs: Any) -> Any:
        try:
            return _scan_slices(self, inputs)
        except Exception:
            return original(self, inputs)

    return generic_scan


def _scan_slices(self: Any, inputs: Any) -> list[Any]:
    arrays, dtypes = _moved(inputs, self.axis)
    distance = 1
    while distance < len(arrays[0]):
        later = _combine(
            self, dtypes, [a[:-distance] for a in arrays], [a[distance:] for a in arrays]
        )
        arrays = [numpy.concatenate([a[:distance], b]) for a, b in zip(arrays, later, strict=True)]
        distance *= 2
    return [
        self.to_tensor(numpy.ascontiguousarray(numpy.moveaxis(a, 0, self.axis)), v.dtype.scalar)
        for a, v in zip(arrays, inputs, strict=True)
    ]
