"""A timing as charts: what is compared, and how its times go with the size of the problem.

Pure functions from values to values: :class:`Bars` and :class:`Lines` hold what is drawn, as
:mod:`kernelllm_jupyter.vega` for front ends that render Vega-Lite, and as SVG by
:mod:`kernelllm_jupyter.drawing` elsewhere. What was not measured is not drawn.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kernelllm_jupyter.timings import Interval, Sweep, SweepPoint, Timing

__all__ = ["Bar", "Bars", "Line", "Lines", "Point", "chart_of_sweep", "chart_of_times"]

#: Names, and colours that stand out (3 to 1) from white and from near-black alike.
SERIES = {
    "candidate": ("Triton candidate", "#c2561a"),
    "eager": ("PyTorch eager", "#2b7bc4"),
    "compile": ("torch.compile", "#8a63d2"),
    "max-autotune": ("torch.compile, max-autotune", "#b0529c"),
}
LIMIT = ("Limit of the GPU", "#6f7780")
LIMITS = {"memory": "bandwidth", "compute": "products"}
#: A size of a sweep, with one of the times there and its interval.
_Found = tuple[SweepPoint, "float | None", "Interval | None"]


@dataclass(frozen=True)
class Bar:
    """One median with its interval, in milliseconds."""

    name: str
    colour: str
    ms: float
    interval: Interval | None = None


@dataclass(frozen=True)
class Bars:
    """Times of one call side by side; ``limit_ms`` is the least that is possible."""

    title: str
    bars: tuple[Bar, ...]
    limit_ms: float | None = None
    limit_name: str = ""

    @property
    def summary(self) -> str:
        """All of it in words, for those who do not see the chart."""
        figures = [f"{bar.name} {bar.ms:.4g} ms" for bar in self.bars]
        if self.limit_ms is not None:
            figures.append(f"{self.limit_name} {self.limit_ms:.4g} ms")
        return f"{self.title}: {'; '.join(figures)}."


@dataclass(frozen=True)
class Point:
    x: int
    ms: float
    interval: Interval | None = None


@dataclass(frozen=True)
class Line:
    name: str
    colour: str
    points: tuple[Point, ...]
    dashed: bool = False


@dataclass(frozen=True)
class Lines:
    """Times over a size, both on logarithmic scales."""

    title: str
    axis: str
    lines: tuple[Line, ...]

    @property
    def summary(self) -> str:
        """All of it in words, for those who do not see the chart."""
        ends = [
            f"{line.name} from {line.points[0].ms:.4g} ms at {line.points[0].x:,} "
            f"to {line.points[-1].ms:.4g} ms at {line.points[-1].x:,}"
            for line in self.lines
        ]
        return f"{self.title}: {'; '.join(ends)}."


def chart_of_times(timing: Timing) -> Bars | None:
    """What was timed beside the candidate; None where that is nothing."""
    given = {one.name: (one.median_ms, one.interval_ms) for one in timing.contenders} or {
        "eager": (timing.eager_ms, timing.eager_interval_ms),
        "compile": (timing.compile_ms, timing.compile_interval_ms),
        "candidate": (timing.candidate_ms, timing.candidate_interval_ms),
    }
    bars = tuple(
        Bar(*SERIES[name], ms, interval)
        for name in ("eager", "compile", "max-autotune", "candidate")
        for ms, interval in [given.get(name, (None, None))]
        if ms is not None
    )
    if len(bars) < 2:
        return None
    bound = timing.bound
    return Bars(
        "Time of one call",
        bars,
        bound.bound_ms if bound else None,
        f"limit by {LIMITS[bound.limited_by]} ({bound.basis} rate)" if bound else "",
    )


def chart_of_sweep(sweep: Sweep) -> Lines | None:
    """The times over the sizes of a sweep; None where there are fewer than two of them."""
    series: list[tuple[tuple[str, str], list[_Found], bool]] = [
        (SERIES["eager"], [(p, p.eager_ms, p.eager_interval_ms) for p in sweep.points], False),
        (
            SERIES["compile"],
            [(p, p.compile_ms, p.compile_interval_ms) for p in sweep.points],
            False,
        ),
        (
            SERIES["candidate"],
            [(p, p.candidate_ms, p.candidate_interval_ms) for p in sweep.points],
            False,
        ),
        (LIMIT, [(p, p.bound_ms, None) for p in sweep.points], True),
    ]
    lines = tuple(
        Line(*named, points, dashed)
        for named, found, dashed in series
        if len(points := _points(found)) > 1
    )
    measured = [line for line in lines if not line.dashed]
    return Lines("Time of one call by size", sweep.axis, lines) if measured else None


def _points(found: Iterable[_Found]) -> tuple[Point, ...]:
    """Those that a logarithmic scale can show, by size."""
    points = [
        Point(point.value, ms, interval)
        for point, ms, interval in found
        if ms is not None and ms > 0 and point.value > 0
    ]
    return tuple(sorted(points, key=lambda point: point.x))
