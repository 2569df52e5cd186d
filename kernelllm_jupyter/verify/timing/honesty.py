"""Whether what a candidate's process says of its own times can be true.

Pure functions. The candidate's code shares its process with the clock that times it. It cannot
reach the referee's clock, which sees each turn from outside, so a turn that lasted longer than the
calls that it reports explain has work in it that nobody reported: on another stream, in a thread,
or behind a timer that was tampered with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ["Alone", "Outside", "disturbed_baseline", "hidden_in_turns", "hidden_outside_stream"]

#: What may remain unexplained: this part of a call, that one of clearing the cache, so many
#: median deviations between turns over the root of their number, and at least so many
#: milliseconds.
TOLERATED_PART, TOLERATED_BESIDE, TOLERATED_DEVIATIONS, TOLERATED_MS = 0.15, 0.1, 6.0, 0.02
#: PyTorch may run this much slower beside the candidate than it did before that was loaded.
TOLERATED_SLOWER = 1.25
#: Turns that are shorter say nothing by the referee's clock, whose messages take as long.
SHORTEST_TURN_MS = 2.0


@dataclass(frozen=True)
class Outside:
    """A turn as the referee saw it: how long it lasted, and what it was told of it."""

    lasted_ms: float
    told_ms: tuple[float, ...]


@dataclass(frozen=True)
class Alone:
    """Calls one by one with the device idle before and after: device clock and wall clock."""

    device_ms: tuple[float, ...]
    wall_ms: tuple[float, ...]

    @property
    def beside_ms(self) -> float:
        """What the wall clock sees beyond the device's."""
        pairs = zip(self.wall_ms, self.device_ms, strict=True)
        return median(wall - device for wall, device in pairs)


def hidden_in_turns(
    turns: Sequence[Outside], empty_ms: float, beside_ms: float, least_ms: float = TOLERATED_MS
) -> float | None:
    """Milliseconds of a call that a candidate did not report; None where nothing is missing.

    ``empty_ms`` is what a turn without calls lasts, and ``beside_ms`` what every call takes beside
    itself (clearing the cache), both by the referee's own clock.
    """
    unexplained, told = [], []
    for turn in turns:
        if not turn.told_ms or turn.lasted_ms - empty_ms < SHORTEST_TURN_MS:
            continue
        calls = len(turn.told_ms)
        mean = sum(turn.told_ms) / calls
        unexplained.append((turn.lasted_ms - empty_ms) / calls - beside_ms - mean)
        told.append(mean)
    if not told:
        return None
    # A busy host makes some turns longer; work that is hidden is hidden in most of them.
    hidden = sorted(unexplained)[int(0.4 * len(unexplained))]
    deviation = median(abs(each - median(unexplained)) for each in unexplained)
    allowed = max(
        least_ms,
        TOLERATED_PART * median(told) + TOLERATED_BESIDE * beside_ms,
        TOLERATED_DEVIATIONS * deviation / math.sqrt(len(unexplained)),
    )
    return hidden if hidden > allowed else None


def hidden_outside_stream(
    calls: Alone, nothing: Alone, least_ms: float = TOLERATED_MS
) -> float | None:
    """Milliseconds of a call that the device's clock on the current stream did not see.

    With the device idle before it, both clocks see the same call, launch included; what the wall
    clock sees of a call that does ``nothing`` is waiting.
    """
    beyond = calls.beside_ms - nothing.beside_ms
    allowed = max(least_ms, TOLERATED_PART * median(calls.device_ms))
    return beyond if beyond > allowed else None


def disturbed_baseline(before_ms: float, beside_ms: float) -> bool:
    """Whether PyTorch is slower beside the candidate than it was by itself."""
    return beside_ms > TOLERATED_SLOWER * before_ms + TOLERATED_MS
