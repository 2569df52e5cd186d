"""An IPython extension for the tests: panels of known content, one for each thing they can show.

Its figures are made up, so that charts can be looked at where there is no GPU.
"""

from __future__ import annotations

from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class

from kernelllm_jupyter.grid import Row
from kernelllm_jupyter.notebook.panel import WidgetPanel
from kernelllm_jupyter.report import Report
from kernelllm_jupyter.timings import Bound, Contender, Interval, Sweep, SweepPoint, Timing
from kernelllm_jupyter.values import Compilation, CompiledKernel, Finding, Verdict
from kernelllm_jupyter.verify.steps import Step

CODE = """\
import torch
import triton
import triton.language as tl


@triton.jit
def kernel(x_ptr, y_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n)
    tl.store(y_ptr + offsets, tl.maximum(x, 0) * 2.5, mask=offsets < n)


class ModelNew(torch.nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        kernel[(triton.cdiv(x.numel(), 1024),)](x, y, x.numel(), BLOCK=1024)
        return y
"""
KERNEL = CompiledKernel(
    "kernel", 7, "BLOCK=1024, num_warps=4", 1, (129, 1, 1), 4, 24, 0, 0, 0, 232448
)
CORRECT = Verdict(
    "correct",
    warnings=(
        Finding(
            "single_shape",
            "It is tied to this one shape: at other sizes it gives no result, so it is correct "
            "for float32[4, 33] only.",
        ),
    ),
    device="cpu-interpreter",
    trials=19,
    max_abs_error=1.2e-7,
    error_budget=4.8e-7,
    launches=1,
    elapsed_ms=812.0,
    not_made=(Finding("races", "Whether two programs write one address."),),
    compilation=Compilation("sm_90", (KERNEL,)),
)
WRONG = Verdict(
    "incorrect",
    (
        Finding(
            "value",
            "3,072 of 4,096 elements differ by more than rounding explains; the first is at "
            "[0, 1024], where 0.0 stands for 1.7264. Values after the first block are never "
            "written: does the grid cover all elements?",
            16,
        ),
        Finding("unwritten", "3,072 elements of output 0 were never written."),
    ),
    device="cpu-interpreter",
    trials=1,
    max_abs_error=4.1,
    launches=1,
    elapsed_ms=96.0,
)


def _timing(**more: Any) -> Timing:
    return Timing(
        "faster",
        device="NVIDIA H200 (made up)",
        eager_ms=0.412,
        compile_ms=0.231,
        candidate_ms=0.187,
        eager_interval_ms=Interval(0.405, 0.421),
        compile_interval_ms=Interval(0.222, 0.246),
        candidate_interval_ms=Interval(0.185, 0.190),
        speedup=2.2,
        speedup_interval=Interval(2.15, 2.26),
        verified=True,
        contenders=(
            Contender("eager", 0.412, Interval(0.405, 0.421)),
            Contender("compile", 0.231, Interval(0.222, 0.246)),
            Contender("candidate", 0.187, Interval(0.185, 0.190)),
        ),
        bound=Bound("NVIDIA H200", "measured", 4100.0, 0.131),
        **more,
    )


def _sweep() -> Sweep:
    points = [
        SweepPoint(
            (f"float32[{size}, 1024]",),
            size,
            eager_ms=0.009 + size * 2.1e-6,
            compile_ms=0.008 + size * 1.2e-6,
            candidate_ms=0.004 + size * 1.0e-6,
            candidate_interval_ms=Interval(0.0037 + size * 0.9e-6, 0.0044 + size * 1.1e-6),
            eager_interval_ms=Interval(0.0085 + size * 2.0e-6, 0.0097 + size * 2.2e-6),
            bound_ms=size * 0.8e-6,
        )
        for size in (2**power for power in range(8, 23, 2))
    ]
    return Sweep("rows", tuple(points))


def _rows() -> tuple[Row, ...]:
    failed = "✗"
    rows = [
        Row(
            number,
            "failed",
            f"Not correct: {failed} {'3,072 of 4,096 elements differ by more than rounding ' * 2}",
            tokens=400 + number,
            sampled_s=3.2,
            checked_s=0.4,
            code=CODE.replace("2.5", f"2.{number}"),
            reasons=("line 10: it differs",),
        )
        for number in range(1, 9)
    ]
    rows.append(Row(9, "correct", "Correct", "repair of 2", 412, 3.1, 0.8, code=CODE, chosen=True))
    rows.append(Row(10, "ended", "Stopped: another candidate was verified first.", tokens=88))
    return tuple(rows)


HINT = (
    "The starter model covers common operators only; -m facebook/KernelLLM is a real one and "
    "needs a GPU with 16 GB."
)
ENGINE = (
    "facebook/KernelLLM needs about 16 GiB of GPU memory, and the GPU has 7.2 GiB free.\n"
    "Free some with %kernelllm unload in another notebook, or load it smaller: --quantization 4bit"
)
NO_GPU = "Timing needs a GPU, and there is none here. Times of Triton's interpreter mean nothing."

REPORTS = {
    "correct": Report("done", "starter", code=CODE, verdict=CORRECT, tokens=81, seconds=0.1),
    "wrong": Report("done", "starter", code=CODE, verdict=WRONG, tokens=81, seconds=0.1, note=HINT),
    "engine": Report("failed", "facebook/KernelLLM", ENGINE),
    "stopped": Report("stopped", "starter", "Stopped; the text so far stays in the cell below."),
    "unchecked": Report("done", "starter", "Not checked", code=CODE),
    "no_gpu": Report(
        "done", "starter", code=CODE, verdict=CORRECT, timing=Timing("not measured", NO_GPU)
    ),
    "timed": Report(
        "done", "facebook/KernelLLM", code=CODE, verdict=CORRECT, timing=_timing(sweeps=(_sweep(),))
    ),
    "grid": Report(
        "done",
        "facebook/KernelLLM",
        "Candidate 9 of 10 is kept",
        code=CODE,
        verdict=CORRECT,
        rows=_rows(),
        thought="First, the elements are independent of each other. " * 40,
    ),
    "download": Report(
        "loading", "facebook/KernelLLM", "Downloading facebook/KernelLLM: 4.1 of 16.1 GB", part=0.25
    ),
    "checking": Report(
        "checking", "starter", Step("inputs all zero", 12, 24, 11 / 24), code=CODE, background=True
    ),
}


def load_ipython_extension(shell: Any) -> None:
    shell.register_magics(Gallery)


@magics_class
class Gallery(Magics):
    @line_magic
    def show_panel(self, line: str) -> None:
        """``%show_panel NAME``: a panel that has settled on, or is in the midst of, this."""
        report = REPORTS[line.strip()]
        panel = WidgetPanel(_nothing, _nothing, _nothing, interrupts=True)
        panel.open(Report("loading", report.model, "Starting …"))
        if report.running:
            panel.show(report)
        else:
            panel.settle(report)


def _nothing() -> None:
    return None
