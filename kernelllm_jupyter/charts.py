"""A timing as charts: what is compared, and how its times go with the size of the problem.

Pure functions from values to values: :class:`Bars` and :class:`Lines` hold what is drawn, and
:func:`vega` gives the same as a Vega-Lite specification, for front ends that render it. What was
not measured is not drawn. The static form is :mod:`kernelllm_jupyter.drawing`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kernelllm_jupyter.timings import Interval, Sweep, SweepPoint, Timing

__all__ = ["Bar", "Bars", "Line", "Lines", "Point", "chart_of_sweep", "chart_of_times", "vega"]

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
SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"


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


# --- as Vega-Lite --------------------------------------------------------------------------------


def vega(chart: Bars | Lines) -> dict[str, Any]:
    """The chart as a Vega-Lite 5 specification, in the colours of the text around it."""
    drawn = _vega_bars(chart) if isinstance(chart, Bars) else _vega_lines(chart)
    return {
        "$schema": SCHEMA,
        "description": chart.summary,
        "background": "transparent",
        "width": "container",
        "autosize": {"type": "fit", "contains": "padding"},
        **drawn,
        "config": {
            "font": "sans-serif",
            "view": {"stroke": None},
            "axis": {
                "labelColor": "currentColor",
                "titleColor": "currentColor",
                "domainColor": "currentColor",
                "tickColor": "currentColor",
                "gridColor": "currentColor",
                "gridOpacity": 0.15,
                "labelFontSize": 12,
                "titleFontSize": 12,
                "titleFontWeight": "normal",
                "labelLimit": 220,
            },
            "legend": {
                "labelColor": "currentColor",
                "titleColor": "currentColor",
                "labelFontSize": 12,
                "labelLimit": 260,
                "symbolSize": 80,
            },
        },
        "usermeta": {"embedOptions": {"actions": False, "renderer": "svg"}},
    }


def _vega_bars(chart: Bars) -> dict[str, Any]:
    rows = [
        {"name": bar.name, "ms": bar.ms, "label": f"{bar.ms:.4g} ms", **_ends(bar.interval)}
        for bar in chart.bars
    ]
    place = {"field": "name", "type": "nominal", "sort": None, "title": None}
    colour = {
        "field": "name",
        "type": "nominal",
        "scale": _scale([(bar.name, bar.colour) for bar in chart.bars]),
        "legend": None,
    }
    title = "ms"
    if chart.limit_ms is not None:
        title = f"ms; dashed: {chart.limit_name}, {chart.limit_ms:.4g} ms"
    time = {"field": "ms", "type": "quantitative", "title": title, "axis": {"tickCount": 5}}
    layers: list[dict[str, Any]] = [
        {
            "mark": {"type": "bar", "height": {"band": 0.4}},
            "encoding": {"x": time, "color": colour},
        },
        {
            "transform": [{"filter": "isValid(datum.low)"}],
            "mark": {"type": "rule", "color": "currentColor", "strokeWidth": 2},
            "encoding": {"x": {"field": "low", "type": "quantitative"}, "x2": {"field": "high"}},
        },
        *(
            {
                "transform": [{"filter": f"isValid(datum.{end})"}],
                "mark": {"type": "tick", "color": "currentColor", "thickness": 2, "size": 12},
                "encoding": {"x": {"field": end, "type": "quantitative"}},
            }
            for end in ("low", "high")
        ),
        {
            "mark": {
                "type": "text",
                "align": "left",
                "baseline": "bottom",
                "dx": 4,
                "dy": -10,
                "fontSize": 12,
                "color": "currentColor",
            },
            "encoding": {"x": {"datum": 0}, "text": {"field": "label"}},
        },
    ]
    # Figures stand above their bars: beside them they would hide the whiskers.
    for layer in layers:
        layer["encoding"]["y"] = place
    if chart.limit_ms is not None:
        layers.append(
            {
                "data": {"values": [{"limit": chart.limit_ms}]},
                "mark": {
                    "type": "rule",
                    "color": "currentColor",
                    "strokeDash": [5, 4],
                    "strokeWidth": 2,
                },
                "encoding": {
                    "x": {"field": "limit", "type": "quantitative"},
                    "tooltip": {"value": f"{chart.limit_name}: {chart.limit_ms:.4g} ms"},
                },
            }
        )
    return {"height": {"step": 46}, "data": {"values": rows}, "layer": layers}


def _vega_lines(chart: Lines) -> dict[str, Any]:
    rows = [
        {"name": line.name, "size": point.x, "ms": point.ms, **_ends(point.interval)}
        for line in chart.lines
        for point in line.points
    ]
    names = [line.name for line in chart.lines]
    encoding = {
        "x": {
            "field": "size",
            "type": "quantitative",
            "scale": {"type": "log", "base": 2, "nice": False},
            "title": chart.axis,
            "axis": {"format": ",d", "labelOverlap": True, "grid": False},
        },
        "y": {
            "field": "ms",
            "type": "quantitative",
            "scale": {"type": "log"},
            "title": "ms",
            "axis": {"format": "~g", "labelOverlap": True, "tickCount": 4},
        },
        "color": {
            "field": "name",
            "type": "nominal",
            "title": None,
            "scale": _scale([(line.name, line.colour) for line in chart.lines]),
            "legend": {"orient": "bottom", "columns": 1},
        },
    }
    shape = {
        "field": "name",
        "type": "nominal",
        "title": None,
        "legend": {"orient": "bottom", "columns": 1},
        "scale": {"domain": names, "range": ["circle", "square", "triangle-up", "diamond"]},
    }
    dash = {
        "field": "name",
        "type": "nominal",
        "title": None,
        "legend": {"orient": "bottom", "columns": 1},
        "scale": {
            "domain": names,
            "range": [[5, 4] if one.dashed else [1, 0] for one in chart.lines],
        },
    }
    return {
        "height": 260,
        "data": {"values": rows},
        "encoding": encoding,
        "layer": [
            {"mark": {"type": "line", "strokeWidth": 2}, "encoding": {"strokeDash": dash}},
            {
                "transform": [{"filter": "isValid(datum.low)"}],
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {
                    "y": {"field": "low", "type": "quantitative"},
                    "y2": {"field": "high"},
                },
            },
            {
                "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
                "encoding": {"shape": shape},
            },
        ],
    }


def _ends(interval: Interval | None) -> dict[str, float]:
    return {"low": interval.low, "high": interval.high} if interval else {}


def _scale(named: list[tuple[str, str]]) -> dict[str, list[str]]:
    return {"domain": [name for name, _ in named], "range": [colour for _, colour in named]}
