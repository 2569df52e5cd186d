"""How many processes a check has started and how much memory they hold together, from ``/proc``.

Limits of one process (``setrlimit``) do not bound a process that starts others.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PROCESS_LIMIT", "Crowd", "crowd"]

#: More processes and threads than this are no computation any more.
PROCESS_LIMIT = 64


@dataclass(frozen=True)
class Crowd:
    """Processes of one session; ``grown_mb`` is memory beyond what each had when it was forked."""

    count: int
    grown_mb: int


def crowd(session: int) -> Crowd:
    """The processes whose session leader is ``session``."""
    count = pages = 0
    inherited = int(Path("/proc/self/statm").read_text().split()[1])
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            count += 1
            pages += max(0, int(fields[21]) - inherited)
    return Crowd(count, pages * resource.getpagesize() >> 20)
