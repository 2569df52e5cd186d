"""Verdicts, timings and progress in words.

Pure functions of values: the command line, the panel and its static form say the same thing
because they all say it through here. The same as HTML is :mod:`kernelllm_jupyter.markup`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kernelllm_jupyter.grid import Row, grid_rows
from kernelllm_jupyter.timing_report import (
    conclusion,
    timing_notes,
    timing_rows,
    timing_text,
)
from kernelllm_jupyter.values import (
    Compilation,
    CompiledKernel,
    Finding,
    Timing,
    Verdict,
    VerdictKind,
)

__all__ = [
    "KERNEL_COLUMNS",
    "ROWS_SHOWN",
    "Report",
    "Stage",
    "compilation_remarks",
    "compiled_for",
    "conclusion",
    "excerpt",
    "figures",
    "headline",
    "kernel_measures",
    "rate",
    "remark",
    "report_text",
    "source",
    "table",
    "timing_notes",
    "timing_rows",
    "timing_text",
    "title",
    "verdict_text",
]

Stage = Literal["loading", "generating", "checking", "timing", "done", "stopped", "failed"]
RUNNING: tuple[Stage, ...] = ("loading", "generating", "checking", "timing")

HEADLINES: dict[VerdictKind, str] = {
    "correct": "Correct",
    "incorrect": "Not correct: its results differ from the PyTorch module's",
    "compile_error": "Does not compile",
    "runtime_error": "Fails when it runs",
    "timeout": "Did not finish in time",
    "out_of_memory": "Ran out of memory",
    "crashed": "Crashed its worker process",
    "rejected": "Rejected: it runs, but is no honest Triton kernel",
}
DEVICES = {"cpu-interpreter": "Triton's interpreter on the CPU"}


@dataclass(frozen=True)
class Report:
    """All that the panel shows, at one moment.

    ``code`` is the candidate that ``verdict`` and ``timing`` speak of; ``message`` says what is
    happening now, or what went wrong; ``part`` is how much of that is over, from 0 to 1, where it
    is known; ``note`` is worth knowing and stands at the end; ``thought`` is the model's
    reasoning, which is shown folded; ``rows`` are the candidates, where there may be more than
    one. ``background`` tells that the cell which asked has ended and the work goes on by itself.
    """

    stage: Stage
    model: str
    message: str = ""
    tokens: int | None = None
    seconds: float | None = None
    code: str = ""
    verdict: Verdict | None = None
    timing: Timing | None = None
    note: str = ""
    thought: str = ""
    rows: tuple[Row, ...] = ()
    part: float | None = None
    background: bool = False

    @property
    def running(self) -> bool:
        return self.stage in RUNNING


def headline(verdict: Verdict) -> str:
    """The verdict in one line."""
    words = HEADLINES[verdict.verdict]
    if verdict.correct and verdict.trials:
        words += f": agrees with the PyTorch module in {verdict.trials} trials"
    return f"{words} ({_device(verdict.device)})" if verdict.device else words


def verdict_text(verdict: Verdict, code: str = "") -> str:
    """The verdict in words, with the failing lines of ``code`` marked."""
    return "\n".join([headline(verdict), *_details(verdict, code)])


def _details(verdict: Verdict, code: str) -> list[str]:
    lines = [_finding_text(finding, code) for finding in verdict.reasons]
    if measured := figures(verdict):
        lines.append(measured)
    if verdict.compilation is not None:
        lines += _compilation_text(verdict.compilation)
    lines += [f"Warning: {finding.message}" for finding in verdict.warnings]
    return lines + [f"Not checked here: {finding.message}" for finding in verdict.not_made]


def _finding_text(finding: Finding, code: str) -> str:
    if finding.line is None:
        return finding.message
    shown = excerpt(code, finding.line)
    return f"Line {finding.line}: {finding.message}" + (f"\n{shown}" if shown else "")


def excerpt(code: str, line: int, around: int = 2) -> str:
    """The lines around ``line`` (from 1), that one marked; empty where there is no such line."""
    lines = code.splitlines()
    if not 1 <= line <= len(lines):
        return ""
    first, last = max(1, line - around), min(len(lines), line + around)
    width = len(str(last))
    return "\n".join(
        f"{'>' if number == line else ' '} {number:{width}} | {lines[number - 1]}"
        for number in range(first, last + 1)
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text in columns; the last one is as wide as it is."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def rate(tokens: int | None, seconds: float | None) -> str:
    """Tokens and tokens per second, as far as they are known."""
    if not tokens:
        return ""
    if not seconds:
        return f"{tokens} tokens"
    return f"{tokens} tokens, {tokens / seconds:.0f} tokens/s"


def figures(verdict: Verdict) -> str:
    """What was measured beside the verdict, in one line; empty where nothing was."""
    parts = []
    if verdict.max_abs_error is not None:
        figure = f"largest error {verdict.max_abs_error:.2g}"
        if verdict.error_budget is not None:
            figure += f" of {verdict.error_budget:.2g} allowed there"
        parts.append(figure)
    if verdict.launches is not None:
        parts.append(f"{verdict.launches} Triton launch{'' if verdict.launches == 1 else 'es'}")
    if verdict.elapsed_ms is not None:
        seconds = verdict.elapsed_ms / 1000
        took = f"{seconds:.1f} s" if seconds >= 0.05 else "less than 0.1 s"
        parts.append(f"checked in {took}")
    line = "; ".join(parts)
    return line[:1].upper() + line[1:]


# --- what was compiled ---------------------------------------------------------------------------

KERNEL_COLUMNS = ("Kernel", "Registers", "Spills", "Shared memory", "Warps", "Grid")
#: Autotuned kernels have a row for each configuration; so many are shown.
ROWS_SHOWN = 12


def _compilation_text(compilation: Compilation) -> list[str]:
    """A table with a heading; empty where nothing was compiled."""
    if not compilation.kernels:
        return []
    rows = [KERNEL_COLUMNS, *(_cells(kernel) for kernel in compilation.kernels[:ROWS_SHOWN])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"{compiled_for(compilation)}:"]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  " + "  ".join(cells))
    return lines + compilation_remarks(compilation)


def compiled_for(compilation: Compilation) -> str:
    """The table's heading."""
    return f"Compiled for {compilation.target}"


def _cells(kernel: CompiledKernel) -> tuple[str, ...]:
    name = f"{kernel.name} ({kernel.configuration})" if kernel.configuration else kernel.name
    return (name, *kernel_measures(kernel))


def kernel_measures(kernel: CompiledKernel) -> tuple[str, ...]:
    """A row of the table, without the kernel's name."""
    shared = _bytes(kernel.shared_bytes)
    if kernel.shared_bytes is not None and kernel.shared_limit_bytes is not None:
        shared += f" of {_bytes(kernel.shared_limit_bytes)}"
    return (
        _known(kernel.registers),
        _bytes(kernel.spill_bytes),
        shared,
        _known(kernel.num_warps),
        _grid(kernel.grid),
    )


def _known(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def _bytes(count: int | None) -> str:
    if count is None:
        return "unknown"
    return f"{count} B" if count < 1024 else f"{count / 1024:.4g} KB"


def _grid(grid: tuple[int, int, int] | None) -> str:
    if grid is None:
        return "unknown"
    sizes = list(grid)
    while len(sizes) > 1 and sizes[-1] == 1:
        sizes.pop()
    return " × ".join(f"{size:,}" for size in sizes)


def compilation_remarks(compilation: Compilation) -> list[str]:
    """What stands below the table."""
    hidden = len(compilation.kernels) - ROWS_SHOWN
    more = [f"{hidden} more configurations compile."] if hidden > 0 else []
    left = compilation.left_out
    count = [f"{len(left) - 3} more configurations are left out."] if len(left) > 3 else []
    return more + [f"Left out: {text}" for text in left[:3]] + count


def _device(name: str | None) -> str:
    return DEVICES.get(name or "", name or "")


# --- the whole report ----------------------------------------------------------------------------


def report_text(report: Report) -> str:
    """The report as plain text, the verdict first."""
    lines = [title(report)]
    if not report.running:
        lines += [line for line in [remark(report)] if line]
        if report.verdict:
            shown = [headline(report.verdict), *_details(report.verdict, report.code)]
            lines += shown[shown[0] == lines[0] :]
    if report.timing:
        lines.append(timing_text(report.timing))
    if report.rows:
        lines.append(table(grid_rows(report.rows)))
    lines.append(source(report))
    if report.thought:
        lines.append(f"The model reasoned first ({len(report.thought):,} characters).")
    if report.note:
        lines.append(report.note)
    return "\n".join(lines)


def title(report: Report) -> str:
    """What there is to say first, in one line: the verdict, once there is one."""
    if report.verdict and report.stage != "failed" and not report.running:
        return headline(report.verdict)
    first, _, _ = report.message.partition("\n")
    return first or ("Done" if report.stage == "done" else "KernelLLM")


def remark(report: Report) -> str:
    """What else the message says, below the title."""
    first, _, rest = report.message.partition("\n")
    return rest.strip() if title(report) == first else report.message


def source(report: Report) -> str:
    """Who wrote the code, and how fast."""
    parts = ["KernelLLM", report.model, rate(report.tokens, report.seconds)]
    return " · ".join(part for part in parts if part)
