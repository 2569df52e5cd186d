"""Which panels are alive: a notebook in long use must not hold ever more widgets.

A panel's buttons are widgets, which live in the Jupyter kernel and in the page until they are
closed. A cell that runs again hands those of its earlier panel on to the new one; and where many
newer panels are, an old one stays as its static form.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from kernelllm_jupyter.notebook.panel import PanelWidgets, WidgetPanel
from kernelllm_jupyter.notebook.recall import Outcomes

__all__ = ["MOST", "LivePanels"]

#: How many panels keep their buttons.
MOST = 20


@dataclass(frozen=True)
class _Live:
    cell: str
    request: str | None
    panel: WidgetPanel


class LivePanels:
    """The panels of one shell, oldest first."""

    def __init__(self, most: int = MOST):
        self._most = most
        self._live: list[_Live] = []
        self.outcomes = Outcomes()
        self._lock = threading.Lock()

    def take(self, cell: str, request: str | None) -> PanelWidgets | None:
        """Widgets of a panel that ``cell`` had in an earlier run; its output has gone."""
        with self._lock:
            gone = [one for one in self._live if one.cell == cell and one.request != request]
            self._live = [one for one in self._live if one not in gone]
        if not gone:
            return None
        for one in gone[1:]:
            one.panel.retire()
        return gone[0].panel.release()

    def add(self, panel: WidgetPanel, cell: str, request: str | None) -> None:
        """Take in a panel under ``cell``; ``request`` names the run of it, which may make many."""
        with self._lock:
            kept = [*self._live, _Live(cell, request, panel)]
            self._live, gone = kept[-self._most :], kept[: -self._most]
        for one in gone:
            one.panel.retire()
