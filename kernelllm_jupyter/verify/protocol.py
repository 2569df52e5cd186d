"""Messages between the caller, the server and its children: a JSON object and raw bytes.

One message is a length, a JSON header and, where there are bytes to carry, the descriptor of an
anonymous file that holds them. Nothing is unpickled, so that a candidate which writes to its
socket can only send a wrong message, never run code in the process that compares. Large bytes are
mapped where they are and not read; a parcel that is only passed on is not even mapped.
Knows nothing of tensors or checks.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kernelllm_jupyter.carried import MAPPED, Buffer, Carried, is_sealed, mapped, offsets, written

__all__ = ["BadMessage", "Closed", "Message", "Parcel", "receive", "receive_unopened", "send"]

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
    blobs: list[Buffer] = field(default_factory=list)


@dataclass(frozen=True)
class Parcel:
    """A message whose bytes have not been looked at. Closed by whoever received it."""

    header: dict[str, Any]
    sizes: tuple[int, ...]
    descriptor: int | None

    def close(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)


def send(
    wire: socket.socket,
    header: dict[str, Any],
    blobs: Sequence[Buffer] | Carried | Parcel = (),
) -> None:
    """Send one message; raises :class:`Closed` where the other side is gone.

    Bytes that are in a file already, carried or of a parcel, are not copied.
    """
    if isinstance(blobs, Carried | Parcel):
        sizes, carrier, ours = list(blobs.sizes), blobs.descriptor, False
    else:
        views = [memoryview(blob).cast("B") for blob in blobs]
        sizes, carrier, ours = [len(view) for view in views], None, True
    body = json.dumps({"header": header, "sizes": sizes}).encode()
    try:
        if not sizes:
            wire.sendall(LENGTH.pack(len(body)) + body)
            return
        if carrier is None:
            carrier = written(views)
        try:
            socket.send_fds(wire, [LENGTH.pack(len(body))], [carrier])
        finally:
            if ours:
                os.close(carrier)
        wire.sendall(body)
    except (BrokenPipeError, ConnectionError) as error:
        raise Closed from error


def receive(wire: socket.socket) -> Message:
    """Wait for one message; raises :class:`Closed` at the end and :class:`BadMessage`.

    A message that is too large for this process's memory is a ``MemoryError``.
    """
    parcel = receive_unopened(wire)
    try:
        return Message(parcel.header, _blobs(parcel))
    except OSError as error:
        raise BadMessage(f"bytes that cannot be read: {error.strerror}") from error
    finally:
        parcel.close()


def receive_unopened(wire: socket.socket) -> Parcel:
    """Wait for one message that is to be passed on; raises as :func:`receive` does."""
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
        if not sizes:
            return Parcel(header, (), None)
        if len(carriers) != 1 or not all(type(size) is int and size >= 0 for size in sizes):
            raise BadMessage("sizes without their bytes")
        return Parcel(header, tuple(sizes), carriers.pop())
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
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        carriers.extend(descriptors)
        if len(carriers) > 1:
            raise BadMessage("more than one descriptor")
        if not part:
            raise Closed
        parts += part
    return bytes(parts)


def _blobs(parcel: Parcel) -> list[Buffer]:
    carrier, sizes = parcel.descriptor, parcel.sizes
    if carrier is None:
        return []
    begins = offsets(sizes)
    length = max(
        (begin + size for begin, size in zip(begins, sizes, strict=True) if size), default=0
    )
    if length > os.fstat(carrier).st_size:
        raise BadMessage("fewer bytes than announced")
    if length >= MAPPED and is_sealed(carrier):
        try:
            whole = mapped(carrier, length)
        except OSError as error:
            if error.errno == errno.ENOMEM:
                raise MemoryError from error
            raise
        return [whole[begin : begin + size] for begin, size in zip(begins, sizes, strict=True)]
    return [_read(carrier, begin, size) for begin, size in zip(begins, sizes, strict=True)]


def _read(carrier: int, begin: int, size: int) -> bytearray:
    blob = bytearray(size)
    filled = 0
    while filled < size:
        count = os.preadv(carrier, [memoryview(blob)[filled:]], begin + filled)
        if count == 0:
            raise BadMessage("fewer bytes than announced")
        filled += count
    return blob
