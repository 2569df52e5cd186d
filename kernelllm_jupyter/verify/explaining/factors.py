"""Known ways of being wrong, by the relation of values: one factor, one offset, one function.

Recognisers as in ``patterns``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch

from kernelllm_jupyter.verify.explaining.evidence import MOST, Evidence

__all__ = [
    "alone",
    "another_function",
    "by_groups",
    "partly",
    "rectified",
    "scaled",
    "shifted",
    "wrapped",
]


PADDED = "so a mean is over a block and its padding"


def alone(evidence: Evidence) -> str:
    """A single value that is a known multiple of the right one."""
    have, want = float(evidence.have[0]), float(evidence.want[0])
    if (
        not evidence.floats
        or not math.isfinite(have)
        or not math.isfinite(want)
        or 0 in (have, want)
    ):
        return ""
    meaning = _meaning(have / want, evidence)
    return f"It is {have / want:.6g} times what it should be{meaning}." if meaning else ""


def scaled(evidence: Evidence) -> str:
    """One factor between the two."""
    factor = _one_factor(evidence.have, evidence.want, evidence)
    if factor is None:
        return ""
    if abs(factor + 1) < 1e-4:
        return "Every element has the wrong sign."
    meaning = _meaning(factor, evidence)
    return f"Every element is {factor:.6g} times what it should be{meaning}."


def partly(evidence: Evidence) -> str:
    """One factor or one offset between the two wherever it is wrong."""
    have, want = evidence.have[evidence.bad], evidence.want[evidence.bad]
    if have.numel() < 3 or bool(evidence.bad.all()):
        return ""
    factor = _one_factor(have, want, evidence)
    if factor is not None:
        if abs(factor + 1) < 1e-4:
            return "Wherever it is wrong, only the sign is."
        return f"Wherever it is wrong, it is {factor:.6g} times what it should be."
    away = have - want
    middle = float(away.median())
    limit = 1e-3 * abs(middle) if evidence.floats else 0.0
    if evidence.expected.dtype == torch.bool:
        return f"Wherever it is wrong, it is {middle > 0}." if bool((away == middle).all()) else ""
    if not evidence.floats and bool((away.abs() == 1).all()):
        return "Wherever it is wrong, it is off by one."
    if not torch.isfinite(away).all() or bool(((away - middle).abs() > limit).any()):
        return ""
    return f"Wherever it is wrong, it is {abs(middle):.4g} too {_side(middle)}."


def _side(offset: float) -> str:
    return "large" if offset > 0 else "small"


def wrapped(evidence: Evidence) -> str:
    """Integers that ran over."""
    away = (evidence.have - evidence.want)[evidence.bad]
    if not torch.isfinite(away).all() or not bool((away.frac() == 0).all()):
        return ""
    for bits in (32, 16, 8):
        if bool((away % 2.0**bits == 0).all()):
            return f"It is off by multiples of 2^{bits}: an int{bits} ran over."
    return ""


def _one_factor(have: torch.Tensor, want: torch.Tensor, evidence: Evidence) -> float | None:
    """The factor between two samples, where it is one and not 1."""
    if not evidence.floats:
        return None
    present = want.abs() > 1e-2 * evidence.scale
    if int(present.sum()) < 2 or not bool((want[present] != want[present][0]).any()):
        return None
    quotients = have[present] / want[present]
    if not torch.isfinite(quotients).all():
        return None
    middle = float(quotients.median())
    away = (quotients - middle).abs()
    limit = min(max(1e-4, evidence.alike) * abs(middle), 0.1 * abs(middle - 1))
    few = bool((away > limit).double().mean() <= 1 - MOST)
    if middle == 0 or abs(middle - 1) < 1e-6 or not few:
        return None
    return middle


def _meaning(factor: float, evidence: Evidence) -> str:
    """Where a factor is likely to come from."""
    for size in _sizes(evidence):
        block = 1 << (size - 1).bit_length()
        near = [
            (size / block, f": that is {size} / {block}, {PADDED}"),
            (math.sqrt(size / block), f": that is sqrt({size} / {block}), {PADDED}"),
            (math.sqrt(block / size), f": that is sqrt({block} / {size}), {PADDED}"),
            (size, f": {size} is a size of the problem, so a sum stands where a mean should"),
            (1 / size, f": that is 1 / {size}, so a mean stands where a sum should"),
            (size / (size - 1), f": that is n / (n - 1) for n = {size}, so a variance is unbiased"),
            ((size - 1) / size, f": that is (n - 1) / n for n = {size}, so a variance is biased"),
            (math.sqrt(size), f": that is the square root of {size}, a size of the problem"),
            (1 / math.sqrt(size), f": that is 1 / sqrt({size}), of a size of the problem"),
            (
                math.sqrt(size / (size - 1)),
                f": that is sqrt(n / (n - 1)) for n = {size}: a variance is biased",
            ),
            (
                math.sqrt((size - 1) / size),
                f": that is sqrt((n - 1) / n) for n = {size}: a variance is unbiased",
            ),
        ]
        for value, words in near:
            # 1.001 is n / (n - 1) for n = 1001 only if it is nearer to that than to 1.
            limit = min(0.05 * abs(value - 1), max(1e-4, evidence.alike))
            if abs(factor / value - 1) < limit:
                return words
    for value, words in (
        (1 / math.log(2), ": that is 1 / ln 2, so log2 stands where log should"),
        (math.log(2), ": that is ln 2, so log stands where log2 should"),
    ):
        if abs(factor / value - 1) < max(1e-4, evidence.alike):
            return words
    if abs(factor - round(factor)) < 1e-4 and 2 <= factor <= 64:
        return ": is it added up more than once?"
    return ""


def _sizes(evidence: Evidence) -> Iterator[int]:
    """Sizes that a mean may be over: axes of the inputs, and all but the first few of them."""
    found: list[int] = []
    for tensor in evidence.inputs:
        shape = list(tensor.shape)
        found += shape
        found += [math.prod(shape[start:]) for start in range(len(shape))]
        found.append(tensor.numel() // max(1, evidence.total))
    found += evidence.shape
    seen: set[int] = set()
    for size in found:
        if size > 2 and size not in seen:
            seen.add(size)
            yield size


def shifted(evidence: Evidence) -> str:
    """One offset between the two."""
    away = evidence.have - evidence.want
    if not torch.isfinite(away).all() or not bool((evidence.want != evidence.want[0]).any()):
        return ""
    middle = float(away.median())
    limit = 0.05 * abs(middle) if evidence.floats else 0.0
    if middle == 0 or bool(((away - middle).abs() > limit).any()):
        return ""
    return f"Every element is {abs(middle):.4g} too {_side(middle)}."


FUNCTIONS: tuple[tuple[str, Callable[[torch.Tensor], torch.Tensor]], ...] = (
    ("the square root", lambda x: x.sqrt()),
    ("the square", lambda x: x * x),
    ("the reciprocal", lambda x: 1 / x),
    ("the exponential", lambda x: x.exp()),
    ("the logarithm", lambda x: x.log()),
    ("the absolute value", lambda x: x.abs()),
)


def rectified(evidence: Evidence) -> str:
    """A relu too many or too few."""
    if not evidence.floats:
        return ""
    if evidence.explains(evidence.want.clamp(min=0.0)):
        return "Negative values are 0: a relu too many, or masked elements that count as 0."
    above = evidence.have.clamp(min=0.0)
    if bool(evidence.same(above, evidence.want).all()) and bool((evidence.have < 0).any()):
        return "Its negative values should be 0: a relu is missing."
    return ""


def another_function(evidence: Evidence) -> str:
    """A step too many or too few: a root, a square."""
    if not evidence.floats:
        return ""
    for name, function in FUNCTIONS:
        if evidence.explains(function(evidence.want)):
            return f"The result is {name} of what it should be."
        there = torch.isfinite(function(evidence.have))
        backwards = function(evidence.have)
        agrees = evidence.same(backwards, evidence.want)
        if bool(there.all()) and bool(agrees.all()):
            return f"What it should be is {name} of the result."
    return ""


def by_groups(evidence: Evidence) -> str:
    """A factor, or an offset, of its own for each row, column or index of another axis."""
    if not evidence.floats or len(evidence.shape) < 2 or not evidence.whole:
        return ""
    # A few wrong elements fit any groups' factors.
    if evidence.count < evidence.total // 10:
        return ""
    have, want = evidence.got.double(), evidence.expected.double()
    usable = want.abs() > 1e-2 * evidence.scale
    quotients = torch.where(usable, have / want, torch.full_like(want, math.nan))
    away = have - want
    last = len(evidence.shape) - 1
    for axis in range(last, -1, -1):
        others = tuple(other for other in range(last + 1) if other != axis)
        whose = _group(axis, last)
        factors, offsets = _fitted(quotients, others), _fitted(away, others)
        if factors is not None and _fits(quotients, factors, evidence, usable, relative=True):
            if whose == "row":
                return f"Each row has a factor of its own: {NORMALISED}?"
            return f"Each {whose} has a factor of its own: is a weight left out, or {NORMALISED}?"
        everywhere = torch.isfinite(away)
        if offsets is not None and _fits(away, offsets, evidence, everywhere, relative=False):
            return f"Each {whose} is off by an amount of its own: is a bias left out?"
    rows = _fitted(quotients, (last,))
    if rows is None:
        return ""
    if _fits(quotients, rows, evidence, usable, relative=True):
        return f"Each row has a factor of its own: {NORMALISED}?"
    columns = _fitted(quotients / rows, tuple(range(last)))
    if columns is not None and _fits(quotients, rows * columns, evidence, usable, relative=True):
        return f"Each row and each column has a factor of its own: {NORMALISED}?"
    return ""


def _group(axis: int, last: int) -> str:
    if axis == last:
        return "column"
    return "row" if last == 1 else f"index of axis {axis}"


NORMALISED = "is it normalised along the right axis, over all its elements, with the right epsilon"


def _fitted(values: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor | None:
    """The median over some axes, kept as axes of size 1; None over too few elements."""
    kept = [axis for axis in range(values.ndim) if axis not in axes]
    shape = [1 if axis in axes else values.shape[axis] for axis in range(values.ndim)]
    flat = values.permute(*kept, *axes).reshape(*(values.shape[axis] for axis in kept), -1)
    if flat.shape[-1] < 3 or flat.numel() < 3 * flat.shape[-1]:
        return None
    return flat.nanmedian(dim=-1).values.reshape(shape)


def _fits(
    values: torch.Tensor,
    fitted: torch.Tensor,
    evidence: Evidence,
    among: torch.Tensor,
    *,
    relative: bool,
) -> bool:
    """Whether values are those fitted, among the wrong elements as well as among all."""
    part = max(1e-4, evidence.alike)
    allowed = part * (fitted.abs() if relative else torch.full_like(fitted, evidence.scale))
    close = (values - fitted).abs() <= allowed
    wrong = among & evidence.wrong
    return bool(wrong.any()) and all(
        float(close[marked].double().mean()) >= MOST for marked in (among, wrong)
    )
