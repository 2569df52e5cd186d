"""Server-sent events from bytes in pieces of any size: the form in which servers stream.

After the WHATWG's specification ("Interpreting an event stream"), less what no completion server
uses (ids, reconnection times). Knows nothing of what the events say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["EventReader", "EventTooLong", "ServerEvent"]

#: An event longer than this is no piece of a reply.
MAX_EVENT_BYTES = 8 * 1024 * 1024
LINE_END = re.compile(rb"\r\n|\n|\r")


class EventTooLong(ValueError):
    """A line without end: this is no event stream."""


@dataclass(frozen=True)
class ServerEvent:
    """``kind`` is ``message`` unless the server named it."""

    data: str
    kind: str = "message"


class EventReader:
    """``feed`` bytes as they come; ``flush`` gives what a server left without its blank line."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._data: list[str] = []
        self._size = 0
        self._kind = ""
        self._started = False

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """The events that are complete after ``chunk``; raises ``EventTooLong``."""
        self._buffer += chunk
        events = []
        start, look = 0, self._searched
        while (end := LINE_END.search(self._buffer, look)) is not None:
            if end.group() == b"\r" and end.end() == len(self._buffer):
                break  # Its line feed may be in the next chunk.
            events += self._take(bytes(self._buffer[start : end.start()]))
            start = look = end.end()
        del self._buffer[:start]
        # What holds no end of a line is not looked at again, save a last carriage return.
        self._searched = max(0, len(self._buffer) - 1)
        if len(self._buffer) + self._size > MAX_EVENT_BYTES:
            raise EventTooLong(f"an event of more than {MAX_EVENT_BYTES >> 20} MiB")
        return events

    def flush(self) -> list[ServerEvent]:
        """The rest when the connection has ended: servers forget the blank line after the last."""
        events = self._take(bytes(self._buffer).rstrip(b"\r"))
        self._buffer.clear()
        self._searched = 0
        return events + self._take(b"")

    def _take(self, line: bytes) -> list[ServerEvent]:
        if not self._started:
            line = line.removeprefix(b"\xef\xbb\xbf")
            self._started = True
        if not line:
            return self._dispatch()
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._size += len(line)
        elif name == "event":
            self._kind = value
        elif name == "error":  # Not in the specification; llama.cpp reports errors so.
            self._data.append(value)
            self._kind = "error"
        return []

    def _dispatch(self) -> list[ServerEvent]:
        data, kind = self._data, self._kind
        self._data, self._kind, self._size = [], "", 0
        return [ServerEvent("\n".join(data), kind or "message")] if data else []
