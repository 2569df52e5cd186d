"""The panel where no widget can be alive: nbclient, papermill, `nbconvert --execute`, Colab.

One output, updated in place, in text and HTML; it needs no ipywidgets and no network where it is
read, and an exported page shows it as the notebook did.
"""

from __future__ import annotations

import time
from typing import Any

from kernelllm_jupyter.markup import progress_html, report_html
from kernelllm_jupyter.report import Report, report_text

__all__ = ["StaticPanel"]

#: Seconds between two updates: each of them draws the whole output anew.
UPDATE_INTERVAL_S = 0.5


class StaticPanel:
    """Implements :class:`kernelllm_jupyter.notebook.panel.View` without any widget."""

    def __init__(self) -> None:
        self._display: Any = None
        self._due = 0.0

    def open(self, report: Report) -> None:
        from IPython.display import display

        self._display = display(_bundle(report), raw=True, display_id=True)

    def show(self, report: Report) -> None:
        now = time.monotonic()
        if now >= self._due:
            self._due = now + UPDATE_INTERVAL_S
            self._display.update(_bundle(report), raw=True)

    def settle(self, report: Report) -> None:
        self._display.update(_bundle(report), raw=True)


def _bundle(report: Report) -> dict[str, str]:
    shown = progress_html(report, 0.0) + report_html(report)
    return {"text/plain": report_text(report), "text/html": shown}
