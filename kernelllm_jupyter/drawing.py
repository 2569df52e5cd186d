"""Charts as SVG, for pages without a script: an exported notebook, a front end without Vega.

Text and axes take the colour of the text around them. All names are escaped.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable

from kernelllm_jupyter.charts import Bars, Line, Lines

__all__ = ["svg"]

WIDTH = 560
#: Height of a bar with the line of text above it.
STEP = 40
MARGIN = 12
PLOT_HEIGHT = 240
LEGEND_LINE = 18
#: Shapes of a line's points, so that nothing hangs on a colour.
SHAPES: tuple[Callable[[float, float, str], str], ...] = (
    lambda x, y, c: f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{c}"/>',
    lambda x, y, c: f'<rect x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7" fill="{c}"/>',
    lambda x, y, c: f'<path d="M{x:.1f} {y - 5:.1f}l5 8.5h-10z" fill="{c}"/>',
    lambda x, y, c: f'<path d="M{x:.1f} {y - 5:.1f}l5 5-5 5-5-5z" fill="{c}"/>',
)


def svg(chart: Bars | Lines) -> str:
    """The chart as one ``<svg>`` element that tells itself in words, too."""
    body, height = _bars(chart) if isinstance(chart, Bars) else _lines(chart)
    words = html.escape(chart.summary)
    return (
        f'<svg role="img" aria-label="{words}" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'style="max-width: {WIDTH}px; width: 100%" fill="currentColor" font-size="12" '
        f'font-family="sans-serif">{body}</svg>'
    )


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(words)}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float, more: str = 'stroke-width="2"') -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="currentColor" '
        f"{more}/>"
    )


def _bars(chart: Bars) -> tuple[str, float]:
    ends = [bar.interval.high if bar.interval else bar.ms for bar in chart.bars]
    scale = (WIDTH - 2 * MARGIN) / max(*ends, chart.limit_ms or 0.0)
    parts = []
    for at, bar in enumerate(chart.bars):
        top = at * STEP
        parts.append(_text(MARGIN, top + 14, f"{bar.name}: {bar.ms:.4g} ms"))
        parts.append(
            f'<rect x="{MARGIN}" y="{top + 19}" width="{bar.ms * scale:.1f}" height="14" '
            f'fill="{bar.colour}"/>'
        )
        if bar.interval:
            low, high = (MARGIN + end * scale for end in (bar.interval.low, bar.interval.high))
            parts.append(_rule(low, top + 26, high, top + 26))
            parts += [_rule(x, top + 21, x, top + 31) for x in (low, high)]
    height = len(chart.bars) * STEP
    if chart.limit_ms is not None:
        x = MARGIN + chart.limit_ms * scale
        parts.append(_rule(x, 0, x, height, 'stroke-width="2" stroke-dasharray="5 4"'))
        words = f"– – {chart.limit_name}: {chart.limit_ms:.4g} ms"
        parts.append(_text(MARGIN, height + 14, words))
        height += LEGEND_LINE
    return "".join(parts), height + 4


class _Scale:
    """Places on a logarithmic axis, and its ticks at powers of ``base``."""

    def __init__(self, values: list[float], start: float, end: float, base: float) -> None:
        low, high = math.log(min(values)), math.log(max(values))
        self._low, self._span = low, (high - low) or 1.0
        self._start, self._end = start, end
        first, last = math.ceil(low / math.log(base)), math.floor(high / math.log(base))
        every = max(1, (last - first + 1) // 6)
        self.ticks = [base**power for power in range(first, last + 1, every)]

    def __call__(self, value: float) -> float:
        part = (math.log(value) - self._low) / self._span
        return self._start + part * (self._end - self._start)


def _lines(chart: Lines) -> tuple[str, float]:
    points = [point for line in chart.lines for point in line.points]
    times = [point.ms for point in points]
    for point in points:
        times += [point.interval.low, point.interval.high] if point.interval else []
    x = _Scale([float(point.x) for point in points], 64, WIDTH - MARGIN, 2)
    y = _Scale([ms for ms in times if ms > 0], PLOT_HEIGHT, MARGIN, 10)
    faint = 'opacity="0.15"'
    parts = []
    for tick in x.ticks:
        parts.append(_rule(x(tick), MARGIN, x(tick), PLOT_HEIGHT, faint))
        parts.append(_text(x(tick), PLOT_HEIGHT + 16, f"{tick:,.0f}", "middle"))
    for tick in y.ticks:
        parts.append(_rule(64, y(tick), WIDTH - MARGIN, y(tick), faint))
        parts.append(_text(58, y(tick) + 4, f"{tick:g}", "end"))
    parts.append(_text(MARGIN, MARGIN, "ms"))
    parts.append(_text(WIDTH - MARGIN, PLOT_HEIGHT + 32, chart.axis, "end"))
    parts += [_line(line, at, x, y) for at, line in enumerate(chart.lines)]
    height = PLOT_HEIGHT + 32
    for at, line in enumerate(chart.lines):
        top = height + (at + 1) * LEGEND_LINE
        parts.append(_stroke(line, f"M64 {top - 4}h32"))
        parts.append(SHAPES[at % len(SHAPES)](80, top - 4, line.colour))
        parts.append(_text(104, top, line.name))
    return "".join(parts), height + len(chart.lines) * LEGEND_LINE + 6


def _stroke(line: Line, path: str) -> str:
    dash = ' stroke-dasharray="5 4"' if line.dashed else ""
    return f'<path d="{path}" fill="none" stroke="{line.colour}" stroke-width="2"{dash}/>'


def _line(line: Line, at: int, x: _Scale, y: _Scale) -> str:
    path = "L".join(f"{x(point.x):.1f} {y(point.ms):.1f}" for point in line.points)
    parts = [_stroke(line, f"M{path}")]
    for point in line.points:
        if point.interval and point.interval.low > 0:
            where = f"M{x(point.x):.1f} {y(point.interval.low):.1f}V{y(point.interval.high):.1f}"
            parts.append(f'<path d="{where}" stroke="{line.colour}" stroke-width="2"/>')
        parts.append(SHAPES[at % len(SHAPES)](x(point.x), y(point.ms), line.colour))
    return "".join(parts)
