"""Model processes as seen from outside: start one, reach it, ask it, end it.

What belongs to which model is decided elsewhere (:mod:`kernelllm_jupyter.engines.local`); here a
process is its files (:mod:`kernelllm_jupyter.engines.runtime`).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet  # The built-in one from 3.11 on.
from contextlib import suppress
from pathlib import Path
from typing import Any

from kernelllm_jupyter.engines.runtime import ServerFiles, all_files, holder
from kernelllm_jupyter.engines.wire import PROTOCOL, Channel, ChannelClosed, Message
from kernelllm_jupyter.errors import EngineError

__all__ = [
    "Child",
    "greets",
    "holder_pid",
    "inspect",
    "reach",
    "running",
    "send",
    "start",
    "stop",
    "stop_all",
]

REACH_WITHIN_S = 10.0
STOP_WITHIN_S = 3.0


class Child:
    """A process that this one started: only its parent learns how it ended."""

    def __init__(self, popen: subprocess.Popen[bytes]):
        self.pid = popen.pid
        self._status: Future[int] = Future()
        # Waited for, or a process that ended would stay as a zombie until this one ends.
        threading.Thread(
            target=lambda: self._status.set_result(popen.wait()), name="model-process", daemon=True
        ).start()

    @property
    def ended(self) -> bool:
        return self._status.done()

    def status(self, timeout_s: float) -> int | None:
        """Its exit status (negative: the signal that killed it), or None while it runs."""
        with suppress(NotYet):
            return self._status.result(timeout=timeout_s)
        return None


def start(files: ServerFiles, lock: int, arguments: Sequence[str]) -> Child:
    """Start a model process, which takes ``lock`` over."""
    command = [
        *(sys.executable, "-m", "kernelllm_jupyter.engines.server"),
        *("--socket", str(files.socket), "--lock-fd", str(lock)),
        *arguments,
    ]
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    log = os.open(files.log, flags, 0o600)
    os.ftruncate(lock, 0)
    try:
        # A session of its own: neither an interrupt of the notebook nor its end reaches it. A
        # folder of its own: `-m` puts the current one first on the import path, and a notebook's
        # folder may hold a random.py.
        popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=files.folder,
            env=_environment(),
            pass_fds=(lock,),
            start_new_session=True,
        )
    finally:
        os.close(log)
    # The process signs the lock itself once it runs; until then it can be stopped by this.
    if os.fstat(lock).st_size == 0:
        os.pwrite(lock, json.dumps({"pid": popen.pid}).encode(), 0)
    return Child(popen)


def _environment() -> dict[str, str]:
    """The user's own (HF_HOME and HF_TOKEN are needed), able to import this package."""
    import kernelllm_jupyter

    environment = dict(os.environ)
    root = str(Path(kernelllm_jupyter.__file__).resolve().parents[1])
    if root not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        paths = [environment.get("PYTHONPATH"), root]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    environment.update(
        PYTHONUNBUFFERED="1",
        TOKENIZERS_PARALLELISM="false",
        HF_HUB_DISABLE_PROGRESS_BARS="1",
    )
    return environment


def running(runtime_dir: Path | None = None) -> list[dict[str, Any]]:
    """What each living model process of this user says of itself."""
    if sys.platform == "win32":
        return []  # See get_engine().
    found = (inspect(files) for files in all_files(runtime_dir))
    return [status for status in found if status is not None]


def stop_all(runtime_dir: Path | None = None) -> None:
    """End every model process of this user; returns when they are gone."""
    if sys.platform == "win32":
        return
    for files in all_files(runtime_dir):
        stop(files)


def reach(files: ServerFiles) -> Channel | None:
    """A greeted connection, or None where nobody listens (yet, or any more)."""
    try:
        channel = Channel.connect(files.socket, REACH_WITHIN_S)
    except OSError:
        return None
    try:
        if greets(channel):
            return channel
    except _OlderServer:
        channel.close()
        stop(files)
        return None
    except BaseException:
        channel.close()
        raise
    channel.close()
    return None


def send(channel: Channel, request: Message) -> None:
    """Send a request whole; raises ``ChannelClosed`` where the process does not take it."""
    channel.send(request)
    if not channel.flush(REACH_WITHIN_S):
        raise ChannelClosed("the model process does not read")


class _OlderServer(EngineError):
    """The process speaks a protocol from before this version: it is to make way."""


def greets(channel: Channel) -> bool:
    """Whether a model process that can be used is at the other end; false where it is leaving."""
    if channel.peer_uid() not in (None, os.getuid()):
        raise EngineError("The model process belongs to another user; it is not used.")
    try:
        hello = channel.receive(REACH_WITHIN_S)
    except ChannelClosed:
        return False
    spoken = hello.get("protocol") if hello else None
    channel.pid = hello.get("pid") if hello else None
    if spoken == PROTOCOL:
        return True
    if isinstance(spoken, int) and spoken > PROTOCOL:
        raise EngineError(
            "The model process belongs to a newer kernelllm-jupyter than this one: restart this "
            "Jupyter kernel, or end the process with `%kernelllm stop`."
        )
    if hello is None:
        return False
    raise _OlderServer(
        "The model process belongs to an older kernelllm-jupyter; run the cell again to replace it."
    )


def inspect(files: ServerFiles) -> dict[str, Any] | None:
    """What the process says of itself within seconds, or None where none is alive."""
    about = holder(files)
    if about is None:
        return None
    try:
        channel = Channel.connect(files.socket, 1.0)
    except OSError:
        return {**about, "state": "starting or ending"}
    try:
        answer = channel.receive(2.0)
        if answer is not None:
            channel.send({"op": "status"})
            answer = channel.receive(2.0)
    except ChannelClosed:
        answer = None
    finally:
        channel.close()
    if answer is None or "status" not in answer:
        return {**about, "state": "not answering"}
    return dict(answer["status"])


def stop(files: ServerFiles) -> None:
    """Ask, then terminate, then kill; the lock tells when the process is gone."""
    for step in (_ask_to_stop, _terminate, _kill):
        if holder(files) is None:
            return
        if not step(files):
            continue
        until = time.monotonic() + STOP_WITHIN_S
        while time.monotonic() < until:
            if holder(files) is None:
                return
            time.sleep(0.02)
    raise EngineError(f"The model process {holder_pid(files)} could not be ended.")


def _ask_to_stop(files: ServerFiles) -> bool:
    try:
        channel = Channel.connect(files.socket, 1.0)
    except OSError:
        return False
    try:
        if channel.receive(1.0) is None:
            return False
        channel.send({"op": "stop"})
        return channel.receive(1.0) is not None
    except ChannelClosed:
        return True
    finally:
        channel.close()


def _terminate(files: ServerFiles) -> bool:
    return _signal(files, signal.SIGTERM)


def _kill(files: ServerFiles) -> bool:
    return _signal(files, signal.SIGKILL)


def _signal(files: ServerFiles, number: signal.Signals) -> bool:
    until = time.monotonic() + STOP_WITHIN_S
    # Whoever starts a process holds its lock for a moment before there is one to name.
    while (pid := holder_pid(files)) is None:
        if holder(files) is None or time.monotonic() > until:
            return False
        time.sleep(0.02)
    with suppress(ProcessLookupError):
        os.kill(pid, number)
    return True


def holder_pid(files: ServerFiles) -> int | None:
    pid = (holder(files) or {}).get("pid")
    return pid if isinstance(pid, int) else None
