"""Where one contender is measured: its calls, on several sets of inputs, one turn after another.

The same in the referee's process, for PyTorch, and in the candidate's. It is given a function and
decides nothing: when whose turn is and what the figures mean is said elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from kernelllm_jupyter.verify.nests import copied, identical, leaves
from kernelllm_jupyter.verify.surroundings import surroundings
from kernelllm_jupyter.verify.timing.clocks import Clock
from kernelllm_jupyter.verify.timing.honesty import Alone

__all__ = ["Stand", "nothing", "spelled"]

#: Calls before a turn, which are not counted.
WARMING_CALLS = 3


def nothing(*_: Any) -> None:
    """The contender that shows what measuring takes by itself."""


def spelled(call: Callable[..., Any], device: str) -> Callable[..., Any]:
    """A function that may be written for CUDA, on this device: on a GPU it is itself."""
    if device != "cpu":
        return call

    def on_cpu(*inputs: Any) -> Any:
        with surroundings(device):
            return call(*inputs)

    return on_cpu


class Stand:
    """A contender and its inputs: ``sets`` stay as they are, calls get slots of their own."""

    def __init__(self, clock: Clock, call: Callable[..., Any], sets: Sequence[list[Any]]):
        self.clock, self.call = clock, call
        self.values = list(sets)
        self.slots = [copied(inputs) for inputs in sets]
        #: The memory of both, tensor by tensor.
        self._filled = [_memory(inputs) for inputs in self.slots]
        self._given = [_memory(inputs) for inputs in self.values]
        self.results: list[Any] = [None] * len(self.slots)
        #: Whether calls change their inputs, which are then put back before each.
        self.in_place = False
        self.placed = 0

    def first(self) -> float:
        """The first call, in which everything is compiled; the seconds until it is through."""
        self.clock.wait()
        self.clock.forget_peak()
        started = self.clock.seconds()
        with torch.no_grad():
            self.results[0] = self.call(*self.slots[0])
        self.clock.wait()
        took = self.clock.seconds() - started
        self.in_place = not identical(self.slots[0], self.values[0])
        self.place(0)
        return took

    def peak(self) -> int | None:
        """The most memory that a later call holds."""
        self.results = [None] * len(self.slots)
        self.clock.wait()
        self.clock.forget_peak()
        with torch.no_grad():
            kept = self.call(*self.slots[0])
        self.clock.wait()
        found = self.clock.peak_bytes()
        del kept
        self.place(self.placed)
        return found

    def place(self, shift: int) -> None:
        """Give every slot the values of the one ``shift`` further on: what is kept by address, or
        from the turn before, is wrong then."""
        self.placed = shift % len(self.slots)
        for number in range(len(self.slots)):
            self._fill(number)

    def _fill(self, number: int) -> None:
        given = self._given[(number + self.placed) % len(self._given)]
        for to, value in zip(self._filled[number], given, strict=True):
            to.copy_(value)

    def turn(self, calls: int) -> list[float]:
        """The device's milliseconds of each call, with a cold cache; a turn of no calls is empty.

        Launches are queued while the cache is being cleared, as where a program calls one kernel
        after another.
        """
        clock, call, slots, results = self.clock, self.call, self.slots, self.results
        marks = []
        with torch.no_grad():
            for number in range(calls):
                slot = number % len(slots)
                if self.in_place:
                    self._fill(slot)
                clock.flush()
                start = clock.mark()
                results[slot] = call(*slots[slot])
                marks.append((start, clock.mark()))
        clock.wait()
        return [clock.between_ms(start, end) for start, end in marks]

    def warm(self) -> None:
        """A few calls that are not counted."""
        self.turn(WARMING_CALLS)

    def alone(self, calls: int) -> Alone:
        """Calls each of which begins and ends with the whole device idle, by both clocks."""
        clock = self.clock
        device, wall = [], []
        with torch.no_grad():
            for number in range(calls):
                slot = number % len(self.slots)
                if self.in_place:
                    self._fill(slot)
                clock.flush()
                clock.wait()
                started = clock.seconds()
                start = clock.mark()
                self.results[slot] = self.call(*self.slots[slot])
                end = clock.mark()
                clock.wait()
                wall.append((clock.seconds() - started) * 1e3)
                device.append(clock.between_ms(start, end))
        return Alone(tuple(device), tuple(wall))


def _memory(inputs: list[Any]) -> list[torch.Tensor]:
    """All that tensors show of their memory, once: an expanded one shows some repeatedly."""
    return [_flat(leaf) for _, leaf in leaves(inputs) if isinstance(leaf, torch.Tensor)]


def _flat(tensor: torch.Tensor) -> torch.Tensor:
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    span = 1 + sum((n - 1) * stride for n, stride in sizes) if tensor.numel() else 0
    return tensor.as_strided((span,), (1,), tensor.storage_offset())
