"""No two programs of a launch may touch one address unless all of them only read it.

The interpreter runs programs one after another, so a sum that is loaded, added to and stored by
every program comes out right there, and wrong on a GPU. Here each launch remembers which program
wrote, and where it matters which one read, every element. Atomics may meet each other, and nothing
else; a launch that synchronises its programs (compare-and-swap, exchange, integer counters) is left
alone, because what it protects cannot be told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy
import triton.runtime.interpreter as tri

__all__ = ["DataRace", "Races"]

NOBODY = -1
SEVERAL = -2


class DataRace(Exception):
    """Two programs touched one element, and at least one of them wrote."""


class Storage(Protocol):
    """What memory an access goes to."""

    @property
    def number(self) -> int: ...

    @property
    def name(self) -> str: ...

    def count(self, size: int) -> int: ...


class Races:
    """Who wrote, read and updated what in the launch that runs now.

    Elements are numbered for each storage and size of element. Readers are remembered only where
    somebody writes, which an argument's name tells from the second launch of a function on.
    """

    def __init__(self) -> None:
        self.synchronised = False
        self.unlockable = False
        self.writers: dict[tuple[int, int], Any] = {}
        self.readers: dict[tuple[int, int], Any] = {}
        self.updaters: dict[tuple[int, int], Any] = {}
        #: Arguments that an earlier launch of the same function wrote or updated.
        self.written: set[tuple[str, str]] = set()
        self.function = ""

    def begin(self, function: str) -> None:
        """A launch of ``function`` begins."""
        self.synchronised = False
        self.unlockable = False
        self.writers.clear()
        self.readers.clear()
        self.updaters.clear()
        self.function = function

    def loads(self, storage: Storage, elements: Any, size: int) -> None:
        """This program reads ``elements`` of ``size`` bytes."""
        if self.synchronised:
            return
        key, me = (storage.number, size), _program()
        for others, did in (
            (self.writers.get(key), "has written"),
            (self.updaters.get(key), "has updated"),
        ):
            if others is not None:
                self._refuse(others[elements], me, elements, storage.name, "reads", did)
        is_written = key in self.writers or key in self.updaters
        if is_written or (self.function, storage.name) in self.written:
            self._mark(self.readers, storage, elements, size, me)

    def stores(
        self, storage: Storage, elements: Any, size: int, changed: Callable[[], Any]
    ) -> None:
        """This program writes ``elements``; ``changed`` tells which of them get other values."""
        self.written.add((self.function, storage.name))
        if self.synchronised:
            return
        key, me = (storage.number, size), _program()
        for others, did in (
            (self.writers.get(key), "has written"),
            (self.readers.get(key), "has read"),
            (self.updaters.get(key), "has updated"),
        ):
            if others is None:
                continue
            before = others[elements]
            if ((before != NOBODY) & (before != me)).any():
                before = numpy.where(changed(), before, NOBODY)
                self._refuse(before, me, elements, storage.name, "writes", did)
        writers = self.writers.get(key)
        if writers is None:
            writers = self.writers[key] = _nobody(storage, size)
        writers[elements] = me

    def updates(
        self, storage: Storage, elements: Any, size: int, *, synchronises: bool, monotone: bool
    ) -> None:
        """This program updates ``elements`` atomically.

        A ``monotone`` update (the larger of two) may be read at any time: whoever looks first
        whether it is worth while is right.
        """
        self.synchronised = self.synchronised or (synchronises and not self.unlockable)
        self.written.add((self.function, storage.name))
        if self.synchronised:
            return
        key, me = (storage.number, size), _program()
        for others, did in (
            (self.writers.get(key), "has written"),
            (None if monotone else self.readers.get(key), "has read"),
        ):
            if others is not None:
                self._refuse(others[elements], me, elements, storage.name, "updates", did)
        if not monotone:
            self._mark(self.updaters, storage, elements, size, me)

    def swaps(self, swapped: bool) -> None:
        """A compare-and-swap changed something, or found another value than it expected.

        Where programs run one after another the first one finds every lock free. If it does not,
        nobody set the lock's word to 0: it protects nothing, whatever is done to it later.
        """
        self.unlockable = self.unlockable or not (swapped or self.synchronised)
        self.synchronised = self.synchronised or (swapped and not self.unlockable)

    def _mark(
        self,
        marks: dict[tuple[int, int], Any],
        storage: Storage,
        elements: Any,
        size: int,
        me: int,
    ) -> None:
        key = (storage.number, size)
        marked = marks.get(key)
        if marked is None:
            marked = marks[key] = _nobody(storage, size)
        before = marked[elements]
        marked[elements] = numpy.where((before == NOBODY) | (before == me), me, SEVERAL)

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


def _nobody(storage: Storage, size: int) -> Any:
    return numpy.full(storage.count(size), NOBODY, dtype=numpy.int64)


def _program() -> int:
    x, y, z = tri.interpreter_builder.grid_idx
    nx, ny, _ = tri.interpreter_builder.grid_dim
    return int(x + nx * (y + ny * z))


def _coordinates(program: int) -> tuple[int, int, int]:
    nx, ny, _ = map(int, tri.interpreter_builder.grid_dim)
    return program % nx, program // nx % ny, program // (nx * ny)
