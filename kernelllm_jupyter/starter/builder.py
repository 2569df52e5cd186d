"""Collects the operations of a forward pass and gives them as a :class:`~.graph.Graph`."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
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
    HostNumber,
    Layout,
    Step,
    Stored,
    Weight,
)
from kernelllm_jupyter.starter.vocabulary import BOOLEAN

__all__ = ["Axis", "Builder"]

_LOADS = frozenset({"load", "first", "second"})
_ROWS = frozenset(
    {"sum", "mean", "max", "min", "logsumexp", "norm1", "norm2", "var0", "var1", "std0", "std1"}
    | {"softmax", "log_softmax", "normalize", "layer_norm", "rms_norm", "cumsum"}
)


@dataclass(frozen=True)
class Axis:
    """Where a graph reduces. ``first`` counts from the front where the rank is known.

    ``count`` is the number of trailing dimensions that are taken together.
    """

    kind: Layout
    first: int | None
    text: str
    count: int = 1


@dataclass
class _Pending:
    target: Tensor
    operation: str
    operands: list[Any]


class Builder:
    """The graph under construction; ``rank`` and ``shape`` are of the broadcast inputs."""

    def __init__(self, inputs: Sequence[TensorInput], shape: tuple[int | None, ...] | None):
        self.inputs = list(inputs)
        self.shape = shape
        self.axis: Axis | None = None
        #: What the source calls a number that it computes, by the number's text.
        self.number_names: dict[str, str] = {}
        #: ``sum`` or ``mean`` where the rows' numbers are added up at the end.
        self.over_rows: str | None = None
        #: Whether inputs are read as two halves of their last dimension.
        self.is_halved = False
        self._inner: dict[int, Tensor] = {}
        self._pending: list[_Pending] = []
        self._loaded: dict[str, Tensor] = {}
        self._weights: dict[str, WeightRef] = {}

    @property
    def rank(self) -> int | None:
        return None if self.shape is None else len(self.shape)

    # -- operands ---------------------------------------------------------------------------------

    def tensor(self, value: Any, node: ast.AST | None = None) -> Tensor:
        """``value`` as a value of the graph, loading an input or weight on first use."""
        if isinstance(value, Tensor):
            return value
        if isinstance(value, TensorInput):
            return self._load(f"in:{value.name}", value)
        if isinstance(value, WeightRef):
            text = ast.unparse(value.node)
            return self._load(f"w:{text}", self._weights.setdefault(text, value))
        raise Refused(f"{_describe(value)} where a tensor is expected", node)

    def _load(self, key: str, value: TensorInput | WeightRef) -> Tensor:
        if key not in self._loaded:
            single = isinstance(value, WeightRef) and _is_single(value)
            target = Tensor("scalar" if single else "full")
            target.name = value.name if isinstance(value, TensorInput) else _last(value.node)
            self._loaded[key] = target
            self._pending.append(_Pending(target, "load", [value]))
        return self._loaded[key]

    def halves(self, value: TensorInput, node: ast.AST | None) -> tuple[Tensor, Tensor]:
        """The two halves of the last dimension of the only input."""
        if len(self.inputs) > 1 or not isinstance(value, TensorInput):
            raise Refused("halves of anything but the only input", node)
        self.is_halved = True
        found = []
        for half in ("first", "second"):
            key = f"{half}:{value.name}"
            if key not in self._loaded:
                self._loaded[key] = Tensor("full")
                self._pending.append(_Pending(self._loaded[key], half, [value]))
            found.append(self._loaded[key])
        return found[0], found[1]

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
        target = Tensor(cast(Any, joined), is_boolean=operation in BOOLEAN)
        self._pending.append(_Pending(target, operation, ready))
        return target

    def alias(self, tensor: Tensor, extent: str) -> Tensor:
        """The same numbers with the reduced dimension dropped or restored."""
        target = Tensor(cast(Any, extent), tensor.is_boolean)
        self._pending.append(_Pending(target, "alias", [tensor]))
        return target

    def _as_float(self, value: Any) -> Any:
        if isinstance(value, Tensor) and value.is_boolean:
            return self.emit("float", [value])
        return value

    # -- the finished graph -----------------------------------------------------------------------

    def is_plain_total(self, result: Tensor) -> bool:
        """Whether the only reduction is a last sum or mean of everything (as in a loss)."""
        needed = self._needed(result)
        rows = [pending for pending in needed if pending.operation in _ROWS]
        return (
            len(rows) == 1
            and rows[0].target is result
            and result.extent == "total"
            and rows[0].operation in ("sum", "mean")
        )

    def finish(self, result: Tensor, stored: Stored, layout: Layout) -> Graph:
        """The steps that ``result`` needs: loads first, in the order of the arguments."""
        if result.is_boolean:
            raise Refused("a result of true and false")
        result = self._resolve(result)
        needed = self._needed(result)
        if self.is_plain_total(result):
            layout, stored = "total", cast(Stored, needed.pop().operation)
        loads = [pending for pending in needed if pending.operation in _LOADS]
        others = [pending for pending in needed if pending.operation not in _LOADS]
        if self.is_halved and (len(self._weights) or any(p.operation == "load" for p in loads)):
            raise Refused("halves of an input beside other tensors")
        if not others and layout != "total":
            raise Refused("a forward that computes nothing")
        inputs = [item for item in self.inputs if any(item is load.operands[0] for load in loads)]
        refs = [ref for ref in self._weights.values() if any(ref is x.operands[0] for x in loads)]
        if not inputs:
            raise Refused("a result that depends on no input")
        loads.sort(key=lambda load: (inputs + refs).index(load.operands[0]))
        weights = [self._weight(ref, layout) for ref in refs]
        numbering = _Numbering(inputs, refs, weights, self.number_names)
        order = loads + others
        index = {id(pending.target): f"$v{i}" for i, pending in enumerate(order)}
        steps = [numbering.step(pending, index) for pending in order]
        axis = self.axis
        graph = Graph(
            layout=layout,
            stored=stored,
            steps=tuple(steps),
            inputs=tuple(item.name for item in inputs),
            weights=tuple(weights),
            numbers=tuple(numbering.numbers.values()),
            constants=tuple(numbering.constants),
            dim=axis.text if axis else "-1",
            dims_kept=axis.count if axis else 1,
            names=tuple(pending.target.name for pending in order),
        )
        _within_limits(graph)
        return graph

    def _resolve(self, result: Tensor) -> Tensor:
        """Take the aliases out: the steps use what they stand for."""
        meant: dict[int, Tensor] = {}
        kept = []
        for pending in self._pending:
            pending.operands = [meant.get(id(value), value) for value in pending.operands]
            if pending.operation == "alias":
                meant[id(pending.target)] = pending.operands[0]
            else:
                kept.append(pending)
        self._pending = kept
        return meant.get(id(result), result)

    def _needed(self, result: Tensor) -> list[_Pending]:
        wanted = {id(result)}
        needed: list[_Pending] = []
        for pending in reversed(self._pending):
            if id(pending.target) in wanted:
                needed.append(pending)
                wanted |= {id(value) for value in pending.operands if isinstance(value, Tensor)}
        return needed[::-1]

    def _weight(self, ref: WeightRef, layout: Layout) -> Weight:
        text = ast.unparse(ref.node)
        shape = ref.spec.shape
        if _is_single(ref):
            return Weight(text, _last(ref.node), "one")
        axis = self.axis
        columns = len(shape) if shape is not None else None
        if layout in ("flat", "total", "last") and columns == 1:
            return Weight(text, _last(ref.node), "vec")
        if layout == "tail" and axis is not None and columns == axis.count:
            return Weight(text, _last(ref.node), "vec")
        return Weight(text, _last(ref.node), "full")


class _Numbering:
    """Gives numbers their placeholders, in the order in which the steps use them."""

    def __init__(
        self,
        inputs: list[TensorInput],
        refs: list[WeightRef],
        weights: list[Weight],
        names: dict[str, str],
    ) -> None:
        self._inputs, self._refs, self._weights, self._names = inputs, refs, weights, names
        self.numbers: dict[str, HostNumber] = {}
        self.constants: list[float] = []

    def step(self, pending: _Pending, index: dict[int, str]) -> Step:
        if pending.operation in _LOADS:
            value = pending.operands[0]
            if isinstance(value, TensorInput):
                return Step(pending.operation, (f"$in{self._inputs.index(value)}",))
            place = next(i for i, ref in enumerate(self._refs) if ref is value)
            weight = self._weights[place]
            kind = "load" if weight.load == "full" else weight.load
            return Step(kind, (f"$w{place}",))
        operands = tuple(self._placeholder(value, index) for value in pending.operands)
        return Step(pending.operation, operands)

    def _placeholder(self, value: Any, index: dict[int, str]) -> str:
        if isinstance(value, Tensor):
            return index[id(value)]
        if isinstance(value, Number):
            assert value.node is not None
            text = ast.unparse(value.node)
            if text not in self.numbers:
                known = isinstance(value.value, float)
                name = self._names.get(text) or _last(value.node)
                self.numbers[text] = HostNumber(text, name, known)
            return f"$p{list(self.numbers).index(text)}"
        self.constants.append(value)
        return f"$c{len(self.constants) - 1}"


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


def _is_single(ref: WeightRef) -> bool:
    shape = ref.spec.shape
    return shape is not None and all(size == 1 for size in shape)


def _last(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Subscript):
        return _last(node.value)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return "scalar" if isinstance(node.func.value, ast.Name) else _last(node.func.value)
    return "scalar"


def _describe(value: Any) -> str:
    what = getattr(value, "what", None)
    if isinstance(what, str):
        return what
    if value is None:
        return "None"
    return f"a value of kind {type(value).__name__.lower()}"
