"""Children by fork, for a CPU: torch, triton and the interpreter are there before the first check.

Runs in the server's process and, after a fork, in its children.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from kernelllm_jupyter.verify.pair import Seat, Start
from kernelllm_jupyter.verify.sandbox import confine, die_with_parent
from kernelllm_jupyter.verify.traces import leave_traces

__all__ = ["prepared"]


def prepared(device: str, layers: list[str]) -> tuple[Start, dict[str, str]]:
    """Import all that a check needs; returns how to start a child, and the versions."""
    if device == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"
    import torch
    import triton

    torch.set_num_threads(1)
    from kernelllm_jupyter.verify import roles

    launches = roles.install(device)
    layers.extend([*_confinement(), "memory limit"])
    gc.collect()
    gc.freeze()

    def start(seat: Seat) -> int:
        return _fork(seat, launches, device)

    return start, {"torch": torch.__version__, "triton": triton.__version__}


def _confinement() -> list[str]:
    """The names of the layers that a child will have, learnt from one that tries them."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, "\n".join(confine(Path.cwd())).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    text = os.read(reading, 1 << 12).decode()
    os.close(reading)
    return text.split("\n") if text else []


def _fork(seat: Seat, launches: Any, device: str) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        wire = seat.wire.detach()
        report = seat.report.detach() if seat.report is not None else None
        _settle_in(seat, {wire, report} - {None})
        from kernelllm_jupyter.verify import roles

        roles.play(
            seat.role,
            seat.folder,
            socket.socket(fileno=wire),
            socket.socket(fileno=report) if report is not None else None,
            launches,
            device,
        )
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        os._exit(status)


def _settle_in(seat: Seat, kept: set[Any]) -> None:
    """A session, a folder, standard streams and descriptors of its own."""
    os.setsid()
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(seat.output, 1)
    os.dup2(seat.output, 2)
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor > 2 and descriptor not in kept:
            try:
                os.close(descriptor)
            except OSError:
                continue
    home = seat.folder / "home"
    home.mkdir()
    os.chdir(home)
    for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"):
        os.environ[name] = str(home)
    tempfile.tempdir = None
    leave_traces(seat.folder)
    confine(seat.folder)
