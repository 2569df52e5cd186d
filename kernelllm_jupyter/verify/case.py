"""What one question to a referee comes with: the request, where to work, how to tell, how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelllm_jupyter.verify.findings import Say
from kernelllm_jupyter.verify.opponent import Opponent
from kernelllm_jupyter.verify.tensors import Blob

__all__ = ["Case"]


@dataclass(frozen=True)
class Case:
    """A check or a measurement as the referee's process has it.

    ``blobs`` are the bytes that ``request`` speaks of, ``folder`` is the referee's own, and
    ``opponent`` the candidate. ``say`` tells the caller what is going on; ``seconds_left`` is what
    remains of the caller's time limit.
    """

    opponent: Opponent
    request: dict[str, Any]
    blobs: list[Blob]
    folder: Path
    device: str
    say: Say
    seconds_left: Callable[[], float]
