"""Who may use a device: many checks side by side, or one measurement alone.

Knows neither checks nor devices.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Precedence"]

SLICE_S = 0.05


class Precedence:
    """Shared and sole use. Who wants it alone goes before those that come after."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sharing = 0
        self._alone = False
        self._wanting = 0

    @contextmanager
    def use(self, *, alone: bool, waiting: Callable[[], None]) -> Iterator[None]:
        """Have it while this lasts; ``waiting`` is called again and again until then, and may
        raise."""
        with self._changed:
            self._wanting += alone
        try:
            while not self._taken(alone):
                waiting()
        finally:
            with self._changed:
                self._wanting -= alone
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                if alone:
                    self._alone = False
                else:
                    self._sharing -= 1
                self._changed.notify_all()

    def _taken(self, alone: bool) -> bool:
        with self._changed:
            if self._alone or (self._sharing if alone else self._wanting):
                self._changed.wait(SLICE_S)
                return False
            if alone:
                self._alone = True
            else:
                self._sharing += 1
            return True
