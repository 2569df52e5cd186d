"""Collects operations that one Triton kernel can do together, and gives them as a graph.

A builder holds a *region*: values over one shape with at most one axis of reduction, or the tile
of one product or convolution with what follows it element for element.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from kernelllm_jupyter.starter.domain import (
    Number,
    Refused,
    Tensor,
    TensorInput,
    WeightRef,
)
from kernelllm_jupyter.starter.graph import (
    LIMITS,
    Graph,
    Layout,
    Operand,
    Stored,
)
from kernelllm_jupyter.starter.operands import LOADS, Numbering, Order, Sizes, is_single, name_of
from kernelllm_jupyter.starter.schedule import ROWS, Pending, expanded, passes
from kernelllm_jupyter.starter.vocabulary import BOOLEAN

__all__ = ["Axis", "Builder", "broadcast", "numel"]


@dataclass(frozen=True)
class Axis:
    """Where a region reduces: ``count`` dimensions from ``first`` on (None: not known).

    ``size``, ``stride``, ``dropped`` and ``kept`` are expressions of ``forward`` with ``{x}`` for
    the tensor: the length of a row, the distance of its elements, and the shape of the result.
    """

    kind: Layout
    first: int | None
    count: int
    size: str
    dropped: str
    kept: str
    stride: str = "1"


@dataclass
class Builder:
    """The region under construction; ``shape`` is that of its values, as far as it is known."""

    shape: Sizes | None = ()
    axis: Axis | None = None
    #: The layout where a product, convolution or window began the region.
    fixed: Layout | None = None
    #: Expressions of ``forward`` that go with ``fixed``.
    texts: dict[str, str] = field(default_factory=dict)
    #: What the source calls a number that it computes, by the number's text.
    number_names: dict[str, str] = field(default_factory=dict)
    #: ``sum`` or ``mean`` where the rows' numbers are added up at the end.
    over_rows: str | None = None
    merged: Builder | None = None
    heads: list[Any] = field(default_factory=list)
    _inner: dict[int, Tensor] = field(default_factory=dict)
    _pending: list[Pending] = field(default_factory=list)
    _loaded: dict[str, Tensor] = field(default_factory=dict)

    @property
    def rank(self) -> int | None:
        return None if self.shape is None else len(self.shape)

    # -- attempts ---------------------------------------------------------------------------------

    def mark(self) -> tuple[Any, ...]:
        """The state, for :meth:`restore`."""
        return (
            self.shape,
            self.axis,
            self.over_rows,
            dict(self._inner),
            list(self._pending),
            dict(self._loaded),
        )

    def restore(self, mark: tuple[Any, ...]) -> None:
        self.shape, self.axis, self.over_rows = mark[:3]
        self._inner, self._pending, self._loaded = mark[3:]

    def absorb(self, other: Builder) -> bool:
        """Take another region's operations in, where both can be done together."""
        if other.fixed is not None or self._inner or other._inner:
            return False
        same_axis = self.axis == other.axis
        if not same_axis and other.axis is not None:
            return False
        joined = broadcast([self.shape, other.shape])
        if joined != self.shape and (self.axis is not None or self.fixed is not None):
            return False
        if other.axis is not None and joined != other.shape:
            return False
        self.shape = joined
        again = {}
        for pending in other._pending:
            leaf = pending.operands[0] if pending.operation == "load" else None
            if leaf is not None and leaf.text in self._loaded:
                again[id(pending.target)] = self._loaded[leaf.text]
            elif leaf is not None:
                self._loaded[leaf.text] = pending.target
                pending.target.extent = "scalar" if is_single(leaf) else "full"
        for pending in other._pending:
            if id(pending.target) in again:
                pending.operation, pending.operands = "alias", [again[id(pending.target)]]
            pending.target.region = self
            self._pending.append(pending)
        self.number_names |= other.number_names
        other.merged = self
        return True

    # -- operands ---------------------------------------------------------------------------------

    def tensor(self, value: Any, node: ast.AST | None = None) -> Tensor:
        """``value`` as a value of the region, loading an input or weight on first use."""
        if isinstance(value, Tensor):
            return value
        if isinstance(value, (TensorInput, WeightRef)):
            if value.text not in self._loaded:
                self._join(value, node)
                extent = "scalar" if is_single(value) and self.shape != () else "full"
                target = Tensor(cast(Any, extent), region=self)
                target.name = name_of(value)
                self._loaded[value.text] = target
                self._pending.append(Pending(target, "load", [value]))
            return self._loaded[value.text]
        raise Refused(f"{_describe(value)} where a tensor is expected", node)

    def per_row(self, value: TensorInput | WeightRef) -> Tensor:
        """A tensor of one number per row, such as the classes of a loss."""
        target = Tensor("drop", region=self, name=getattr(value, "name", None))
        self._pending.append(Pending(target, "row", [value]))
        return target

    def _join(self, value: TensorInput | WeightRef, node: ast.AST | None) -> None:
        shape = value.spec.shape
        if isinstance(value, WeightRef) and shape is None:
            return
        joined = broadcast([self.shape, shape])
        if self.fixed is not None and not self._fits(shape):
            raise Refused("a tensor of another shape beside a product", node)
        if joined == self.shape:
            return
        if self.fixed is not None or self.axis is not None:
            raise Refused("a tensor of another shape beside a reduction", node)
        self.shape = joined

    def _fits(self, shape: Sizes | None) -> bool:
        """Whether a tensor of ``shape`` can be read beside a product without being expanded."""
        if shape is None or self.shape is None:
            return False
        return shape == self.shape or sum(size != 1 for size in shape) <= 1

    def begin(self, layout: Layout, operation: str, operands: list[Any], shape: Sizes) -> Tensor:
        """Start the region with a product, convolution or window of ``operands``."""
        self.fixed, self.shape, self.heads = layout, shape, list(operands)
        target = Tensor("full", region=self)
        self._pending.append(Pending(target, operation, list(operands)))
        return target

    def total_of_rows(self, operation: str, value: Tensor) -> Tensor:
        """The sum or mean of one number per row, which comes last."""
        self.over_rows = operation
        target = self.alias(value, "rowtotal")
        self._inner[id(target)] = value
        return target

    def _commuted(self, operation: str, operands: list[Any], node: ast.AST | None) -> Tensor:
        """An operation on the sum or mean of rows, done on each row before."""
        at = [id(value) in self._inner for value in operands]
        linear = operation in ("neg", "mul") or (operation == "div" and at[0])
        shifted = operation in ("add", "sub") and self.over_rows == "mean"
        if sum(at) != 1 or sum(isinstance(v, Tensor) for v in operands) != 1:
            linear = shifted = False
        if not (linear or shifted):
            raise Refused("arithmetic on a sum or mean of rows", node)
        inner = [self._inner.get(id(value), value) for value in operands]
        return self.total_of_rows(str(self.over_rows), self.emit(operation, inner, node))

    def _operand(self, value: Any, node: ast.AST | None) -> Any:
        if isinstance(value, bool):
            return float(value)
        if isinstance(value, (int, float)):
            return float(value)
        if isinstance(value, Number):
            if value.node is None and value.value is None:
                raise Refused("a number that only the constructor knows", node)
            if value.value is not None and not isinstance(value.value, (int, float)):
                raise Refused(f"{type(value.value).__name__} where a number is expected", node)
            return value if value.node is not None else float(cast(float, value.value))
        return self.tensor(value, node)

    def emit(
        self,
        operation: str,
        operands: Sequence[Any],
        node: ast.AST | None = None,
        extent: str | None = None,
    ) -> Tensor:
        """Add one operation and return its value."""
        ready = [self._operand(value, node) for value in operands]
        if any(id(value) in self._inner for value in ready):
            return self._commuted(operation, ready, node)
        tensors = [value for value in ready if isinstance(value, Tensor)]
        joined = extent or _join([value.extent for value in tensors], node)
        if operation not in BOOLEAN:
            keep = 1 if operation == "where" else 0
            ready = [
                self._as_float(value) if index >= keep and operation != "float" else value
                for index, value in enumerate(ready)
            ]
        target = Tensor(cast(Any, joined), is_boolean=operation in BOOLEAN, region=self)
        self._pending.append(Pending(target, operation, ready))
        return target

    def alias(self, tensor: Tensor, extent: str) -> Tensor:
        """The same numbers with the reduced dimension dropped or restored."""
        target = Tensor(cast(Any, extent), tensor.is_boolean, region=self)
        self._pending.append(Pending(target, "alias", [tensor]))
        return target

    def _as_float(self, value: Any) -> Any:
        if isinstance(value, Tensor) and value.is_boolean:
            return self.emit("float", [value])
        return value

    # -- shapes -----------------------------------------------------------------------------------

    def shape_of(self, tensor: Tensor) -> Sizes | None:
        """The shape that ``tensor`` has in PyTorch."""
        if tensor.extent in ("total", "rowtotal"):
            return ()
        if tensor.extent == "scalar":
            return () if self.shape == () else None
        axis, shape = self.axis, self.shape
        if tensor.extent == "full" or shape is None or axis is None or axis.first is None:
            return shape if tensor.extent == "full" else None
        if axis.kind == "channel":
            kept: Sizes = tuple(s if i == 1 else 1 for i, s in enumerate(shape))
            return kept if tensor.extent == "keep" else shape[1:2]
        end = axis.first + axis.count
        middle = (1,) * axis.count if tensor.extent == "keep" else ()
        return shape[: axis.first] + middle + shape[end:]

    def reduces(self, tensor: Tensor) -> bool:
        """Whether something is reduced on the way to ``tensor``."""
        return any(pending.operation in ROWS for pending in self._needed(tensor))

    def is_index(self, tensor: Tensor) -> bool:
        """Whether ``tensor`` is the place of a maximum or minimum."""
        return any(
            pending.target is tensor and pending.operation in ("argmax", "argmin")
            for pending in self._pending
        )

    # -- the finished graph -----------------------------------------------------------------------

    def is_plain_total(self, result: Tensor) -> bool:
        """Whether the only reduction is a last sum or mean of everything (as in a loss)."""
        needed = self._needed(result)
        rows = [pending for pending in needed if pending.operation in ROWS]
        return (
            len(rows) == 1
            and rows[0].target is result
            and result.extent == "total"
            and rows[0].operation in ("sum", "mean", "max", "min")
        )

    def finish(self, result: Tensor, stored: Stored, layout: Layout) -> tuple[Graph, list[Any]]:
        """The graph of what ``result`` needs, and its operands in the order of the placeholders."""
        if result.is_boolean:
            result = self.emit("float", [result])
        result = self._resolve(result)
        needed = self._needed(result)
        if layout in ("flat", "rows") and self.is_plain_total(result):
            layout, stored = "total", cast(Stored, needed.pop().operation)
        if layout.startswith("long_"):
            needed = expanded(needed, result)
        leaves = self._leaves(needed)
        order = Order(self.shape, self._heads(), leaves, self._rows())
        loads = [p for p in needed if p.operation in LOADS]
        others = [p for p in needed if p.operation not in LOADS]
        if not others and layout not in ("total",):
            raise Refused("a forward that computes nothing")
        loads.sort(key=lambda load: order.place(load.operands[0]))
        lined = passes(loads + others, result, stored) if layout.startswith("long_") else []
        lined = lined or (loads + others)
        numbering = Numbering(order, self.number_names)
        steps, names = numbering.steps(lined)
        graph = Graph(
            layout=layout,
            stored=stored,
            steps=tuple(steps),
            inputs=tuple(Operand(leaf.text, name_of(leaf)) for leaf in order.inputs),
            weights=tuple(order.weights),
            numbers=tuple(numbering.numbers.values()),
            constants=tuple(numbering.constants),
            names=tuple(names),
        )
        _within_limits(graph)
        return graph, [*order.inputs, *order.smaller]

    def _heads(self) -> list[Any]:
        return [*self.heads] if self.fixed is not None else []

    def _rows(self) -> list[Any]:
        """The operands that are read as one number per row."""
        return [p.operands[0] for p in self._pending if p.operation == "row"]

    def _leaves(self, needed: list[Pending]) -> list[Any]:
        found = self._heads()
        for pending in needed:
            if pending.operation in LOADS and pending.operands[0] not in found:
                found.append(pending.operands[0])
        if not found:
            raise Refused("a result that depends on no input")
        return found

    def _resolve(self, result: Tensor) -> Tensor:
        """Take the aliases out: the steps use what they stand for."""
        meant: dict[int, Tensor] = {}
        for pending in self._pending:
            pending.operands = [meant.get(id(value), value) for value in pending.operands]
            if pending.operation == "alias":
                meant[id(pending.target)] = pending.operands[0]
        return meant.get(id(result), result)

    def _needed(self, result: Tensor) -> list[Pending]:
        wanted = {id(result)}
        needed: list[Pending] = []
        for pending in reversed(self._pending):
            if id(pending.target) in wanted:
                wanted |= {id(value) for value in pending.operands if isinstance(value, Tensor)}
                if pending.operation != "alias":
                    needed.append(pending)
        return needed[::-1]


def broadcast(shapes: Sequence[Sizes | None]) -> Sizes | None:
    """The shape that tensors have together, as far as it is known."""
    known = [shape for shape in shapes if shape is not None]
    if len(known) < len(shapes):
        return None
    rank = max((len(shape) for shape in known), default=0)
    sizes: list[int | None] = []
    for place in range(-rank, 0):
        here = [shape[place] for shape in known if -place <= len(shape)]
        wide = [size for size in here if size != 1]
        if len({size for size in wide if size is not None}) > 1:
            raise Refused(f"tensors of shapes {' and '.join(map(str, known))} together")
        sizes.append(wide[0] if wide else 1)
    return tuple(sizes)


def numel(shape: Sizes | None) -> int | None:
    """How many elements a tensor of this shape has, where that is known."""
    if shape is None or any(size is None for size in shape):
        return None
    return math.prod(cast(tuple[int, ...], shape))


def _within_limits(graph: Graph) -> None:
    counts = {
        "v": len(graph.steps),
        "in": len(graph.inputs),
        "w": len(graph.weights),
        "p": len(graph.numbers),
        "c": len(graph.constants),
    }
    names = {"v": "steps", "in": "inputs", "w": "weights", "p": "parameters", "c": "constants"}
    for kind, count in counts.items():
        if count > LIMITS[kind]:
            raise Refused(f"a forward of {count} {names[kind]} (at most {LIMITS[kind]})")


def _join(extents: Sequence[str], node: ast.AST | None) -> str:
    found = {extent for extent in extents if extent not in ("scalar", "rowtotal")}
    if not found:
        return "scalar"
    if len(found) == 1:
        return found.pop()
    if "drop" in found or "full" not in found:
        raise Refused("a reduced value combined with a whole one without keepdim", node)
    return "full"


def _describe(value: Any) -> str:
    what = getattr(value, "what", None)
    if isinstance(what, str):
        return what
    if value is None:
        return "None"
    return f"a value of kind {type(value).__name__.lower()}"
