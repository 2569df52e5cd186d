"""Types and shapes are worked out once for each kind, and blocks of one value are not filled in.

For every operation the language builds the type of its result, with checks of its shape and a
constant for each of its sizes; together this takes longer than the arithmetic. What is built is the
same every time, so it is remembered.
"""

from __future__ import annotations

from typing import Any

import numpy
import triton.language as tl
import triton.runtime.interpreter as tri

__all__ = ["install"]


def install() -> None:
    """Remember types; hand out blocks of one value as views; copy nothing that is on the host."""
    _remember_block_types()
    _remember_tensor_shapes()
    _remember_numpy_types()
    tri.InterpreterBuilder.create_splat = _splat
    # Arguments are on the host, where the interpreter works on their own memory.
    tri.GridExecutor._restore_args_dev = lambda self, *_: None


def _remember_block_types() -> None:
    original = tl.block_type.__init__
    known: dict[Any, dict[str, Any]] = {}

    def init(self: Any, element_ty: Any, shape: Any) -> None:
        sizes = [size.value if isinstance(size, tl.constexpr) else size for size in shape]
        key = (element_ty.name, *sizes)
        attributes = known.get(key)
        if attributes is None:
            original(self, element_ty, shape)
            known[key] = dict(vars(self))
        else:
            self.__dict__.update(attributes)
            self.element_ty = element_ty

    tl.block_type.__init__ = init


def _remember_tensor_shapes() -> None:
    original = tl.tensor.__init__
    known: dict[str, tuple[Any, Any]] = {}

    def init(self: Any, handle: Any, type: Any) -> None:
        found = known.get(type.name)
        if found is None:
            original(self, handle, type)
            known[type.name] = (self.shape, self.numel)
            return
        self.handle = handle
        self.shape, self.numel = found
        self.type = type
        self.dtype = type.scalar

    tl.tensor.__init__ = init


def _remember_numpy_types() -> None:
    original = tri._get_np_dtype
    known: dict[str, Any] = {}

    def get_np_dtype(kind: Any) -> Any:
        found = known.get(kind.name)
        if found is None:
            found = known[kind.name] = original(kind)
        return found

    tri._get_np_dtype = get_np_dtype


def _splat(self: Any, kind: Any, value: Any) -> Any:
    """A block of one value, without writing it out."""
    if isinstance(kind, tri.TensorHandle):
        # Up to 3.3: the value, and the shape.
        kind, value = tl.block_type(kind.dtype.scalar, value), kind
    single = value.data.reshape(-1)[:1].astype(tri._get_np_dtype(value.dtype), copy=False)
    return tri.TensorHandle(numpy.broadcast_to(single.reshape(()), kind.shape), value.dtype.scalar)
