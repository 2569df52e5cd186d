"""The report of :mod:`kernelllm_jupyter.report` as HTML: for the panel, and for its static form.

It needs no style sheet and no script. Everything in it that comes from a model or a candidate is
text and is escaped; no HTML of theirs is ever shown. Where our labextension is, it makes the line
numbers of findings (``kllm-jump``) places to click on, and draws charts in their figures; both
are known by class names, as these survive JupyterLab's sanitiser.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Iterable, Sequence

from kernelllm_jupyter.charts import Bars, Lines, chart_of_sweep, chart_of_times
from kernelllm_jupyter.drawing import svg
from kernelllm_jupyter.grid import grid_html
from kernelllm_jupyter.report import (
    KERNEL_COLUMNS,
    ROWS_SHOWN,
    Report,
    compilation_remarks,
    compiled_for,
    conclusion,
    excerpt,
    figures,
    headline,
    kernel_measures,
    rate,
    remark,
    source,
    timing_notes,
    timing_rows,
    title,
)
from kernelllm_jupyter.values import Compilation, CompiledKernel, Finding, Timing, Verdict
from kernelllm_jupyter.verify.steps import Step

__all__ = ["charts", "progress_html", "report_html"]

#: Characters of a model's reasoning in the panel: of one that is over, and while it is written.
THOUGHT_SHOWN = 20_000
GROWING_THOUGHT_SHOWN = 2_000
#: Seconds after which it is worth telling how long something has been going on.
ELAPSED_FROM_S = 1.0
#: Keeps a heading out of the notebook's table of contents.
OUT_OF_CONTENTS = "jp-toc-ignore tocSkip"


def report_html(report: Report) -> str:
    """The report, the verdict first; what is in progress is not in it, but the rows are."""
    blocks = [] if report.running else [_outcome_html(report)]
    if report.timing:
        blocks.append(_timing_html(report.timing))
    if report.rows:
        blocks.append(grid_html(report.rows))
    if report.verdict and report.verdict.compilation and not report.running:
        blocks.append(_compilation_html(report.verdict.compilation))
    if report.thought:
        blocks.append(_thought_html(report))
    blocks.append(_footer_html(report))
    return f'<section class="kllm-report">{"".join(blocks)}</section>'


def progress_html(report: Report, elapsed_s: float) -> str:
    """What is going on, and for how long; empty where nothing is."""
    if not report.running:
        return ""
    parts = [report.message, rate(report.tokens, report.seconds)]
    if report.stage != "generating":
        parts.pop()
    if elapsed_s >= ELAPSED_FROM_S:
        parts.append(_duration(elapsed_s))
    words = html.escape(" · ".join(part for part in parts if part))
    return f'<div class="kllm-status">{_bar_html(report)}{words}</div>'


def _bar_html(report: Report) -> str:
    """How much of it is over, in steps where they are counted; empty where that is not known."""
    step = report.message
    if isinstance(step, Step) and step.part is not None and step.total:
        done = f'value="{step.part * step.total:.2f}" max="{step.total}"'
        words = f"{step.number} of {step.total}"
        return f'<progress {done} aria-label="Steps" aria-valuetext="{words}">{words}</progress> '
    if report.part is None:
        return ""
    share = min(1.0, max(0.0, report.part))
    return f'<progress value="{share:.3f}" aria-label="Progress">{share:.0%}</progress> '


def _duration(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02} s"


def _paragraphs(css_class: str, lines: Iterable[str]) -> str:
    return "".join(f'<div class="{css_class}">{html.escape(line)}</div>' for line in lines)


# --- the verdict ---------------------------------------------------------------------------------


def _outcome_html(report: Report) -> str:
    """What came of it: the verdict, or what happened instead of one."""
    verdict = report.verdict
    words = title(report)
    kind, mark = report.stage, {"failed": "✗", "stopped": "■"}.get(report.stage, "–")
    if verdict is not None and words == headline(verdict):
        kind, mark = verdict.verdict, "✓" if verdict.correct else "✗"  # type: ignore[assignment]
    parts = [_title_html(mark, words)]
    if said := remark(report):
        parts += _paragraphs("kllm-message", [said])
    if verdict is not None:
        if words != headline(verdict):
            parts += _paragraphs("kllm-message", [headline(verdict)])
        parts += _details_html(verdict, report.code)
    return f'<div class="kllm-verdict kllm-verdict-{kind}">{"".join(parts)}</div>'


def _title_html(mark: str, words: str) -> str:
    return (
        f'<h4 class="kllm-title {OUT_OF_CONTENTS}">'
        f'<span class="kllm-mark" aria-hidden="true">{mark} </span>{html.escape(words)}</h4>'
    )


def _details_html(verdict: Verdict, code: str) -> list[str]:
    parts = [_finding_html(finding, code) for finding in verdict.reasons]
    if measured := figures(verdict):
        parts += _paragraphs("kllm-figures", [measured])
    parts += _paragraphs("kllm-warning", (f"Warning: {one.message}" for one in verdict.warnings))
    unmade = (f"Not checked here: {one.message}" for one in verdict.not_made)
    return [*parts, *_paragraphs("kllm-note", unmade)]


def _finding_html(finding: Finding, code: str) -> str:
    message = html.escape(finding.message)
    if finding.line is None:
        return f'<div class="kllm-reason">{message}</div>'
    lines = excerpt(code, finding.line).splitlines()
    where = f"Line {finding.line}"
    if not lines:
        return f'<div class="kllm-reason">{where}: {message}</div>'
    marked = "\n".join(
        f'<mark class="kllm-line">{html.escape(line)}</mark>'
        if line.startswith(">")
        else html.escape(line)
        for line in lines
    )
    jump = f'<span class="kllm-jump kllm-at-{finding.line}">{where}</span>'
    return (
        f'<div class="kllm-finding"><div class="kllm-reason">{jump}: {message}</div>'
        f"<pre>{marked}</pre></div>"
    )


# --- timing, compiled kernels, reasoning ---------------------------------------------------------


def _timing_html(timing: Timing) -> str:
    parts = []
    if timing.measured:
        parts.append(
            f'<h4 class="kllm-title {OUT_OF_CONTENTS}">{html.escape(conclusion(timing))}</h4>'
        )
    if timing.measured or timing.eager_ms is not None:
        rows = "".join(
            f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(figure)}</td></tr>'
            for name, figure in timing_rows(timing)
        )
        parts.append(_table_html("kllm-times", "Time of one call", ("", "Median"), rows))
    parts += [_charts_html(timing), _notes_html(timing_notes(timing) or ["Not measured."])]
    kind = timing.conclusion.replace(" ", "-")
    return f'<div class="kllm-timing kllm-timing-{kind}">{"".join(parts)}</div>'


def _notes_html(lines: Sequence[str]) -> str:
    """Sentences as paragraphs; indented lines are aligned, and stay so."""
    parts = []
    for is_aligned, group in itertools.groupby(lines, lambda line: line.startswith("  ")):
        if is_aligned:
            shown = html.escape("\n".join(line[2:] for line in group))
            parts.append(f'<pre class="kllm-aligned kllm-scroll">{shown}</pre>')
        else:
            parts.append(_paragraphs("kllm-note", group))
    return "".join(parts)


def charts(timing: Timing | None) -> dict[str, Bars | Lines]:
    """The charts of a timing, by the names of their figures."""
    if timing is None:
        return {}
    found = {
        "times": chart_of_times(timing),
        **{
            f"sweep-{number}": chart_of_sweep(sweep)
            for number, sweep in enumerate(timing.sweeps, 1)
        },
    }
    return {name: chart for name, chart in found.items() if chart is not None}


def _charts_html(timing: Timing) -> str:
    return "".join(
        f'<figure class="kllm-chart kllm-chart-{name}">{svg(chart)}</figure>'
        for name, chart in charts(timing).items()
    )


def _table_html(css_class: str, caption: str, columns: Sequence[str], rows: str) -> str:
    """A table in a box that scrolls where there is no room; ``rows`` is HTML."""
    head = "".join(
        f'<th scope="col">{html.escape(name)}</th>' if name else "<td></td>" for name in columns
    )
    return (
        f'<div class="kllm-scroll"><table class="kllm-table {css_class}">'
        f"<caption>{html.escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _compilation_html(compilation: Compilation) -> str:
    if not compilation.kernels:
        return ""
    rows = "".join(_kernel_html(kernel) for kernel in compilation.kernels[:ROWS_SHOWN])
    shown = _table_html("kllm-kernels", compiled_for(compilation), KERNEL_COLUMNS, rows)
    return f"<div>{shown}{_paragraphs('kllm-note', compilation_remarks(compilation))}</div>"


def _kernel_html(kernel: CompiledKernel) -> str:
    name = html.escape(kernel.name)
    if kernel.configuration:
        name += f'<div class="kllm-note">{html.escape(kernel.configuration)}</div>'
    cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in kernel_measures(kernel))
    return f'<tr><th scope="row">{name}</th>{cells}</tr>'


def _thought_html(report: Report) -> str:
    """The reasoning, folded; its end only, where it is long or still growing."""
    limit = GROWING_THOUGHT_SHOWN if report.stage == "generating" else THOUGHT_SHOWN
    shown = report.thought if len(report.thought) <= limit else "… " + report.thought[-limit:]
    return (
        '<details class="kllm-thought"><summary>The model\'s reasoning '
        f"({len(report.thought):,} characters)</summary><pre>{html.escape(shown)}</pre></details>"
    )


def _footer_html(report: Report) -> str:
    lines = [source(report), *([report.note] if report.note else [])]
    return f'<div class="kllm-footer">{"".join(_paragraphs("kllm-note", lines))}</div>'
