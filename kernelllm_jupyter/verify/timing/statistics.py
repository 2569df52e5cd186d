"""What a series of rounds says: medians, their intervals, and whether two of them differ.

Pure functions of numbers; nothing is known here of devices or of what was timed. A *round* holds
one turn of every contender, and what disturbs a machine lasts longer than a turn (heat, clocks,
other users), so rounds are resampled and not calls, and all contenders of a round together: what
they share cancels in the ratio (the percentile bootstrap, Efron 1979). What they do not share may
still last for several rounds; such rounds count for less (the effective sample size of a
first-order autoregression, Bartlett 1935). Blocks of rounds would do the same, and are too few.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from kernelllm_jupyter.timings import Conclusion, Interval

__all__ = [
    "CONFIDENCE",
    "FEWEST_ROUNDS",
    "LEAST_EFFECT",
    "Ratio",
    "conclusion",
    "likeness",
    "ratio_of",
    "spread",
    "tick_ms",
]

CONFIDENCE = 0.99
RESAMPLES = 1000
#: Rounds more alike than this say nothing about how much.
MOST_ALIKE = 0.95
#: A difference below this is none, however sure: two copies of one program differ as much by where
#: their memory lies.
LEAST_EFFECT = 0.01
#: No conclusion is drawn from fewer rounds: how alike they are cannot be seen in fewer.
FEWEST_ROUNDS = 16

Series = Sequence[float]
Array = NDArray[numpy.float64]


@dataclass(frozen=True)
class Ratio:
    """How many times longer the first of two takes than the second, and where that lies."""

    value: float
    interval: Interval


def spread(series: Series, seed: int = 0) -> Interval:
    """The bootstrap interval of the median of one turn median per round."""
    return _bootstrap(_positive([series]), lambda drawn: numpy.median(drawn[0], axis=-1), seed)


def ratio_of(series: Series, base: Series, seed: int = 0) -> Ratio:
    """The ratio of two medians over the same rounds, with its bootstrap interval."""

    def ratio(drawn: Array) -> Array:
        first, second = numpy.median(drawn, axis=-1)
        return numpy.asarray(first / second)

    pair = _positive([series, base])
    return Ratio(float(ratio(pair[:, None, :])[0]), _bootstrap(pair, ratio, seed))


def _positive(series: Sequence[Series]) -> Array:
    values = numpy.asarray(series, dtype=float)
    if values.ndim != 2 or values.shape[1] == 0 or not (values > 0).all():
        raise ValueError("series of as many positive times")
    return values


def conclusion(series: Series, base: Series, ratio: Ratio, tick: float = 0.0) -> Conclusion:
    """Whether ``base`` is faster than ``series`` beyond doubt.

    Only where the interval excludes 1.0, the difference is at least ``LEAST_EFFECT``, and more
    than one tick of the clock: a median of times that are whole ticks has no interval to speak of.
    Few rounds say nothing either way.
    """
    if len(series) < FEWEST_ROUNDS:
        return "not measured"
    apart = abs(float(numpy.median(series)) - float(numpy.median(base)))
    if abs(math.log(ratio.value)) < math.log1p(LEAST_EFFECT) or apart <= tick:
        return "no difference"
    if ratio.interval.low > 1.0:
        return "faster"
    return "slower" if ratio.interval.high < 1.0 else "no difference"


def tick_ms(samples: Series) -> float:
    """The granularity of a clock, from what it said: the least step between different times.

    0.0 where the steps are so small, against the times, that they are rounding.
    """
    different = numpy.unique(numpy.asarray(samples, dtype=float))
    if len(different) < 2:
        return 0.0
    steps = numpy.diff(different)
    steps = steps[steps > 1e-6 * different[-1]]
    return float(steps.min()) if len(steps) else 0.0


def likeness(values: Array) -> float:
    """The correlation of neighbouring rounds, from 0 to 0.95, taken for what it may well be.

    A short series shows too little of it (by some (1 + 3 r) / n, Kendall 1954), and with an error
    of 1 / sqrt(n): both are added, so that doubt makes intervals wider.
    """
    count = len(values)
    deviations = values - numpy.median(values)
    # An outlier would hide what its neighbours have in common.
    limit = 3 * float(numpy.median(numpy.abs(deviations)))
    if limit > 0:
        deviations = numpy.clip(deviations, -limit, limit)
    power = float(deviations @ deviations)
    if count < 3 or power <= 0:
        return 0.0
    seen = float(deviations[:-1] @ deviations[1:]) / power
    doubt = (1 + 3 * max(seen, 0.0)) / count + 1 / math.sqrt(count)
    return min(MOST_ALIKE, max(0.0, seen + doubt))


def _bootstrap(series: Array, statistic: Callable[[Array], Array], seed: int) -> Interval:
    """Where a positive statistic of rounds lies; ``series`` is contenders by rounds.

    Rounds are drawn with replacement; then the interval is widened on both sides by what
    neighbours that are alike take from their number, sqrt((1 + r) / (1 - r)) in standard errors.
    """
    count = series.shape[1]
    generator = numpy.random.default_rng(seed)
    drawn = generator.integers(0, count, size=(RESAMPLES, count))
    found = numpy.log(statistic(series[:, drawn]))
    value = math.log(float(statistic(series[:, None, :])[0]))
    tail = (1 - CONFIDENCE) / 2
    low, high = numpy.quantile(found, [tail, 1 - tail])
    logs = numpy.log(series)
    alike = likeness(logs[0] - logs[1] if len(logs) == 2 else logs[0])
    wider = math.sqrt((1 + alike) / (1 - alike))
    # A product that is exact: the interval of one value is that value.
    middle = float(statistic(series[:, None, :])[0])
    return Interval(
        middle * math.exp(-wider * max(0.0, value - float(low))),
        middle * math.exp(wider * max(0.0, float(high) - value)),
    )
