"""Charts as Vega-Lite 5 specifications, in the colours of the text around them.

Pure functions of :mod:`kernelllm_jupyter.charts`.
"""

from __future__ import annotations

from typing import Any

from kernelllm_jupyter.charts import Bars, Lines
from kernelllm_jupyter.timings import Interval

__all__ = ["vega"]

SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
TEXT_COLOUR = "currentColor"
DASHED, SOLID = [5, 4], [1, 0]
LEGEND = {"orient": "bottom", "columns": 1}
CONFIG = {
    "font": "sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": TEXT_COLOUR,
        "titleColor": TEXT_COLOUR,
        "domainColor": TEXT_COLOUR,
        "tickColor": TEXT_COLOUR,
        "gridColor": TEXT_COLOUR,
        "gridOpacity": 0.15,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelLimit": 220,
    },
    "legend": {
        "labelColor": TEXT_COLOUR,
        "titleColor": TEXT_COLOUR,
        "labelFontSize": 12,
        "labelLimit": 260,
        "symbolSize": 80,
    },
}


def vega(chart: Bars | Lines) -> dict[str, Any]:
    """The chart as a specification for an output of type ``application/vnd.vegalite.v5+json``."""
    drawn = _bars(chart) if isinstance(chart, Bars) else _lines(chart)
    return {
        "$schema": SCHEMA,
        "description": chart.summary,
        "background": "transparent",
        "width": "container",
        "autosize": {"type": "fit", "contains": "padding"},
        **drawn,
        "config": CONFIG,
        "usermeta": {"embedOptions": {"actions": False, "renderer": "svg"}},
    }


# --- bars ----------------------------------------------------------------------------------------


def _bars(chart: Bars) -> dict[str, Any]:
    rows = [
        {"name": bar.name, "ms": bar.ms, "label": f"{bar.ms:.4g} ms", **_ends(bar.interval)}
        for bar in chart.bars
    ]
    layers = [_bodies(chart), *_whiskers(), _labels()]
    for layer in layers:
        place = {"field": "name", "type": "nominal", "sort": None, "title": None}
        layer["encoding"]["y"] = place
    if chart.limit_ms is not None:
        layers.append(_limit(chart.limit_ms, f"{chart.limit_name}: {chart.limit_ms:.4g} ms"))
    return {"height": {"step": 46}, "data": {"values": rows}, "layer": layers}


def _bodies(chart: Bars) -> dict[str, Any]:
    title = "ms"
    if chart.limit_ms is not None:
        title = f"ms; dashed: {chart.limit_name}, {chart.limit_ms:.4g} ms"
    time = {"field": "ms", "type": "quantitative", "title": title, "axis": {"tickCount": 5}}
    colour = {
        "field": "name",
        "type": "nominal",
        "scale": _scale([(bar.name, bar.colour) for bar in chart.bars]),
        "legend": None,
    }
    return {
        "mark": {"type": "bar", "height": {"band": 0.4}},
        "encoding": {"x": time, "color": colour},
    }


def _whiskers() -> list[dict[str, Any]]:
    """Each interval as a line with its ends."""
    line = {
        "transform": [{"filter": "isValid(datum.low)"}],
        "mark": {"type": "rule", "color": TEXT_COLOUR, "strokeWidth": 2},
        "encoding": {"x": {"field": "low", "type": "quantitative"}, "x2": {"field": "high"}},
    }
    ends = [
        {
            "transform": [{"filter": f"isValid(datum.{end})"}],
            "mark": {"type": "tick", "color": TEXT_COLOUR, "thickness": 2, "size": 12},
            "encoding": {"x": {"field": end, "type": "quantitative"}},
        }
        for end in ("low", "high")
    ]
    return [line, *ends]


def _labels() -> dict[str, Any]:
    """The figures, above their bars: beside them they would hide the whiskers."""
    mark = {
        "type": "text",
        "align": "left",
        "baseline": "bottom",
        "dx": 4,
        "dy": -10,
        "fontSize": 12,
        "color": TEXT_COLOUR,
    }
    return {"mark": mark, "encoding": {"x": {"datum": 0}, "text": {"field": "label"}}}


def _limit(ms: float, words: str) -> dict[str, Any]:
    return {
        "data": {"values": [{"limit": ms}]},
        "mark": {"type": "rule", "color": TEXT_COLOUR, "strokeDash": DASHED, "strokeWidth": 2},
        "encoding": {
            "x": {"field": "limit", "type": "quantitative"},
            "tooltip": {"value": words},
        },
    }


# --- lines ---------------------------------------------------------------------------------------


def _lines(chart: Lines) -> dict[str, Any]:
    rows = [
        {"name": line.name, "size": point.x, "ms": point.ms, **_ends(point.interval)}
        for line in chart.lines
        for point in line.points
    ]
    names = [line.name for line in chart.lines]
    dash = {"domain": names, "range": [DASHED if one.dashed else SOLID for one in chart.lines]}
    shape = {"domain": names, "range": ["circle", "square", "triangle-up", "diamond"]}
    return {
        "height": 260,
        "data": {"values": rows},
        "encoding": _axes(chart),
        "layer": [
            {
                "mark": {"type": "line", "strokeWidth": 2},
                "encoding": {"strokeDash": _by_name(dash)},
            },
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
                "encoding": {"shape": _by_name(shape)},
            },
        ],
    }


def _axes(chart: Lines) -> dict[str, Any]:
    """Size and time, both on logarithmic scales, and a colour for each line."""
    return {
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
        "color": _by_name(_scale([(line.name, line.colour) for line in chart.lines])),
    }


def _by_name(scale: dict[str, Any]) -> dict[str, Any]:
    """What tells the lines apart; alike for colour, dash and shape, so that legends are one."""
    return {"field": "name", "type": "nominal", "title": None, "scale": scale, "legend": LEGEND}


def _ends(interval: Interval | None) -> dict[str, float]:
    return {"low": interval.low, "high": interval.high} if interval else {}


def _scale(named: list[tuple[str, str]]) -> dict[str, Any]:
    return {"domain": [name for name, _ in named], "range": [colour for _, colour in named]}
