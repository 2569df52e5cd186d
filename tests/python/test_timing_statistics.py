"""The statistics of a timing on made-up series: what is the same is not called different, and what
is different is found.

Every series is drawn by a fixed seed, so that these rates are the same in every run.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy
import pytest
from numpy.random import Generator
from numpy.typing import NDArray

from kernelllm_jupyter.timings import Interval
from kernelllm_jupyter.verify.timing.rounds import (
    MOST_ROUNDS,
    Rounds,
    calls_for,
    sets_for,
    turn_order,
)
from kernelllm_jupyter.verify.timing.statistics import (
    FEWEST_ROUNDS,
    conclusion,
    likeness,
    ratio_of,
    spread,
    tick_ms,
)

Noise = Callable[[Generator, int], tuple[NDArray[numpy.float64], NDArray[numpy.float64]]]
CALLS = 5
#: For each kind of noise; 180 in all.
RUNS = 30


def slowly_changing(
    generator: Generator, count: int, alike: float, sigma: float
) -> NDArray[numpy.float64]:
    """A first-order autoregression, in its stationary state from the start."""
    steps = generator.normal(0, sigma, count)
    steps[0] /= (1 - alike**2) ** 0.5
    for at in range(1, count):
        steps[at] += alike * steps[at - 1]
    return steps


def plain(generator: Generator, count: int) -> tuple[NDArray[numpy.float64], ...]:
    return generator.normal(0, 0.02, count), generator.normal(0, 0.02, count)


def skewed(generator: Generator, count: int) -> tuple[NDArray[numpy.float64], ...]:
    return generator.exponential(0.02, count), generator.exponential(0.02, count)


def heating(generator: Generator, count: int) -> tuple[NDArray[numpy.float64], ...]:
    """Both get slower by a fifth, and clocks wander."""
    shared = numpy.linspace(0, 0.2, count) + slowly_changing(generator, count, 0.9, 0.01)
    first, second = (generator.normal(0, 0.01, count) for _ in range(2))
    return shared + first, shared + second


def apart(generator: Generator, count: int) -> tuple[NDArray[numpy.float64], ...]:
    """Each wanders by itself, for several rounds."""
    first, second = (slowly_changing(generator, count, 0.7, 0.015) for _ in range(2))
    return first, second


def two_clocks(generator: Generator, count: int) -> tuple[NDArray[numpy.float64], ...]:
    first, second = (
        0.1 * generator.integers(0, 2, count) + generator.normal(0, 0.005, count) for _ in range(2)
    )
    return first, second


def interrupted(generator: Generator, count: int) -> tuple[NDArray[numpy.float64], ...]:
    """One round in ten takes twenty times as long."""
    first, second = (
        generator.normal(0, 0.005, count) + 3.0 * (generator.random(count) < 0.1) for _ in range(2)
    )
    return first, second


def measured(noise: Noise, seed: int, effect: float = 1.0, tick: float = 0.0) -> Rounds:
    """A measurement as it goes: rounds until it is enough."""
    generator = numpy.random.default_rng(seed)
    first, second = noise(generator, MOST_ROUNDS)
    rounds = Rounds(("eager", "candidate"))
    for at in range(MOST_ROUNDS):
        turns = {}
        for name, level, ms in (("eager", first, effect), ("candidate", second, 1.0)):
            times = ms * numpy.exp(level[at] + generator.normal(0, 0.01, CALLS))
            turns[name] = list(numpy.round(times / tick) * tick if tick else times)
        rounds.add(turns)
        if rounds.enough():
            break
    return rounds


NOISES = [plain, skewed, heating, apart, two_clocks, interrupted]


def test_the_same_is_called_different_in_less_than_five_of_a_hundred_runs() -> None:
    wrong = {
        noise.__name__: sum(
            measured(noise, seed).standings()["eager"].conclusion != "no difference"
            for seed in range(RUNS)
        )
        for noise in NOISES
    }
    assert sum(wrong.values()) < 0.05 * RUNS * len(NOISES), wrong
    assert max(wrong.values()) <= 3, wrong


@pytest.mark.parametrize("noise", [plain, skewed, heating, interrupted])
def test_a_difference_of_five_per_cent_is_found(noise: Noise) -> None:
    for effect, wanted in ((1.05, "faster"), (1 / 1.05, "slower")):
        found = [
            measured(noise, seed, effect).standings()["eager"].conclusion for seed in range(12)
        ]
        assert found.count(wanted) >= 11
        assert {"faster": "slower", "slower": "faster"}[wanted] not in found


def test_times_that_are_whole_ticks_of_the_clock_make_no_difference() -> None:
    """Medians snap to ticks: 5.2 and 5.3 µs become 5.0 and 5.5 with no spread at all."""
    for seed in range(8):
        rounds = measured(plain, seed, effect=1.03, tick=0.08)
        assert rounds.standings()["eager"].conclusion == "no difference"
    ten_ticks = measured(plain, 0, effect=2.0, tick=0.08)
    assert ten_ticks.standings()["eager"].conclusion == "faster"


def test_a_true_ratio_lies_in_its_interval() -> None:
    inside = 0
    for seed in range(30):
        standing = measured(heating, seed, effect=1.3).standings()["eager"]
        assert standing.ratio is not None
        inside += standing.ratio.interval.low <= 1.3 <= standing.ratio.interval.high
    assert inside >= 28


def test_drift_that_is_shared_cancels_in_the_ratio() -> None:
    drift = numpy.exp(numpy.linspace(0, 1.0, 40))
    ratio = ratio_of(list(2.0 * drift), list(drift))
    assert ratio.value == pytest.approx(2.0)
    assert ratio.interval.low == pytest.approx(2.0)
    assert ratio.interval.high == pytest.approx(2.0)
    own = spread(list(drift))
    assert own.high / own.low > 1.5, "the median itself is not known so well"


def test_rounds_that_hang_together_count_for_less() -> None:
    generator = numpy.random.default_rng(0)
    alone = generator.normal(0, 1, 60)
    assert likeness(alone) < 0.45
    assert likeness(slowly_changing(generator, 60, 0.9, 1.0)) > 0.7
    assert likeness(numpy.zeros(10)) == 0.0
    assert likeness(numpy.array([1.0])) == 0.0


def test_a_small_difference_is_none_however_sure() -> None:
    series, base = [1.005] * 40, [1.0] * 40
    ratio = ratio_of(series, base)
    assert ratio.interval.low > 1.0
    assert conclusion(series, base, ratio) == "no difference"
    assert conclusion([1.2] * 40, base, ratio_of([1.2] * 40, base)) == "faster"


def test_few_rounds_allow_no_conclusion() -> None:
    few = [3.0] * (FEWEST_ROUNDS - 1)
    assert conclusion(few, [1.0] * len(few), ratio_of(few, [1.0] * len(few))) == "not measured"


@pytest.mark.parametrize("pair", [([], []), ([1.0], [1.0, 2.0]), ([1.0, 0.0], [1.0, 1.0])])
def test_what_is_no_series_of_times_is_refused(pair: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ValueError, match="positive times|inhomogeneous"):
        ratio_of(*pair)


def test_the_tick_of_a_clock_is_read_from_its_times() -> None:
    assert tick_ms([0.0048, 0.0064, 0.0048, 0.0080]) == pytest.approx(0.0016)
    assert tick_ms([1.0, 1.0]) == 0.0
    assert tick_ms([1.0, 1.0 + 1e-12, 1.5]) == pytest.approx(0.5)


# --- the course of a measurement -----------------------------------------------------------------


def test_it_stops_when_figures_are_narrow_and_goes_on_while_they_are_not() -> None:
    def constant(generator: Generator, count: int) -> tuple[NDArray[numpy.float64], ...]:
        return numpy.zeros(count), numpy.zeros(count)

    def noisy(generator: Generator, count: int) -> tuple[NDArray[numpy.float64], ...]:
        return generator.normal(0, 0.2, count), generator.normal(0, 0.2, count)

    quiet = measured(constant, 0)
    assert quiet.count == 20
    assert not quiet.too_few
    assert measured(noisy, 0).count == MOST_ROUNDS
    assert measured(noisy, 0, effect=8.0).count < MOST_ROUNDS, "far from 1.0 is soon known"


def test_one_that_fails_on_the_way_is_left_out() -> None:
    rounds = Rounds(("eager", "compile", "candidate"))
    rounds.add({"eager": [2.0], "compile": [1.0], "candidate": [1.0]})
    rounds.drop("compile")
    rounds.add({"eager": [2.0], "candidate": [1.0]})
    assert set(rounds.standings()) == {"eager", "candidate"}
    assert rounds.standings()["eager"].interval == Interval(2.0, 2.0)


def test_everybody_is_at_every_place_of_the_order() -> None:
    names = ["eager", "compile", "candidate"]
    orders = [turn_order(names, number, seed=7) for number in range(60)]
    assert all(sorted(order) == sorted(names) for order in orders)
    for name in names:
        assert {order.index(name) for order in orders} == {0, 1, 2}
    assert orders != [turn_order(names, number, seed=8) for number in range(60)]


def test_a_turn_has_many_short_calls_or_one_long_one() -> None:
    assert calls_for(0.005, 0.1) == 100
    assert calls_for(1.0, 0.1) == 23
    assert calls_for(900.0, 0.1) == 1
    assert sets_for(1 << 20) == 4
    assert sets_for(400 << 20) == 2
    assert sets_for(8 << 30) == 1
