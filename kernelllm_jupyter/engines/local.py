"""The local engine: a checkpoint of this machine in a process that all notebooks share.

:class:`LocalEngine` is a client. The process (:mod:`kernelllm_jupyter.engines.server`) is started
on first use, found again through a private folder (:mod:`kernelllm_jupyter.engines.runtime`), and
survives the Jupyter kernel that started it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kernelllm_jupyter import errors
from kernelllm_jupyter.engines import LoadProgress, ProgressCallback
from kernelllm_jupyter.engines.runtime import (
    ServerFiles,
    all_files,
    holder,
    log_tail,
    server_files,
)
from kernelllm_jupyter.engines.wire import PROTOCOL, Channel, ChannelClosed, Message
from kernelllm_jupyter.errors import EngineDied, EngineError
from kernelllm_jupyter.prompts import resolve_model
from kernelllm_jupyter.values import FinishReason, Sampling

__all__ = ["IDLE_S", "LocalCompletion", "LocalEngine", "running", "stop_all"]

#: How long an unused model stays in memory, unless the engine says otherwise.
IDLE_S = 1800.0
START_WITHIN_S = 60.0
GREET_WITHIN_S = 10.0
#: The process sends a sign of life every 5 s.
SILENT_AT_MOST_S = 60.0
SLICE_S = 0.5
STOP_WITHIN_S = 3.0


class LocalEngine:
    """An engine for a Hugging Face id, a local folder, or ``starter``.

    ``device`` is ``cpu``, ``cuda`` or ``cuda:N`` (default: a GPU where there is one), ``dtype``
    ``bfloat16``, ``float16`` or ``float32`` (default: half precision on a GPU, float32 on a CPU).
    ``idle_s`` is how long the process stays when nobody uses it; the last engine to say so decides.
    Making an engine starts nothing.
    """

    def __init__(
        self,
        model: str,
        *,
        device: str | None = None,
        dtype: str | None = None,
        idle_s: float | None = None,
        runtime_dir: Path | None = None,
    ):
        self.model = model
        self._device = device or "auto"
        self._dtype = dtype or "auto"
        self._idle_s = idle_s
        self._runtime_dir = runtime_dir
        self._endings: dict[int | None, Future[int]] = {}

    # --- the Engine protocol -------------------------------------------------------------------

    def load(self, progress: ProgressCallback | None = None) -> None:
        """Start the process if need be and wait until it can generate."""
        report = progress or _ignore
        self._check_folder()
        channel = self.connect(report)
        try:
            _send(channel, self._request("load"))
            while True:
                message = self.receive(channel)
                if "progress" in message:
                    step = LoadProgress(**message["progress"])
                    if step.stage != "ready":
                        report(step)
                elif "ready" in message:
                    report(LoadProgress("ready", _ready_words(message["ready"])))
                    return
        finally:
            channel.close()

    def generate(self, prompt: str, sampling: Sampling) -> LocalCompletion:
        """Start one completion; a process that has ended meanwhile is started again."""
        return LocalCompletion(self, prompt, sampling)

    def status(self) -> dict[str, Any]:
        """What the process says of itself, or that none is running."""
        found = _inspect(self._files())
        return found or {"model": self.model, "state": "not running"}

    def unload(self) -> None:
        """End the process of this model, which frees its memory."""
        _stop(self._files())

    # --- for completions -----------------------------------------------------------------------

    def request(self, prompt: str, sampling: Sampling) -> Message:
        wanted = {name: value for name, value in asdict(sampling).items() if value is not None}
        return {**self._request("generate"), "prompt": prompt, "sampling": wanted}

    def send_running(self, request: Message) -> Channel | None:
        """A connection on which ``request`` was sent, or None where nobody listens.

        Does not wait for the greeting: several requests of one prompt are to arrive together.
        """
        try:
            channel = Channel.connect(self._files().socket, GREET_WITHIN_S)
        except OSError:
            return None
        try:
            _send(channel, request)
        except ChannelClosed:
            channel.close()
            return None
        return channel

    def connect(self, report: ProgressCallback) -> Channel:
        """A connection to the process, which is started if none is alive.

        Raises ``EngineDied`` where it ends before it listens, ``EngineError`` where it never does.
        """
        files = self._files()
        until = time.monotonic() + START_WITHIN_S
        child: subprocess.Popen[bytes] | None = None
        while True:
            channel = _connect(files)
            if channel is not None:
                return channel
            if child is not None and child.poll() is not None:
                raise self._died(files, "ended before it could be spoken to", child.pid)
            lock = None if child else files.take_lock()
            if lock is not None:
                try:
                    report(LoadProgress("starting", f"Starting the process of {self.model}"))
                    child = self._spawn(files, lock)
                finally:
                    os.close(lock)
            if time.monotonic() > until:
                raise EngineError(
                    f"The process of {self.model} (pid {_pid(files)}) does not answer. End it with "
                    "`%kernelllm stop` and try again."
                )
            time.sleep(0.03)

    def receive(self, channel: Channel) -> Message:
        """The next message that is no sign of life, whatever time it takes.

        Raises the error that the process reports, or ``EngineDied`` where it is gone or has not
        given a sign of life for a minute. Waits in slices, so that an interrupt gets through.
        """
        files = self._files()
        silent_since = time.monotonic()
        while True:
            try:
                message = channel.receive(SLICE_S)
            except ChannelClosed:
                raise self._died(files, "ended while it was needed", channel.pid) from None
            if message is None:
                if time.monotonic() - silent_since > SILENT_AT_MOST_S:
                    raise EngineDied(
                        f"The process of {self.model} (pid {channel.pid}) has not given a sign of "
                        "life for a minute. What it had written is kept; end it with `%kernelllm "
                        "stop` and run the cell again."
                    )
                continue
            silent_since = time.monotonic()
            if "error" in message:
                raise _error_from(message["error"])
            if "beat" not in message:
                return message

    # --- starting ------------------------------------------------------------------------------

    def _files(self) -> ServerFiles:
        path = self._path()
        gpus = "" if self._device == "cpu" else os.environ.get("CUDA_VISIBLE_DEVICES", "")
        return server_files(self._runtime_dir, path, _stamp(path), self._device, self._dtype, gpus)

    def _path(self) -> str:
        """The checkpoint's folder, absolute, or its Hugging Face id."""
        from kernelllm_jupyter.engines.checkpoint import is_folder_name

        resolved = resolve_model(self.model)
        return str(Path(resolved).expanduser().resolve()) if is_folder_name(resolved) else resolved

    def _check_folder(self) -> None:
        """Complain about a folder that is no checkpoint here and now, without starting anything."""
        from kernelllm_jupyter.engines.checkpoint import check_folder, is_folder_name

        path = self._path()
        if is_folder_name(path):
            check_folder(Path(path))

    def _request(self, operation: str) -> Message:
        return {"op": operation, "idle_s": self._idle_s}

    def _spawn(self, files: ServerFiles, lock: int) -> subprocess.Popen[bytes]:
        command = [
            *(sys.executable, "-m", "kernelllm_jupyter.engines.server"),
            *("--model", self.model, "--path", self._path()),
            *("--device", self._device, "--dtype", self._dtype),
            *("--socket", str(files.socket), "--lock-fd", str(lock)),
            *("--idle-s", str(IDLE_S if self._idle_s is None else self._idle_s)),
        ]
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        log = os.open(files.log, flags, 0o600)
        try:
            # A session of its own: neither an interrupt of the notebook nor its end reaches it. A
            # folder of its own: `-m` puts the current one first on the import path, and a
            # notebook's folder may hold a random.py.
            child = subprocess.Popen(
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
        ending: Future[int] = Future()
        self._endings[child.pid] = ending
        # Waited for, or a process that ended would stay as a zombie until this one ends.
        threading.Thread(
            target=lambda: ending.set_result(child.wait()), name="model-process", daemon=True
        ).start()
        return child

    def _died(self, files: ServerFiles, what: str, pid: int | None) -> EngineDied:
        """The error for a process that is gone, with all that can be known about its end."""
        status: int | None = None
        if pid in self._endings:  # Else another notebook started it, and only that one is told.
            with suppress(TimeoutError):
                status = self._endings[pid].result(timeout=2.0)
        memory = " Too little memory is the usual reason." if status in (None, -9) else ""
        tail = log_tail(files)
        log = f"\nThe last it printed ({files.log}):\n{tail}" if tail else ""
        return EngineDied(
            f"The process of {self.model} {what}{_ending(status)}.{memory} What it had written is "
            f"kept; run the cell again to start it anew.{log}"
        )


class LocalCompletion:
    """One reply of a :class:`LocalEngine`, over a connection of its own."""

    def __init__(self, engine: LocalEngine, prompt: str, sampling: Sampling):
        self.tokens = 0
        self.finish: FinishReason | None = None
        self._engine = engine
        self._request = engine.request(prompt, sampling)
        self._lock = threading.Lock()
        self._closed = False
        self._channel = engine.send_running(self._request)
        self._greeted = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.finish is not None:
            raise StopIteration
        try:
            message = self._engine.receive(self._open_channel())
        except EngineError:
            if self._closed:
                self._end("cancelled")
                raise StopIteration from None
            self._end("failed")
            raise
        self.tokens = message["tokens"]
        if "text" in message:
            return str(message["text"])
        self._end(message["end"])
        raise StopIteration

    def close(self) -> None:
        """Cancel, from any thread: the process notices the end of the connection."""
        with self._lock:
            self._closed = True
            channel = self._channel
            if self.finish is None:
                self.finish = "cancelled"
        if channel is not None:
            channel.close()

    def _open_channel(self) -> Channel:
        """The connection, greeted; made anew where the process left before it took the request."""
        channel = self._channel
        if self._greeted and channel is not None:
            return channel
        if channel is None or not _greets(channel):
            if self._closed:
                raise EngineError("closed")
            channel = self._engine.connect(_ignore)
            _send(channel, self._request)
            with self._lock:
                self._channel = channel
                if self._closed:
                    channel.close()
        self._greeted = True
        return channel

    def _end(self, finish: FinishReason) -> None:
        with self._lock:
            if self.finish is None:
                self.finish = finish
        self.close()


def running(runtime_dir: Path | None = None) -> list[dict[str, Any]]:
    """What each living model process of this user says of itself."""
    found = (_inspect(files) for files in all_files(runtime_dir))
    return [status for status in found if status is not None]


def stop_all(runtime_dir: Path | None = None) -> None:
    """End every model process of this user; returns when they are gone."""
    for files in all_files(runtime_dir):
        _stop(files)


def _connect(files: ServerFiles) -> Channel | None:
    """A greeted connection, or None where nobody listens (yet, or any more)."""
    try:
        channel = Channel.connect(files.socket, GREET_WITHIN_S)
    except OSError:
        return None
    try:
        if _greets(channel):
            return channel
    except _OlderServer:
        channel.close()
        _stop(files)
        return None
    except BaseException:
        channel.close()
        raise
    channel.close()
    return None


def _send(channel: Channel, request: Message) -> None:
    channel.send(request)
    if not channel.flush(GREET_WITHIN_S):
        raise ChannelClosed("the model process does not read")


class _OlderServer(EngineError):
    """The process speaks a protocol from before this version: it is to make way."""


def _greets(channel: Channel) -> bool:
    """Whether a model process that can be used is at the other end; false where it is leaving."""
    if channel.peer_uid() not in (None, os.getuid()):
        raise EngineError("The model process belongs to another user; it is not used.")
    try:
        hello = channel.receive(GREET_WITHIN_S)
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


def _inspect(files: ServerFiles) -> dict[str, Any] | None:
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


def _stop(files: ServerFiles) -> None:
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
    raise EngineError(f"The model process {_pid(files)} could not be ended.")


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
    pid = _pid(files)
    if pid is None:
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, number)
    return True


def _pid(files: ServerFiles) -> int | None:
    pid = (holder(files) or {}).get("pid")
    return pid if isinstance(pid, int) else None


def _stamp(path: str) -> str:
    """Changes when a local checkpoint is written anew: its old weights must not answer."""
    marks = []
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        try:
            found = os.stat(os.path.join(path, name))
        except OSError:
            continue
        marks.append(f"{name} {found.st_size} {found.st_mtime_ns}")
    return "\n".join(marks)


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


def _ending(status: int | None) -> str:
    if status is None:
        return ""
    if status < 0:
        return f" (killed by {signal.Signals(-status).name})"
    return f" (exit status {status})"


def _error_from(report: dict[str, Any]) -> EngineError:
    kind = getattr(errors, str(report.get("kind")), EngineError)
    if not (isinstance(kind, type) and issubclass(kind, EngineError)):
        kind = EngineError
    return kind(str(report.get("message")))


def _ready_words(status: dict[str, Any]) -> str:
    return f"{status['model']} is ready on {status['device']} ({status['dtype']})"


def _ignore(_: LoadProgress) -> None:
    return None
