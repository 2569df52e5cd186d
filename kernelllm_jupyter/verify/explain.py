"""A wrong output in words that a person can act on: how many elements, where, what instead.

Runs in the referee's process.
"""

from __future__ import annotations

from typing import Any

import torch

from kernelllm_jupyter.verify.tolerance import Comparison, compare

__all__ = ["account"]


def account(
    name: str,
    trial: str,
    comparison: Comparison,
    got: torch.Tensor,
    expected: torch.Tensor,
    inputs: list[Any],
) -> str:
    """One or two sentences about a comparison that failed."""
    if comparison.code in ("shape", "dtype"):
        return f"{name} has {comparison.message}." + _shape_hint(got, expected)
    assert comparison.wrong is not None
    assert comparison.index is not None
    count, total = int(comparison.wrong.sum()), expected.numel()
    index = list(comparison.index)
    have = got[comparison.index].item()
    want = expected[comparison.index].item()
    where = f" at {index}" if index else ""
    text = (
        f"{name} is wrong in {count} of {total} elements ({trial}); worst{where}: "
        f"got {_number(have)}, expected {_number(want)}"
    )
    if comparison.error is not None and comparison.budget:
        text += f" (error {comparison.error:.3g}, allowed {comparison.budget:.3g})"
    return text + "." + _pattern(comparison, got, expected, inputs)


def _number(value: Any) -> str:
    return f"{value:.7g}" if isinstance(value, float) else str(value)


def _shape_hint(got: torch.Tensor, expected: torch.Tensor) -> str:
    if got.shape != expected.shape and got.numel() == expected.numel():
        return " The number of elements is right: reshape or transpose the result."
    return ""


def _pattern(
    comparison: Comparison, got: torch.Tensor, expected: torch.Tensor, inputs: list[Any]
) -> str:
    """A known way of being wrong, where the result shows one."""
    assert comparison.wrong is not None
    if expected.is_floating_point():
        unwritten = torch.isnan(got) & ~torch.isnan(expected)
        if unwritten.any():
            return _unwritten(unwritten)
    if not got.any():
        return " The result is all zeros."
    for other in inputs:
        if (
            isinstance(other, torch.Tensor)
            and other.shape == got.shape
            and other.dtype == got.dtype
            and torch.equal(other.to(got.device), got)
        ):
            return " The result is the input, unchanged."
    if got.ndim >= 2 and got.shape[-1] == got.shape[-2] and _same(got.mT, expected):
        return " The result is transposed."
    ratio = _ratio(got, expected)
    if ratio is not None:
        return f" Every element is {ratio:.6g} times what it should be."
    return _tail(comparison.wrong)


def _unwritten(unwritten: torch.Tensor) -> str:
    count, total = int(unwritten.sum()), unwritten.numel()
    text = f" {count} of {total} elements are NaN: never written, or computed from memory that was"
    return text + " never written." + _tail(unwritten)


def _tail(wrong: torch.Tensor) -> str:
    """Whether exactly the last elements, or whole rows, are wrong."""
    flat = wrong.reshape(-1)
    count = int(flat.sum())
    if 0 < count < flat.numel() and bool(flat[-count:].all()):
        return f" Exactly the last {count} elements are wrong: is the grid or a mask too small?"
    if wrong.ndim >= 2:
        rows = wrong.reshape(-1, wrong.shape[-1])
        whole = rows.all(dim=1)
        if 0 < int(whole.sum()) < rows.shape[0] and bool((rows.any(dim=1) == whole).all()):
            return f" Exactly {int(whole.sum())} of {rows.shape[0]} rows are wrong."
    return ""


def _same(left: torch.Tensor, right: torch.Tensor) -> bool:
    return compare(left.contiguous(), right, None, None, loose=True).outcome != "different"


def _ratio(got: torch.Tensor, expected: torch.Tensor) -> float | None:
    """The one factor between two results, if there is one."""
    if not expected.is_floating_point() or expected.numel() < 2:
        return None
    present = expected.double().abs() > 1e-3 * expected.double().abs().max()
    quotients = got.double()[present] / expected.double()[present]
    if quotients.numel() < 2 or not torch.isfinite(quotients).all():
        return None
    middle = float(quotients.median())
    spread = float((quotients - middle).abs().max())
    if spread < 1e-4 * abs(middle) and abs(middle - 1) > 1e-4:
        return middle
    return None
