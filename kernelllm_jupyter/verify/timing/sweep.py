"""A measurement over sizes: which sizes, and the candidate timed and compared at each of them.

Which integers of the source are sizes is found as for the checker's variations. :func:`axes_of`,
:func:`labels` and :func:`steps` are pure. Runs in the referee's process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from kernelllm_jupyter.verify.findings import Refusal
from kernelllm_jupyter.verify.reference import ReferenceFailure
from kernelllm_jupyter.verify.sizing.scaling import Scaled, Scaling, Size

__all__ = ["ENDED", "axes_of", "labels", "points", "steps"]

#: Points below the given size and above it, each twice the next.
BELOW, ABOVE = 6, 4
#: Sizes that are varied where none is named.
MOST_AXES = 4
#: Why there are no further points, where none of any size can follow.
ENDED = "The candidate's process ended."
#: Bytes that one size holds for each element: inputs in several sets and copies, weights and
#: outputs in two processes, and the exact results.
BYTES_PER_ELEMENT = 64


def axes_of(sizes: Sequence[Size], wanted: Sequence[str] = ()) -> tuple[list[Size], list[str]]:
    """The sizes that are varied one after another, and names in ``wanted`` that are none.

    Each of them where none is named: first the batch, then the inputs' others and those of weights
    alone, the large ones first.
    """
    if not wanted:
        order = [(not size.leading, not size.changes_inputs, -size.value) for size in sizes]
        ordered = sorted(range(len(sizes)), key=order.__getitem__)
        return [sizes[at] for at in ordered][:MOST_AXES], []
    chosen: list[Size] = []
    unknown = []
    for name in wanted:
        found = [size for size in sizes if name in _names(size)]
        chosen += [size for size in found if size not in chosen]
        if not found:
            unknown.append(name)
    return chosen, unknown


def _names(size: Size) -> set[str]:
    """By what a size can be named: its names in the source, and its number there."""
    return {str(size.value), *(site.name for site in size.sites if site.name)}


def labels(sizes: Sequence[Size]) -> dict[Size, str]:
    """What each size is called: by its name in the source where it has one of its own."""
    named = {size: next((site.name for site in size.sites if site.name), "") for size in sizes}
    several = {name for name, count in Counter(named.values()).items() if count > 1}
    return {
        size: f"{name} ({size.value:,})"
        if name and name in several
        else name or f"the size that is {size.value:,}"
        for size, name in named.items()
    }


def steps(value: int, elements: int, most_elements: int) -> list[int]:
    """Sizes in geometric steps around ``value``, ascending, as far as memory allows.

    ``elements`` is what the problem holds at ``value``; it is taken to grow with the size.
    """
    below = [value >> n for n in range(BELOW, 0, -1) if value >> n >= 1]
    above = [value << n for n in range(ABOVE + 1) if elements << n <= most_elements]
    return [*dict.fromkeys(below), *above]


def points(
    scaling: Scaling,
    axis: Size,
    free_bytes: int,
    measure: Callable[[Scaled], dict[str, Any]],
    seconds_left: Callable[[], float],
) -> Iterator[tuple[list[dict[str, Any]], str]]:
    """After each point all of them by now as JSON, in ascending order; from the given size
    outwards while time lasts.

    A size at which the candidate fails or is wrong is a point with its message. The second is why
    there are not more of them.
    """
    given = scaling.given
    assert given is not None
    fitting = steps(axis.value, given.elements, free_bytes // BYTES_PER_ELEMENT)
    # The given size is measured already, whatever it was thought to take.
    chosen = sorted({axis.value, *fitting})
    chosen.sort(key=lambda value: abs(value.bit_length() - axis.value.bit_length()))
    found: dict[int, dict[str, Any]] = {}

    def ascending() -> list[dict[str, Any]]:
        return [found[value] for value in sorted(found)]

    for value in chosen:
        if value != axis.value and seconds_left() <= 0:
            yield ascending(), "There was no time for further sizes (see --timeout)."
            return
        scaled = scaling.at({axis: value})
        if scaled is None:
            continue
        point: dict[str, Any] = {"inputs": list(scaled.footprint.described), "value": value}
        try:
            point.update(measure(scaled))
        except Refusal as refusal:
            point["message"] = refusal.message[:500]
            if refusal.kind == "crashed":
                found[value] = point
                yield ascending(), ENDED
                return
        except ReferenceFailure as failure:
            point["message"] = str(failure)
        except (torch.OutOfMemoryError, MemoryError):
            point["message"] = "There is not enough memory to measure it at this size."
        found[value] = point
        yield ascending(), ""
