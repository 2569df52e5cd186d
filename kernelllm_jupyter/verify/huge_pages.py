"""The server's memory in pages of 2 MB instead of 4 KB, because it is forked twice for each check.

A fork copies one entry for each page, and a process takes them down again when it ends: for what
torch and triton hold these are some 60,000, which takes longer than a small check. What a child
writes to is copied in small pages still. Linux only, and never needed: where the system gives no
such pages, checks are as right and a little slower.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["MALLOC", "collapse"]

#: In the environment of a process: what the C library hands out is in large pages from the start.
MALLOC = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}

SIZE = 2 << 20
#: Linux 6.1 or newer.
MADV_COLLAPSE = 25
SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def collapse() -> None:
    """Put what this process holds by now into large pages, as far as the system does."""
    with suppress(OSError):
        if "[never]" in SETTING.read_text():
            return
        libc = ctypes.CDLL(None)
        for start, length in list(anonymous(Path("/proc/self/maps").read_text())):
            for advice in (mmap.MADV_HUGEPAGE, MADV_COLLAPSE):
                libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), advice)


def anonymous(maps: str) -> Iterator[tuple[int, int]]:
    """Start and length of what large pages fit into, of private memory that is no file's."""
    for line in maps.splitlines():
        bounds, access, _, _, _, *name = line.split(maxsplit=5)
        if access != "rw-p" or name not in ([], ["[heap]"]):
            continue
        low, high = (int(bound, 16) for bound in bounds.split("-"))
        start, end = -(-low // SIZE) * SIZE, high // SIZE * SIZE
        if start < end:
            yield start, end - start
