"""No two programs of a launch may touch one address unless all of them only read it.

The interpreter runs programs one after another, so a sum that is loaded, added to and stored by
every program comes out right there, and wrong on a GPU. Here each launch remembers which program
wrote, and where it matters which one read, every element. Atomics do not count; a launch that
synchronises its programs (compare-and-swap, exchange, integer counters) is left alone, because
what it protects cannot be told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import triton.runtime.interpreter as tri

__all__ = ["DataRace", "Races"]

NOBODY = -1
SEVERAL = -2


class DataRace(Exception):
    """Two programs touched one element, and at least one of them wrote."""


class Races:
    """Who wrote and read what in the launch that runs now. Elements are numbered per storage."""

    def __init__(self) -> None:
        self.synchronised = False
        self.writers: dict[tuple[str, int], Any] = {}
        self.readers: dict[tuple[str, int], Any] = {}
        #: Arguments that an earlier launch of the same function wrote: their readers are noted.
        self.written: set[tuple[str, str]] = set()
        self.function = ""

    def begin(self, function: str) -> None:
        """A launch of ``function`` begins."""
        self.synchronised = False
        self.writers.clear()
        self.readers.clear()
        self.function = function

    def loads(self, name: str, elements: Any, count: int, size: int) -> None:
        """This program reads ``elements`` of an argument that has ``count`` of ``size`` bytes."""
        if self.synchronised:
            return
        key, me = (name, size), _program()
        writers = self.writers.get(key)
        if writers is not None:
            self._refuse(writers[elements], me, elements, name, "reads", "has written")
        if writers is None and (self.function, name) not in self.written:
            return
        readers = self.readers.get(key)
        if readers is None:
            readers = self.readers[key] = numpy.full(count, NOBODY, dtype=numpy.int64)
        before = readers[elements]
        readers[elements] = numpy.where((before == NOBODY) | (before == me), me, SEVERAL)

    def stores(
        self, name: str, elements: Any, count: int, size: int, changed: Callable[[], Any]
    ) -> None:
        """This program writes ``elements``; ``changed`` tells which of them get other values."""
        self.written.add((self.function, name))
        if self.synchronised:
            return
        key, me = (name, size), _program()
        writers = self.writers.get(key)
        if writers is None:
            writers = self.writers[key] = numpy.full(count, NOBODY, dtype=numpy.int64)
        for others, did in ((writers, "has written"), (self.readers.get(key), "has read")):
            if others is None:
                continue
            before = others[elements]
            if ((before != NOBODY) & (before != me)).any():
                before = numpy.where(changed(), before, NOBODY)
                self._refuse(before, me, elements, name, "writes", did)
        writers[elements] = me

    def updates(self, name: str, elements: Any, size: int, *, synchronises: bool) -> None:
        """This program updates ``elements`` atomically."""
        self.synchronised = self.synchronised or synchronises
        writers = self.writers.get((name, size))
        if writers is not None and not self.synchronised:
            self._refuse(writers[elements], _program(), elements, name, "updates", "has written")

    def _refuse(self, before: Any, me: int, elements: Any, name: str, does: str, did: str) -> None:
        clashing = (before != NOBODY) & (before != me)
        if not clashing.any():
            return
        element = int(elements[clashing].reshape(-1)[0])
        other = int(before[clashing].reshape(-1)[0])
        who = "another program" if other == SEVERAL else f"program {_coordinates(other)}"
        raise DataRace(
            f"program {_coordinates(me)} {does} element {element} of {name}, which {who} {did} in "
            "the same launch: on a GPU they run at once. Use an atomic, or let one program do it."
        )


def _program() -> int:
    x, y, z = tri.interpreter_builder.grid_idx
    nx, ny, _ = tri.interpreter_builder.grid_dim
    return int(x + nx * (y + ny * z))


def _coordinates(program: int) -> tuple[int, int, int]:
    nx, ny, _ = map(int, tri.interpreter_builder.grid_dim)
    return program % nx, program // nx % ny, program // (nx * ny)
