"""What a child process does, whichever way it was started, and what is set up before.

On a CPU the interpreter runs the Triton kernels and CUDA spellings mean the CPU; on a GPU they are
compiled and launched for real. ``install`` is called once: in the server before its first fork, or
in each spawned child.
"""

from __future__ import annotations

import socket
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from kernelllm_jupyter.verify import candidate, compat_inductor, course
from kernelllm_jupyter.verify.case import Case
from kernelllm_jupyter.verify.isolation.sandbox import limit_memory
from kernelllm_jupyter.verify.opponent import Opponent
from kernelllm_jupyter.verify.protocol import BadMessage, Closed, receive, send
from kernelllm_jupyter.verify.steps import Steps
from kernelllm_jupyter.verify.tensors import Blob
from kernelllm_jupyter.verify.watching.audit import Launches

__all__ = ["install", "play"]


def install(device: str) -> Launches:
    """Count launches, mend what is broken on this device and add missing names."""
    launches = Launches()
    if device == "cpu":
        from kernelllm_jupyter.verify import compat_cuda, interpreter
        from kernelllm_jupyter.verify.rehearsal import rehearse

        old_names = interpreter.install(launches)
        launches.added_names = (*compat_inductor.install(on_cpu=True), *old_names)
        compat_cuda.install()
        rehearse(launches)
    elif device == "compile":
        from kernelllm_jupyter.verify import compat_cuda
        from kernelllm_jupyter.verify.compiling import ahead
        from kernelllm_jupyter.verify.rehearsal import rehearse_compiling

        launches.bench = ahead.install()
        launches.added_names = compat_inductor.install(on_cpu=True)
        compat_cuda.install()
        rehearse_compiling()
    else:
        from kernelllm_jupyter.verify.compiling import compiled

        launches.added_names = (*compat_inductor.install(on_cpu=False), *compiled.install(launches))
    return launches


def play(
    role: str,
    folder: Path,
    wire: socket.socket,
    report: socket.socket | None,
    launches: Launches,
    device: str,
) -> None:
    """Be the referee or the candidate of one check."""
    if device == "compile":
        device = "cpu"
    if report is None:
        candidate.serve(wire, folder, device, launches)
        return
    try:
        message = receive(report)
        # The other child may still be importing torch: the time of the check begins when it is
        # there.
        send(wire, {"do": "hello"})
        receive(wire)
        send(report, {"phase": "reference", "doing": "", "started": True})
        try:
            final = _final(message.header, message.blobs, folder, wire, report, device)
        except (Closed, BadMessage):
            raise
        except Exception:
            # A fault of the checker itself is neither the user's nor the candidate's.
            final = {"fault": traceback.format_exc(limit=-6)}
        send(report, {"final": final})
    except (Closed, BadMessage):
        return


def _final(
    request: dict[str, Any],
    blobs: list[Blob],
    folder: Path,
    wire: socket.socket,
    report: socket.socket,
    device: str,
) -> dict[str, Any]:
    deadline = time.monotonic() + float(request["timeout_s"])
    if device == "cpu":
        limit_memory(int(request["memory_mb"]))

    steps = Steps("Compiling kernel" if request["kind"] == "compile" else "Checking")
    told = ""

    def say(phase: str, doing: str) -> None:
        nonlocal told
        if doing or phase != told:
            told = phase
            send(report, {"phase": phase, "doing": doing, **(steps.to_json() if doing else {})})

    if request["kind"] == "compile":
        from kernelllm_jupyter.verify.compiling import dry_run

        return dry_run.ask(request, blobs, folder, wire, say, steps)
    if request["kind"] == "work":
        from kernelllm_jupyter.verify.timing import session

        return session.known_work(request, blobs, folder)
    if device != "cpu":
        allow_tf32(bool(request["allow_tf32"]))

    def seconds_left() -> float:
        return deadline - time.monotonic()

    case = Case(Opponent(wire), request, blobs, folder, device, say, seconds_left)
    if request["kind"] == "benchmark":
        from kernelllm_jupyter.verify.timing import session

        def keep(found: dict[str, Any]) -> None:
            send(report, {"kept": found})

        return session.measure(case, keep)
    return course.judge(case, steps)


def allow_tf32(allowed: bool) -> None:
    """Let PyTorch's own products be computed in TF32; otherwise its settings stay as they are."""
    if allowed:
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
