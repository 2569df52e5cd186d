"""Known ways of being wrong, by the place: which elements of an output are wrong.

Each recogniser takes the evidence and says one sentence, or nothing; the first that speaks is
heard. What is said of a region holds exactly: it is read off the whole mask of wrong elements.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from kernelllm_jupyter.verify.explaining.evidence import LISTED, Evidence, gathered, positions

__all__ = ["RECOGNISERS", "described_places"]

Recogniser = Callable[[Evidence], str]

#: A region is worth naming if at least this part of it is wrong.
FILLED = 0.5
#: The natural logarithm of the largest float32.
EXP_LIMIT = 88.72
#: The smallest block size worth guessing.
BLOCK = 16
ORDINALS = {2: "second", 3: "third"}


def described_places(evidence: Evidence) -> str:
    """Where the wrong elements are; empty where they are everywhere, or anywhere."""
    if evidence.count == evidence.total:
        return ""
    if evidence.count == 1:
        if bool(evidence.wrong.reshape(-1)[-1]):
            return "It is the last element: is a mask off by one?"
        return ""
    for recognise in RECOGNISERS:
        found = recognise(evidence)
        if found:
            return found
    return ""


# --- in memory's order ---------------------------------------------------------------------------


def tail(evidence: Evidence) -> str:
    """Exactly the last elements in memory's order."""
    flat = evidence.wrong.reshape(-1)
    count = evidence.count
    if not bool(flat[-count:].all()):
        return ""
    right = evidence.total - count
    if len(evidence.shape) > 1 and count % evidence.shape[-1] == 0:
        return ""
    if count >= right:
        cause = ": did only the first program do its part?" if _is_block(right) else "."
        return f"Only the first {_elements(right)} right{cause}"
    return (
        f"Exactly the last {count} elements are wrong{_remainder(right, count)}: is the grid or a "
        "mask too small?"
    )


def _elements(count: int) -> str:
    return "element is" if count == 1 else f"{count} elements are"


def _is_block(size: int) -> bool:
    return size >= BLOCK and size & (size - 1) == 0


def _remainder(right: int, count: int) -> str:
    """The block size that leaves ``count`` over after ``right``, as far as it shows."""
    block = right & -right
    return f", which is what blocks of {block} leave over" if block >= max(BLOCK, count + 1) else ""


def head(evidence: Evidence) -> str:
    """Exactly the first elements in memory's order."""
    flat = evidence.wrong.reshape(-1)
    count = evidence.count
    if not bool(flat[:count].all()):
        return ""
    if len(evidence.shape) > 1 and count % evidence.shape[-1] == 0:
        return ""
    return f"Exactly the first {count} elements are wrong."


def every_nth(evidence: Evidence) -> str:
    """At equal distances in memory's order."""
    if evidence.count > LISTED or evidence.count < 3:
        return ""
    listed = evidence.wrong.reshape(-1).nonzero().reshape(-1)
    steps = listed.diff()
    step = int(steps[0])
    if step < 2 or not bool((steps == step).all()):
        return ""
    first = int(listed[0])
    if first >= step or int(listed[-1]) + step < evidence.total:
        return ""
    return f"Exactly every {_ordinal(step)} element is wrong, from element {first} on."


def _ordinal(number: int) -> str:
    if number in ORDINALS:
        return ORDINALS[number]
    if 10 <= number % 100 <= 20:
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


# --- by axis -------------------------------------------------------------------------------------


def box(evidence: Evidence) -> str:
    """Exactly some rows, columns, a batch, or a tile."""
    if len(evidence.shape) < 2:
        return ""
    sets = [_along(evidence.wrong, axis) for axis in range(len(evidence.shape))]
    if math.prod(int(found.sum()) for found in sets) != evidence.count:
        return ""
    parts = [_described(found, axis, evidence.shape) for axis, found in enumerate(sets)]
    named = [part for part in parts if part is not None]
    if not named or "" in named:
        return ""
    where = " and ".join(named)
    if len(named) > 1:
        return f"Exactly the elements in {where} are wrong."
    if len(named) == 1:
        (axis,) = (axis for axis, part in enumerate(parts) if part is not None)
        right = evidence.shape[axis] - int(sets[axis].sum())
        if _is_suffix(sets[axis]) and 2 * right < evidence.shape[axis]:
            return _only_first(right, axis, evidence.shape)
    single = where.startswith(("row ", "column ", "index ", "every "))
    text = f"Exactly {where} {'is' if single else 'are'} wrong"
    if parts[-1] is not None:
        return text + _short_row(sets[-1], evidence.shape[-1])
    if parts[0] is not None and _is_suffix(sets[0]):
        return f"{text}: is the grid too small?"
    return f"{text}."


def _only_first(right: int, axis: int, shape: tuple[int, ...]) -> str:
    """Where no more than the beginning of an axis is right."""
    many = ("rows", "columns")[axis] if len(shape) == 2 else f"indices of axis {axis}"
    cause = ": is that one block?" if _is_block(right) else "."
    if right == 1:
        return f"Only the first of {shape[axis]} {many} is right{cause}"
    return f"Only the first {right} of {shape[axis]} {many} are right{cause}"


def region(evidence: Evidence) -> str:
    """All within a box, most of which is wrong."""
    if len(evidence.shape) < 2:
        return ""
    spans = [_span(_along(evidence.wrong, axis)) for axis in range(len(evidence.shape))]
    volume = math.prod(int(found.sum()) for found in spans)
    if volume > evidence.total // 2 or evidence.count < FILLED * volume:
        return ""
    parts = [_described(found, axis, evidence.shape) for axis, found in enumerate(spans)]
    return f"All wrong elements are in {' and '.join(part for part in parts if part)}."


def _span(found: torch.Tensor) -> torch.Tensor:
    """The indices from the first marked one to the last."""
    listed = found.nonzero().reshape(-1)
    indices = torch.arange(len(found), device=found.device)
    return (indices >= listed[0]) & (indices <= listed[-1])


def _short_row(columns: torch.Tensor, size: int) -> str:
    """Why the ends of all rows may be wrong."""
    count = int(columns.sum())
    if not _is_suffix(columns):
        return "."
    left = _remainder(size - count, count)
    return f"{left}: does the loop over a row, or its mask, end too early?"


def border(evidence: Evidence) -> str:
    """Right in one corner only: the tiles along the borders are wrong."""
    if len(evidence.shape) < 2:
        return ""
    right = ~evidence.wrong
    sets = [_along(right, axis) for axis in range(len(evidence.shape))]
    volume = math.prod(int(found.sum()) for found in sets)
    if volume != evidence.total - evidence.count or not volume:
        return ""
    if not all(_is_suffix(found.flip(0)) for found in sets):
        return ""
    limits = [
        f"{_axis_name(axis, len(sets))} < {int(found.sum())}"
        for axis, found in enumerate(sets)
        if int(found.sum()) < evidence.shape[axis]
    ]
    if len(limits) < 2:
        return ""
    return f"Only elements with {' and '.join(limits)} are right: the border tiles are not."


def _along(mask: torch.Tensor, axis: int) -> torch.Tensor:
    """Which indices of an axis have a marked element."""
    others = tuple(other for other in range(mask.ndim) if other != axis)
    return mask.any(dim=others) if others else mask


def _is_suffix(found: torch.Tensor) -> bool:
    count = int(found.sum())
    return count > 0 and bool(found[-count:].all())


def _axis_name(axis: int, axes: int) -> str:
    if axes == 2:
        return ("row", "column")[axis]
    return f"index of axis {axis}"


def _described(found: torch.Tensor, axis: int, shape: tuple[int, ...]) -> str | None:
    """A set of indices in words; None for all of them, empty where it follows no rule."""
    size, count = shape[axis], int(found.sum())
    if count == size:
        return None
    listed = found.nonzero().reshape(-1)
    first, last = int(listed[0]), int(listed[-1])
    two = len(shape) == 2
    one, many = (("row", "rows"), ("column", "columns"))[axis] if two else ("index", "indices")
    after = "" if two else f" of axis {axis}"
    if count == 1:
        return f"{one} {first}{after}"
    step = int(listed[1]) - first
    if not bool((listed.diff() == step).all()):
        return ""
    if step == 1:
        if last == size - 1:
            return f"the last {count} of {size} {many}{after}"
        return f"{many} {first} to {last}{after}"
    if first < step and last + step >= size and count > 2:
        return f"every {_ordinal(step)} {one}{after} from {first} on"
    return ""


# --- of a matrix ---------------------------------------------------------------------------------


def diagonal(evidence: Evidence) -> str:
    """On, above or below the diagonal of the last two axes."""
    if len(evidence.shape) < 2 or min(evidence.shape[-2:]) < 3:
        return ""
    above = evidence.where[-1] - evidence.where[-2]
    for words, marked in (
        ("on the diagonal", above == 0),
        ("above the diagonal", above > 0),
        ("on or above the diagonal", above >= 0),
        ("below the diagonal", above < 0),
        ("on or below the diagonal", above <= 0),
    ):
        if _matches(evidence, marked):
            return f"The wrong elements are those {words}."
    return ""


def checkerboard(evidence: Evidence) -> str:
    """Every other tile."""
    if len(evidence.shape) < 2:
        return ""
    rows, columns = evidence.where[-2], evidence.where[-1]
    for block in (1, 2, 4, 8, 16, 32, 64, 128):
        if block >= max(evidence.shape[-2:]):
            break
        odd = (rows // block + columns // block) % 2 == 1
        if _matches(evidence, odd) or _matches(evidence, ~odd):
            if block == 1:
                return "Every other element is wrong, like the squares of a chessboard."
            return f"Every other tile of {block} × {block} is wrong, like a chessboard's squares."
    return ""


def _matches(evidence: Evidence, marked: torch.Tensor) -> bool:
    return bool((marked == evidence.bad).all()) and bool(marked.any()) and not bool(marked.all())


# --- by the input --------------------------------------------------------------------------------

CONDITIONS: tuple[tuple[str, Callable[[torch.Tensor], torch.Tensor]], ...] = (
    ("is negative", lambda x: x < 0),
    ("is negative or 0", lambda x: x <= 0),
    ("is positive", lambda x: x > 0),
    ("is positive or 0", lambda x: x >= 0),
    ("is 0", lambda x: x == 0),
    ("is not finite", lambda x: ~torch.isfinite(x)),
)


def by_input(evidence: Evidence) -> str:
    """Where an input of the same shape is negative, zero, large or not finite."""
    several = len(evidence.inputs) > 1
    for number, given in enumerate(evidence.inputs, 1):
        if given.is_complex() or tuple(given.shape) != evidence.shape:
            continue
        values = gathered(given, positions(evidence.at, given.shape)).double()
        name = f"input {number}" if several else "the input"
        for words, condition in CONDITIONS:
            if _matches(evidence, condition(values)):
                return f"It is wrong exactly where {name} {words}."
        right, bad = values[~evidence.bad], values[evidence.bad]
        if not (torch.isfinite(values).all() and right.numel() and bad.numel()):
            continue
        if bool(bad.min() > right.max()):
            limit = float(right.max())
            why = ""
            if EXP_LIMIT - 4 < limit < EXP_LIMIT and not torch.isfinite(evidence.have).all():
                why = f": a float32 exp overflows from {EXP_LIMIT} on"
            return f"It is wrong exactly where {name} is larger than {limit:.4g}{why}."
        if bool(bad.max() < right.min()):
            return f"It is wrong exactly where {name} is smaller than {float(right.min()):.4g}."
    return ""


RECOGNISERS: tuple[Recogniser, ...] = (
    tail,
    head,
    box,
    border,
    diagonal,
    checkerboard,
    every_nth,
    by_input,
    region,
)
