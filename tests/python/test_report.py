"""Words and HTML of the panel: true to the values, and never anybody else's HTML."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kernelllm_jupyter.markup import progress_html, report_html
from kernelllm_jupyter.report import Report, excerpt, report_text, timing_text
from kernelllm_jupyter.values import (
    Candidate,
    Compilation,
    CompiledKernel,
    Finding,
    Interval,
    Timing,
    Verdict,
)
from kernelllm_jupyter.verify.steps import Step

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>"


def test_text_from_a_candidate_never_becomes_html() -> None:
    verdict = Verdict(
        "runtime_error",
        reasons=(Finding("exception", HOSTILE, line=1),),
        warnings=(Finding("w", HOSTILE),),
        not_made=(Finding("n", HOSTILE),),
        device=HOSTILE,
        output=HOSTILE,
        compilation=Compilation(
            HOSTILE, (CompiledKernel(HOSTILE, configuration=HOSTILE),), (HOSTILE,)
        ),
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


def test_a_finding_names_a_line_to_go_to_where_there_is_one() -> None:
    verdict = Verdict("runtime_error", (Finding("exception", "gone", line=2),))
    shown = report_html(Report("done", "m", code="a = 1\nb = c", verdict=verdict))
    assert '<span class="kllm-jump kllm-at-2">Line 2</span>: gone' in shown
    assert "kllm-jump" not in report_html(Report("done", "m", code="a = 1", verdict=verdict))


def test_the_verdict_comes_first() -> None:
    report = Report(
        "done", "starter", "Candidate 2 of 4 is kept", verdict=Verdict("correct"), note="By the way"
    )
    assert report_text(report).splitlines() == [
        "Correct",
        "Candidate 2 of 4 is kept",
        "KernelLLM · starter",
        "By the way",
    ]
    shown = report_html(report)
    assert shown.index("Correct") < shown.index("is kept") < shown.index("By the way")
    stopped = replace(report, stage="stopped", message="Stopped.")
    assert report_text(stopped).splitlines()[:2] == ["Correct", "Stopped."]
    failed = replace(report, stage="failed", message="The engine died.\nStart it again.")
    assert report_text(failed).splitlines()[:3] == [
        "The engine died.",
        "Start it again.",
        "Correct",
    ]
    nothing = report_text(Report("failed", "m", "Gone."))
    assert nothing.splitlines() == ["Gone.", "KernelLLM · m"]


def test_progress_tells_what_goes_on_how_far_it_is_and_since_when() -> None:
    report = Report("loading", "m", "Downloading <m>", part=0.256)
    shown = progress_html(report, 75.4)
    assert "Downloading &lt;m&gt; · 1 min 15 s" in shown
    assert '<progress value="0.256" aria-label="Progress">26%</progress>' in shown
    assert "0 s" not in progress_html(report, 0.4)
    writing = Report("generating", "m", "Writing …", tokens=120, seconds=2.0)
    assert "Writing … · 120 tokens, 60 tokens/s · 2 s" in progress_html(writing, 2.0)
    assert "<progress" not in progress_html(writing, 2.0)
    for stage in ("done", "stopped", "failed"):
        assert progress_html(replace(report, stage=stage), 5.0) == ""


def test_a_check_shows_which_of_its_steps_it_is_at() -> None:
    step = Step("some inputs <0", 7, 24, 0.25)
    shown = progress_html(Report("checking", "m", step), 3.0)
    assert "Checking 7 of 24: some inputs &lt;0 · 3 s" in shown
    assert 'value="6.00" max="24" aria-label="Steps" aria-valuetext="7 of 24"' in shown
    assert "<progress" not in progress_html(Report("checking", "m", Step("compiling")), 3.0)


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
        eager_interval_ms=Interval(1.9, 2.1),
        candidate_interval_ms=Interval(0.9, 1.1),
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


KERNEL = CompiledKernel(
    "matmul_kernel",
    line=12,
    configuration="BLOCK_M=64, num_warps=8",
    launches=1,
    grid=(32, 4, 1),
    num_warps=8,
    registers=96,
    stack_bytes=40,
    spill_bytes=32,
    shared_bytes=49152,
    shared_limit_bytes=232448,
)


def test_compiled_kernels_are_shown_with_what_they_take_of_the_target() -> None:
    left_out = "matmul_kernel (BLOCK_M=256): needs 300,000 bytes"
    verdict = Verdict("correct", compilation=Compilation("sm_90", (KERNEL,), (left_out,)))
    report = Report("done", "starter", verdict=verdict)
    for shown in (report_text(report), report_html(report)):
        for part in ("sm_90", "matmul_kernel", "BLOCK_M=64", "96", "32 B", "48 KB of 227 KB"):
            assert part in shown
        assert "32 × 4" in shown
        assert f"Left out: {left_out}" in shown


def test_what_is_not_known_of_a_kernel_is_no_figure() -> None:
    verdict = Verdict("correct", compilation=Compilation("sm_90", (CompiledKernel("k"),)))
    text = report_text(Report("done", "starter", verdict=verdict))
    assert "unknown" in text
    assert "None" not in text
    assert " 0" not in text


def test_a_kernel_with_many_configurations_does_not_fill_the_page() -> None:
    verdict = Verdict("correct", compilation=Compilation("sm_90", (KERNEL,) * 40, ("x",) * 40))
    text = report_text(Report("done", "starter", verdict=verdict))
    assert len(text.splitlines()) < 25
    assert "28 more configurations compile." in text
    assert "37 more configurations are left out." in text


def test_reasoning_is_folded_bounded_and_only_text() -> None:
    report = Report("done", "r1", thought=HOSTILE + "x" * 90_000 + "the end")
    shown = report_html(report)
    assert '<details class="kllm-thought"><summary>' in shown  # Without "open": folded.
    assert "<script" not in shown
    assert "<img" not in shown
    assert "the end</pre>" in shown
    assert len(shown) < 30_000
    assert len(report_html(replace(report, stage="generating"))) < 5_000
    assert "reasoned first (90," in report_text(report)
    assert "xxx" not in report_text(report)
    assert "kllm-thought" not in report_html(replace(report, thought=""))


def test_why_there_is_no_code_is_told() -> None:
    def told(**fields: Any) -> str:
        return Candidate(
            **{"code": "", "text": "t", "model": "m", "finish": "stop", **fields}
        ).no_code

    assert "it is empty" in told(text=" ")
    assert "wrote something else" in told()
    assert "--max-new-tokens" in told(finish="length")
    assert "inside the model's thinking, and gave no answer" in told(thinking=True)
    assert "--max-new-tokens" in told(thinking=True, finish="length")
    assert told(code="x = 1") == ""
