"""Messages between a client and the model process: JSON objects, one a line, over a Unix socket.

One connection carries one request. The server greets first; the client asks; the server answers
with any number of messages and closes. Whoever closes early ends the request: that is how a
completion is cancelled. Knows nothing of models.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from kernelllm_jupyter import errors

__all__ = [
    "PROTOCOL",
    "Channel",
    "ChannelClosed",
    "Message",
    "error_from",
    "error_report",
    "peer_uid",
]

#: Raised when a message changes its meaning: a client replaces a server that speaks an older one.
PROTOCOL = 3

Message = dict[str, Any]

#: A line longer than this is no message of ours: a prompt is a page of code.
MAX_LINE_BYTES = 16 * 1024 * 1024


class ChannelClosed(ConnectionError):
    """The other side ended the connection, or is gone."""


class Channel:
    """One connection. Any thread may send; one thread at a time receives."""

    def __init__(self, sock: socket.socket):
        self._sock = sock
        self._received = bytearray()
        self._searched = 0
        self._unsent = bytearray()
        self._sending = threading.Lock()
        self._closing = threading.Lock()
        self._receiving = False
        self._closed = False
        #: The process at the other end, as its greeting says.
        self.pid: int | None = None

    @classmethod
    def connect(cls, path: Path, timeout_s: float) -> Channel:
        """Connect to a listening socket; raises ``OSError`` where nobody listens."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout_s)
            sock.connect(str(path))
            sock.settimeout(None)
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    def send(self, message: Message) -> None:
        """Send without ever waiting for the reader: what does not fit goes with the next send.

        A reader that is stopped must not hold up a batch which other readers share.
        """
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        with self._sending:
            self._unsent += line
            self._push()

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything is sent; false where the reader did not take it in time."""
        until = time.monotonic() + timeout_s
        while True:
            with self._sending:
                self._push()
                if not self._unsent:
                    return True
            left = until - time.monotonic()
            if left <= 0:
                return False
            self._wait_for(select.POLLOUT, min(left, 0.2))

    def _push(self) -> None:
        try:
            while self._unsent:
                sent = self._sock.send(self._unsent, socket.MSG_DONTWAIT)
                del self._unsent[:sent]
        except BlockingIOError:
            return
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def receive(self, timeout_s: float) -> Message | None:
        """The next message, or None where none came in time; raises ``ChannelClosed`` at the end.

        Waits in the kernel, where an interrupt gets through at once.
        """
        until = time.monotonic() + timeout_s
        while True:
            message = self._parse()
            if message is not None:
                return message
            with self._closing:
                if self._closed:
                    raise ChannelClosed("closed on this side")
                self._receiving = True
            try:
                if not self._wait_for(select.POLLIN, max(0.0, until - time.monotonic())):
                    return None
                chunk = self._sock.recv(65536)
            except ChannelClosed:
                raise
            except OSError as error:
                raise ChannelClosed(str(error)) from error
            finally:
                self._end_receive()
            if not chunk:
                raise ChannelClosed("closed on the other side")
            self._received += chunk

    def _wait_for(self, event: int, timeout_s: float) -> bool:
        # Not select(), which fails in a process that has more than 1023 files open.
        poll = select.poll()
        try:
            poll.register(self._sock, event)
            return bool(poll.poll(timeout_s * 1000))
        except (OSError, ValueError) as error:
            raise ChannelClosed(str(error)) from error

    def _parse(self) -> Message | None:
        end = self._received.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._received)
            if self._searched > MAX_LINE_BYTES:
                raise ChannelClosed("a message without end")
            return None
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        self._searched = 0
        try:
            message = json.loads(line)
        except ValueError as error:
            raise ChannelClosed("a message that is no JSON") from error
        if not isinstance(message, dict):
            raise ChannelClosed("a message that is no object")
        return message

    def close(self) -> None:
        """End the connection, from any thread; a ``receive`` under way raises ``ChannelClosed``.

        The descriptor itself is only given back once nobody waits on it: its number may be taken
        by another file in the next moment.
        """
        with self._closing:
            already, self._closed = self._closed, True
            if already:
                return
            with suppress(OSError):  # The other side was first.
                self._sock.shutdown(socket.SHUT_RDWR)
            if not self._receiving:
                self._give_back()

    def _end_receive(self) -> None:
        with self._closing:
            self._receiving = False
            if self._closed:
                self._give_back()

    def _give_back(self) -> None:
        with self._sending:
            self._sock.close()

    def peer_uid(self) -> int | None:
        return peer_uid(self._sock)


def error_report(error: errors.EngineError) -> Message:
    """An error as a message; :func:`error_from` makes it one again on the other side."""
    return {"error": {"kind": type(error).__name__, "message": str(error)}}


def error_from(message: Message) -> errors.EngineError:
    report = message["error"]
    kind = getattr(errors, str(report.get("kind")), None)
    if not (isinstance(kind, type) and issubclass(kind, errors.EngineError)):
        kind = errors.EngineError
    return kind(str(report.get("message")))


def peer_uid(sock: socket.socket) -> int | None:
    """The user at the other end of a Unix socket, where the platform tells."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    packed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", packed)[1]
    return uid
