"""``tl.inline_asm_elementwise`` without the machine: single PTX instructions that are arithmetic.

What people write most, approximations such as ``tanh.approx.f32 $0, $1;``, is computed exactly, as
everything approximate is here. All other assembly raises :class:`NotInterpreted`: the check then
says that it needs a GPU, and nothing against the code.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy
import triton.runtime.interpreter as tri

from kernelllm_jupyter.verify.interpreter.formats import FORMATS, narrow_handle, wide_handle

__all__ = ["NotInterpreted", "install"]

Array = Any
INSTRUCTION = re.compile(
    r"\{?\s*(?P<operation>[a-z0-9]+)(?P<modifiers>(\.[a-z0-9]+)*?)\.(?P<type>f16|bf16|f32|f64)\s+"
    r"\$0\s*(?P<operands>(,\s*\$\d+\s*)+);?\s*\}?"
)
#: Modifiers that choose how exactly a result is rounded, and never what it is.
MODIFIERS = frozenset([".approx", ".ftz", ".full", ".rn"])
OPERATIONS: dict[str, Callable[..., Array]] = {
    "abs": numpy.abs,
    "add": numpy.add,
    "cos": numpy.cos,
    "div": numpy.divide,
    "ex2": numpy.exp2,
    "fma": lambda x, y, z: x * y + z,
    "lg2": numpy.log2,
    "max": numpy.fmax,
    "min": numpy.fmin,
    "mov": lambda x: x,
    "mul": numpy.multiply,
    "neg": numpy.negative,
    "rcp": lambda x: 1 / x,
    "rsqrt": lambda x: 1 / numpy.sqrt(x),
    "sin": numpy.sin,
    "sqrt": numpy.sqrt,
    "sub": numpy.subtract,
    "tanh": numpy.tanh,
}


class NotInterpreted(Exception):
    """A part of Triton that only a GPU can run."""


@dataclass(frozen=True)
class Results:
    """What the builder's operation is asked for."""

    handles: list[Any]

    def get_result(self, index: int) -> Any:
        return self.handles[index]


def install() -> None:
    """Give the builder its operation."""
    tri.InterpreterBuilder.create_inline_asm = _create_inline_asm


def _create_inline_asm(
    self: Any, assembly: str, constraints: str, values: Any, types: Any, pure: bool, pack: int
) -> Results:
    found = INSTRUCTION.fullmatch(assembly.strip())
    if found is None or pack != 1 or len(types) != 1:
        raise NotInterpreted(f"inline assembly ({_shown(assembly)}) needs a GPU")
    function = OPERATIONS.get(found["operation"])
    modifiers = re.findall(r"\.[a-z0-9]+", found["modifiers"])
    at = [int(digits) - 1 for digits in re.findall(r"\$(\d+)", found["operands"])]
    unknown = function is None or not MODIFIERS.issuperset(modifiers)
    if unknown or max(at) >= len(values):
        raise NotInterpreted(f"inline assembly ({_shown(assembly)}) needs a GPU")
    assert function is not None
    operands = [wide_handle(values[index]).data.astype(numpy.float64) for index in at]
    return Results([_handle(function(*operands), types[0].scalar)])


def _handle(values: Array, kind: Any) -> Any:
    if kind.name in FORMATS:
        return narrow_handle(values, kind)
    return tri.TensorHandle(values.astype(tri._get_np_dtype(kind)), kind)


def _shown(assembly: str) -> str:
    text = " ".join(assembly.split())
    return text if len(text) < 60 else text[:57] + "…"
