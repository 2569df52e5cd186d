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

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch

__all__ = ["Comparison", "Leniency", "compare", "relative_distance"]

#: For each dtype: how often the reference's own error, plus how many units in the last place.
BUDGETS: dict[torch.dtype, tuple[float, float]] = {
    torch.float64: (16.0, 64.0),
    torch.float32: (8.0, 8.0),
    torch.float16: (2.0, 1.0),
    torch.bfloat16: (2.0, 1.0),
    torch.float8_e4m3fn: (1.0, 1.0),
    torch.float8_e5m2: (1.0, 1.0),
}
#: The same for the relative L2 error of all elements together, where chance errors average out:
#: a sum of 4,096 terms one after the other makes 13 units there.
OVERALL: dict[torch.dtype, tuple[float, float]] = {
    torch.float64: (16.0, 64.0),
    torch.float32: (8.0, 16.0),
    torch.float16: (2.0, 0.25),
    torch.bfloat16: (2.0, 0.25),
    torch.float8_e4m3fn: (1.0, 0.25),
    torch.float8_e5m2: (1.0, 0.25),
}
#: How often the error that TF32 operands make in exact arithmetic, where TF32 is allowed.
TF32_FACTOR = 2.0
#: ``torch.testing.assert_close``'s defaults (rtol, atol); for 8 bits one unit in the last place.
CLOSE: dict[torch.dtype, tuple[float, float]] = {
    torch.float64: (1e-7, 1e-7),
    torch.float32: (1.3e-6, 1e-5),
    torch.float16: (1e-3, 1e-5),
    torch.bfloat16: (1.6e-2, 1e-5),
    torch.float8_e4m3fn: (0.125, 2**-9),
    torch.float8_e5m2: (0.25, 2**-16),
}
#: The part of an output's scale that does not count where inputs are made to show NaN only.
COARSE = 1e-3
#: Elements that are compared at a time: in float64, with eight numbers for each.
CHUNK = 1 << 21
#: A typical magnitude counts as scale up to this many times the median.
SPREAD = 32.0
#: Elements that the median is taken over.
SAMPLE = 65536

Leniency = Literal["strict", "close", "coarse"]
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
    leniency: Leniency = "strict",
    tf32: torch.Tensor | None = None,
) -> Comparison:
    """Compare one output tensor.

    Beside the budget, ``close`` accepts what ``assert_close`` does, and ``coarse`` a thousandth of
    the output's scale, for inputs on which honest orders of operations lose digits.

    ``exact`` is the output in float64, ``shifted`` the same from inputs moved by one rounding,
    and ``tf32``, where products in TF32 are allowed, with their operands rounded to it.
    Beyond the four tensors it takes two bytes an element, and 150 MB for what is computed on.
    """
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
        real = [None if x is None else torch.view_as_real(x) for x in (exact, shifted, tf32)]
        return compare(
            torch.view_as_real(got.resolve_conj()),
            torch.view_as_real(expected.resolve_conj()),
            real[0],
            real[1],
            leniency=leniency,
            tf32=real[2],
        )
    if not expected.is_floating_point():
        return _compare_exactly(got, expected)
    return _Floats(got, expected, exact, shifted, tf32).comparison(leniency)


def _compare_exactly(got: torch.Tensor, expected: torch.Tensor) -> Comparison:
    wrong = got != expected
    if not wrong.any():
        return Comparison("same", error=0.0, budget=0.0)
    distance = (got.double() - expected.double()).abs()
    worst = _position(distance.argmax(), expected)
    return Comparison(
        "different", "wrong_values", "", float(distance.max()), 0.0, float("inf"), wrong, worst
    )


@dataclass(frozen=True)
class _Piece:
    """Some of the elements, in float64; ``usable`` are those that are finite in the reference."""

    start: int
    got: torch.Tensor
    expected: torch.Tensor
    truth: torch.Tensor
    others: tuple[torch.Tensor | None, ...]
    usable: torch.Tensor


class _Floats:
    """One floating-point output, worked through piece by piece."""

    def __init__(
        self,
        got: torch.Tensor,
        expected: torch.Tensor,
        exact: torch.Tensor | None,
        shifted: torch.Tensor | None,
        tf32: torch.Tensor | None,
    ):
        self.like, self.dtype = expected, expected.dtype
        self.flat = got.reshape(-1), expected.reshape(-1)
        self.exact, self.shifted, self.tf32 = (
            x.reshape(-1) if x is not None and x.shape == expected.shape else None
            for x in (exact, shifted, tf32)
        )
        self.smallest = _smallest(self.dtype)

    def pieces(self) -> Iterable[_Piece]:
        """All elements; those of a small output are kept instead of computed again."""
        if self.like.numel() > CHUNK:
            return self._computed()
        if not hasattr(self, "_kept"):
            self._kept = list(self._computed())
        return self._kept

    def _computed(self) -> Iterator[_Piece]:
        got, expected = self.flat
        for start in range(0, expected.numel(), CHUNK):
            part = slice(start, start + CHUNK)
            want = expected[part].double()
            truth = want if self.exact is None else self.exact[part].double()
            yield _Piece(
                start,
                got[part].double(),
                want,
                torch.where(torch.isfinite(truth), truth, want),
                tuple(None if x is None else x[part].double() for x in (self.shifted, self.tf32)),
                torch.isfinite(want),
            )

    def comparison(self, leniency: Leniency) -> Comparison:
        misplaced = self._mask(lambda piece: _misplaced(piece.got, piece.expected))
        if misplaced.any():
            at = _position(misplaced.to(torch.uint8).argmax(), self.like)
            code = "nan" if torch.isnan(self.flat[0].float()[misplaced]).any() else "not_finite"
            wrong = misplaced.view(self.like.shape)
            return Comparison("different", code, "", None, None, float("inf"), wrong, at)
        self.typical = self._typical()
        errors = self._errors()
        allowed = self._allowed(errors, BUDGETS[self.dtype], lambda error: error.largest)
        worst = _Worst()
        outside = self._mask(lambda piece: self._outside(piece, allowed, leniency, worst))
        figures: dict[str, Any] = {
            "error": worst.error,
            "budget": worst.budget,
            "ratio": worst.ratio,
            "index": _position(worst.at, self.like),
        }
        if outside.any():
            wrong = outside.view(self.like.shape)
            return Comparison("different", "wrong_values", "", wrong=wrong, **figures)
        overall = self._allowed(errors, OVERALL[self.dtype], lambda error: error.overall)
        # Over a few elements chance does not average out.
        overall *= 1 + 4 / math.sqrt(self.like.numel())
        if errors["got"].overall > overall and leniency == "strict":
            wrong = self._mask(lambda p: (p.got - p.truth).abs() > overall * p.truth.abs())
            wrong = wrong.view(self.like.shape)
            text = (
                f"The relative L2 error of all elements together is {errors['got'].overall:.2g}, "
                f"allowed {overall:.2g}."
            )
            return Comparison("different", "wrong_values", text, wrong=wrong, **figures)
        return Comparison("near" if worst.ratio > 1 else "same", "imprecise", "", **figures)

    def _mask(self, function: Callable[[_Piece], torch.Tensor]) -> torch.Tensor:
        found = torch.empty(self.like.numel(), dtype=torch.bool, device=self.like.device)
        for piece in self.pieces():
            found[piece.start : piece.start + piece.got.numel()] = function(piece)
        return found

    def _typical(self) -> float:
        """The magnitude that counts as scale for elements below it; 0 where all are 0."""
        whole = self.flat[1] if self.exact is None else self.exact
        step = max(1, whole.numel() // SAMPLE)
        sample = whole[::step].double().abs()
        sample = sample[(sample > 0) & torch.isfinite(sample)]
        largest = max(
            float(torch.where(piece.usable, piece.truth.abs(), 0.0).max())
            for piece in self.pieces()
        )
        if not sample.numel():
            return largest
        return min(largest, SPREAD * float(sample.median()))

    def _scale(self, piece: _Piece) -> torch.Tensor:
        if not self.typical:
            return torch.ones_like(piece.truth)
        magnitude = torch.where(piece.usable, piece.truth.abs(), 0.0)
        return torch.clamp(magnitude, min=self.typical)

    def _relative(self, other: torch.Tensor, piece: _Piece) -> torch.Tensor:
        """Distances from the exact value in units of scale; 0 where there is none."""
        usable = piece.usable & torch.isfinite(other)
        distance = ((other - piece.truth).abs() - self.smallest).clamp(min=0.0)
        return torch.where(usable, distance / self._scale(piece), 0.0)

    def _errors(self) -> dict[str, _Error]:
        found = {name: _Error() for name in ("got", "own", "shifted", "tf32")}
        for piece in self.pieces():
            for name, other in zip(found, (piece.got, piece.expected, *piece.others), strict=True):
                if other is not None:
                    found[name].add(self._relative(other, piece), piece, other)
        return found

    def _allowed(
        self,
        errors: dict[str, _Error],
        budget: tuple[float, float],
        of: Callable[[_Error], float],
    ) -> float:
        factor, units = budget
        usual = factor * max(of(errors["own"]), of(errors["shifted"]))
        allowed = max(usual, TF32_FACTOR * of(errors["tf32"]))
        return allowed + units * float(torch.finfo(self.dtype).eps)

    def _outside(
        self, piece: _Piece, allowed: float, leniency: Leniency, worst: _Worst
    ) -> torch.Tensor:
        """Which elements are wrong; the largest ratio of error to budget goes to ``worst``."""
        error = torch.where(piece.usable, (piece.got - piece.truth).abs(), 0.0)
        budget = self._scale(piece) * allowed + self.smallest
        ratio = error / budget
        worst.see(piece.start, ratio, error, budget)
        outside = ratio > 1
        if leniency != "strict":
            rtol, atol = CLOSE[self.dtype]
            if leniency == "coarse":
                rtol, atol = max(rtol, COARSE), max(atol, COARSE * self.typical)
            apart = torch.where(piece.usable, (piece.got - piece.expected).abs(), 0.0)
            outside = outside & (apart > atol + rtol * piece.expected.abs())
        return outside


@dataclass
class _Error:
    """The largest error in units of scale, and what the relative L2 error is made from."""

    largest: float = 0.0
    squares: float = 0.0
    norm: float = 0.0

    def add(self, relative: torch.Tensor, piece: _Piece, other: torch.Tensor) -> None:
        self.largest = max(self.largest, float(relative.max()))
        usable = piece.usable & torch.isfinite(other)
        distance = torch.where(usable, other - piece.truth, 0.0)
        self.squares += float(distance.square().sum())
        self.norm += float(torch.where(usable, piece.truth, 0.0).square().sum())

    @property
    def overall(self) -> float:
        """The relative L2 error; 0 where the exact result is 0 or beyond float64's squares."""
        if not 0.0 < self.norm < math.inf:
            return 0.0
        return math.sqrt(self.squares / self.norm)


@dataclass
class _Worst:
    """The element with the largest ratio of error to budget so far."""

    at: int = 0
    ratio: float = 0.0
    error: float = 0.0
    budget: float = 0.0

    def see(
        self, start: int, ratio: torch.Tensor, error: torch.Tensor, budget: torch.Tensor
    ) -> None:
        at = int(ratio.argmax())
        found = float(ratio[at])
        if found > self.ratio or not self.budget:
            self.at, self.ratio = start + at, found
            self.error, self.budget = float(error[at]), float(budget[at])


def _misplaced(got: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """Where NaN or infinity is in one of the two only."""
    finite = torch.isfinite(expected)
    same = torch.where(torch.isnan(expected), torch.isnan(got), finite | (got == expected))
    return ~same | (finite & ~torch.isfinite(got))


def _smallest(dtype: torch.dtype) -> float:
    """What may be lost to underflow; float16 and below keep their subnormal numbers everywhere."""
    limits = torch.finfo(dtype)
    keeps = dtype == torch.float16 or dtype.itemsize == 1
    return float(2 * limits.tiny * limits.eps if keeps else limits.tiny)


def relative_distance(exact: torch.Tensor, other: torch.Tensor, dtype: torch.dtype) -> float:
    """The largest distance of ``other`` from the exact result, in units of its scale."""
    if not exact.is_floating_point() or not exact.numel() or exact.shape != other.shape:
        return 0.0
    floats = _Floats(other, exact, exact, None, None)
    floats.smallest = _smallest(dtype)
    floats.typical = floats._typical()
    return max(float(floats._relative(piece.got, piece).max()) for piece in floats.pieces())


def _position(flat: torch.Tensor | int, like: torch.Tensor) -> tuple[int, ...]:
    rest, position = int(flat), []
    for size in reversed(like.shape):
        position.append(rest % size)
        rest //= size
    return tuple(reversed(position))
