"""How far a candidate's output may be from the reference: an error budget, not a constant.

The reference is computed in float64 as well. An element of the candidate may be further from that
exact value than the reference in its own precision by a small factor only, where the reference's
error is the larger of what it really made and of what one rounding of every input and weight
would make (so that a reordered sum, legal in exact arithmetic, passes). Errors are measured
against the *scale* of an element: its own magnitude, and at least a typical magnitude of its
output, because an honest tanh built from exponentials is exact to a rounding of 1 and not of x.

Runs in the referee's process; knows nothing of processes or of who made the output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

__all__ = ["Comparison", "compare", "relative_distance"]

#: For each dtype: how often the reference's own error, plus how many units in the last place.
BUDGETS: dict[torch.dtype, tuple[float, float]] = {
    torch.float64: (16.0, 64.0),
    torch.float32: (8.0, 8.0),
    torch.float16: (2.0, 1.0),
    torch.bfloat16: (2.0, 1.0),
}
#: ``torch.testing.assert_close``'s defaults (rtol, atol).
CLOSE: dict[torch.dtype, tuple[float, float]] = {
    torch.float64: (1e-7, 1e-7),
    torch.float32: (1.3e-6, 1e-5),
    torch.float16: (1e-3, 1e-5),
    torch.bfloat16: (1.6e-2, 1e-5),
}
#: A typical magnitude counts as scale up to this many times the median.
SPREAD = 32.0

Outcome = Literal["same", "near", "different"]


@dataclass(frozen=True)
class Comparison:
    """One output against the reference.

    ``near`` is outside the budget and inside ``assert_close``'s defaults. ``ratio`` is the worst
    element's error over its budget; ``error`` and ``budget`` are that element's, ``index`` and the
    values are what a person wants to see first.
    """

    outcome: Outcome
    code: str = ""
    message: str = ""
    error: float | None = None
    budget: float | None = None
    ratio: float = 0.0
    wrong: torch.Tensor | None = None
    index: tuple[int, ...] | None = None


def compare(
    got: torch.Tensor,
    expected: torch.Tensor,
    exact: torch.Tensor | None,
    shifted: torch.Tensor | None,
    *,
    loose: bool,
) -> Comparison:
    """Compare one output tensor; ``loose`` also accepts what ``assert_close`` does."""
    if got.shape != expected.shape:
        return Comparison(
            "different",
            "shape",
            f"shape {tuple(got.shape)} where the reference has {tuple(expected.shape)}",
        )
    if got.dtype != expected.dtype:
        return Comparison(
            "different", "dtype", f"dtype {got.dtype} where the reference has {expected.dtype}"
        )
    if not expected.numel():
        return Comparison("same")
    if expected.is_complex():
        parts = [None if x is None else torch.view_as_real(x) for x in (exact, shifted)]
        return compare(torch.view_as_real(got), torch.view_as_real(expected), *parts, loose=loose)
    if not expected.is_floating_point():
        return _compare_exactly(got, expected)
    return _compare_floats(got, expected, exact, shifted, loose)


def _compare_exactly(got: torch.Tensor, expected: torch.Tensor) -> Comparison:
    wrong = got != expected
    if not wrong.any():
        return Comparison("same", error=0.0, budget=0.0)
    distance = (got.double() - expected.double()).abs()
    worst = _position(distance.argmax(), expected)
    return Comparison(
        "different", "wrong_values", "", float(distance.max()), 0.0, float("inf"), wrong, worst
    )


def _compare_floats(
    got: torch.Tensor,
    expected: torch.Tensor,
    exact: torch.Tensor | None,
    shifted: torch.Tensor | None,
    loose: bool,
) -> Comparison:
    special = ~torch.isfinite(expected)
    misplaced = _misplaced(got, expected, special)
    if misplaced.any():
        at = _position(misplaced.to(torch.uint8).argmax(), expected)
        code = "nan" if torch.isnan(got[misplaced]).any() else "not_finite"
        return Comparison("different", code, "", None, None, float("inf"), misplaced, at)
    truth = expected.double() if exact is None or exact.shape != expected.shape else exact.double()
    truth = torch.where(torch.isfinite(truth), truth, expected.double())
    usable = ~special
    if not usable.any():
        return Comparison("same", error=0.0, budget=0.0)
    zero = torch.zeros((), dtype=torch.float64, device=truth.device)
    error = torch.where(usable, (got.double() - truth).abs(), zero)
    budget = _budget(expected, truth, shifted, usable)
    ratio = error / budget
    worst = int(ratio.argmax())
    at = _position(worst, expected)
    figures: dict[str, Any] = {
        "error": float(error.reshape(-1)[worst]),
        "budget": float(budget.reshape(-1)[worst]),
        "ratio": float(ratio.reshape(-1)[worst]),
        "index": at,
    }
    outside = ratio > 1
    if not outside.any():
        return Comparison("same", **figures)
    if loose:
        rtol, atol = CLOSE[expected.dtype]
        limit = atol + rtol * expected.double().abs()
        apart = torch.where(usable, (got.double() - expected.double()).abs(), zero)
        outside = outside & (apart > limit)
        if not outside.any():
            return Comparison("near", "imprecise", "", wrong=None, **figures)
    return Comparison("different", "wrong_values", "", wrong=outside, **figures)


def _misplaced(got: torch.Tensor, expected: torch.Tensor, special: torch.Tensor) -> torch.Tensor:
    """Where NaN or infinity is in one of the two only."""
    same = torch.where(
        torch.isnan(expected), torch.isnan(got), torch.where(special, got == expected, True)
    )
    return ~same | (~special & ~torch.isfinite(got))


def _scale(truth: torch.Tensor, usable: torch.Tensor) -> torch.Tensor:
    magnitude = torch.where(usable, truth.abs(), torch.zeros_like(truth))
    present = magnitude[magnitude > 0]
    if not present.numel():
        return torch.ones_like(magnitude)
    sample = present.reshape(-1)[:: max(1, present.numel() // 65536)]
    typical = min(float(present.max()), SPREAD * float(sample.median()))
    return torch.clamp(magnitude, min=typical)


def _budget(
    expected: torch.Tensor,
    truth: torch.Tensor,
    shifted: torch.Tensor | None,
    usable: torch.Tensor,
) -> torch.Tensor:
    factor, units = BUDGETS[expected.dtype]
    scale = _scale(truth, usable)
    smallest = _smallest(expected.dtype)
    own = _relative(expected.double(), truth, scale, usable, smallest)
    moved = _relative(shifted, truth, scale, usable, smallest)
    allowed = factor * max(own, moved) + units * torch.finfo(expected.dtype).eps
    return scale * allowed + smallest


def _smallest(dtype: torch.dtype) -> float:
    """What may be lost to underflow; float16 keeps its subnormal numbers everywhere."""
    limits = torch.finfo(dtype)
    return float(2 * limits.tiny * limits.eps if dtype == torch.float16 else limits.tiny)


def _relative(
    other: torch.Tensor | None,
    truth: torch.Tensor,
    scale: torch.Tensor,
    usable: torch.Tensor,
    smallest: float,
) -> float:
    """The largest distance of ``other`` from the exact value, in units of scale."""
    if other is None or other.shape != truth.shape:
        return 0.0
    there = usable & torch.isfinite(other)
    if not there.any():
        return 0.0
    distance = ((other.double() - truth).abs() - smallest).clamp(min=0.0)
    return float((distance / scale)[there].max())


def relative_distance(exact: torch.Tensor, other: torch.Tensor, dtype: torch.dtype) -> float:
    """The largest distance of ``other`` from the exact result, in units of its scale."""
    if not exact.is_floating_point() or not exact.numel() or exact.shape != other.shape:
        return 0.0
    usable = torch.isfinite(exact)
    if not usable.any():
        return 0.0
    return _relative(other, exact, _scale(exact, usable), usable, _smallest(dtype))


def _position(flat: torch.Tensor | int, like: torch.Tensor) -> tuple[int, ...]:
    rest, position = int(flat), []
    for size in reversed(like.shape):
        position.append(rest % size)
        rest //= size
    return tuple(reversed(position))
