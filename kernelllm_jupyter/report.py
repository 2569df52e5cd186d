"""Verdicts, timings and progress in words, as plain text and as HTML.

Pure functions of values: the command line, the panel and its static form say the same thing
because they all say it through here. Everything that comes from a model or a candidate is text
and is escaped; no HTML of theirs is ever shown.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kernelllm_jupyter.grid import Row, grid_html, grid_rows
from kernelllm_jupyter.values import (
    Compilation,
    CompiledKernel,
    Finding,
    Interval,
    Timing,
    Verdict,
    VerdictKind,
)

__all__ = [
    "Report",
    "Stage",
    "excerpt",
    "headline",
    "rate",
    "report_html",
    "report_text",
    "table",
    "timing_text",
    "verdict_text",
]

Stage = Literal["loading", "generating", "checking", "timing", "done", "stopped", "failed"]

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
#: Characters of a model's reasoning in the panel: of one that is over, and while it is written.
THOUGHT_SHOWN = 20_000
GROWING_THOUGHT_SHOWN = 2_000
DEVICES = {"cpu-interpreter": "Triton's interpreter on the CPU"}


@dataclass(frozen=True)
class Report:
    """All that the panel shows, at one moment.

    ``code`` is the candidate that ``verdict`` and ``timing`` speak of; ``message`` says what is
    happening now, or what went wrong; ``note`` is worth knowing and stands at the end;
    ``thought`` is the model's reasoning, which is shown folded; ``rows`` are the candidates, where
    there may be more than one.
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


def headline(verdict: Verdict) -> str:
    """The verdict in one line."""
    words = HEADLINES[verdict.verdict]
    if verdict.correct and verdict.trials:
        words += f": agrees with the PyTorch module in {verdict.trials} trials"
    return f"{words} ({_device(verdict.device)})" if verdict.device else words


def verdict_text(verdict: Verdict, code: str = "") -> str:
    """The verdict in words, with the failing lines of ``code`` marked."""
    lines = [headline(verdict)]
    lines += [_finding_text(finding, code) for finding in verdict.reasons]
    if figures := _figures(verdict):
        lines.append(figures)
    if verdict.compilation is not None:
        lines += _compilation_text(verdict.compilation)
    lines += [f"Warning: {finding.message}" for finding in verdict.warnings]
    lines += [f"Not checked here: {finding.message}" for finding in verdict.not_made]
    return "\n".join(lines)


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


def timing_text(timing: Timing) -> str:
    """The timing in words, each figure with its interval."""
    if timing.candidate_ms is None:
        return timing.message or "Not measured."
    rows = [
        ("PyTorch eager", timing.eager_ms, timing.eager_interval_ms),
        ("torch.compile", timing.compile_ms, timing.compile_interval_ms),
        ("Triton candidate", timing.candidate_ms, timing.candidate_interval_ms),
    ]
    lines = [_conclusion(timing)]
    lines += [f"{name:17} {_milliseconds(value, spread)}" for name, value, spread in rows]
    if timing.device:
        lines.append(f"Medians with their 99 % intervals, on {timing.device}.")
    if timing.verified is False:
        lines.append("This candidate is not verified: its speed says nothing until it is correct.")
    return "\n".join(lines + ([timing.message] if timing.message else []))


def _conclusion(timing: Timing) -> str:
    if timing.conclusion == "no difference" or timing.speedup is None:
        return f"{timing.conclusion.capitalize()} against PyTorch eager"
    factor = timing.speedup if timing.conclusion == "faster" else 1 / timing.speedup
    return f"{factor:.2f}× {timing.conclusion} than PyTorch eager"


def _milliseconds(value: float | None, spread: Interval | None) -> str:
    if value is None:
        return "not measured"
    shown = f"{value:.4g} ms"
    return f"{shown} ({spread.low:.4g} – {spread.high:.4g})" if spread else shown


def rate(tokens: int | None, seconds: float | None) -> str:
    """Tokens and tokens per second, as far as they are known."""
    if not tokens:
        return ""
    if not seconds:
        return f"{tokens} tokens"
    return f"{tokens} tokens, {tokens / seconds:.0f} tokens/s"


def _figures(verdict: Verdict) -> str:
    parts = []
    if verdict.max_abs_error is not None:
        figure = f"largest error {verdict.max_abs_error:.2g}"
        if verdict.error_budget is not None:
            figure += f" of {verdict.error_budget:.2g} allowed there"
        parts.append(figure)
    if verdict.launches is not None:
        parts.append(f"{verdict.launches} Triton launch{'' if verdict.launches == 1 else 'es'}")
    if verdict.elapsed_ms is not None:
        parts.append(f"checked in {verdict.elapsed_ms / 1000:.1f} s")
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
    lines = [f"{_compiled_for(compilation)}:"]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  " + "  ".join(cells))
    return lines + _remarks(compilation)


def _compiled_for(compilation: Compilation) -> str:
    return f"Compiled for {compilation.target}"


def _cells(kernel: CompiledKernel) -> tuple[str, ...]:
    name = f"{kernel.name} ({kernel.configuration})" if kernel.configuration else kernel.name
    return (name, *_measures(kernel))


def _measures(kernel: CompiledKernel) -> tuple[str, ...]:
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


def _remarks(compilation: Compilation) -> list[str]:
    hidden = len(compilation.kernels) - ROWS_SHOWN
    more = [f"{hidden} more configurations compile."] if hidden > 0 else []
    left = compilation.left_out
    count = [f"{len(left) - 3} more configurations are left out."] if len(left) > 3 else []
    return more + [f"Left out: {text}" for text in left[:3]] + count


def _compilation_html(compilation: Compilation) -> str:
    if not compilation.kernels:
        return ""
    head = "".join(f'<th scope="col">{name}</th>' for name in KERNEL_COLUMNS)
    body = "".join(_kernel_html(kernel) for kernel in compilation.kernels[:ROWS_SHOWN])
    remarks = "".join(
        f'<div class="kllm-note">{html.escape(text)}</div>' for text in _remarks(compilation)
    )
    caption = html.escape(_compiled_for(compilation))
    return (
        f'<div class="kllm-scroll"><table class="kllm-kernels"><caption>{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{remarks}"
    )


def _kernel_html(kernel: CompiledKernel) -> str:
    name = html.escape(kernel.name)
    if kernel.configuration:
        name += f'<div class="kllm-note">{html.escape(kernel.configuration)}</div>'
    cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in _measures(kernel))
    return f'<tr><th scope="row">{name}</th>{cells}</tr>'


def _device(name: str | None) -> str:
    return DEVICES.get(name or "", name or "")


# --- the panel's text and HTML -------------------------------------------------------------------


def report_text(report: Report) -> str:
    """The report as plain text."""
    lines = [_status(report)]
    if report.thought:
        lines.append(f"The model reasoned first ({len(report.thought):,} characters).")
    if report.verdict:
        lines.append(verdict_text(report.verdict, report.code))
    if report.timing:
        lines.append(timing_text(report.timing))
    if report.rows:
        lines.append(table(grid_rows(report.rows)))
    if report.note:
        lines.append(report.note)
    return "\n".join(lines)


def _status(report: Report) -> str:
    parts = [f"KernelLLM · {report.model}", report.message, rate(report.tokens, report.seconds)]
    return " · ".join(part for part in parts if part)


def report_html(report: Report) -> str:
    """The report as HTML that needs no style sheet and no script; every text in it is escaped."""
    blocks = [f'<div class="kllm-status">{html.escape(_status(report))}</div>']
    if report.thought:
        blocks.append(_thought_html(report))
    if report.verdict:
        blocks.append(_verdict_html(report.verdict, report.code))
    if report.timing:
        blocks.append(_timing_html(report.timing))
    if report.rows:
        blocks.append(grid_html(report.rows))
    if report.note:
        blocks.append(f'<div class="kllm-note">{html.escape(report.note)}</div>')
    return f'<div class="kllm-report">{"".join(blocks)}</div>'


def _thought_html(report: Report) -> str:
    """The reasoning, folded; its end only, where it is long or still growing."""
    limit = GROWING_THOUGHT_SHOWN if report.stage == "generating" else THOUGHT_SHOWN
    shown = report.thought if len(report.thought) <= limit else "… " + report.thought[-limit:]
    return (
        '<details class="kllm-thought"><summary>The model\'s reasoning '
        f"({len(report.thought):,} characters)</summary><pre>{html.escape(shown)}</pre></details>"
    )


def _verdict_html(verdict: Verdict, code: str) -> str:
    mark = "✓" if verdict.correct else "✗"
    parts = [
        f'<div class="kllm-verdict kllm-verdict-{verdict.verdict}" role="status">'
        f'<strong><span aria-hidden="true">{mark} </span>{html.escape(headline(verdict))}</strong>'
    ]
    for finding in verdict.reasons:
        parts.append(_finding_html(finding, code))
    if figures := _figures(verdict):
        parts.append(f"<div>{html.escape(figures)}</div>")
    if verdict.compilation is not None:
        parts.append(_compilation_html(verdict.compilation))
    parts.append(_list_html("Warning", verdict.warnings))
    parts.append(_list_html("Not checked here", verdict.not_made))
    return "".join(parts) + "</div>"


def _finding_html(finding: Finding, code: str) -> str:
    where = f"Line {finding.line}: " if finding.line is not None else ""
    shown = f'<div class="kllm-reason">{html.escape(where + finding.message)}</div>'
    lines = excerpt(code, finding.line) if finding.line is not None else ""
    if not lines:
        return shown
    marked = "\n".join(
        f'<mark class="kllm-line">{html.escape(line)}</mark>'
        if line.startswith(">")
        else html.escape(line)
        for line in lines.splitlines()
    )
    return f"{shown}<pre>{marked}</pre>"


def _list_html(label: str, findings: Sequence[Finding]) -> str:
    return "".join(
        f'<div class="kllm-note">{html.escape(f"{label}: {finding.message}")}</div>'
        for finding in findings
    )


def _timing_html(timing: Timing) -> str:
    return f'<pre class="kllm-timing">{html.escape(timing_text(timing))}</pre>'
