"""What the starter model reads: a forward pass as stages, each a short list of named steps.

A *stage* is what one Triton kernel does. Its steps are in static single assignment form: step *i*
defines the value ``$v<i>`` and may use any earlier one, any number of times. Everything that
belongs to the user's module rather than to the operation (names, numbers, parameters, shapes) is a
placeholder: ``$in0`` an input, ``$w0`` a parameter or a smaller tensor, ``$p0`` a number known only
when the module is called, ``$c0`` a number written in the source. The model sees and writes
placeholders; :mod:`.reader` puts the user's own text back.

This module knows neither Python source nor Triton.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

__all__ = [
    "LIMITS",
    "Graph",
    "HostNumber",
    "Layout",
    "Operand",
    "Plan",
    "Stage",
    "Step",
    "Stored",
    "Weight",
    "moved",
]

#: How programs map to elements. ``flat``: blocks of a flat index; ``total``: the same, each block
#: reduced to one number; ``rows``: a program per contiguous row; ``lines``: a program per block of
#: neighbouring lines along another dimension; ``channel``: a program per channel, over all else.
#: The ``long`` ones go over a row in several passes, block by block. ``matmul`` and ``bmm``: a
#: program per tile of a product; ``conv`` and ``convt``: of a convolution as a product, and of a
#: transposed one; ``window``: blocks of a flat index over what slides over its input.
Layout = Literal[
    "flat",
    "total",
    "rows",
    "lines",
    "channel",
    "long_rows",
    "long_lines",
    "long_channel",
    "matmul",
    "bmm",
    "conv",
    "convt",
    "window",
]

#: What is returned: a block of the input's shape, one number per row (or an index), the sum or mean
#: of those numbers, or the sum, mean, largest or smallest of everything.
Stored = Literal["block", "one", "index", "rowsum", "rowmean", "sum", "mean", "max", "min"]

#: The most placeholders of each kind, and stages, that the model was trained with.
LIMITS = {"v": 96, "in": 6, "w": 6, "p": 6, "c": 40, "stages": 10}


@dataclass(frozen=True)
class Step:
    """One operation; ``operands`` are placeholders."""

    operation: str
    operands: tuple[str, ...]


@dataclass(frozen=True)
class Operand:
    """A tensor that the Triton kernel reads element for element; ``text`` is its local name."""

    text: str
    name: str


@dataclass(frozen=True)
class Weight:
    """A smaller tensor: ``text`` is how ``forward`` reaches it, such as ``self.weight``.

    ``load`` is ``vec`` (one element per column), ``chan`` (one per index of another dimension,
    behind which stand ``inner`` elements), ``one`` (a single element), ``row`` (one per row) or
    ``full`` (expanded by the wrapper).
    """

    text: str
    name: str
    load: Literal["vec", "chan", "one", "row", "full", "whole"]
    inner: str = ""


@dataclass(frozen=True)
class HostNumber:
    """A number that the wrapper computes and passes to the Triton kernel."""

    text: str
    name: str
    is_float: bool


@dataclass(frozen=True)
class Graph:
    """What one Triton kernel does. ``names[i]`` is what the source calls ``$v<i>``, if anything.

    ``texts`` are expressions of ``forward`` by the placeholder that stands for them in an answer:
    the length of a row (``$size``), the shape of the result (``$shape``) and so on.
    """

    layout: Layout
    stored: Stored
    steps: tuple[Step, ...]
    inputs: tuple[Operand, ...] = ()
    weights: tuple[Weight, ...] = ()
    numbers: tuple[HostNumber, ...] = ()
    constants: tuple[float, ...] = ()
    names: tuple[str | None, ...] = ()
    texts: tuple[tuple[str, str], ...] = ()

    def head(self, label: int) -> str:
        """The line that begins a stage, in a prompt and again in the answer."""
        return f"%{label} {self.layout} {self.stored}"

    def arguments(self) -> str:
        return "".join(
            f"${kind}{index}"
            for kind, items in (("in", self.inputs), ("w", self.weights), ("p", self.numbers))
            for index in range(len(items))
        )

    def prompt(self, label: int, first: int) -> str:
        """The stage as the model reads it; ``first`` is the number of its first step."""
        steps = "".join(
            f" {step.operation} @{first + index}{self.operands(index)}"
            for index, step in enumerate(self.steps)
        )
        return f"{self.head(label)} {self.arguments()}\n{steps}\n"

    def operands(self, index: int) -> str:
        """The operands of a step: values are counted back from it, its constants from its first."""
        step = self.steps[index]
        operands = []
        for operand in step.operands:
            if operand.startswith("$v"):
                operand = f"${index - int(operand[2:])}"
            elif operand.startswith("$c"):
                operand = f"$c{self.constants_of(index).index(operand) + 1}"
            operands.append(operand)
        return "".join(operands)

    def constants_of(self, index: int) -> list[str]:
        """The placeholders of the constants that a step uses."""
        return [operand for operand in self.steps[index].operands if operand.startswith("$c")]


@dataclass(frozen=True)
class Stage:
    """One Triton kernel of a plan: ``before`` are lines of ``forward`` that prepare its operands.

    Its result gets the name ``out``; ``after`` are lines that follow the launch.
    """

    graph: Graph
    out: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A forward pass: stages one after another, and what is returned at the end."""

    stages: tuple[Stage, ...]
    result: str

    @property
    def graphs(self) -> tuple[Graph, ...]:
        return tuple(stage.graph for stage in self.stages)

    def firsts(self) -> list[int]:
        """The number of each stage's first step: steps are numbered through."""
        counts = [len(graph.steps) for graph in self.graphs]
        return [sum(counts[:index]) for index in range(len(counts))]

    def prompt(self) -> str:
        """The text that the model is trained on."""
        parts = zip(self.graphs, self.firsts(), strict=True)
        return "".join(g.prompt(label, first) for label, (g, first) in enumerate(parts)) + "=>\n"

    def renamed(self, stages: tuple[Stage, ...]) -> Plan:
        return replace(self, stages=stages)


def moved(text: str, shift: int) -> str:
    """``text`` with every label of a step moved up by ``shift``."""
    return re.sub(r"@(\d+)", lambda match: f"@{int(match[1]) + shift}", text)
