"""A wrong output in words that a person can act on: how many elements, where, what instead.

Runs in the referee's process. One sentence with the figures, then at most two: one about the
values (``patterns``) and one about the place (``places``).
"""

from __future__ import annotations

import ast
import itertools
from typing import Any

import torch

from kernelllm_jupyter.verify.explaining.evidence import Evidence
from kernelllm_jupyter.verify.explaining.patterns import described_values
from kernelllm_jupyter.verify.explaining.places import described_places
from kernelllm_jupyter.verify.nests import leaves
from kernelllm_jupyter.verify.tolerance import Comparison, compare

__all__ = ["account", "only_store"]

#: Up to how many elements another layout is compared in.
COMPARED = 1 << 24


def account(
    name: str,
    trial: str,
    comparison: Comparison,
    got: torch.Tensor,
    expected: torch.Tensor,
    inputs: list[Any],
) -> str:
    """At most three sentences about a comparison that failed."""
    if comparison.code in ("shape", "dtype"):
        return f"{name} has {comparison.message}." + _other_form(comparison.code, got, expected)
    assert comparison.wrong is not None
    assert comparison.index is not None
    if expected.is_complex():
        got, expected = torch.view_as_real(got), torch.view_as_real(expected)
    elif expected.is_floating_point() and expected.element_size() == 1:
        # 8-bit floats can be converted and little else.
        got, expected = got.float(), expected.float()
    evidence = Evidence.of(got, expected, comparison.wrong, [leaf for _, leaf in leaves(inputs)])
    have = got[comparison.index].item()
    want = expected[comparison.index].item()
    text = (
        f"{name} is wrong in {evidence.count} of {evidence.total} elements ({trial})"
        f"{_places(comparison.wrong, comparison.index)}: "
        f"got {_number(have)}, expected {_number(want)}"
    )
    if comparison.error is not None and comparison.budget:
        text += f" (error {comparison.error:.3g}, allowed {comparison.budget:.3g})"
    sentences = [f"{text}.", described_values(evidence), described_places(evidence)]
    return " ".join(sentence for sentence in sentences if sentence)


def _places(wrong: torch.Tensor, worst: tuple[int, ...]) -> str:
    """The first wrong element and the worst one."""
    if not worst:
        return ""
    rest, first = int(wrong.reshape(-1).to(torch.uint8).argmax()), []
    for size in reversed(wrong.shape):
        first.append(rest % size)
        rest //= size
    start = list(reversed(first))
    if start == list(worst):
        return f"; worst at {list(worst)}" if int(wrong.sum()) > 1 else f", at {list(worst)}"
    return f"; first at {start}, worst at {list(worst)}"


def _number(value: Any) -> str:
    return f"{value:.7g}" if isinstance(value, float) else str(value)


def _other_form(code: str, got: torch.Tensor, expected: torch.Tensor) -> str:
    """Whether the values would be right in another dtype or shape."""
    if code == "dtype":
        if got.is_complex() and not expected.is_complex():
            return ""
        right = _same(got.to(expected.dtype), expected)
        wanted = str(expected.dtype).removeprefix("torch.")
        return f" The values are right: convert the result to {wanted}." if right else ""
    if got.numel() != expected.numel() or got.dtype != expected.dtype:
        return ""
    if _same(got.reshape(expected.shape), expected):
        if [size for size in got.shape if size != 1] == [n for n in expected.shape if n != 1]:
            return " The values are right: squeeze or unsqueeze the result."
        return " The values are right: reshape the result."
    if 2 <= got.ndim <= 4:
        for order in itertools.permutations(range(got.ndim)):
            turned = got.permute(order)
            if turned.shape == expected.shape and _same(turned, expected):
                return " The values are right and transposed."
    return " The number of elements is right."


def _same(left: torch.Tensor, right: torch.Tensor) -> bool:
    if right.numel() > COMPARED:
        return False
    return compare(left.contiguous(), right, None, None, leniency="close").outcome != "different"


def only_store(source: str) -> int | None:
    """The line of the one statement by which a candidate's Triton kernels write; None where there
    are several, or none."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    lines = [
        node.lineno
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        and any("jit" in ast.unparse(decorator) for decorator in function.decorator_list)
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and _writes(node.func)
    ]
    return lines[0] if len(lines) == 1 else None


def _writes(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name == "store" or name.startswith("atomic_")
