"""Records in words and as HTML: the list of them, and one of them in full.

Pure functions of values, like :mod:`kernelllm_jupyter.report`, whose words they use.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import datetime

from kernelllm_jupyter.markup import report_html
from kernelllm_jupyter.records import Record, Summary
from kernelllm_jupyter.report import Report, Stage, report_text, table

__all__ = ["history_html", "history_text", "record_html", "record_report", "record_text"]

COLUMNS = ("Record", "When", "Module", "Model", "Result", "Speed", "From")
EMPTY = "Nothing is recorded yet."


def history_text(summaries: Sequence[Summary]) -> str:
    """One line for each record, under a heading."""
    if not summaries:
        return EMPTY
    return table([COLUMNS, *(_cells(each) for each in summaries)])


def history_html(summaries: Sequence[Summary]) -> str:
    if not summaries:
        return f'<div class="kllm-report"><div class="kllm-status">{EMPTY}</div></div>'
    head = "".join(f'<th scope="col">{name}</th>' for name in COLUMNS)
    body = "".join(_row_html(each) for each in summaries)
    return (
        '<div class="kllm-report"><div class="kllm-scroll"><table class="kllm-history">'
        f"<caption>Records of KernelLLM</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div></div>"
    )


def _row_html(summary: Summary) -> str:
    first, *others = _cells(summary)
    cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in others)
    return f'<tr><th scope="row">{html.escape(first)}</th>{cells}</tr>'


def _cells(summary: Summary) -> tuple[str, ...]:
    return (
        summary.id,
        local_time(summary.started_at_s),
        summary.class_name,
        summary.model or "(none)",
        _result(summary),
        f"{summary.speedup:.2f}×" if summary.speedup else "",
        f"{summary.origin}, {summary.kind}" if summary.kind != "translate" else summary.origin,
    )


def _result(summary: Summary) -> str:
    words = "not checked" if summary.verdict is None else summary.verdict.replace("_", " ")
    if summary.state != "done":
        words = summary.state if summary.verdict is None else f"{summary.state}, {words}"
    return f"{words} (of {summary.candidates})" if summary.candidates > 1 else words


def local_time(at_s: float) -> str:
    """A moment as the user's clock showed it."""
    return datetime.fromtimestamp(at_s).strftime("%Y-%m-%d %H:%M")


# --- one record ----------------------------------------------------------------------------------

STAGES: dict[str, Stage] = {"done": "done", "failed": "failed"}


def record_report(record: Record) -> Report:
    """The record as the panel showed it."""
    message = record.message
    if record.state == "unfinished":
        message = "Cut off: the process that wrote it ended."
    elif record.state == "running":
        message = "Not finished yet."
    kept = record.kept
    candidate = kept.candidate if kept else None
    if candidate is not None and record.state == "done" and record.verdict is None:
        message = message or "Not checked"
    return Report(
        STAGES.get(record.state, "stopped"),
        record.model or "no model",
        message=message,
        tokens=candidate.tokens if candidate else None,
        seconds=candidate.seconds if candidate else None,
        code=record.code,
        verdict=record.verdict,
        timing=record.timing,
        thought=candidate.thought if candidate else "",
        note=" ".join(_notes(record)),
    )


def _notes(record: Record) -> list[str]:
    notes = [record.kept.candidate.note] if record.kept else []
    others = len(record.candidates) - 1
    if others > 0:
        notes.append(f"{others} more candidate{'' if others == 1 else 's'} in the record.")
    edited = [one for one in (*record.verdicts, *record.timings) if one.place is None]
    if edited and record.kind == "translate":
        what = "result" if len(edited) == 1 else "results"
        notes.append(f"{len(edited)} later {what} of edited code in the record.")
    return [note for note in (*notes, *record.left_out) if note]


def _about(record: Record) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in record.versions.items())
    where = f"Record {record.id} · {local_time(record.started_at_s)} · {record.origin}"
    return f"{where} · {record.problem.class_name} · {versions}"


def record_text(record: Record) -> str:
    """Verdict and timing in words, then the code."""
    parts = [_about(record), report_text(record_report(record))]
    if record.code:
        parts.append("\n" + record.code.rstrip("\n"))
    return "\n".join(parts)


def record_html(record: Record) -> str:
    """The panel's static form, then code and source."""
    parts = [f'<div class="kllm-note">{html.escape(_about(record))}</div>']
    parts.append(report_html(record_report(record)))
    for title, text, is_open in (
        ("Generated code", record.code, True),
        ("The PyTorch module", record.problem.source, False),
    ):
        if text:
            opened = " open" if is_open else ""
            parts.append(
                f"<details{opened}><summary>{title}</summary><pre>{html.escape(text)}</pre></details>"
            )
    return f'<div class="kllm-record">{"".join(parts)}</div>'
