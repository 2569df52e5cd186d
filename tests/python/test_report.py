"""Words and HTML of the panel: true to the values, and never anybody else's HTML."""

from __future__ import annotations

from kernelllm_jupyter.report import Report, excerpt, report_html, report_text, timing_text
from kernelllm_jupyter.values import Finding, Interval, Timing, Verdict

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>"


def test_text_from_a_candidate_never_becomes_html() -> None:
    verdict = Verdict(
        "runtime_error",
        reasons=(Finding("exception", HOSTILE, line=1),),
        warnings=(Finding("w", HOSTILE),),
        not_made=(Finding("n", HOSTILE),),
        device=HOSTILE,
        output=HOSTILE,
    )
    timing = Timing("not measured", message=HOSTILE)
    shown = report_html(
        Report("done", HOSTILE, HOSTILE, code=HOSTILE, verdict=verdict, timing=timing)
    )
    assert "<script" not in shown
    assert "<img" not in shown


def test_the_failing_line_is_marked() -> None:
    code = "\n".join(f"line{number}" for number in range(1, 12))
    assert excerpt(code, 9).splitlines() == [
        "   7 | line7",
        "   8 | line8",
        ">  9 | line9",
        "  10 | line10",
        "  11 | line11",
    ]
    verdict = Verdict("runtime_error", reasons=(Finding("exception", "no such name", line=9),))
    report = Report("done", "starter", code=code, verdict=verdict)
    assert '<mark class="kllm-line">&gt;  9 | line9</mark>' in report_html(report)
    assert "Line 9: no such name" in report_text(report)


def test_a_line_outside_the_code_is_no_error() -> None:
    assert excerpt("a\nb", 7) == ""
    assert excerpt("", 1) == ""


def test_figures_that_were_not_measured_are_not_shown() -> None:
    text = report_text(Report("done", "starter", verdict=Verdict("correct")))
    assert "None" not in text
    assert "error" not in text


def test_a_timing_says_what_it_found_with_its_spread() -> None:
    timing = Timing(
        "faster",
        device="NVIDIA H200",
        eager_ms=2.0,
        candidate_ms=1.0,
        eager_spread_ms=Interval(1.9, 2.1),
        candidate_spread_ms=Interval(0.9, 1.1),
        speedup=2.0,
    )
    text = timing_text(timing)
    assert "2.00× faster than PyTorch eager" in text
    assert "1 ms (0.9 – 1.1)" in text
    assert "torch.compile     not measured" in text
    slower = Timing("slower", eager_ms=1.0, candidate_ms=2.0, speedup=0.5)
    assert "2.00× slower" in timing_text(slower)
    same = Timing("no difference", eager_ms=1.0, candidate_ms=1.01, speedup=0.99)
    assert "No difference" in timing_text(same)
    assert timing_text(Timing("not measured", "Timing needs a GPU.")) == "Timing needs a GPU."
