"""What stands under the cell that asked: a report and three buttons.

Views only. They render a :class:`~kernelllm_jupyter.report.Report` and call back when a button is
pressed; what to do then is decided elsewhere. Each has a static form in text and HTML that stays
readable where no widget is alive.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from kernelllm_jupyter.markup import charts, progress_html, report_html
from kernelllm_jupyter.report import Report, report_text, title
from kernelllm_jupyter.vega import vega

__all__ = ["PANEL_MIME", "PanelWidgets", "PrintedPanel", "View", "WidgetPanel"]

#: Rendered by our labextension: the live widget while there is one, else the static HTML.
PANEL_MIME = "application/vnd.kernelllm.panel+json"
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
#: The labextension turns a click on a button of this class into an interrupt of the Jupyter
#: kernel: while a cell runs, a widget's own click would wait for that cell to end.
STOP_CLASS = "kllm-stop"
#: What a panel's static form says until the run has ended.
CUT_OFF = (
    "The end of this run did not reach the notebook.\n"
    "%kernelllm history shows what came of it; or run the cell again."
)
#: Seconds between two updates of one stage: the server drops floods of messages.
UPDATE_INTERVAL_S = 0.2
#: Seconds between two looks at the clock while something goes on.
TICK_S = 1.0


class View(Protocol):
    def open(self, report: Report) -> None:
        """Show the panel for the first time."""

    def show(self, report: Report) -> None:
        """Show a newer report; cheap, may be called for every token."""

    def settle(self, report: Report) -> None:
        """Show a report that will stand, and write it into the notebook's static form."""


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


class WidgetPanel:
    """ipywidgets under the cell, with a static form beside them.

    ``interrupts`` tells that the front end turns a click on Stop into an interrupt. Elsewhere Stop
    is shown for work in the background only, where a widget's own click arrives.
    """

    def __init__(
        self,
        on_check: Callable[[], None],
        on_benchmark: Callable[[], None],
        on_stop: Callable[[], None],
        *,
        interrupts: bool,
        widgets: PanelWidgets | None = None,
    ):
        self._interrupts = interrupts
        self._widgets: PanelWidgets | None = widgets or PanelWidgets()
        self._widgets.act = {"stop": on_stop, "check": on_check, "benchmark": on_benchmark}
        self._display: Any = None
        self._shown_at = 0.0
        self._shown: tuple[str, ...] = ()
        self._settled: Report | None = None
        #: The output as it stands in the notebook since the panel settled.
        self.output: dict[str, Any] = {}
        self._turn = 0
        self._clock = _Clock(self._tick)

    def open(self, report: Report) -> None:
        from IPython.display import display

        self._render(report)
        # The static form is read where no widget is alive any more: then nothing came after it.
        unfinished = replace(report, stage="stopped", message=CUT_OFF)
        self._display = display(self._bundle(unfinished), raw=True, display_id=True)

    def show(self, report: Report) -> None:
        now = time.monotonic()
        shown = (report.stage, *(row.kind for row in report.rows))
        if report.running and shown == self._shown and now - self._shown_at < UPDATE_INTERVAL_S:
            # What comes last may stay for long: then the clock shows it.
            self._clock.note(report)
            return
        self._shown_at, self._shown = now, shown
        self._render(report)

    def settle(self, report: Report) -> None:
        self._settled = report
        self._render(report)
        self._turn += 1
        self.output = self._bundle(report)
        self._display.update(self.output, raw=True)

    def retire(self) -> None:
        """Leave it at the static form, as newer panels are there."""
        widgets = self.release()
        if self._settled is not None:
            # Without the widget: a front end without our extension would show a dead one.
            self._display.update(self._bundle(self._settled), raw=True)
        if widgets is not None:
            widgets.close()

    def release(self) -> PanelWidgets | None:
        """Give up the widgets, so that another panel can have them."""
        widgets, self._widgets = self._widgets, None
        return widgets

    def _tick(self, report: Report, elapsed_s: float) -> None:
        widgets = self._widgets
        if widgets is not None:
            widgets.progress.value = progress_html(report, elapsed_s)
            widgets.report.value = report_html(report)

    def _render(self, report: Report) -> None:
        self._clock.take(report)
        widgets = self._widgets
        if widgets is None:
            return
        if self._interrupts and not report.background:
            widgets.stop.add_class(STOP_CLASS)
        else:
            widgets.stop.remove_class(STOP_CLASS)
        stoppable = report.running and (self._interrupts or report.background)
        widgets.stop.disabled = not stoppable
        widgets.stop.layout.display = "" if stoppable else "none"
        for button in (widgets.check, widgets.benchmark):
            button.disabled = report.running or not report.code

    def _bundle(self, report: Report) -> dict[str, Any]:
        """``said`` is for screen readers, once for each ``turn``, not for each token."""
        bundle: dict[str, Any] = {
            "text/plain": report_text(report),
            "text/html": report_html(report),
            PANEL_MIME: {
                "version": 1,
                "turn": self._turn,
                "said": title(report),
                "charts": {name: vega(one) for name, one in charts(report.timing).items()},
            },
        }
        widgets = self._widgets
        if widgets is not None:
            model = widgets.box.model_id
            bundle[WIDGET_MIME] = {"version_major": 2, "version_minor": 0, "model_id": model}
        return bundle


class PanelWidgets:
    """The widgets of a panel, which a later panel may take over.

    JupyterLab never quite forgets a widget's comm (its handler stays connected to the kernel's
    signals, seen in 4.6), so a cell that runs again shows the widgets that it has.
    """

    def __init__(self) -> None:
        import ipywidgets

        #: What the buttons do now.
        self.act: dict[str, Callable[[], None]] = {}
        self.progress = ipywidgets.HTML()
        self.report = ipywidgets.HTML()
        stops = "Stop what is running; what is there already stays"
        self.stop = self._button("stop", "Stop", "stop", stops)
        checks = "Check the generated cell's present text"
        self.check = self._button("check", "Check", "check", checks)
        times = "Time the generated cell's present text on the GPU"
        self.benchmark = self._button("benchmark", "Benchmark", "clock-o", times)
        buttons = ipywidgets.HBox([self.stop, self.check, self.benchmark])
        buttons.add_class("kllm-buttons")
        self.box = ipywidgets.VBox([self.progress, self.report, buttons])
        self.box.add_class("kllm-panel")

    def _button(self, name: str, description: str, icon: str, tooltip: str) -> Any:
        import ipywidgets

        button = ipywidgets.Button(description=description, icon=icon, tooltip=tooltip)
        button.on_click(lambda _: self.act[name]())
        return button

    def close(self) -> None:
        """Close the widgets, here and in the page."""
        _close(self.box)


class _Clock:
    """Calls ``tick`` with the seconds that a stage has been going on, once a second."""

    def __init__(self, tick: Callable[[Report, float], None]) -> None:
        self._tick = tick
        self._lock = threading.Lock()
        self._report: Report | None = None
        self._since = 0.0
        self._ended: threading.Event | None = None

    def take(self, report: Report) -> None:
        with self._lock:
            if self._report is None or self._report.stage != report.stage:
                self._since = time.monotonic()
            self._report = report
            if not report.running and self._ended:
                self._ended.set()
                self._ended = None
            elif report.running and not self._ended:
                self._ended = threading.Event()
                run = threading.Thread(
                    target=self._run, args=(self._ended,), name="kernelllm-clock", daemon=True
                )
                run.start()
            self._tick(report, time.monotonic() - self._since)

    def note(self, report: Report) -> None:
        """The same stage goes on with this; shown when the clock ticks next."""
        with self._lock:
            self._report = report

    def _run(self, ended: threading.Event) -> None:
        while not ended.wait(TICK_S):
            with self._lock:
                if not ended.is_set() and self._report:
                    self._tick(self._report, time.monotonic() - self._since)


def _close(widget: Any) -> None:
    """Close a widget and all that belongs to it, here and in the page."""
    for child in getattr(widget, "children", ()):
        _close(child)
    for part in (getattr(widget, "style", None), widget.layout, widget):
        if part is not None:
            part.close()
