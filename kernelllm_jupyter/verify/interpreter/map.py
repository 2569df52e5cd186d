"""``tl.map_elementwise``: a function of single elements, which may branch on them.

The interpreter has none. The function is called for one element, or one pack of them, at a time.
"""

from __future__ import annotations

from typing import Any

import numpy
import triton.language as tl
import triton.runtime.interpreter as tri

__all__ = ["install"]

Array = Any


def install() -> None:
    """Replace it where the language has it."""
    if not hasattr(tl, "map_elementwise"):
        return

    def map_elementwise(function: Any, *given: Any, pack: int = 1, _semantic: Any = None) -> Any:
        arrays = list(numpy.broadcast_arrays(*(value.handle.data for value in given)))
        kinds = [value.dtype.scalar for value in given]
        results = _by_element(function.rewrite(), arrays, kinds, pack)
        return results[0] if len(results) == 1 else tuple(results)

    map_elementwise.__triton_builtin__ = True  # type: ignore[attr-defined]
    tl.map_elementwise = tl.core.map_elementwise = map_elementwise


def _by_element(function: Any, arrays: list[Array], kinds: list[Any], pack: int) -> list[Any]:
    shape = arrays[0].shape
    flat = [numpy.ascontiguousarray(array).reshape(-1) for array in arrays]
    collected: list[list[Any]] = []
    types: list[Any] = []
    for start in range(0, flat[0].size, pack):
        scalars = [
            tl.tensor(tri.TensorHandle(array[start + lane : start + lane + 1], kind), kind)
            for array, kind in zip(flat, kinds, strict=True)
            for lane in range(pack)
        ]
        made = function(*scalars)
        made = made if isinstance(made, tuple) else (made,)
        tensors = [tri.interpreter_semantic.to_tensor(value) for value in made]
        collected.append([tensor.handle.data.reshape(-1)[0] for tensor in tensors])
        types = [tensor.dtype.scalar for tensor in tensors]
    results = []
    # With several elements a call, their results come one after another.
    for first in range(0, len(types), pack):
        kind = types[first]
        columns = [[row[first + lane] for row in collected] for lane in range(pack)]
        values = numpy.array(columns, dtype=tri._get_np_dtype(kind)).T.reshape(shape)
        handle = tri.TensorHandle(numpy.ascontiguousarray(values), kind)
        results.append(tl.tensor(handle, tl.block_type(kind, list(shape))))
    return results
