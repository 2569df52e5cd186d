"""Bytes that cross from process to process without being copied on the way.

They lie one after the other in an anonymous file in memory. It is sealed, so that whoever gets its
descriptor may map it as it is: nobody can change or cut it any more. Only Linux has such files;
elsewhere it is one without a name on the disk, which nobody maps. Knows nothing of tensors, nor of
who sends what to whom. Imports nothing of ours.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import weakref
from collections.abc import Iterable, Sequence

if sys.platform == "linux":
    import fcntl

    UNCHANGING = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_WRITE

__all__ = ["MAPPED", "Buffer", "Carried", "is_sealed", "mapped", "offsets", "written"]

Buffer = bytes | bytearray | memoryview

#: From this size on, what arrives is mapped and not read.
MAPPED = 1 << 20
#: Each piece begins at a multiple of this, so that any dtype may be read in place.
ALIGNMENT = 64


class Carried:
    """Pieces of memory as they were when this was made, for as long as this object lives."""

    def __init__(self, pieces: Iterable[Buffer]):
        views = [memoryview(piece).cast("B") for piece in pieces]
        self.sizes = tuple(len(view) for view in views)
        self.descriptor = written(views)
        self._closing = weakref.finalize(self, os.close, self.descriptor)

    def close(self) -> None:
        """Let the memory go now, where it is no longer used elsewhere."""
        self._closing()


def written(views: Sequence[memoryview]) -> int:
    """The descriptor of a sealed anonymous file that holds all of ``views``."""
    carrier = _without_name()
    try:
        for view, offset in zip(views, offsets([len(view) for view in views]), strict=True):
            os.lseek(carrier, offset, os.SEEK_SET)
            rest = view
            while len(rest):
                rest = rest[os.write(carrier, rest) :]
        if sys.platform == "linux":
            fcntl.fcntl(carrier, fcntl.F_ADD_SEALS, UNCHANGING | fcntl.F_SEAL_GROW)
    except BaseException:
        os.close(carrier)
        raise
    return carrier


def _without_name() -> int:
    if sys.platform == "linux":
        return os.memfd_create("kernelllm-message", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def offsets(sizes: Sequence[int]) -> list[int]:
    """Where pieces of these sizes begin."""
    found, end = [], 0
    for size in sizes:
        found.append(end)
        end += -(-size // ALIGNMENT) * ALIGNMENT
    return found


def is_sealed(descriptor: int) -> bool:
    """Whether a file can neither change nor shrink under a mapping of it."""
    if sys.platform != "linux":
        return False
    try:
        return fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & UNCHANGING == UNCHANGING
    except OSError:
        return False


def mapped(descriptor: int, length: int) -> memoryview:
    """A file's bytes in place; writing to them changes a private copy of the page."""
    found = mmap.mmap(
        descriptor, length, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE
    )
    return memoryview(found)
