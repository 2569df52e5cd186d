"""Children by fork, for a CPU: torch, triton and the interpreter are there before the first check.

Runs in the server's process and, after a fork, in its children.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from kernelllm_jupyter.verify import huge_pages
from kernelllm_jupyter.verify.isolation.namespaces import Namespaces
from kernelllm_jupyter.verify.isolation.reading import readable_paths
from kernelllm_jupyter.verify.isolation.sandbox import (
    confine_candidate,
    confine_referee,
    die_with_parent,
    try_confinement,
)
from kernelllm_jupyter.verify.pair import Seat, Start, Started
from kernelllm_jupyter.verify.traces import leave_traces

__all__ = ["prepared"]


def prepared(device: str, spaces: Namespaces, layers: list[str]) -> tuple[Start, dict[str, str]]:
    """Import all that a check needs; returns how to start a child, and the versions."""
    if device == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"
    import torch
    import triton

    torch.set_num_threads(1)
    from kernelllm_jupyter.verify import roles

    launches = roles.install(device)
    readable: list[Path] | None = readable_paths()
    active = try_confinement(spaces, readable, _read_what_is_needed)
    if not active:
        readable, active = None, try_confinement(spaces, None, lambda: None)
    layers.extend([*active, "memory limit"])
    gc.collect()
    gc.freeze()
    huge_pages.collapse()

    def start(seat: Seat) -> Started:
        if seat.role == "referee":
            return Started(_fork(seat, launches, device, spaces, readable))
        with spaces.new_processes() as keeper:
            return Started(_fork(seat, launches, device, spaces, readable), keeper)

    return start, {"torch": torch.__version__, "triton": triton.__version__}


def _read_what_is_needed() -> None:
    import numpy
    import torch
    import triton

    for module in (os, numpy, torch, triton):
        Path(str(module.__file__)).read_bytes()
    for name in ("/proc/self/status", "/proc/meminfo", "/dev/urandom", "/dev/null"):
        with open(name, "rb") as file:
            file.read(1)
    for entry in sys.path:
        if os.path.isdir(entry):
            # The package's own folder may stand beside the user's files.
            with contextlib.suppress(PermissionError):
                os.listdir(entry)

    # One that nothing has imported yet.
    importlib.import_module("this" if "wave" in sys.modules else "wave")


def _fork(
    seat: Seat, launches: Any, device: str, spaces: Namespaces, readable: list[Path] | None
) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        wire = seat.wire.detach()
        report = seat.report.detach() if seat.report is not None else None
        _settle_in(seat, {wire, report} - {None})
        if seat.role == "candidate":
            confine_candidate(seat.folder, spaces, readable)
        else:
            os.chdir(seat.folder / "home")
            confine_referee(seat.folder)
        leave_traces(seat.folder)
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
    """A session, a home, standard streams and descriptors of its own."""
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
    for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"):
        os.environ[name] = str(home)
    tempfile.tempdir = None
