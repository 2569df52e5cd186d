"""Listens to ``ptxas``, which Triton runs for every kernel and whose words it throws away.

It is the only one who tells registers, stack and spills apart. Where Triton should come to call it
in another way, nothing is heard and these figures are missing.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

from triton.backends import backends

__all__ = ["Listener", "listen"]


class Listener:
    """Stands in for the module ``subprocess`` in Triton's NVIDIA backend."""

    def __init__(self) -> None:
        #: What was said about the last kernel; empty where nothing was compiled.
        self.log = ""
        #: The line of the user's source that the first error is about.
        self.line: int | None = None

    def forget(self) -> None:
        self.log, self.line = "", None

    def run(self, command: Any, **kwargs: Any) -> Any:
        """``subprocess.run``; afterwards the log is known."""
        try:
            return subprocess.run(command, **kwargs)
        finally:
            self._read(command, getattr(kwargs.get("stderr"), "name", None))

    def _read(self, command: Any, log: object) -> None:
        if not isinstance(log, str):
            return
        try:
            self.log = Path(log).read_text(errors="replace")
            source = next((part for part in command if str(part).endswith(".ptx")), None)
            found = re.search(r"line (\d+); (?:error|fatal)", self.log)
            if found is not None and source is not None:
                self.line = source_line(Path(source).read_text(), int(found[1]))
        except OSError:
            return

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)


def source_line(ptx: str, line: int) -> int | None:
    """The Python line that a line of PTX was made from, by the ``.loc`` before it."""
    found = None
    for text in ptx.splitlines()[:line]:
        loc = re.match(r"\s*\.loc\s+\d+\s+(\d+)", text)
        if loc is not None:
            found = int(loc[1])
    return found or None


def listen() -> Listener:
    """Hear what ``ptxas`` says from now on."""
    listener = Listener()
    backend = backends.get("nvidia")
    if backend is not None:
        # Up to 3.3 triton loads this module under a name of its own: the class knows its globals.
        backend.compiler.make_cubin.__globals__["subprocess"] = listener
    return listener
