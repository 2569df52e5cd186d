"""Messages between the caller, the server and its children: a JSON object and raw bytes.

One message is a length, a JSON header and, where there are bytes to carry, the descriptor of an
anonymous file that holds them. Nothing is unpickled, so that a candidate which writes to its
socket can only send a wrong message, never run code in the process that compares.
Knows nothing of tensors or checks.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["BadMessage", "Closed", "Message", "receive", "send"]

LENGTH = struct.Struct("!Q")
HEADER_LIMIT = 64 << 20


class Closed(Exception):
    """The other side is gone."""


class BadMessage(Exception):
    """What arrived is no message of ours."""


@dataclass(frozen=True)
class Message:
    """A JSON object and the byte strings that came with it (writable, owned by the receiver)."""

    header: dict[str, Any]
    blobs: list[bytearray] = field(default_factory=list)


def send(
    wire: socket.socket,
    header: dict[str, Any],
    blobs: Sequence[bytes | bytearray | memoryview] = (),
) -> None:
    """Send one message; raises :class:`Closed` where the other side is gone."""
    views = [memoryview(blob).cast("B") for blob in blobs]
    body = json.dumps({"header": header, "sizes": [len(view) for view in views]}).encode()
    try:
        if not views:
            wire.sendall(LENGTH.pack(len(body)) + body)
            return
        carrier = _carrier(views)
        try:
            socket.send_fds(wire, [LENGTH.pack(len(body))], [carrier])
        finally:
            os.close(carrier)
        wire.sendall(body)
    except (BrokenPipeError, ConnectionError) as error:
        raise Closed from error


def _carrier(views: Sequence[memoryview]) -> int:
    """An anonymous file with all the bytes one after the other."""
    carrier = os.memfd_create("kernelllm-message", os.MFD_CLOEXEC)
    for view in views:
        rest = view
        while len(rest):
            rest = rest[os.write(carrier, rest) :]
    return carrier


def receive(wire: socket.socket) -> Message:
    """Wait for one message; raises :class:`Closed` at the end and :class:`BadMessage`.

    A message that is too large for this process's memory is a ``MemoryError``.
    """
    carriers: list[int] = []
    try:
        length = LENGTH.unpack(_exactly(wire, LENGTH.size, carriers))[0]
        if length > HEADER_LIMIT:
            raise BadMessage(f"header of {length} bytes")
        try:
            body = json.loads(_exactly(wire, length, carriers))
            header, sizes = body["header"], body["sizes"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise BadMessage(f"no header: {type(error).__name__}") from error
        if not isinstance(header, dict) or not isinstance(sizes, list):
            raise BadMessage("not an object with sizes")
        try:
            return Message(header, _blobs(sizes, carriers))
        except OSError as error:
            raise BadMessage(f"bytes that cannot be read: {error.strerror}") from error
    finally:
        for carrier in carriers:
            os.close(carrier)


def _exactly(wire: socket.socket, count: int, carriers: list[int]) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        try:
            part, descriptors, _, _ = socket.recv_fds(wire, min(count - len(parts), 1 << 20), 1)
        except ConnectionError as error:
            raise Closed from error
        carriers.extend(descriptors)
        if len(carriers) > 1:
            raise BadMessage("more than one descriptor")
        if not part:
            raise Closed
        parts += part
    return bytes(parts)


def _blobs(sizes: list[Any], carriers: list[int]) -> list[bytearray]:
    if not sizes:
        return []
    if len(carriers) != 1 or not all(type(size) is int and size >= 0 for size in sizes):
        raise BadMessage("sizes without their bytes")
    if sum(sizes) > os.fstat(carriers[0]).st_size:
        raise BadMessage("fewer bytes than announced")
    blobs, offset = [], 0
    for size in sizes:
        blob = bytearray(size)
        filled = 0
        while filled < size:
            count = os.preadv(carriers[0], [memoryview(blob)[filled:]], offset + filled)
            if count == 0:
                raise BadMessage("fewer bytes than announced")
            filled += count
        blobs.append(blob)
        offset += size
    return blobs
