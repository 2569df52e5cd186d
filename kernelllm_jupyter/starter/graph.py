"""What the starter model reads: a module's forward pass as a short list of named steps.

A graph is in static single assignment form: step *i* defines the value ``$v<i>`` and may use any
earlier one, any number of times. Everything that belongs to the user's module rather than to the
operation (names, numbers, parameters) is a placeholder: ``$in0`` an input, ``$w0`` a parameter or
buffer, ``$p0`` a number known only when the module is called, ``$c0`` a number written in the
source. The model sees and writes placeholders; :mod:`.reader` puts the user's own text back.

This module knows neither Python source nor Triton.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["LIMITS", "Graph", "HostNumber", "Layout", "Step", "Stored", "Weight"]

#: How programs map to elements. ``flat``: blocks of a flat index; ``half``: the same, over the two
#: halves of the last dimension side by side (gated linear units); ``total``: ``flat``, each block
#: adding up; ``last``: a program per row of the last dimension; ``dim``: a program per line along
#: another dimension; ``tail``: a program per slice of the last few dimensions.
Layout = Literal["flat", "half", "total", "last", "dim", "tail"]

#: What is returned: a block of the input's shape, one number per row (its dimension dropped or
#: kept as 1), the sum or mean of those numbers, or of everything.
Stored = Literal["block", "one", "keep", "rowsum", "rowmean", "sum", "mean"]

#: The most placeholders of each kind that the model was trained with.
LIMITS = {"v": 40, "in": 4, "w": 4, "p": 6, "c": 16}


@dataclass(frozen=True)
class Step:
    """One operation; ``operands`` are placeholders."""

    operation: str
    operands: tuple[str, ...]


@dataclass(frozen=True)
class Weight:
    """A parameter or buffer: ``text`` is how ``forward`` reaches it, such as ``self.weight``.

    ``load`` is ``vec`` (one element per column), ``one`` (a single element) or ``full``
    (expanded to the input's shape by the wrapper).
    """

    text: str
    name: str
    load: Literal["vec", "one", "full"]


@dataclass(frozen=True)
class HostNumber:
    """A number that the wrapper computes and passes to the Triton kernel."""

    text: str
    name: str
    is_float: bool


@dataclass(frozen=True)
class Graph:
    """A forward pass. ``names[i]`` is what the source calls ``$v<i>``, where it has a name."""

    layout: Layout
    stored: Stored
    steps: tuple[Step, ...]
    inputs: tuple[str, ...] = ()
    weights: tuple[Weight, ...] = ()
    numbers: tuple[HostNumber, ...] = ()
    constants: tuple[float, ...] = ()
    dim: str = "-1"
    dims_kept: int = 1
    names: tuple[str | None, ...] = ()

    @property
    def has_columns(self) -> bool:
        """Whether a flat layout needs the length of a row, to load one element per column."""
        return self.layout in ("flat", "total") and any(w.load == "vec" for w in self.weights)

    def prompt(self) -> str:
        """The text that the model is trained on: a head with the arguments, then the steps.

        Step *i* has its labels ``@i`` and ``#i`` after its operation and after its operands.
        """
        columns = " cols" if self.has_columns else ""
        arguments = "".join(
            f"${kind}{index}"
            for kind, items in (("in", self.inputs), ("w", self.weights), ("p", self.numbers))
            for index in range(len(items))
        )
        columns = " cols" if self.has_columns else ""
        steps = "".join(
            f" {operation} @{index}{operands}#{index}"
            for index, (operation, operands) in enumerate(map(self._said, range(len(self.steps))))
        )
        return f"{self.layout} {self.stored}{columns} {arguments}\n{steps}\n=>\n"

    def line(self, index: int) -> str:
        """A step as the model says it again in its answer, before it writes it in Triton.

        A label stands before what follows it there, and after it in the prompt: to copy, a model
        looks at the one place where the same label stands, and that place knows what came before.
        """
        operation, operands = self._said(index)
        return f"@{index} {operation} #{index}{operands}"

    def _said(self, index: int) -> tuple[str, str]:
        """Operation and operands of a step.

        Values are counted back from the step (``$1`` is the value before), and a step's constants
        from its first (``$c1``), so that an operation reads the same wherever it stands.
        """
        step = self.steps[index]
        operands = []
        for operand in step.operands:
            if operand.startswith("$v"):
                operand = f"${index - int(operand[2:])}"
            elif operand.startswith("$c"):
                operand = f"$c{self.constants_of(index).index(operand) + 1}"
            operands.append(operand)
        return step.operation, "".join(operands)

    def constants_of(self, index: int) -> list[str]:
        """The placeholders of the constants that a step uses."""
        return [operand for operand in self.steps[index].operands if operand.startswith("$c")]
