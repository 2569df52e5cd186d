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
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kernelllm_jupyter.engines import LoadProgress
from kernelllm_jupyter.engines.host import ModelHost, in_words
from kernelllm_jupyter.engines.runtime import bound_log, file_identity
from kernelllm_jupyter.engines.wire import (
    PROTOCOL,
    Channel,
    ChannelClosed,
    Message,
    error_report,
    peer_uid,
)
from kernelllm_jupyter.errors import EngineDied, EngineError
from kernelllm_jupyter.values import FinishReason, Prompt, Sampling
from kernelllm_jupyter.values import Message as Turn

__all__ = ["main"]

#: How often a connection without news says that the process lives.
BEAT_S = 5.0
LOOK_EVERY_S = 0.5
#: A download that nobody waits for is given up after this time.
ABANDONED_S = 3.0
REQUEST_WITHIN_S = 10.0
FLUSH_WITHIN_S = 30.0
#: How long a park lasts where its client says nothing else.
PARKED_AT_MOST_S = 600.0
PARKED_WORDS = "waits: a benchmark has the GPU to itself, and the model goes on after it"


class ModelServer:
    """Who is served, when the model was last of use, and whether it is time to leave."""

    def __init__(self, host: ModelHost, listener: socket.socket, path: Path, idle_s: float):
        self._host = host
        self._listener = listener
        self._path = path
        self._own = file_identity(path)
        self._idle_s = idle_s
        self._used = time.monotonic()
        self._lock = threading.Lock()
        self._users: set[Channel] = set()
        self._leaving = threading.Event()

    def keep_watch(self) -> None:
        """Accept connections until there is a reason to leave."""
        self._listener.settimeout(LOOK_EVERY_S)
        looked = time.monotonic()
        while not self._leaving.is_set():
            try:
                accepted, _ = self._listener.accept()
            except TimeoutError:
                pass
            except OSError:
                if not self._leaving.is_set():
                    raise
            else:
                self._receive(accepted)
            # Also while visitors keep coming: to ask for the status is no use of the model.
            if time.monotonic() - looked > LOOK_EVERY_S:
                self._look_around()
                looked = time.monotonic()

    def leave(self, why: str) -> None:
        """Let ``keep_watch`` return."""
        print(f"leaving: {why}", flush=True)
        self._leaving.set()
        with suppress(OSError):  # Wakes who waits in accept(); elsewhere than on Linux in vain.
            self._listener.shutdown(socket.SHUT_RDWR)

    def say_goodbye(self) -> None:
        """Give the socket back, and tell those who are still served why there is no more."""
        if file_identity(self._path) == self._own:
            self._path.unlink(missing_ok=True)
        self._listener.close()
        with self._lock:
            remaining = list(self._users)
        for channel in remaining:
            message = f"The process of {self._host.name} was stopped while it was in use."
            _try_send(channel, error_report(EngineDied(message)))

    def _receive(self, accepted: socket.socket) -> None:
        accepted.settimeout(None)
        if peer_uid(accepted) not in (None, os.getuid()):
            accepted.close()
            return
        channel = Channel(accepted)
        self._host.batcher.expect(channel)
        threading.Thread(target=self._serve, args=(channel,), daemon=True).start()

    def _look_around(self) -> None:
        with self._lock:
            unused_s = time.monotonic() - self._used
            needed = bool(self._users)
        bound_log()
        if needed:
            return
        if self._host.downloading and unused_s > ABANDONED_S:
            # Whole files stay in the cache; whoever asks next fetches the others.
            self.leave("nobody waits for its download any more")
        if self._host.loading:
            return
        if self._host.failed:
            self.leave("the model could not be loaded")
        elif unused_s > self._idle_s:
            self.leave(f"nobody used it for {unused_s:.0f} s")
        elif file_identity(self._path) != self._own:
            self.leave("its socket is gone")

    # --- one connection ------------------------------------------------------------------------

    def _serve(self, channel: Channel) -> None:
        """Answer the one request of a connection, in a thread of its own."""
        try:
            channel.send({"hello": "kernelllm-engine", "protocol": PROTOCOL, "pid": os.getpid()})
            request = channel.receive(REQUEST_WITHIN_S)
            if request is None:
                raise EngineError("No request came in time.")
            self._answer(channel, request)
            channel.flush(FLUSH_WITHIN_S)
        except ChannelClosed:
            pass  # The client left, which is its right.
        except EngineError as error:
            _try_send(channel, error_report(error))
        except Exception as error:
            traceback.print_exc()
            _try_send(channel, error_report(EngineError(in_words(error))))
        finally:
            self._host.batcher.settle(channel)
            self._end_use(channel)
            channel.close()

    def _answer(self, channel: Channel, request: Message) -> None:
        operation = request.get("op")
        if operation != "generate":
            self._host.batcher.settle(channel)
        if operation == "status":
            channel.send({"status": self._status()})
        elif operation == "stop":
            channel.send({"stopping": True})
            channel.flush(1.0)
            self.leave("it was told to")
        elif operation == "load":
            self._begin_use(channel, request)
            self._wait(channel, tell=True)
            self._await_release(channel)
            channel.send({"ready": self._status()})
        elif operation == "generate":
            self._begin_use(channel, request)
            self._wait(channel, tell=False)
            self._generate(channel, request)
        elif operation == "park":
            self._begin_use(channel, {})
            self._wait(channel, tell=False)
            self._park(channel, request)
        else:
            raise EngineError(f"The model process knows no {operation!r}.")

    def _begin_use(self, channel: Channel, request: Message) -> None:
        with self._lock:
            self._users.add(channel)
            if isinstance(request.get("idle_s"), (int, float)):
                self._idle_s = float(request["idle_s"])

    def _end_use(self, channel: Channel) -> None:
        with self._lock:
            if channel in self._users:
                self._users.discard(channel)
                self._used = time.monotonic()

    def _wait(self, channel: Channel, *, tell: bool) -> None:
        def pass_on(step: LoadProgress) -> None:
            if tell:
                channel.send({"progress": asdict(step)})

        self._host.wait(pass_on, _Beat(channel))

    def _await_release(self, channel: Channel) -> None:
        """Wait while the model is parked, and say what for."""
        told, beat = False, _Beat(channel)
        while self._host.batcher.held:
            if not told:
                words = f"{self._host.name} {PARKED_WORDS}"
                channel.send({"progress": asdict(LoadProgress("load", words))})
                told = True
            channel.receive(LOOK_EVERY_S)
            beat()

    def _park(self, channel: Channel, request: Message) -> None:
        """Be out of the way until the client closes its connection, or its time is up."""
        need, at_most = request.get("need_bytes"), request.get("at_most_s")
        until = time.monotonic() + (float(at_most) if at_most is not None else PARKED_AT_MOST_S)
        need_bytes = need if isinstance(need, int) else None

        def beat() -> None:
            channel.receive(BEAT_S / 50)

        with self._host.parked(need_bytes, beat) as (given_up, note):
            channel.send({"parked": {"given_up": given_up, "note": note}})
            while time.monotonic() < until:
                channel.receive(min(LOOK_EVERY_S, max(0.0, until - time.monotonic())))

    def _generate(self, channel: Channel, request: Message) -> None:
        sink = _ToChannel(channel)
        sampling = Sampling(**request.get("sampling", {}))
        reply = self._host.submit(_prompt(request["prompt"]), sampling, sink)
        self._host.batcher.settle(channel)
        if self._host.batcher.held:
            channel.send({"note": f"{self._host.name} {PARKED_WORDS}"})
        beat = _Beat(channel)
        try:
            # The client says nothing more: what comes is the end of the connection.
            while not sink.ended.is_set():
                channel.receive(1.0)
                beat()
        finally:
            reply.cancelled = True

    def _status(self) -> dict[str, Any]:
        return {**self._host.status(), "idle_exit_s": self._idle_s}


class _Beat:
    """Says from time to time that the process lives."""

    def __init__(self, channel: Channel):
        self._channel = channel
        self._last = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._last > BEAT_S:
            self._channel.send({"beat": True})
            self._last = time.monotonic()


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
        self._last(error_report(EngineError(message)))

    def _last(self, message: Message) -> None:
        # Set first: the client closes when it has read the message, and that is no cancellation.
        self.ended.set()
        self._send(message)

    def _send(self, message: Message) -> None:
        with suppress(ChannelClosed):
            self._channel.send(message)


def _prompt(sent: Any) -> Prompt:
    if isinstance(sent, str):
        return sent
    return tuple(Turn(str(turn["role"]), str(turn["content"])) for turn in sent)


def _try_send(channel: Channel, message: Message) -> None:
    with suppress(ChannelClosed):
        channel.send(message)
        channel.flush(1.0)


def main(argv: Sequence[str] | None = None) -> None:
    """Serve one model until there is a reason to leave."""
    parser = argparse.ArgumentParser(prog="kernelllm_jupyter.engines.server")
    for name in ("model", "path", "device", "dtype", "quantization"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--lock-fd", type=int, required=True)
    parser.add_argument("--idle-s", type=float, required=True)
    given = parser.parse_args(argv)
    # Held until the process is gone, and by none of its children.
    os.set_inheritable(given.lock_fd, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    host = ModelHost(given.model, given.path, given.device, given.dtype, given.quantization)
    server = ModelServer(host, _listen(given.socket), given.socket, given.idle_s)
    signal.signal(signal.SIGTERM, lambda *_: server.leave("it was terminated"))
    _sign(given)
    threading.Thread(target=host.load, name="load", daemon=True).start()
    try:
        server.keep_watch()
    finally:
        if host.downloading:
            from kernelllm_jupyter.engines.checkpoint import drop_partial_files

            drop_partial_files(given.path)
        server.say_goodbye()
        sys.stdout.flush()
        # Threads inside native code would hold up an orderly end, and nothing is left to save.
        os._exit(0)


def _listen(path: Path) -> socket.socket:
    """A socket that only its owner can open; one of a process that died makes way."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o077)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)  # Downloads go to a cache that others may share.
    listener.listen(64)
    return listener


def _sign(given: argparse.Namespace) -> None:
    """Write into the lock who holds it."""
    about = {"pid": os.getpid(), "model": given.model, "path": given.path}
    os.ftruncate(given.lock_fd, 0)
    os.pwrite(given.lock_fd, json.dumps(about).encode(), 0)


if __name__ == "__main__":
    main()
