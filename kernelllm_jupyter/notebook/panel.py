"""What stands under the cell that asked: a report and three buttons.

Views only. They render a :class:`~kernelllm_jupyter.report.Report` and call back when a button is
pressed; what to do then is decided elsewhere. Each has a static form in text and HTML that stays
readable where no widget is alive.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from kernelllm_jupyter.report import Report, report_html, report_text

__all__ = ["PANEL_MIME", "PrintedPanel", "View", "WidgetPanel"]

#: Rendered by our labextension: the live widget while there is one, else the static HTML.
PANEL_MIME = "application/vnd.kernelllm.panel+json"
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
#: The labextension turns a click on a button of this class into an interrupt of the Jupyter
#: kernel: while a cell runs, a widget's own click would wait for that cell to end.
STOP_CLASS = "kllm-stop"
#: Seconds between two updates while text streams: the server drops floods of messages.
UPDATE_INTERVAL_S = 0.2


class View(Protocol):
    def open(self, report: Report) -> None:
        """Show the panel for the first time."""

    def show(self, report: Report) -> None:
        """Show a newer report; cheap, may be called for every token."""

    def settle(self, report: Report) -> None:
        """Show a report that will stand, and write it into the notebook's static form."""

    def retire(self) -> None:
        """Leave it at the static form: newer panels are there, or the cell runs again."""


class PrintedPanel:
    """For terminals: says what changes, once, on standard error."""

    def __init__(self) -> None:
        self._last = ""

    def open(self, report: Report) -> None:
        self.show(report)

    def show(self, report: Report) -> None:
        if report.message and report.message != self._last and report.stage != "generating":
            self._last = report.message
            print(f"[{report.model}] {report.message}", file=sys.stderr, flush=True)

    def settle(self, report: Report) -> None:
        print(report_text(report), file=sys.stderr, flush=True)

    def retire(self) -> None:
        return None


class WidgetPanel:
    """ipywidgets under the cell, with a static form beside them."""

    def __init__(self, on_check: Callable[[], None], on_benchmark: Callable[[], None]):
        import ipywidgets

        self._report = ipywidgets.HTML()
        self._stop = _button("Stop", "stop", "Interrupt what is running; the text so far stays")
        self._stop.add_class(STOP_CLASS)
        self._check = _button("Check", "check", "Check the generated cell's present text")
        self._benchmark = _button(
            "Benchmark", "clock-o", "Time the generated cell's present text on the GPU"
        )
        self._check.on_click(lambda _: on_check())
        self._benchmark.on_click(lambda _: on_benchmark())
        buttons = ipywidgets.HBox([self._stop, self._check, self._benchmark])
        self._box = ipywidgets.VBox([self._report, buttons])
        self._box.add_class("kllm-panel")
        self._display: Any = None
        self._shown_at = 0.0
        self._states: list[str] = []
        self._settled: Report | None = None
        self._retired = False

    def open(self, report: Report) -> None:
        from IPython.display import display

        self._render(report)
        # The static form is read where no widget is alive any more: then nothing came after it.
        unfinished = replace(report, stage="stopped", message="did not finish")
        self._display = display(self._bundle(unfinished), raw=True, display_id=True)

    def show(self, report: Report) -> None:
        now = time.monotonic()
        states = [row.state for row in report.rows]
        is_progress = report.stage == "generating" and states == self._states
        if is_progress and now - self._shown_at < UPDATE_INTERVAL_S:
            return
        self._shown_at, self._states = now, states
        self._render(report)

    def settle(self, report: Report) -> None:
        self._settled = report
        self._render(report)
        self._display.update(self._bundle(report), raw=True)

    def retire(self) -> None:
        self._retired = True
        if self._settled is not None:
            # Without the widget: a front end without our extension would show a dead one.
            self._display.update(self._bundle(self._settled), raw=True)
        _close(self._box)

    def _render(self, report: Report) -> None:
        running = report.stage in ("loading", "generating", "checking", "timing")
        self._report.value = report_html(report)
        self._stop.disabled = not running
        self._stop.layout.display = "" if running else "none"
        for button in (self._check, self._benchmark):
            button.disabled = running or not report.code

    def _bundle(self, report: Report) -> dict[str, Any]:
        if self._retired:
            return {"text/plain": report_text(report), "text/html": report_html(report)}
        view = {"version_major": 2, "version_minor": 0, "model_id": self._box.model_id}
        return {
            "text/plain": report_text(report),
            "text/html": report_html(report),
            WIDGET_MIME: view,
            PANEL_MIME: {"version": 1, "model_id": self._box.model_id},
        }


def _button(description: str, icon: str, tooltip: str) -> Any:
    import ipywidgets

    return ipywidgets.Button(description=description, icon=icon, tooltip=tooltip)


def _close(widget: Any) -> None:
    """Close a widget and all that belongs to it, here and in the page."""
    for child in getattr(widget, "children", ()):
        _close(child)
    for part in (getattr(widget, "style", None), widget.layout, widget):
        if part is not None:
            part.close()
