"""Which panels are alive: a notebook in long use must not hold ever more widgets.

A panel's buttons are widgets, which live in the Jupyter kernel and in the page until they are
closed. They are where the cell runs again and its output is gone, and where many newer panels are;
an old panel then stays as its static form.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Protocol

__all__ = ["MOST", "LivePanels", "Retiring"]

#: How many panels keep their buttons.
MOST = 20


class Retiring(Protocol):
    def retire(self) -> None:
        """Give up what is alive; what is read stays."""


@dataclass(frozen=True)
class _Live:
    cell: str | None
    request: str | None
    panel: Retiring


class LivePanels:
    """The panels of one shell, oldest first."""

    def __init__(self, most: int = MOST):
        self._most = most
        self._live: list[_Live] = []
        self._lock = threading.Lock()

    def add(self, panel: Retiring, cell: str | None, request: str | None) -> None:
        """Take in a panel under ``cell``; ``request`` names the run of it, which may make many."""
        with self._lock:
            # The cell's earlier output has gone, and its panels with it.
            gone = [
                one
                for one in self._live
                if cell is not None and one.cell == cell and one.request != request
            ]
            kept = [one for one in self._live if one not in gone]
            kept.append(_Live(cell, request, panel))
            self._live = kept[-self._most :]
            gone += kept[: -self._most]
        for one in gone:
            one.panel.retire()
