"""Memory that the C library hands out uninitialised, filled with what no computation leaves there.

Runs in the candidate's process, while its code runs. PyTorch's own allocations are poisoned by
``audit.Operators``; this covers the others, such as ``numpy.empty`` and bare storages, which on a
quiet machine hold zeros or what was freed before. glibc only: elsewhere nothing is filled.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["filling"]

#: glibc's option; memory gets the complement of the byte when it is handed out.
M_PERTURB = -6
#: As float32 the complement's four bytes are 3.4e38, as float16 NaN, as integers 2139062143.
BYTE = 0x80


def _found() -> Callable[[int, int], int] | None:
    try:
        mallopt: Callable[[int, int], int] = ctypes.CDLL(None).mallopt
        return mallopt
    except (AttributeError, OSError):
        return None


MALLOPT = _found()


@contextmanager
def filling() -> Iterator[None]:
    """Within it, memory is filled when it is handed out."""
    if MALLOPT is None:
        yield
        return
    MALLOPT(M_PERTURB, BYTE)
    try:
        yield
    finally:
        MALLOPT(M_PERTURB, 0)
