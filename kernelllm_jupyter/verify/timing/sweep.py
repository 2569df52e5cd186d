"""A measurement over sizes: which sizes, and the candidate timed and compared at each of them.

Which integers of the source are sizes is found as for the checker's variations. :func:`steps` is
pure. Runs in the referee's process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kernelllm_jupyter.verify.findings import Refusal
from kernelllm_jupyter.verify.reference import ReferenceFailure
from kernelllm_jupyter.verify.sizing.scaling import Scaled, Scaling, Size

__all__ = ["axis_of", "points", "steps"]

#: Points below the given size and above it, each twice the next.
BELOW, ABOVE = 6, 4
#: Bytes that one size holds for each element: inputs in several sets and copies, weights and
#: outputs in two processes, and the exact results.
BYTES_PER_ELEMENT = 64


def axis_of(scaling: Scaling) -> Size | None:
    """The size that is varied: the batch where there is one, else the largest of the inputs'."""
    free = [size for size in scaling.sizes if size.changes_inputs]
    leading = [size for size in free if size.leading]
    return max(leading or free, key=lambda size: size.value, default=None)


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
    reserve_s: float,
) -> Iterator[tuple[list[dict[str, Any]], str]]:
    """After each point all of them by now as JSON, in ascending order; from the given size
    outwards while time lasts.

    A size at which the candidate fails or is wrong is a point with its message. The second is why
    there are not more of them.
    """
    given = scaling.given
    assert given is not None
    chosen = steps(axis.value, given.elements, free_bytes // BYTES_PER_ELEMENT)
    chosen.sort(key=lambda value: abs(value.bit_length() - axis.value.bit_length()))
    found: dict[int, dict[str, Any]] = {}

    def ascending() -> list[dict[str, Any]]:
        return [found[value] for value in sorted(found)]

    for value in chosen:
        if seconds_left() < reserve_s:
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
                yield ascending(), "The candidate's process ended."
                return
        except ReferenceFailure as failure:
            point["message"] = str(failure)
        found[value] = point
        yield ascending(), ""
