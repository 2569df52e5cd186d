"""The local engine: a checkpoint of this machine in a process that all notebooks share.

:class:`LocalEngine` is a client. The process (:mod:`kernelllm_jupyter.engines.server`) is started
on first use, found again through a private folder (:mod:`kernelllm_jupyter.engines.runtime`), and
survives the Jupyter kernel that started it.
"""

from __future__ import annotations

import os
import signal
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kernelllm_jupyter.engines import LoadProgress, ProgressCallback
from kernelllm_jupyter.engines.lifecycle import (
    REACH_WITHIN_S,
    Child,
    greets,
    holder_pid,
    inspect,
    reach,
    running,
    send,
    start,
    stop,
    stop_all,
)
from kernelllm_jupyter.engines.memory import QUANTIZATIONS
from kernelllm_jupyter.engines.runtime import ServerFiles, log_tail, server_files
from kernelllm_jupyter.engines.wire import Channel, ChannelClosed, Message, error_from
from kernelllm_jupyter.errors import EngineDied, EngineError, UsageError
from kernelllm_jupyter.prompts import resolve_model
from kernelllm_jupyter.values import FinishReason, Prompt, Sampling

__all__ = ["IDLE_S", "LocalCompletion", "LocalEngine", "checkpoint_stamp", "running", "stop_all"]

#: How long an unused model stays in memory, unless the engine says otherwise.
IDLE_S = 1800.0
START_WITHIN_S = 60.0
#: The process sends a sign of life every 5 s.
SILENT_AT_MOST_S = 60.0
SLICE_S = 0.5


class LocalEngine:
    """An engine for a Hugging Face id, a local folder or GGUF file, or ``starter``.

    ``device`` is ``cpu``, ``cuda`` or ``cuda:N`` (default: a GPU where there is one), ``dtype``
    ``bfloat16``, ``float16`` or ``float32`` (default: half precision on a GPU, float32 on a CPU).
    ``quantization`` is ``none``, ``8bit`` or ``4bit``: weights that fit on a smaller card.
    ``idle_s`` is how long the process stays when nobody uses it; the last engine to say so decides.
    Making an engine starts nothing.
    """

    def __init__(
        self,
        model: str,
        *,
        device: str | None = None,
        dtype: str | None = None,
        quantization: str | None = None,
        idle_s: float | None = None,
        runtime_dir: Path | None = None,
    ):
        self.model = model
        self._device = device or "auto"
        self._dtype = dtype or "auto"
        self._quantization = quantization or "none"
        if self._quantization not in QUANTIZATIONS:
            names = ", ".join(QUANTIZATIONS)
            raise UsageError(f"There is no quantization {quantization!r}: use one of {names}.")
        self._idle_s = idle_s
        self._runtime_dir = runtime_dir
        self._children: dict[int | None, Child] = {}

    # --- the Engine protocol -------------------------------------------------------------------

    def load(self, progress: ProgressCallback | None = None) -> None:
        """Start the process if need be and wait until it can generate."""
        report = progress or _ignore
        self._check_folder()
        channel = self.connect(report)
        try:
            send(channel, self._request("load"))
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

    def generate(self, prompt: Prompt, sampling: Sampling) -> LocalCompletion:
        """Start one completion; a process that has ended meanwhile is started again."""
        return LocalCompletion(self, prompt, sampling)

    def status(self) -> dict[str, Any]:
        """What the process says of itself, or that none is running."""
        found = inspect(self._files())
        return found or {"model": self.model, "state": "not running"}

    def unload(self) -> None:
        """End the process of this model, which frees its memory."""
        stop(self._files())

    # --- for completions -----------------------------------------------------------------------

    def request(self, prompt: Prompt, sampling: Sampling) -> Message:
        wanted = {name: value for name, value in asdict(sampling).items() if value is not None}
        sent = prompt if isinstance(prompt, str) else [asdict(turn) for turn in prompt]
        return {**self._request("generate"), "prompt": sent, "sampling": wanted}

    def send_running(self, request: Message) -> Channel | None:
        """A connection on which ``request`` was sent, or None where nobody listens.

        Does not wait for the greeting: several requests of one prompt are to arrive together.
        """
        try:
            channel = Channel.connect(self._files().socket, REACH_WITHIN_S)
        except OSError:
            return None
        try:
            send(channel, request)
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
        child: Child | None = None
        while True:
            channel = reach(files)
            if channel is not None:
                return channel
            if child is not None and child.ended:
                raise self._died(files, "ended before it could be spoken to", child.pid)
            lock = None if child else files.take_lock()
            if lock is not None:
                try:
                    report(LoadProgress("starting", f"Starting the process of {self.model}"))
                    child = self._start(files, lock)
                finally:
                    os.close(lock)
            if time.monotonic() > until:
                raise EngineError(
                    f"The process of {self.model} (pid {holder_pid(files)}) does not answer. End "
                    "it with `%kernelllm stop` and try again."
                )
            time.sleep(0.03)

    def receive(self, channel: Channel) -> Message:
        """The next message that is no sign of life, whatever time it takes.

        Raises the error that the process reports, or ``EngineDied`` where it is gone or has not
        given a sign of life for a minute. Waits in slices, so that an interrupt gets through.
        """
        silent_since = time.monotonic()
        while True:
            try:
                message = channel.receive(SLICE_S)
            except ChannelClosed:
                what = "ended while it was needed"
                raise self._died(self._files(), what, channel.pid) from None
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
                raise error_from(message)
            if "beat" not in message:
                return message

    # --- starting ------------------------------------------------------------------------------

    def _files(self) -> ServerFiles:
        path = self._path()
        gpus = "" if self._device == "cpu" else os.environ.get("CUDA_VISIBLE_DEVICES", "")
        packed = () if self._quantization == "none" else (self._quantization,)
        return server_files(
            self._runtime_dir,
            path,
            checkpoint_stamp(path),
            self._device,
            self._dtype,
            gpus,
            *packed,
        )

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

    def _start(self, files: ServerFiles, lock: int) -> Child:
        idle_s = IDLE_S if self._idle_s is None else self._idle_s
        child = start(
            files,
            lock,
            [
                *("--model", self.model, "--path", self._path()),
                *("--device", self._device, "--dtype", self._dtype),
                *("--quantization", self._quantization),
                *("--idle-s", str(idle_s)),
            ],
        )
        self._children[child.pid] = child
        return child

    def _died(self, files: ServerFiles, what: str, pid: int | None) -> EngineDied:
        """The error for a process that is gone, with all that can be known about its end."""
        child = self._children.get(pid)
        # Where another notebook started it, only that one is told how it ended.
        status = child.status(timeout_s=2.0) if child else None
        memory = " Too little memory is the usual reason." if status in (None, -9) else ""
        tail = log_tail(files)
        log = f"\nThe last it printed ({files.log}):\n{tail}" if tail else ""
        return EngineDied(
            f"The process of {self.model} {what}{_ending(status)}.{memory} What it had written is "
            f"kept; run the cell again to start it anew.{log}"
        )


class LocalCompletion:
    """One reply of a :class:`LocalEngine`, over a connection of its own."""

    def __init__(self, engine: LocalEngine, prompt: Prompt, sampling: Sampling):
        self.tokens = 0
        self.finish: FinishReason | None = None
        self.notes: list[str] = []
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
            while "note" in message:
                self.notes.append(str(message["note"]))
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
        if channel is None or not greets(channel):
            if self._closed:
                raise EngineError("closed")
            channel = self._engine.connect(_ignore)
            send(channel, self._request)
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


def checkpoint_stamp(path: str) -> str:
    """Changes when a local checkpoint is written anew: its old weights must not answer."""
    marks = []
    for name in ("", "config.json", "model.safetensors", "tokenizer.json"):
        try:
            found = os.stat(os.path.join(path, name) if name else path)
        except OSError:
            continue
        if name or stat.S_ISREG(found.st_mode):  # A GGUF file is all there is.
            marks.append(f"{name} {found.st_size} {found.st_mtime_ns}")
    return "\n".join(marks)


def _ending(status: int | None) -> str:
    if status is None:
        return ""
    if status < 0:
        return f" (killed by {signal.Signals(-status).name})"
    return f" (exit status {status})"


def _ready_words(status: dict[str, Any]) -> str:
    return f"{status['model']} is ready on {status['device']} ({status['dtype']})"


def _ignore(_: LoadProgress) -> None:
    return None
