"""The candidates of one translation side by side: what each is doing, then what became of it.

:class:`Grid` keeps up with a search's events; its rows are values, shown as text or as HTML.
Whatever comes from a model or a candidate is text and is escaped.
"""

from __future__ import annotations

import difflib
import html
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from kernelllm_jupyter.search import Began, Measured, Measuring, SearchEvent
from kernelllm_jupyter.translate import (
    Checked,
    Checking,
    Finished,
    Generated,
    Loading,
    Noted,
    Thought,
    Wrote,
)
from kernelllm_jupyter.values import Candidate, Finding, Timing, Verdict, VerdictKind

__all__ = ["Grid", "Row", "difference", "grid_html", "grid_rows", "told"]

Kind = Literal["running", "correct", "failed", "ended"]

VERDICTS: dict[VerdictKind, str] = {
    "correct": "Correct",
    "incorrect": "Not correct",
    "compile_error": "Does not compile",
    "runtime_error": "Fails when it runs",
    "timeout": "Not finished in time",
    "out_of_memory": "Out of memory",
    "crashed": "Crashed",
    "rejected": "Rejected",
}
MARKS: dict[Kind, str] = {"running": "…", "correct": "✓", "failed": "✗", "ended": "–"}
SAMPLING, THINKING = "Sampling", "Thinking"
REASON_CHARACTERS = 140
DIFFERENCE_LINES = 400
DIFFERENCE_KINDS = {"+": "added", "-": "removed", "@": "place"}


@dataclass(frozen=True)
class Row:
    """One candidate at one moment; ``number`` counts from 1.

    ``state`` is in words; ``origin`` says whose repair it is; ``remarks`` are what was mended, and
    ``reasons`` the verdict's, whole.
    """

    number: int
    kind: Kind = "running"
    state: str = SAMPLING
    origin: str = ""
    tokens: int | None = None
    sampled_s: float | None = None
    checked_s: float | None = None
    device_ms: float | None = None
    remarks: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    code: str = ""
    chosen: bool = False


class Grid:
    """Rows that keep up with the events of one search."""

    def __init__(self) -> None:
        self._rows: dict[int, Row] = {}
        self._candidates: dict[int, Candidate] = {}
        self._correct: int | None = None

    @property
    def rows(self) -> tuple[Row, ...]:
        return tuple(self._rows.values())

    def stop(self) -> None:
        """Say of all that is in progress that it was stopped."""
        for index, row in self._rows.items():
            if row.kind == "running":
                self._rows[index] = replace(row, kind="ended", state="Stopped")

    @property
    def tokens(self) -> int:
        """Sampled so far, by all together."""
        return sum(row.tokens or 0 for row in self._rows.values())

    @property
    def sampling(self) -> bool:
        return any(row.state in (SAMPLING, THINKING) for row in self._rows.values())

    @property
    def verified(self) -> Candidate | None:
        """The first verified candidate there is."""
        return None if self._correct is None else self._candidates[self._correct]

    def take(self, event: SearchEvent) -> None:
        if isinstance(event, Began):
            origin = "" if event.repair_of is None else f"repair of {event.repair_of + 1}"
            if event.round and event.repair_of is None:
                origin = f"round {event.round + 1}"
            self._rows[event.index] = Row(event.index + 1, origin=origin)
        elif isinstance(event, Thought | Wrote):
            state = SAMPLING if isinstance(event, Wrote) else THINKING
            self._change(event.index, state=state, tokens=event.tokens, sampled_s=event.seconds)
        elif isinstance(event, Generated):
            self._candidates[event.index] = event.candidate
            self._settle(event.index, event.candidate, None, "Waiting for its check", "running")
        elif isinstance(event, Checking | Measuring):
            self._change(event.index, state=event.message, kind="running")
        elif isinstance(event, Checked):
            if event.verdict.correct and self._correct is None:
                self._correct = event.index
            self._settle(event.index, self._candidates[event.index], event.verdict)
        elif isinstance(event, Measured):
            self._change(event.index, device_ms=event.timing.candidate_ms, kind="correct")
        elif isinstance(event, Finished):
            made = event.translation
            for index, candidate in enumerate(made.candidates):
                timing = made.timings[index] if made.timings else None
                self._settle(index, candidate, made.verdicts[index], timing=timing)
                self._change(index, chosen=index == made.chosen)

    def _settle(
        self,
        index: int,
        candidate: Candidate,
        verdict: Verdict | None,
        otherwise: str = "Not checked",
        kind: Kind = "ended",
        timing: Timing | None = None,
    ) -> None:
        """What is known of a complete candidate; ``otherwise`` where it has no verdict."""
        if verdict is not None:
            kind = "correct" if verdict.correct else "failed"
            state = _verdict_words(verdict)
            if candidate.duplicate_of is not None:
                state = f"Same code as {candidate.duplicate_of + 1}"
        elif candidate.finish in ("cancelled", "failed"):
            kind = "ended" if candidate.finish == "cancelled" else "failed"
            state = candidate.note or "Stopped"
        else:
            state = otherwise
        noted = candidate.note if candidate.note and candidate.note != state else ""
        self._change(
            index,
            kind=kind,
            state=state,
            tokens=candidate.tokens,
            sampled_s=candidate.seconds,
            checked_s=_seconds(verdict) if candidate.duplicate_of is None else None,
            device_ms=timing.candidate_ms if timing else None,
            remarks=tuple(part for part in (noted, *candidate.mends) if part),
            reasons=() if verdict is None else tuple(map(_reason, verdict.reasons)),
            code=candidate.code,
        )

    def _change(self, index: int, **changes: object) -> None:
        row = self._rows.get(index) or Row(index + 1)
        self._rows[index] = replace(row, **changes)  # type: ignore[arg-type]


def _verdict_words(verdict: Verdict) -> str:
    words = VERDICTS[verdict.verdict]
    if verdict.correct or not verdict.reasons:
        return words
    return f"{words}: {_bounded(_reason(verdict.reasons[0]))}"


def _reason(finding: Finding) -> str:
    where = f"line {finding.line}: " if finding.line is not None else ""
    return where + finding.message


def _bounded(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= REASON_CHARACTERS else line[: REASON_CHARACTERS - 2] + " …"


def _seconds(verdict: Verdict | None) -> float | None:
    if verdict is None or verdict.elapsed_ms is None:
        return None
    return verdict.elapsed_ms / 1000


# --- in words and in HTML ------------------------------------------------------------------------


def told(event: SearchEvent, grid: Grid) -> str:
    """What is said of an event that the grid has taken, in a line; empty where nothing is."""
    if isinstance(event, Loading):
        return event.progress.message
    if isinstance(event, Noted):
        return event.message
    if isinstance(event, Generated | Checked):
        row = grid.rows[event.index]
        return f"candidate {row.number}: {row.state}"
    return ""


def grid_rows(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """The grid as cells of text, the heading first; with a column of times where there are any."""
    timed = any(row.device_ms is not None for row in rows)
    heading = (
        "Candidate",
        "Tokens",
        "Sampled",
        "Checked",
        *(("Runs in",) if timed else ()),
        "State",
    )
    return [heading, *(_cells(row, timed) for row in rows)]


def _cells(row: Row, timed: bool) -> tuple[str, ...]:
    name = f"{row.number} ({row.origin})" if row.origin else f"{row.number}"
    state = "; ".join([row.state, *row.remarks])
    if row.chosen:
        state += " (kept)"
    time = () if not timed else (_unit(row.device_ms, ".4g", "ms"),)
    return (
        name,
        _unit(row.tokens, ",", ""),
        _unit(row.sampled_s, ".1f", "s"),
        _unit(row.checked_s, ".1f", "s"),
        *time,
        f"{MARKS[row.kind]} {state}",
    )


def _unit(value: float | None, form: str, unit: str) -> str:
    return "" if value is None else f"{value:{form}} {unit}".rstrip()


def caption(rows: Sequence[Row]) -> str:
    """How many there are, and how far they are."""
    counts = [
        f"{len(rows)} candidate{'' if len(rows) == 1 else 's'}",
        f"{sum(row.kind == 'running' for row in rows)} in progress",
        f"{sum(row.kind == 'correct' for row in rows)} correct",
        f"{sum(row.kind == 'failed' for row in rows)} failed",
    ]
    return ", ".join([counts[0], *(count for count in counts[1:] if not count.startswith("0"))])


def difference(row: Row, chosen: Row) -> str:
    """What has to change in the chosen candidate to give ``row``, as a unified diff."""
    lines = list(
        difflib.unified_diff(
            chosen.code.splitlines(),
            row.code.splitlines(),
            f"candidate {chosen.number} (kept)",
            f"candidate {row.number}",
            lineterm="",
        )
    )
    if len(lines) > DIFFERENCE_LINES:
        lines = [*lines[:DIFFERENCE_LINES], "…"]
    return "\n".join(lines)


def grid_html(rows: Sequence[Row]) -> str:
    """A table, and once one is chosen each other candidate's difference from it, folded."""
    # The state comes second here: where there is little room the figures are what scrolls.
    (name, *columns, state), *body = grid_rows(rows)
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in (name, state, *columns))
    lines = "".join(
        f'<tr class="kllm-candidate-{row.kind}"><th scope="row">{html.escape(name)}</th>'
        f"<td>{_marked(state)}</td>"
        f"{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"
        for row, (name, *cells, state) in zip(rows, body, strict=True)
    )
    table = (
        '<div class="kllm-scroll"><table class="kllm-table kllm-candidates">'
        f"<caption>{html.escape(caption(rows))}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>"
    )
    return f"<div>{table}{_differences_html(rows)}</div>"


def _marked(state: str) -> str:
    mark, _, words = state.partition(" ")
    return f'<span aria-hidden="true">{mark} </span>{html.escape(words)}'


def _differences_html(rows: Sequence[Row]) -> str:
    chosen = next((row for row in rows if row.chosen), None)
    if chosen is None:
        return ""
    return "".join(
        f"<details><summary>How candidate {row.number} differs from the one kept</summary>"
        f'{_reasons_html(row)}<pre class="kllm-diff">{_coloured(shown)}</pre></details>'
        for row in rows
        if row.code and (shown := difference(row, chosen))
    )


def _coloured(shown: str) -> str:
    """A diff's lines by their kind; the signs stay, so that nothing hangs on a colour."""
    return "\n".join(
        f'<span class="kllm-{kind}">{html.escape(line)}</span>' if kind else html.escape(line)
        for number, line in enumerate(shown.splitlines())
        # The first two lines name the sides.
        for kind in ["place" if number < 2 else DIFFERENCE_KINDS.get(line[:1], "")]
    )


def _reasons_html(row: Row) -> str:
    return "".join(
        f'<div class="kllm-reason">{html.escape(reason)}</div>' for reason in row.reasons
    )
