"""Atomic updates of bfloat16, which the interpreter makes on raw bits as if they were integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import triton
import triton.language as tl
import triton.runtime.interpreter as tri

from kernelllm_jupyter.verify.interpreter.formats import narrowed, widened

__all__ = ["install"]

Array = Any
_OPERATIONS = triton._C.libtriton.ir.ATOMIC_OP
COMBINE: dict[Any, Callable[[Array, Array], Array]] = {
    _OPERATIONS.FADD: numpy.add,
    _OPERATIONS.ADD: numpy.add,
    _OPERATIONS.MAX: numpy.fmax,
    _OPERATIONS.MIN: numpy.fmin,
}


def install() -> None:
    """Make them on float32 and round."""
    original = tri.InterpreterBuilder.create_atomic_rmw

    def create_atomic_rmw(
        self: Any, operation: Any, pointer: Any, value: Any, mask: Any, *rest: Any
    ) -> Any:
        if value.dtype.scalar == tl.bfloat16 and operation in COMBINE:
            return _update(COMBINE[operation], pointer, value, mask)
        return original(self, operation, pointer, value, mask, *rest)

    tri.InterpreterBuilder.create_atomic_rmw = create_atomic_rmw


def _update(combine: Callable[[Array, Array], Array], pointer: Any, value: Any, mask: Any) -> Any:
    shape = pointer.data.shape
    addresses = pointer.data.reshape(-1)
    new = numpy.broadcast_to(value.data, shape).reshape(-1)
    waiting = numpy.broadcast_to(mask.data, shape).reshape(-1).copy()
    before = numpy.zeros_like(new)
    # Lanes that share an address take turns.
    while waiting.any():
        lanes = numpy.flatnonzero(waiting)
        _, first = numpy.unique(addresses[lanes], return_index=True)
        now = lanes[first]
        everywhere = numpy.ones(now.shape, bool)
        old = tri._interpreter.load(
            addresses[now], everywhere, numpy.zeros_like(new[now]), new.dtype
        )
        made = narrowed(combine(widened(old), widened(new[now])))
        tri._interpreter.store(addresses[now], made, everywhere)
        before[now] = old
        waiting[now] = False
    return tri.TensorHandle(before.reshape(shape), value.dtype.scalar)
