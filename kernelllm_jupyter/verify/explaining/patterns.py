"""Known ways of being wrong, by the values: what the result is instead of what it should be.

Each recogniser takes the evidence and says one sentence, or nothing. The order of ``RECOGNISERS``
is from the most specific to the least; the first that speaks is heard.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch

from kernelllm_jupyter.verify.explaining.evidence import Evidence, gathered, positions
from kernelllm_jupyter.verify.explaining.factors import (
    alone,
    another_function,
    by_groups,
    partly,
    rectified,
    scaled,
    shifted,
    wrapped,
)
from kernelllm_jupyter.verify.watching.audit import POISON, POISON_NUMBER

__all__ = ["RECOGNISERS", "described_values"]

Recogniser = Callable[[Evidence], str]

#: Up to how many elements are sorted to compare them in any order.
SORTED = 1 << 20
#: A result whose largest error is below this part of its scale is roughly right.
ROUGHLY = 2e-2


def described_values(evidence: Evidence) -> str:
    """What the result is instead; empty where no known pattern fits."""
    if evidence.total == 1:
        return alone(evidence)
    for recognise in RECOGNISERS:
        found = recognise(evidence)
        if found:
            return found
    return ""


# --- memory, NaN and infinity --------------------------------------------------------------------


def unwritten(evidence: Evidence) -> str:
    """What fresh memory was filled with is still there."""
    dtype = evidence.got.dtype
    got = gathered(evidence.got, evidence.where)
    if evidence.floats:
        number = torch.full_like(got, POISON_NUMBER)
        left = _is_poison_nan(got) | (got.abs() == number.abs())
    elif dtype == torch.bool:
        return ""
    else:
        pattern = POISON & torch.iinfo(dtype).max
        left = (got == pattern) | (got == -pattern if dtype.is_signed else False)
    left = left & evidence.bad
    if not left.any():
        return ""
    nan = evidence.floats and bool(torch.isnan(got[left]).any())
    if nan and not bool((left == evidence.bad).all()):
        return ""
    what = "NaN" if nan else "what fresh memory holds"
    if left.all():
        return (
            f"All of it is {what}: never written, or added to memory that was never written (an "
            "atomic add needs zeros to begin with)."
        )
    some = "The" if bool((left == evidence.bad).all()) else "Some of the"
    whose = f"{some} wrong elements are" if evidence.count > 1 else "The wrong element is"
    computed = ", or from 0 / 0 or infinity - infinity" if nan else ""
    return (
        f"{whose} {what}: never written, or computed from memory that was never written{computed}."
    )


def _is_poison_nan(got: torch.Tensor) -> torch.Tensor:
    """NaN with the bits that fresh memory is filled with; 0 / 0 on x86 and on GPUs makes NaN with
    other bits, of which some functions make these."""
    views = {2: torch.int16, 4: torch.int32, 8: torch.int64}
    view = views.get(got.element_size())
    if view is None:
        return torch.isnan(got)
    filled = torch.full((1,), math.nan, dtype=got.dtype, device=got.device)
    return torch.isnan(got) & (got.contiguous().view(view) == filled.view(view))


def not_a_number(evidence: Evidence) -> str:
    """NaN that was computed."""
    if not evidence.floats:
        return ""
    nan = torch.isnan(evidence.have) & ~torch.isnan(evidence.want)
    if not nan.any():
        missing = torch.isnan(evidence.want) & ~torch.isnan(evidence.have)
        if missing.any() and bool((missing == evidence.bad).all()):
            return "The reference has NaN in these places and the result has numbers."
        return ""
    if evidence.got.ndim >= 2 and not nan.all() and _by_rows(evidence, nan):
        return (
            "Whole rows are NaN, as infinity / infinity or infinity - infinity makes it: is the "
            "row's maximum subtracted before exp, and are masked elements left out?"
        )
    whose = "It was" if evidence.count == 1 else "They were"
    return f"{whose} computed as NaN: by 0 / 0, infinity - infinity, or a root of a negative."


def _by_rows(evidence: Evidence, marked: torch.Tensor) -> bool:
    """Whether a mark holds for all of a row or for none of it."""
    row = torch.zeros_like(evidence.at)
    for size, index in zip(evidence.shape[:-1], evidence.where[:-1], strict=True):
        row = row * size + index
    _, group = row.unique(return_inverse=True)
    totals = torch.bincount(group)
    found = torch.bincount(group, weights=marked.double())
    return bool(((found == 0) | (found == totals)).all()) and bool((totals > 1).any())


def infinite(evidence: Evidence) -> str:
    """Infinity where the reference is finite."""
    if not evidence.floats:
        return ""
    over = torch.isinf(evidence.have) & torch.isfinite(evidence.want)
    if not over.any():
        return ""
    if bool((evidence.have[over] < 0).all()):
        return "It is -infinity, as the logarithm of 0 or a maximum over masked elements gives it."
    if evidence.got.dtype == torch.float16:
        return "A result or a step before it is beyond float16's 65504: compute in float32."
    return "A step overflows to infinity: an exp of a large number, or a division by 0."


# --- no computation ------------------------------------------------------------------------------


def constant(evidence: Evidence) -> str:
    """One value everywhere, or wherever it is wrong."""
    first = evidence.have[0]
    if bool((evidence.have == first).all()):
        if first == 0:
            return "The result is all zeros."
        return f"Every element is {float(first):.6g}."
    have = evidence.have[evidence.bad]
    if have.numel() > 1 and bool((have == 0).all()) and bool((evidence.have != 0).any()):
        return "Wherever it is wrong, the result is 0."
    return ""


def unchanged(evidence: Evidence) -> str:
    """An input, handed through."""
    several = len(evidence.inputs) > 1
    for number, given in enumerate(evidence.inputs, 1):
        if given.dtype != evidence.got.dtype or given.numel() != evidence.total:
            continue
        if given.is_complex():
            continue
        values = gathered(given, positions(evidence.at, given.shape)).double()
        name = f"input {number}" if several else "the input"
        if evidence.explains(values):
            return f"The result is {name}, unchanged."
        if evidence.explains(values, evidence.bad):
            return f"Wherever it is wrong, the result is {name}, unchanged."
    return ""


# --- right values in wrong places ----------------------------------------------------------------


def transposed(evidence: Evidence) -> str:
    """The axes in another order, in shape or in memory."""
    if not 2 <= len(evidence.shape) <= 4:
        return ""
    axes = range(len(evidence.shape))
    for order in itertools.permutations(axes):
        if list(order) == list(axes):
            continue
        shape = [evidence.shape[axis] for axis in order]
        index = positions(evidence.at, shape)
        origin = tuple(index[order.index(axis)] for axis in axes)
        if not evidence.explains(gathered(evidence.expected, origin).double()):
            continue
        moved = [axis for axis, place in zip(axes, order, strict=True) if axis != place]
        if len(axes) == 2:
            return "The result is transposed."
        if len(moved) == 2:
            return f"The result is transposed: axes {moved[0]} and {moved[1]} are swapped."
        return f"The result is transposed: its axes are in the order {list(order)}."
    return ""


def rolled(evidence: Evidence) -> str:
    """Every element is what belongs one or two places further, or at the mirrored place."""
    for axis, size in enumerate(evidence.shape):
        place = evidence.where[axis]
        for step in (1, -1, 2, -2):
            inside = (place + step >= 0) & (place + step < size)
            if _moved_along(evidence, axis, place + step, inside):
                many = "one place" if abs(step) == 1 else f"{abs(step)} places"
                side = "after" if step > 0 else "before"
                return (
                    f"Each element is what belongs {many} {side} it along "
                    f"{_axis(axis, evidence)}: an index is off by {abs(step)}."
                )
        if size > 1 and _moved_along(evidence, axis, size - 1 - place, place >= 0):
            return f"The result is reversed along {_axis(axis, evidence)}."
    return ""


def _moved_along(evidence: Evidence, axis: int, place: torch.Tensor, inside: torch.Tensor) -> bool:
    size = evidence.shape[axis]
    origin = list(evidence.where)
    origin[axis] = place.clamp(0, size - 1)
    values = gathered(evidence.expected, tuple(origin)).double()
    return evidence.explains(values, inside)


def _axis(axis: int, evidence: Evidence) -> str:
    if len(evidence.shape) == 1:
        return "the output"
    return "the last axis" if axis == len(evidence.shape) - 1 else f"axis {axis}"


def reordered(evidence: Evidence) -> str:
    """The right values in any other order."""
    if evidence.total > SORTED or evidence.got.is_complex():
        return ""
    have, want = (x.reshape(-1).double().sort().values for x in (evidence.got, evidence.expected))
    if not bool(evidence.same(have, want).all()) or evidence.total < 3:
        return ""
    if bool(evidence.same(evidence.have, evidence.want).all()):
        return ""
    return "The values are right and in another order: an index or a stride is wrong."


# --- integers ------------------------------------------------------------------------------------


def tied(evidence: Evidence) -> str:
    """Indices of elements that are equal to those at the right ones."""
    if evidence.floats or evidence.expected.dtype == torch.bool:
        return ""
    for given in evidence.inputs:
        if not given.is_floating_point():
            continue
        for axis in range(given.ndim):
            rest = [*given.shape[:axis], *given.shape[axis + 1 :]]
            kept = [*given.shape[:axis], 1, *given.shape[axis + 1 :]]
            if list(evidence.shape) not in (rest, kept):
                continue
            where = list(evidence.where)
            if list(evidence.shape) == rest:
                where.insert(axis, torch.zeros_like(evidence.at))
            values = []
            for index in (evidence.have, evidence.want):
                if bool(((index < 0) | (index >= given.shape[axis])).any()):
                    break
                where[axis] = index.long()
                values.append(gathered(given, tuple(where)))
            if len(values) == 2 and bool((values[0] == values[1]).all()):
                return (
                    "These are indices of equal values: there are ties, and the reference takes "
                    "others."
                )
    return ""


# --- precision -----------------------------------------------------------------------------------


def imprecise(evidence: Evidence) -> str:
    """Roughly right everywhere."""
    if not evidence.floats:
        return ""
    away = (evidence.have - evidence.want).abs() / evidence.want.abs().clamp(min=evidence.scale)
    largest = float(away.max())
    if not largest < ROUGHLY:
        return ""
    if evidence.expected.dtype in (torch.float32, torch.float64):
        for name, dtype in (("bfloat16", torch.bfloat16), ("float16", torch.float16)):
            rounded = evidence.have.to(dtype).double()
            if bool((rounded == evidence.have).all()):
                return f"All its values are {name} numbers: it was rounded to {name} on the way."
    lower = "a lower precision"
    if 2.0**-13 < largest <= 2.0**-10:
        lower += " such as float16 or TF32"
    elif largest > 2.0**-10:
        lower += " such as bfloat16"
    return (
        f"It is off by up to {largest:.1g} of its scale: is it an approximation, a constant that "
        f"is not quite right, or {lower}?"
    )


RECOGNISERS: tuple[Recogniser, ...] = (
    unwritten,
    not_a_number,
    infinite,
    rectified,
    tied,
    constant,
    unchanged,
    wrapped,
    scaled,
    shifted,
    partly,
    imprecise,
    transposed,
    rolled,
    another_function,
    by_groups,
    reordered,
)
