"""Charts show what was measured, as Vega-Lite and as SVG, and nothing else."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from kernelllm_jupyter.charts import LIMIT, SERIES, chart_of_sweep, chart_of_times
from kernelllm_jupyter.drawing import svg
from kernelllm_jupyter.markup import charts, report_html
from kernelllm_jupyter.report import Report
from kernelllm_jupyter.timings import Bound, Contender, Interval, Sweep, SweepPoint, Timing
from kernelllm_jupyter.vega import vega

TIMING = Timing(
    "faster",
    eager_ms=2.0,
    candidate_ms=1.0,
    eager_interval_ms=Interval(1.9, 2.1),
    speedup=2.0,
    bound=Bound("GPU", "measured", 4000.0, 0.5),
)
POINTS = tuple(
    SweepPoint((f"float32[{size}]",), size, eager_ms=size * 1e-3, bound_ms=size * 5e-4)
    for size in (1024, 256, 4096)
)
HOSTILE = "<script>alert('x')</script>"


def test_only_what_was_measured_is_a_bar() -> None:
    chart = chart_of_times(TIMING)
    assert chart is not None
    assert [bar.name for bar in chart.bars] == ["PyTorch eager", "Triton candidate"]
    assert chart.limit_ms == 0.5
    assert "PyTorch eager 2 ms; Triton candidate 1 ms" in chart.summary
    assert chart_of_times(Timing("not measured", "No GPU.")) is None
    assert chart_of_times(replace(TIMING, eager_ms=None)) is None
    named = replace(
        TIMING, contenders=(Contender("candidate", 1.0), Contender("max-autotune", 0.8))
    )
    more = chart_of_times(named)
    assert more is not None
    assert [bar.ms for bar in more.bars] == [0.8, 1.0]


def test_a_sweep_is_drawn_by_size_with_its_limit_dashed() -> None:
    chart = chart_of_sweep(Sweep("rows", POINTS))
    assert chart is not None
    eager, limit = chart.lines
    assert [point.x for point in eager.points] == [256, 1024, 4096]
    assert (eager.dashed, limit.dashed) == (False, True)
    assert limit.name == LIMIT[0]
    assert chart_of_sweep(Sweep("rows", POINTS[:1])) is None
    unmeasured = tuple(replace(point, eager_ms=None) for point in POINTS)
    assert chart_of_sweep(Sweep("rows", unmeasured)) is None, "a limit alone is no measurement"


@pytest.mark.parametrize("size", [1, 3])
def test_both_forms_are_well_formed_and_escape_all_text(size: int) -> None:
    points = tuple(replace(point, eager_interval_ms=Interval(0.1, 9.0)) for point in POINTS)
    sweeps = (Sweep(HOSTILE, points[:size]), Sweep("N", points), Sweep("M", (), "no time"))
    timing = replace(TIMING, sweeps=sweeps)
    shown = charts(timing)
    assert list(shown) == ["times", *(["sweep-1"] if size > 1 else []), "sweep-2"]
    for chart in shown.values():
        drawn = ET.fromstring(svg(chart))
        assert drawn.get("role") == "img"
        assert drawn.get("aria-label") == chart.summary
        specification = json.loads(json.dumps(vega(chart), allow_nan=False))
        assert specification["description"] == chart.summary
        assert specification["$schema"].endswith("/v5.json")
    page = report_html(Report("done", "m", timing=timing))
    assert page.count("<svg") == len(shown)
    assert "<script" not in page


def _luminance(colour: str) -> float:
    """WCAG 2's relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("name", "colour"), [*SERIES.values(), LIMIT])
def test_colours_stand_out_in_light_and_in_dark(name: str, colour: str) -> None:
    drawn = _luminance(colour)
    for background in ("#ffffff", "#111111"):
        other = _luminance(background)
        contrast = (max(drawn, other) + 0.05) / (min(drawn, other) + 0.05)
        assert contrast >= 3, (name, background, contrast)
