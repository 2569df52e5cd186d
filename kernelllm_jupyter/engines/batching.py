"""Which completions are decoded together, and when: one batch per prompt, several side by side.

``generate`` takes no newcomers once it runs, so requests for one prompt that arrive within a few
milliseconds form a batch, and different prompts run in threads beside each other. Knows neither
torch nor sockets.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

__all__ = ["Batcher"]

#: How long a completion waits for others of its prompt when none is seen coming, and at most.
GATHER_S = 0.001
GATHER_AT_MOST_S = 0.025
MAX_BATCH = 16
MAX_SIDE_BY_SIDE = 4


class _Item(Protocol):
    prompt: tuple[int, ...]
    cancelled: bool


T = TypeVar("T", bound=_Item)


class Batcher(Generic[T]):
    """Runs ``decode`` on batches; ``decode`` reports its own failures and does not raise."""

    def __init__(self, decode: Callable[[Sequence[T]], None]):
        self._decode = decode
        self._waiting: list[T] = []
        self._coming: set[object] = set()
        self._arrived = threading.Condition()
        self._slots = threading.Semaphore(MAX_SIDE_BY_SIDE)
        self._busy = 0
        self._holds = 0
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    def expect(self, visitor: object) -> None:
        """Say that ``visitor`` may be about to submit: a batch waits a moment for it."""
        with self._arrived:
            self._coming.add(visitor)

    def settle(self, visitor: object) -> None:
        """Say that ``visitor`` has submitted, or will not."""
        with self._arrived:
            self._coming.discard(visitor)
            self._arrived.notify()

    def submit(self, item: T) -> None:
        with self._arrived:
            self._waiting.append(item)
            self._arrived.notify()

    @property
    def busy(self) -> int:
        """How many completions are decoded or wait for it."""
        with self._arrived:
            return self._busy + len(self._waiting)

    def hold(self) -> None:
        """Begin no batch until :meth:`release`; those that are decoded go on to their end."""
        with self._arrived:
            self._holds += 1

    def release(self) -> None:
        """Take back one hold."""
        with self._arrived:
            self._holds -= 1
            self._arrived.notify_all()

    @property
    def held(self) -> bool:
        with self._arrived:
            return self._holds > 0

    @property
    def at_rest(self) -> bool:
        """Whether nothing is decoded, whatever may wait for it."""
        with self._arrived:
            return self._busy == 0

    def _run(self) -> None:
        while True:
            self._slots.acquire()
            batch = self._gather()
            threading.Thread(target=self._decode_one, args=(batch,), daemon=True).start()

    def _gather(self) -> list[T]:
        with self._arrived:
            while True:
                while self._holds or not self._waiting:
                    self._arrived.wait()
                until = time.monotonic() + GATHER_AT_MOST_S
                seen = 0
                while (self._coming or seen != len(self._waiting)) and time.monotonic() < until:
                    seen = len(self._waiting)
                    self._arrived.wait(GATHER_S)
                if not self._holds:
                    break
            prompt = self._waiting[0].prompt
            batch = [item for item in self._waiting if item.prompt == prompt][:MAX_BATCH]
            self._waiting = [item for item in self._waiting if item not in batch]
            self._busy += len(batch)
            return batch

    def _decode_one(self, batch: list[T]) -> None:
        try:
            self._decode(batch)
        finally:
            with self._arrived:
                self._busy -= len(batch)
            self._slots.release()
