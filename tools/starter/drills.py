"""Drills: stages drawn operation by operation, not from a module.

What people write uses few operations often and many hardly ever. A drill puts any operation behind
any other in any layout, so that the model meets all of them; it is only trained on, never tested.
"""

from __future__ import annotations

import random
import re

from kernelllm_jupyter.starter.graph import Graph, HostNumber, Operand, Plan, Stage, Step, Weight

from answers import OPERATIONS, POINTWISE, REDUCING, ROWWISE

__all__ = ["drill"]

_FLAT = tuple(POINTWISE)
_ROWS = (*POINTWISE, *REDUCING, *REDUCING, *REDUCING, *ROWWISE, *ROWWISE, *ROWWISE)
_STARTS = ("sum", "sum", "mean", "mean1", "max", "min", "prod", "argmax", "argmin", "pick")
_LAYOUTS = {
    "flat": 3,
    "total": 2,
    "rows": 3,
    "lines": 3,
    "channel": 2,
    "long_rows": 3,
    "long_lines": 3,
    "long_channel": 2,
    "matmul": 1,
    "bmm": 1,
    "conv": 1,
    "convt": 1,
    "window": 2,
}
_ONE = ("one", "one", "one", "index", "rowsum", "rowmean")
#: How many operations a stage has, of a drill of operations and of one of stages.
_LENGTHS, _SHORT = (1, 2, 3, 4, 6, 9), (0, 1, 1, 2)


def drill(rng: random.Random) -> Plan:
    """Up to four stages of many operations, or as often two to seven stages of few.

    The first kind teaches operations, the second what belongs to a stage and not to its neighbour:
    how it begins, what it stores, how it is launched. Every layout comes after every other.
    """
    short = rng.random() < 0.5
    count = rng.choice([2, 2, 2, 3, 3, 4, 5, 7] if short else [1, 1, 2, 2, 3, 4])
    return Plan(tuple(Stage(_stage(rng, short), "out") for _ in range(count)), "out")


class _Steps:
    """The steps of a stage being drawn."""

    def __init__(self, rng: random.Random, numbers: int):
        self.rng, self.numbers = rng, numbers
        self.steps: list[Step] = []
        self.constants = 0

    def add(self, operation: str, *given: str) -> None:
        text = " ".join(OPERATIONS.get(operation, ()))
        letters = set(re.findall(r"\$([abc])\b", text))
        operands = list(given)
        while len(operands) < len(letters):
            operands.append(self._operand(first=not operands))
        self.steps.append(Step(operation, tuple(operands)))

    def _operand(self, first: bool) -> str:
        kind = self.rng.random()
        if not first and kind < 0.25:
            self.constants += 1
            return f"$c{self.constants - 1}"
        if not first and kind < 0.4 and self.numbers:
            return f"$p{self.rng.randrange(self.numbers)}"
        if not self.steps:
            return "$in0"
        back = 1 if self.rng.random() < 0.6 else self.rng.randint(1, len(self.steps))
        return f"$v{len(self.steps) - back}"


def _stage(rng: random.Random, short: bool) -> Graph:
    layout = rng.choices(list(_LAYOUTS), list(_LAYOUTS.values()))[0]
    reduced = 0.6 if short else 0.4
    inputs, weights, numbers = rng.randint(1, 3), rng.choice([0, 0, 1, 2]), rng.choice([0, 0, 1, 3])
    heads = {"matmul": 2, "bmm": 2, "conv": 2, "convt": 2}.get(layout, 0)
    inputs = max(inputs, heads)
    found = _Steps(rng, numbers)
    kinds = [rng.choice(["vec", "chan", "one", "load", "row"]) for _ in range(weights)]
    if heads or layout in ("flat", "total", "window"):
        kinds = ["one" if kind == "row" else kind for kind in kinds]
    operation: str = layout
    if layout == "window":
        operation = rng.choice(["depthwise", "max_pool", "avg_pool", "avg_pool_inside"])
        heads = 2 if operation == "depthwise" else 1
        inputs = max(inputs, heads)
    loads = [("load", f"$in{i}") for i in range(heads, inputs)]
    loads += [(kind, f"$w{i}") for i, kind in enumerate(kinds)]
    stored = "block"
    if layout.startswith("long_"):
        stored = _long(rng, found, loads, reduced)
    else:
        for kind, operand in loads:
            found.add(kind, operand)
        if heads:
            found.add(operation, *[f"$in{i}" for i in range(heads)])
        pool = _ROWS if layout in ("rows", "lines", "channel") else _FLAT
        for _ in range(rng.choice(_SHORT if short else _LENGTHS)):
            found.add(rng.choice(pool))
        if layout == "total":
            stored = rng.choice(["sum", "mean", "max", "min"])
        elif pool is _ROWS and rng.random() < reduced:
            stored = rng.choice(_ONE)
    load_of = dict.fromkeys(range(weights), "full")
    return Graph(
        layout=layout,  # type: ignore[arg-type]
        stored=stored,  # type: ignore[arg-type]
        steps=tuple(found.steps),
        inputs=tuple(Operand(f"x{i}", f"x{i}") for i in range(inputs)),
        weights=tuple(Weight(f"w{i}", f"w{i}", load_of[i]) for i in range(weights)),  # type: ignore[arg-type]
        numbers=tuple(HostNumber(f"p{i}", f"p{i}", True) for i in range(numbers)),
        constants=(0.5,) * found.constants,
    )


def _long(rng: random.Random, found: _Steps, loads: list[tuple[str, str]], reduced: float) -> str:
    """Passes over a row, and what is stored."""
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        kinds = rng.sample(_STARTS, rng.choice([1, 1, 2]))
        _carry(rng, found)
        for kind in kinds:
            base = "sum" if kind in ("mean", "mean1", "pick") else kind
            found.add(f"{base}_start")
            if kind.startswith("arg"):
                found.add("place_start")
        _block(rng, found, loads)
        for kind in kinds:
            found.add(f"{'sum' if kind in ('mean', 'mean1') else kind}_on")
        found.steps.append(Step("end", ()))
        for kind in kinds:
            found.add(f"{'sum' if kind == 'pick' else kind}_end")
        for _ in range(rng.choice([0, 0, 1, 2])):
            found.add(rng.choice(_FLAT))
    if found.steps and rng.random() < reduced:
        return rng.choice(_ONE)
    _carry(rng, found)
    _block(rng, found, loads)
    return "block"


def _carry(rng: random.Random, found: _Steps) -> None:
    if rng.random() < 0.2:
        found.add(rng.choice(["sum_carry", "prod_carry"]))


def _block(rng: random.Random, found: _Steps, loads: list[tuple[str, str]]) -> None:
    found.steps.append(Step("loop", ()))
    for operation, operand in loads:
        found.add(operation, operand)
    for _ in range(rng.choice([0, 1, 2, 3])):
        found.add(rng.choice([*_FLAT, "cumsum_on", "cumprod_on"]))
