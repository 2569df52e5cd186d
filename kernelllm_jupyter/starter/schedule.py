"""The order of operations on rows that are too long for one block: pass by pass over the row.

A row operation that needs the whole row (a maximum, a sum) is taken apart into what starts it,
what each block adds to it, and what ends it; everything else that is needed in a later pass is
computed anew there. What each of these operations is in Triton is the model's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from kernelllm_jupyter.starter.domain import Refused, Tensor
from kernelllm_jupyter.starter.graph import Stored

__all__ = ["REDUCING", "ROWS", "Pending", "expanded", "passes"]

#: Operations that make one number of a row.
REDUCING = frozenset(
    {"sum", "mean", "max", "min", "prod", "argmax", "argmin", "logsumexp", "norm1", "norm2"}
    | {"var0", "var1", "std0", "std1", "any", "all"}
)
#: All operations that look at a whole row.
ROWS = REDUCING | {
    *("softmax", "log_softmax", "normalize", "layer_norm", "rms_norm", "cumsum", "cumprod"),
    "pick",
}
_CARRIED = {"cumsum": "sum", "cumprod": "prod"}


@dataclass
class Pending:
    """An operation of a region: ``target`` is its value."""

    target: Tensor
    operation: str
    operands: list[Any]


class _Expansion:
    """Rewrites composite row operations as the primitive ones."""

    def __init__(self) -> None:
        self.made: list[Pending] = []

    def emit(self, operation: str, *operands: Any, extent: str = "full") -> Tensor:
        target = Tensor(cast(Any, extent))
        self.made.append(Pending(target, operation, list(operands)))
        return target

    def reduce(self, operation: str, value: Any) -> Tensor:
        return self.emit(operation, value, extent="keep")

    def spread(self, value: Any, correction: int) -> Tensor:
        centred = self.emit("sub", value, self.reduce("mean", value))
        operation = "mean" if correction == 0 else "mean1"
        return self.reduce(operation, self.emit("square", centred))

    def value(self, pending: Pending) -> Tensor | None:
        """The value of a composite operation, or None for another one."""
        operation, (first, *rest) = pending.operation, pending.operands or [None]
        if operation in ("softmax", "log_softmax", "logsumexp"):
            peak = self.reduce("max", first)
            shifted = self.emit("sub", first, peak)
            powers = self.emit("exp", shifted)
            total = self.reduce("sum", powers)
            if operation == "softmax":
                return self.emit("div", powers, total)
            if operation == "log_softmax":
                return self.emit("sub", shifted, self.emit("log", total, extent="keep"))
            return self.emit("add", peak, self.emit("log", total, extent="keep"), extent="keep")
        if operation == "layer_norm":
            centred = self.emit("sub", first, self.reduce("mean", first))
            variance = self.reduce("mean", self.emit("square", centred))
            return self._over_root(centred, variance, rest[0])
        if operation == "rms_norm":
            return self._over_root(first, self.reduce("mean", self.emit("square", first)), rest[0])
        if operation in ("norm2", "normalize"):
            size = self.emit("sqrt", self.reduce("sum", self.emit("square", first)), extent="keep")
            if operation == "norm2":
                return size
            return self.emit("div", first, self.emit("clamp_min", size, rest[0], extent="keep"))
        if operation == "norm1":
            return self.reduce("sum", self.emit("abs", first))
        if operation[:-1] in ("var", "std"):
            variance = self.spread(first, int(operation[-1]))
            return variance if operation[0] == "v" else self._root(variance)
        return None

    def _root(self, value: Tensor) -> Tensor:
        return self.emit("sqrt", value, extent="keep")

    def _over_root(self, value: Any, variance: Tensor, eps: Any) -> Tensor:
        return self.emit("div", value, self._root(self.emit("add", variance, eps, extent="keep")))


def expanded(needed: list[Pending], result: Tensor) -> list[Pending]:
    """``needed`` with composite row operations written out in primitive ones."""
    found: list[Pending] = []
    meant: dict[int, Any] = {}
    for pending in needed:
        operands = [meant.get(id(value), value) for value in pending.operands]
        pending = Pending(pending.target, pending.operation, operands)
        expansion = _Expansion()
        value = expansion.value(pending) if pending.operation in ROWS else None
        if value is None:
            found.append(pending)
            continue
        found += expansion.made
        if pending.target is result:
            found[-1] = Pending(result, found[-1].operation, found[-1].operands)
        else:
            value.name = pending.target.name
            meant[id(pending.target)] = value
    return found


_PRIMITIVE = REDUCING | {"mean1", "pick"}


def passes(order: list[Pending], result: Tensor, stored: Stored) -> list[Pending]:
    """``order`` as passes: ``loop`` … ``end`` around what is done block by block."""
    level: dict[int, int] = {}
    is_block: dict[int, bool] = {}
    for pending in order:
        inner = [v for v in pending.operands if isinstance(v, Tensor)]
        reduces = pending.operation in _PRIMITIVE
        block = any(is_block[id(v)] for v in inner)
        if pending.operation == "load":
            block = pending.target.extent == "full"
        is_block[id(pending.target)] = block and not reduces
        level[id(pending.target)] = max((level[id(v)] for v in inner), default=0) + reduces
    blocks = {id(p.target): p for p in order if is_block[id(p.target)]}
    rows = [p for p in order if p.operation in _PRIMITIVE]
    others = [p for p in order if id(p.target) not in blocks and p.operation not in _PRIMITIVE]
    lined = [p for p in others if level[id(p.target)] == 0]
    last = level[id(result)]
    for number in range(last):
        here = [p for p in rows if level[id(p.target)] == number + 1]
        lines, ends = _one_pass(here, blocks)
        lined += [*lines, _mark("end"), *ends]
        lined += [p for p in others if level[id(p.target)] == number + 1]
    if is_block[id(result)]:
        lined += _one_pass([], blocks, result)[0]
    elif stored == "block":
        raise Refused("a row operation whose result is no row")
    return lined


def _mark(operation: str, operands: list[Any] | None = None) -> Pending:
    return Pending(Tensor("drop"), operation, operands or [])


def _one_pass(
    here: list[Pending], blocks: dict[int, Pending], result: Tensor | None = None
) -> tuple[list[Pending], list[Pending]]:
    """Starts, ``loop`` and what each block does; and what ends the reductions of this pass."""
    targets = [p.operands[0] for p in here] if result is None else [result]
    starts: list[Pending] = []
    inside: list[Pending] = []
    ends: list[Pending] = []
    again: dict[int, Tensor] = {}
    for pending in _cone(targets, blocks):
        operands = [again.get(id(value), value) for value in pending.operands]
        made = Tensor("full", pending.target.is_boolean, pending.target.name)
        operation = pending.operation
        if operation in _CARRIED:
            starts.append(_mark(f"{_CARRIED[operation]}_carry"))
            operands, operation = [operands[0], starts[-1].target], f"{operation}_on"
        inside.append(Pending(made, operation, operands))
        again[id(pending.target)] = made
    for pending in here:
        operation = pending.operation
        kind = "sum" if operation in ("mean", "mean1", "pick") else operation
        starts.append(_mark(f"{kind}_start"))
        started = [starts[-1].target]
        if kind in ("argmax", "argmin"):
            starts.append(_mark("place_start"))
            started.append(starts[-1].target)
        operands = [again.get(id(value), value) for value in pending.operands]
        on = operation if operation == "pick" else kind
        inside.append(_mark(f"{on}_on", [*started, *operands]))
        end = "sum" if operation == "pick" else operation
        ends.append(Pending(pending.target, f"{end}_end", started))
    return [*starts, _mark("loop"), *inside], ends


def _cone(targets: list[Any], blocks: dict[int, Pending]) -> list[Pending]:
    """What is computed block by block for ``targets``, in the order of the source."""
    wanted: set[int] = set()
    frontier = [value for value in targets if isinstance(value, Tensor)]
    while frontier:
        value = frontier.pop()
        if id(value) in wanted or id(value) not in blocks:
            continue
        wanted.add(id(value))
        frontier += [v for v in blocks[id(value)].operands if isinstance(v, Tensor)]
    return [pending for key, pending in blocks.items() if key in wanted]
