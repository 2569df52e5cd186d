"""The model process: one checkpoint, served to all of a user's notebooks over a Unix socket.

Started by :mod:`kernelllm_jupyter.engines.local` as ``python -m kernelllm_jupyter.engines.server``.
It listens before it imports anything heavy, so that whoever waits can watch it load. It leaves
when nobody has used it for a while, when it is told to, and when its socket is gone.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import stat
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelllm_jupyter.engines import LoadProgress
from kernelllm_jupyter.engines.batching import Batcher
from kernelllm_jupyter.engines.wire import PROTOCOL, Channel, ChannelClosed, Message, peer_uid
from kernelllm_jupyter.errors import EngineError
from kernelllm_jupyter.values import FinishReason, Sampling

if TYPE_CHECKING:
    from kernelllm_jupyter.engines.decoding import Reply
    from kernelllm_jupyter.engines.loading import LoadedModel

__all__ = ["main"]

#: How often a connection without news says that the process lives.
BEAT_S = 5.0
LOOK_EVERY_S = 0.5
REQUEST_WITHIN_S = 10.0
FLUSH_WITHIN_S = 30.0
MAX_LOG_BYTES = 1_000_000


class ModelServer:
    """State of the process: what is loaded, who is served, and when it was last of use."""

    def __init__(self, arguments: argparse.Namespace):
        self._name: str = arguments.model
        self._arguments = arguments
        self._idle_s: float = arguments.idle_s
        self._started = time.time()
        self._used = time.monotonic()
        self._changed = threading.Condition()
        self._steps: list[LoadProgress] = []
        self._loaded: LoadedModel | None = None
        self._failure: Message | None = None
        self._batcher: Batcher[Reply] = Batcher(self._decode)
        self._users: set[Channel] = set()
        self.leaving = threading.Event()

    # --- loading -------------------------------------------------------------------------------

    def load(self) -> None:
        """Load the model; whoever waits for it is told how that goes."""
        try:
            self._load()
        except EngineError as error:
            self._fail(type(error).__name__, str(error))
        except BaseException as error:
            traceback.print_exc()
            self._fail("EngineError", f"{self._name} could not be loaded: {_in_words(error)}")

    def _load(self) -> None:
        from kernelllm_jupyter.engines.checkpoint import fetch

        folder = fetch(self._arguments.path, self._report)
        self._report(LoadProgress("starting", "Importing PyTorch and transformers"))
        from kernelllm_jupyter.engines.loading import load_checkpoint

        self._report(LoadProgress("load", f"Loading {self._name}"))
        loaded = load_checkpoint(folder, self._arguments.device, self._arguments.dtype)
        with self._changed:
            self._loaded = loaded
            where = "GPU" if loaded.device.startswith("cuda") else loaded.device.upper()
            self._steps.append(
                LoadProgress("ready", f"{self._name} is ready ({where}, {loaded.dtype})")
            )
            self._used = time.monotonic()
            self._changed.notify_all()

    def _report(self, step: LoadProgress) -> None:
        with self._changed:
            # Byte counts replace one another: a late client wants the last one, not all.
            if self._steps and self._steps[-1].stage == step.stage == "download":
                self._steps.pop()
            self._steps.append(step)
            self._changed.notify_all()

    def _fail(self, kind: str, message: str) -> None:
        with self._changed:
            self._failure = {"error": {"kind": kind, "message": message}}
            self._changed.notify_all()

    # --- one connection ------------------------------------------------------------------------

    def serve(self, channel: Channel) -> None:
        """Answer the one request of a connection, in a thread of its own."""
        try:
            channel.send({"hello": "kernelllm-engine", "protocol": PROTOCOL, "pid": os.getpid()})
            request = channel.receive(REQUEST_WITHIN_S)
            if request is None:
                channel.send(_error("EngineError", "No request came in time."))
            else:
                self._answer(channel, request)
            channel.flush(FLUSH_WITHIN_S)
        except ChannelClosed:
            pass  # The client left, which is its right.
        except Exception as error:
            traceback.print_exc()
            self._try_send(channel, _error("EngineError", _in_words(error)))
        finally:
            self._batcher.settle(channel)
            self._done_with(channel)
            channel.close()

    def _answer(self, channel: Channel, request: Message) -> None:
        operation = request.get("op")
        if operation != "generate":
            self._batcher.settle(channel)
        if operation == "status":
            channel.send({"status": self.status()})
        elif operation == "stop":
            channel.send({"stopping": True})
            channel.flush(1.0)
            self.leave("it was told to")
        elif operation in ("load", "generate"):
            self._begin_use(channel, request)
            if not self._wait_until_loaded(channel, tell=operation == "load"):
                return
            if operation == "load":
                channel.send({"ready": self.status()})
            else:
                self._generate(channel, request)
        else:
            channel.send(_error("EngineError", f"The model process knows no {operation!r}."))

    def _begin_use(self, channel: Channel, request: Message) -> None:
        with self._changed:
            self._users.add(channel)
            if isinstance(request.get("idle_s"), (int, float)):
                self._idle_s = float(request["idle_s"])

    def _done_with(self, channel: Channel) -> None:
        with self._changed:
            if channel in self._users:
                self._users.discard(channel)
                self._used = time.monotonic()

    def _wait_until_loaded(self, channel: Channel, *, tell: bool) -> bool:
        """Wait, passing progress on; false where loading failed and the client was told."""
        told: list[LoadProgress] = []
        spoke = time.monotonic()
        while True:
            with self._changed:
                if self._loaded is None and self._failure is None:
                    self._changed.wait(0.5)
                steps = list(self._steps)
                loaded, failure = self._loaded is not None, self._failure
            # The last one told may have been replaced by newer byte counts.
            news = [step for step in steps[max(0, len(told) - 1) :] if step not in told]
            if tell and news:
                for step in news:
                    channel.send({"progress": asdict(step)})
                told, spoke = steps, time.monotonic()
            if failure is not None:
                channel.send(failure)
                return False
            if loaded:
                return True
            if time.monotonic() - spoke > BEAT_S:
                channel.send({"beat": True})
                spoke = time.monotonic()

    def _generate(self, channel: Channel, request: Message) -> None:
        from kernelllm_jupyter.engines.decoding import reply_for

        assert self._loaded is not None
        sink = _ToChannel(channel)
        try:
            sampling = Sampling(**request.get("sampling", {}))
            reply = reply_for(self._loaded, str(request["prompt"]), sampling, sink)
        except EngineError as error:
            channel.send(_error(type(error).__name__, str(error)))
            return
        self._batcher.submit(reply)
        self._batcher.settle(channel)
        try:
            # The client says nothing more: what comes is the end of the connection.
            spoke = time.monotonic()
            while not sink.ended.is_set():
                channel.receive(1.0)
                if time.monotonic() - spoke > BEAT_S and not sink.ended.is_set():
                    channel.send({"beat": True})
                    spoke = time.monotonic()
        finally:
            reply.cancelled = True

    def _decode(self, replies: Sequence[Reply]) -> None:
        from kernelllm_jupyter.engines.decoding import decode_batch

        waiting = [reply for reply in replies if not reply.cancelled]
        if not waiting:
            return
        assert self._loaded is not None
        try:
            decode_batch(self._loaded, waiting)
        except BaseException as error:
            traceback.print_exc()
            for reply in waiting:
                if reply.finish is None:
                    reply.finish = "failed"
                    sink = reply.sink
                    assert isinstance(sink, _ToChannel)
                    sink.fail(f"{self._name} failed while it generated: {_in_words(error)}")

    @staticmethod
    def _try_send(channel: Channel, message: Message) -> None:
        try:
            channel.send(message)
            channel.flush(1.0)
        except ChannelClosed:
            return

    # --- the process ---------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """What ``%kernelllm status`` shows."""
        with self._changed:
            loaded = self._loaded
            found: dict[str, Any] = {
                "model": self._name,
                "state": "ready" if loaded else "failed" if self._failure else "loading",
                "pid": os.getpid(),
                "device": loaded.device if loaded else self._arguments.device,
                "dtype": loaded.dtype if loaded else self._arguments.dtype,
                "parameters": loaded.parameters if loaded else None,
                "memory_bytes": _memory_bytes(loaded),
                "streams": self._batcher.busy,
                "up_s": round(time.time() - self._started, 1),
                "idle_exit_s": self._idle_s,
            }
        return found

    def leave(self, why: str) -> None:
        """End the process, telling whoever is still served."""
        print(f"leaving: {why}", flush=True)
        self.leaving.set()

    def keep_watch(self, listener: socket.socket, path: Path, own: tuple[int, int] | None) -> None:
        """Accept connections until there is a reason to leave."""
        listener.settimeout(LOOK_EVERY_S)
        looked = time.monotonic()
        while not self.leaving.is_set():
            try:
                accepted, _ = listener.accept()
            except TimeoutError:
                pass
            else:
                self._receive(accepted)
            # Also while visitors keep coming: to ask for the status is no use of the model.
            if time.monotonic() - looked > LOOK_EVERY_S:
                self._look_around(path, own)
                looked = time.monotonic()

    def _receive(self, accepted: socket.socket) -> None:
        accepted.settimeout(None)
        if peer_uid(accepted) not in (None, os.getuid()):
            accepted.close()
            return
        channel = Channel(accepted)
        self._batcher.expect(channel)
        threading.Thread(target=self.serve, args=(channel,), daemon=True).start()

    def _look_around(self, path: Path, own: tuple[int, int] | None) -> None:
        with self._changed:
            unused_s = time.monotonic() - self._used
            needed = bool(self._users)
            failed = self._failure is not None
            loading = self._loaded is None and not failed
        _bound_log()
        if needed or loading:
            return
        if failed:
            self.leave("the model could not be loaded")
        elif unused_s > self._idle_s:
            self.leave(f"nobody used it for {unused_s:.0f} s")
        elif _identity(path) != own:
            self.leave("its socket is gone")

    def say_goodbye(self) -> None:
        """Tell the clients that are still connected why there will be no more."""
        with self._changed:
            remaining = list(self._users)
        for channel in remaining:
            message = f"The process of {self._name} was stopped while it was in use."
            self._try_send(channel, _error("EngineDied", message))


class _ToChannel:
    """Sends one reply's text; a client that is gone is noticed by the connection's own thread."""

    def __init__(self, channel: Channel):
        self._channel = channel
        self.ended = threading.Event()

    def text(self, piece: str, tokens: int) -> None:
        self._send({"text": piece, "tokens": tokens})

    def end(self, finish: FinishReason, tokens: int) -> None:
        self._last({"end": finish, "tokens": tokens})

    def fail(self, message: str) -> None:
        self._last(_error("EngineError", message))

    def _last(self, message: Message) -> None:
        # Set first: the client closes when it has read the message, and that is no cancellation.
        self.ended.set()
        self._send(message)

    def _send(self, message: Message) -> None:
        try:
            self._channel.send(message)
        except ChannelClosed:
            return


def _error(kind: str, message: str) -> Message:
    return {"error": {"kind": kind, "message": message}}


def _in_words(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    name = type(error).__name__
    if name == "OutOfMemoryError":
        return (
            f"the GPU is out of memory ({text[0] if text else name}). Ask for fewer tokens or "
            "candidates, or free the GPU."
        )
    return f"{name}: {text[0]}" if text else name


def _memory_bytes(loaded: LoadedModel | None) -> int | None:
    """What the weights and buffers take."""
    if loaded is None:
        return None
    return int(loaded.model.get_memory_footprint())


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _bound_log() -> None:
    """Keep the end of a log that has grown too long; it is standard output, opened to append."""
    status = os.fstat(1)
    if stat.S_ISREG(status.st_mode) and status.st_size > MAX_LOG_BYTES:
        os.ftruncate(1, 0)


def main(argv: Sequence[str] | None = None) -> None:
    """Serve one model until there is a reason to leave."""
    parser = argparse.ArgumentParser(prog="kernelllm_jupyter.engines.server")
    for name in ("model", "path", "device", "dtype"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--lock-fd", type=int, required=True)
    parser.add_argument("--idle-s", type=float, required=True)
    arguments = parser.parse_args(argv)
    # Held until the process is gone, and by none of its children.
    os.set_inheritable(arguments.lock_fd, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    server = ModelServer(arguments)
    signal.signal(signal.SIGTERM, lambda *_: server.leave("it was terminated"))
    os.umask(0o077)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    arguments.socket.unlink(missing_ok=True)
    listener.bind(str(arguments.socket))
    listener.listen(64)
    _sign(arguments)
    threading.Thread(target=server.load, name="load", daemon=True).start()
    own = _identity(arguments.socket)
    try:
        server.keep_watch(listener, arguments.socket, own)
    finally:
        if _identity(arguments.socket) == own:
            arguments.socket.unlink(missing_ok=True)
        listener.close()
        server.say_goodbye()
        sys.stdout.flush()
        # Threads inside native code would hold up an orderly end, and nothing is left to save.
        os._exit(0)


def _sign(arguments: argparse.Namespace) -> None:
    """Write into the lock who holds it."""
    about = {"pid": os.getpid(), "model": arguments.model, "path": arguments.path}
    os.ftruncate(arguments.lock_fd, 0)
    os.pwrite(arguments.lock_fd, json.dumps(about).encode(), 0)


if __name__ == "__main__":
    main()
