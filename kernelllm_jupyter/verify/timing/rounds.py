"""The course of a measurement in pure functions: who is next, how many calls, when it is enough.

Knows nothing of devices; times come in as numbers and decisions go out.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from kernelllm_jupyter.timings import Conclusion, Interval
from kernelllm_jupyter.verify.timing.statistics import (
    FEWEST_ROUNDS,
    Ratio,
    conclusion,
    ratio_of,
    spread,
    tick_ms,
)

__all__ = ["Rounds", "Standing", "calls_for", "sets_for", "turn_order"]

#: After how many rounds it is looked at whether they are enough; the last one ends it.
LOOKS = (20, 26, 34, 44, 58, 76, 98, 120)
MOST_ROUNDS = LOOKS[-1]
#: An interval of a ratio is narrow at this width; or where it lies this many widths from 1.0.
NARROW, FAR = 0.02, 3.0
#: A turn takes about this long, in this many calls at most.
TURN_MS, MOST_CALLS = 25.0, 100
#: Sets of inputs that take turns, and the bytes that they may take in all.
MOST_SETS, SETS_BYTES = 4, 1 << 30


def turn_order(names: Sequence[str], number: int, seed: int) -> list[str]:
    """The order of a round: drawn anew for each, so that none profits from its place."""
    order = list(names)
    random.Random(f"{seed}:{number}").shuffle(order)
    return order


def calls_for(call_ms: float, beside_ms: float) -> int:
    """How many calls make a turn, where each takes ``call_ms`` and clearing the cache the rest."""
    return max(1, min(MOST_CALLS, round(TURN_MS / max(call_ms + beside_ms, 1e-6))))


def sets_for(one_bytes: int) -> int:
    """How many sets of inputs there are to be: several, unless they are huge."""
    return max(1, min(MOST_SETS, SETS_BYTES // max(1, one_bytes)))


@dataclass(frozen=True)
class Standing:
    """Where one contender stands against the candidate."""

    median_ms: float
    interval: Interval
    calls: int
    ratio: Ratio | None = None
    conclusion: Conclusion = "not measured"


@dataclass
class Rounds:
    """The turns so far: for each contender its device times of every call, round by round."""

    names: tuple[str, ...]
    measured: str = "candidate"
    times_ms: dict[str, list[tuple[float, ...]]] = field(default_factory=dict)

    def add(self, turns: Mapping[str, Sequence[float]]) -> None:
        """One whole round."""
        for name in self.names:
            self.times_ms.setdefault(name, []).append(tuple(turns[name]))

    @property
    def count(self) -> int:
        return min((len(turns) for turns in self.times_ms.values()), default=0)

    def medians(self, name: str) -> list[float]:
        """One figure for each round."""
        return [median(turn) for turn in self.times_ms[name]]

    def drop(self, name: str) -> None:
        """Go on without one that failed on the way."""
        self.names = tuple(other for other in self.names if other != name)
        self.times_ms.pop(name, None)

    def enough(self) -> bool:
        """Whether further rounds would change little; seldom looked at, and later more seldom."""
        if self.count >= MOST_ROUNDS:
            return True
        if self.count not in LOOKS:
            return False
        if self.measured not in self.names or len(self.names) == 1:
            return all(_narrow(spread(self.medians(name)), 1.0) for name in self.names)
        base = self.medians(self.measured)
        ratios = [ratio_of(self.medians(name), base) for name in self._others()]
        return all(_clear(ratio) for ratio in ratios)

    def standings(self) -> dict[str, Standing]:
        """Every contender's median, and its ratio to the candidate's."""
        base = self.medians(self.measured) if self.measured in self.names else None
        found = {}
        for name in self.names:
            series = self.medians(name)
            calls = sum(map(len, self.times_ms[name]))
            standing = Standing(median(series), spread(series), calls)
            if base is not None and name != self.measured:
                ratio = ratio_of(series, base)
                tick = max(tick_ms(self._samples(each)) for each in (name, self.measured))
                standing = Standing(
                    standing.median_ms,
                    standing.interval,
                    calls,
                    ratio,
                    conclusion(series, base, ratio, tick),
                )
            found[name] = standing
        return found

    @property
    def too_few(self) -> bool:
        """Whether there are not enough of them for any conclusion."""
        return self.count < FEWEST_ROUNDS

    def _others(self) -> list[str]:
        return [name for name in self.names if name != self.measured]

    def _samples(self, name: str) -> list[float]:
        return [ms for turn in self.times_ms[name] for ms in turn]


def _narrow(interval: Interval, around: float) -> bool:
    return (interval.high - interval.low) <= NARROW * max(interval.low, 1e-12) * around


def _clear(ratio: Ratio) -> bool:
    low, high = ratio.interval.low, ratio.interval.high
    width = math.log(high / low)
    return width <= NARROW or abs(math.log(ratio.value)) > FAR * width
