"""What a forked child does on a CPU, and what is set up before the first fork.

The interpreter runs the Triton kernels; CUDA spellings mean the CPU.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path

from kernelllm_jupyter.verify import candidate, referee
from kernelllm_jupyter.verify.audit import Launches
from kernelllm_jupyter.verify.protocol import Closed, receive, send
from kernelllm_jupyter.verify.rehearsal import rehearse
from kernelllm_jupyter.verify.sandbox import limit_memory

__all__ = ["install", "play"]


def install() -> Launches:
    """Mend the interpreter and add missing names; done once, in the server."""
    from kernelllm_jupyter.verify import compat_cuda, compat_inductor, interpreter

    launches = Launches()
    interpreter.install(launches)
    launches.added_names = compat_inductor.install(on_cpu=True)
    compat_cuda.install()
    rehearse(launches)
    return launches


def play(
    role: str,
    folder: Path,
    wire: socket.socket,
    report: socket.socket | None,
    launches: Launches,
) -> None:
    """Be the referee or the candidate of one check."""
    if report is None:
        candidate.serve(wire, folder, "cpu", launches)
        return
    try:
        message = receive(report)
    except Closed:
        return
    request = message.header
    limit_memory(int(request["memory_mb"]))
    outlet = report

    def say(phase: str, doing: str) -> None:
        send(outlet, {"phase": phase, "doing": doing})

    def seconds_left() -> float:
        return float(request["deadline"]) - time.monotonic()

    final = referee.judge(wire, request, message.blobs, folder, "cpu", say, seconds_left)
    send(outlet, {"final": final})
