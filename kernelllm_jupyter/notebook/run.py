"""One run of ``%%kernelllm``: events in, a cell and a panel out.

Everything that has to be decided is decided below this layer; here it is carried to the front
end, and whatever happens (an interrupt, a dead engine, a module that does not run) the text that
had arrived stays in its cell and the panel says what happened.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

from kernelllm_jupyter.address import destination
from kernelllm_jupyter.engines import get_engine
from kernelllm_jupyter.errors import NotCorrect
from kernelllm_jupyter.grid import Row
from kernelllm_jupyter.heading import Heading
from kernelllm_jupyter.notebook import cell as cells
from kernelllm_jupyter.notebook.headed import HeadedView
from kernelllm_jupyter.notebook.live import LivePanels
from kernelllm_jupyter.notebook.panel import PrintedPanel, View, WidgetPanel
from kernelllm_jupyter.notebook.problems import problem_for
from kernelllm_jupyter.notebook.recheck import Recheck
from kernelllm_jupyter.notebook.several import Several
from kernelllm_jupyter.notebook.static_panel import StaticPanel
from kernelllm_jupyter.options import STARTER_HINT, Request
from kernelllm_jupyter.prompts import profile_for
from kernelllm_jupyter.recording import Recorded
from kernelllm_jupyter.records import Recording, Records
from kernelllm_jupyter.report import Report, headline
from kernelllm_jupyter.search import SearchEvent, search
from kernelllm_jupyter.translate import (
    Checked,
    Checking,
    Finished,
    Generated,
    Loading,
    Noted,
    Thought,
    Wrote,
    in_thread,
)
from kernelllm_jupyter.values import Problem, Timing, Translation

__all__ = ["Stopped", "translate_in_notebook"]


class Stopped(KeyboardInterrupt):
    """The user stopped a translation; what had arrived is kept."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def translate_in_notebook(
    shell: Any, request: Request, source: str, records: Records, panels: LivePanels
) -> Translation:
    """Translate ``source`` below the executing cell and bind the result in the user's namespace.

    Raises what :func:`kernelllm_jupyter.translate.translate` raises, :class:`Stopped` after an
    interrupt, and :class:`NotCorrect` with ``--strict``.
    """
    if front := cells.front_end():
        panels.outcomes.forget(front.cell_id)
    problem = problem_for(shell, request, source)
    profile = profile_for(request.model, target=request.target)
    profile.prompt(problem)  # A module that is refused gets a message and no panel.
    engine = get_engine(request.model, idle_s=request.idle_s, quantization=request.quantization)
    run = _Run(shell, request, problem, panels)
    made = search(
        problem,
        engine,
        profile,
        effort=request.effort,
        sampling=request.sampling,
        check=request.check_options,
    )
    events = Recorded(made, records, problem, request, origin="notebook")
    try:
        # Closed here and now after an interrupt: that is what cancels engine and worker.
        with contextlib.closing(events):
            for event in events:
                run.recording = events.recording
                run.take(event)
        translation = run.end()
    except KeyboardInterrupt:
        if run.translation is not None:  # Stopped while it was timed.
            shell.user_ns[request.into] = run.translation
        raise Stopped(run.stop()) from None
    except Exception as error:
        run.fail(error)
        raise
    shell.user_ns[request.into] = translation
    verdict = translation.verdict
    if request.strict and not (verdict and verdict.correct):
        raise NotCorrect(headline(verdict) if verdict else "Not checked.")
    return translation


class _Run:
    """What the notebook shows of one translation, kept up with its events."""

    def __init__(self, shell: Any, request: Request, problem: Problem, panels: LivePanels):
        self._front = cells.front_end()
        self._panels = panels
        # Opened with the first text: until then the cell of an earlier run stays as it is.
        self._cell: cells.GeneratedCell | None = None
        self._finished_cell, self._finished_text = False, ""
        self._text: list[str] = []
        self._downloading = False
        self.translation: Translation | None = None
        #: Where later verdicts and timings are kept; None where nothing is.
        self.recording: Recording | None = None
        self._request = request
        self._heading = Heading(request.model, date.today())
        self._headed: HeadedView | None = None
        #: What the model wrote, once that has come to its end.
        self._generated: str | None = None
        self._several = Several(request.effort) if request.effort.several else None
        note = STARTER_HINT if request.model == "starter" else destination(request.model)
        self._report = Report("loading", request.model, "Starting …", note=note)
        self._recheck: Recheck | None = None
        self._panel: WidgetPanel | None = None
        self.view = self._made_view(shell, problem)
        self.view.open(self._report)

    def _made_view(self, shell: Any, problem: Problem) -> View:
        if not hasattr(shell, "kernel"):
            # Without a heading: the code was printed as it came.
            return PrintedPanel()
        self._headed = HeadedView(self._made_panel(problem), self._heading)
        if self._recheck:
            self._recheck.view = self._headed
        return self._headed

    def _made_panel(self, problem: Problem) -> View:
        cell, run = cells.asking()
        if cell is None:
            # A notebook that a person looks at names its cells: this runs in nbclient, say.
            return StaticPanel()
        recheck = Recheck(problem, self._request, self._front, self._show_settled)
        can_interrupt = self._front is not None
        try:
            panel = WidgetPanel(
                recheck.check,
                recheck.benchmark,
                recheck.stop,
                interrupts=can_interrupt,
                widgets=self._panels.take(cell, run),
            )
        except ImportError:
            return StaticPanel()
        self._panels.add(panel, cell, run)
        if self._front:
            self._panels.outcomes.begin(cell)
        self._panel, self._recheck = panel, recheck
        return panel

    def take(self, event: SearchEvent) -> None:
        if isinstance(event, Loading):
            step = event.progress
            part = (
                step.done_bytes / step.total_bytes if step.done_bytes and step.total_bytes else None
            )
            self._downloading = step.stage == "download"
            self._show(message=step.message, part=part)
        elif isinstance(event, Finished):
            self.translation = event.translation
            if self._several:
                self._several.take(event)
                self._keep(event.translation)
        elif isinstance(event, Noted):
            self._show(note=f"{self._report.note} {event.message}".strip())
        elif self._several:
            if isinstance(event, Wrote) and self._several.streams(event):
                self._write(event.code)
            self._show(**self._several.take(event))
        elif isinstance(event, Thought):
            self._show(
                stage="generating",
                message="Thinking …",
                tokens=event.tokens,
                seconds=event.seconds,
                thought=self._report.thought + event.text,
            )
        elif isinstance(event, Wrote):
            self._write(event.code)
            self._show(
                stage="generating",
                message="Writing …",
                tokens=event.tokens,
                seconds=event.seconds,
            )
        elif isinstance(event, Generated):
            candidate = event.candidate
            self._finish_cell(candidate.code, "complete")
            note = " ".join(part for part in (candidate.note, self._report.note) if part)
            self._show(
                stage="done",
                message="",
                code=candidate.code,
                tokens=candidate.tokens,
                thought=candidate.thought,
                note=note,
            )
        elif isinstance(event, Checking):
            self._show(stage="checking", message=event.message)
        elif isinstance(event, Checked):
            self._show(verdict=event.verdict)

    def _keep(self, made: Translation) -> None:
        """Put the chosen one of several into the cell, in place of the one that streamed."""
        if made.code:
            self._opened_cell()
        self._finish_cell(made.code, "complete")
        self._report = replace(
            self._report,
            code=made.code,
            verdict=made.verdict,
            thought=made.candidate.thought,
        )

    def _write(self, code: str) -> None:
        if code:
            self._text.append(code)
            self._opened_cell().write(code)

    def _opened_cell(self) -> cells.GeneratedCell:
        if self._cell is None:
            front = self._front
            heading = self._heading
            self._cell = (
                cells.CellStream(front, heading) if front else cells.FallbackCell(heading=heading)
            )
        return self._cell

    def end(self) -> Translation:
        translation = self.translation
        assert translation is not None
        if self._request.benchmark:
            translation = self._time(translation)
        message = "" if translation.verdict else "Not checked"
        if self._several:
            message = self._several.outcome(translation)
        if translation.candidate.no_code:
            written = f"{self._request.into}.candidate.text has what the model wrote"
            message = f"{translation.candidate.no_code} {written}"
        self._settle(stage="done", message=message, rows=self._stopped_rows())
        return translation

    def _time(self, translation: Translation) -> Translation:
        from kernelllm_jupyter.verify.benchmark import benchmark

        cancel = threading.Event()

        def work(report: Callable[[str], None]) -> Timing:
            return benchmark(
                translation.problem,
                translation.code,
                self._request.benchmark_options,
                verdict=translation.verdict,
                progress=report,
                cancel=cancel,
            )

        self._show(stage="timing", message="Timing …")
        steps = in_thread(work)
        try:
            while True:
                try:
                    self._show(message=next(steps))
                except StopIteration as stop:
                    timing: Timing = stop.value
                    break
        finally:
            cancel.set()
        self._report = replace(self._report, timing=timing)
        if self.recording is not None:
            self.recording.timing(translation.code, timing, translation.chosen)
        return replace(translation, timing=timing)

    def stop(self) -> str:
        """Keep what there is after an interrupt; returns what to tell the user."""
        verified = self._several.verified if self._several else None
        if self._report.stage == "timing":
            message = "The timing was stopped; code and verdict stay."
        elif verified is not None:
            message = "Stopped; a verified candidate was there and is in the cell below."
            self._text = [verified.code]
        elif self._report.code:
            message = "The check was stopped; the code stays in the cell below."
        elif self._report.stage == "loading" and self._downloading:
            message = (
                f"The download of {self._report.model} was stopped; the files that had arrived "
                "whole are kept."
            )
        elif self._text:
            message = "Stopped; the text so far stays in the cell below."
        else:
            message = "Stopped before any text had arrived."
        self._keep_text("stopped")
        self._settle(stage="stopped", message=message, rows=self._stopped_rows())
        return message

    def fail(self, error: Exception) -> None:
        self._keep_text("failed")
        self._settle(stage="failed", message=str(error), rows=self._stopped_rows())

    def _stopped_rows(self) -> tuple[Row, ...]:
        return self._several.stop() if self._several else ()

    def _keep_text(self, status: cells.Status) -> None:
        text = "".join(self._text)
        if text and not self._finished_cell:
            self._finish_cell(text, status)
            self._report = replace(self._report, code=text)

    def _finish_cell(self, text: str, status: cells.Status) -> None:
        if self._cell is not None and not self._finished_cell:
            self._finished_cell = True
            self._finished_text = text
            self._cell.finish(text, status)

    def _show(self, **changes: Any) -> None:
        self._report = replace(self._report, **{"part": None, **changes})
        self.view.show(self._report)

    def _settle(self, **changes: Any) -> None:
        self._show_settled(replace(self._report, **changes))

    def _show_settled(self, report: Report) -> None:
        self._report = report
        if self._recheck:
            self._recheck.report = report
            self._recheck.recording = self.recording
        checked = self._head(report)
        self.view.settle(report)
        if self._front and self._panel:
            self._panels.outcomes.end(
                self._front.cell_id,
                stream=self._cell.name if isinstance(self._cell, cells.CellStream) else "",
                text=self._finished_text,
                heading=self._heading,
                checked=checked,
                panel=self._panel.output,
            )

    def _head(self, report: Report) -> str | None:
        """Say over the code in the cell what is known of it by now; the code that was checked."""
        is_first = self._generated is None
        self._generated = report.code if self._generated is None else self._generated
        recording = self.recording
        self._heading = replace(
            self._heading,
            verdict=report.verdict,
            record=recording.id if recording and recording.kept else None,
            code_edited=report.code != self._generated,
        )
        if self._headed:
            self._headed.heading = self._heading
        is_known = report.verdict is not None or report.timing is not None
        checked = report.code if is_known else None
        # Without a front end of ours the cell is the user's once it is there.
        if self._cell is not None and (self._front or is_first):
            session = self._recheck.session if self._recheck else None
            self._cell.head(self._heading, checked, session)
        return checked
