"""What came of a notebook's runs, for a page that was not there when they ended.

A page that is loaded anew while a cell runs hears nothing more of that run: neither its outputs
nor its comms find the way. It asks here (``labextension/src/recall.ts``) and gets what it missed,
at once or when the run has ended. Decides nothing: what a page is told it may know already.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any

from kernelllm_jupyter.heading import Heading

__all__ = ["Outcomes"]

TARGET = "kernelllm"
VERSION = 1
#: How many cells' last runs are kept.
MOST = 20


class Outcomes:
    """The last runs of one Jupyter kernel's cells."""

    def __init__(self, most: int = MOST):
        self._most = most
        self._ended: dict[str, dict[str, Any]] = {}
        self._running: set[str] = set()
        #: Comms of pages that asked while something ran.
        self._asking: list[Any] = []
        self._lock = threading.Lock()

    def listen(self) -> None:
        """Answer pages from now on."""
        from comm import get_comm_manager

        get_comm_manager().register_target(TARGET, self._asked)

    def forget(self, cell: str) -> None:
        """``cell`` runs again: what came of an earlier run is over."""
        with self._lock:
            self._ended.pop(cell, None)

    def begin(self, cell: str) -> None:
        """The panel of a run of ``cell`` is there."""
        with self._lock:
            self._running.add(cell)

    def end(
        self,
        cell: str,
        *,
        stream: str,
        text: str,
        heading: Heading,
        checked: str | None,
        panel: dict[str, Any],
    ) -> None:
        """A run has ended, or something that a button started: how cell and panel are to be.

        ``text`` is the code as it was generated in the stream of that name, ``checked`` the code
        that the verdict is about, ``panel`` the panel's output.
        """
        outcome = {
            "cell": cell,
            "stream": stream,
            "text": text,
            "heading": heading.line,
            "edited": heading.edited_line,
            "checked": checked,
            "panel": panel,
            "ended_s": time.time(),
        }
        with self._lock:
            self._running.discard(cell)
            self._ended.pop(cell, None)
            self._ended[cell] = outcome
            while len(self._ended) > self._most:
                del self._ended[next(iter(self._ended))]
            asking = list(self._asking)
            if not self._running:
                self._asking.clear()
        for comm in asking:
            self._tell(comm, [outcome])

    def _asked(self, comm: Any, message: dict[str, Any]) -> None:
        opening = message["content"]["data"]
        if opening.get("v") != VERSION or opening.get("op") != "recall":
            return
        with self._lock:
            ended = list(self._ended.values())
            if self._running:
                self._asking.append(comm)
        self._tell(comm, ended)

    @staticmethod
    def _tell(comm: Any, outcomes: list[dict[str, Any]]) -> None:
        # A page may be gone by now, with its comm.
        with suppress(Exception):
            comm.send({"outcomes": outcomes})
