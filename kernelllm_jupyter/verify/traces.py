"""A child leaves a note of the line that it is at, when it crashes and when it is asked."""

from __future__ import annotations

import faulthandler
import signal
from pathlib import Path

__all__ = ["TRACE", "leave_traces"]

#: The file in a child's folder.
TRACE = "trace"


def leave_traces(folder: Path) -> None:
    """On a fatal signal, and on SIGUSR1, write the stack to a file of ``folder``."""
    trace = open(folder / TRACE, "wb", buffering=0)  # noqa: SIM115 - for the process's whole life
    faulthandler.enable(trace)
    faulthandler.register(signal.SIGUSR1, trace)
