"""The candidate's place in a measurement: its stand in its own process, and the referee's view.

:class:`Visit` is the candidate's side and decides nothing; :class:`Remote` is the referee's. All
that comes back is a claim: every figure is looked at, and the referee's own clock sees each turn
from outside (see ``honesty``).
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from kernelllm_jupyter.verify.nests import leaves
from kernelllm_jupyter.verify.opponent import MOST_WORDS, Opponent, garbled, printable
from kernelllm_jupyter.verify.protocol import Message
from kernelllm_jupyter.verify.tensors import Blob, pack, plain_nest, unpack
from kernelllm_jupyter.verify.timing.clocks import Clock
from kernelllm_jupyter.verify.timing.honesty import Alone, Outside
from kernelllm_jupyter.verify.timing.kernels import launched_kernels
from kernelllm_jupyter.verify.timing.stand import Stand, spelled
from kernelllm_jupyter.verify.trials import sow
from kernelllm_jupyter.verify.watching.audit import Launches

__all__ = ["First", "Guest", "Remote", "Visit"]

#: Longest name of a kernel that is taken over.
NAME_LIMIT = 300


@dataclass(frozen=True)
class First:
    """A contender's first call: what compiling took, and trying configurations apart from it."""

    first_s: float
    autotune_s: float | None
    peak_bytes: int | None


# --- the candidate's side ------------------------------------------------------------------------


class Guest(Protocol):
    """The built candidate, as far as a measurement needs it."""

    model: torch.nn.Module

    def watching(self) -> AbstractContextManager[Any]:
        """What is active around its code."""

    def load(self, weights: dict[str, torch.Tensor], training: bool) -> None:
        """Give it the reference's weights and mode."""


class Visit:
    """A candidate's stand from one message to the next. Made before its code is executed."""

    def __init__(self, clock: Clock, launches: Launches, device: str, core: int | None):
        self.clock, self.launches, self.device = clock, launches, device
        if core is not None:
            with suppress(OSError):
                os.sched_setaffinity(0, {core})
        self.stand: Stand | None = None
        launches.resting = clock.on_gpu
        self.steps: dict[str, Callable[[Message, Guest], dict[str, Any]]] = {
            "stand": self._set_up,
            "turn": self._turn,
            "alone": self._alone,
            "kernels": self._kernels,
        }

    def answer(self, message: Message, guest: Guest) -> tuple[dict[str, Any], list[Blob]]:
        """The reply to one message; raises what the candidate's code raises."""
        blobs: list[Blob] = []
        if message.header["step"] == "results":
            assert self.stand is not None
            result = plain_nest(self.stand.results[int(message.header["slot"])])
            devices = [x.device.type for _, x in leaves(result) if isinstance(x, torch.Tensor)]
            return {"outputs": pack(result, blobs), "devices": devices}, blobs
        return self.steps[message.header["step"]](message, guest), blobs

    def _set_up(self, message: Message, guest: Guest) -> dict[str, Any]:
        header = message.header
        self.stand = None
        guest.load(unpack(header["state"], message.blobs), header["training"])
        sets = unpack(header["sets"], message.blobs, self.device)
        sow(header["seed"])
        stand = self.stand = Stand(self.clock, spelled(guest.model, self.device), sets)
        self.launches.tuning_s = 0.0
        with guest.watching():
            first_s = stand.first()
        # The memory in which kernels were compiled and configurations tried is no call's.
        with guest.watching():
            peak = stand.peak()
        tuned = self.launches.tuning_s
        return {"first_s": first_s, "autotune_s": tuned or None, "peak_bytes": peak}

    def _turn(self, message: Message, guest: Guest) -> dict[str, Any]:
        stand, header = self.stand, message.header
        assert stand is not None
        if header["shift"] is not None:
            stand.place(header["shift"])
        with guest.watching():
            return {"device_ms": stand.turn(header["calls"])}

    def _alone(self, message: Message, guest: Guest) -> dict[str, Any]:
        assert self.stand is not None
        with guest.watching():
            found = self.stand.alone(message.header["calls"])
        return {"device_ms": list(found.device_ms), "wall_ms": list(found.wall_ms)}

    def _kernels(self, message: Message, guest: Guest) -> dict[str, Any]:
        stand = self.stand
        assert stand is not None
        if not self.clock.on_gpu:
            return {"kernels": []}
        self.launches.start(disabled=False, operators=None)
        self.launches.resting = False
        with guest.watching():
            stand.turn(1)
        self.launches.resting = True
        names = set(self.launches.names)
        with guest.watching():
            found = launched_kernels(lambda: stand.call(*stand.slots[0]), stand.clock.wait)
        return {"kernels": [[*row, row[0] in names] for row in found]}


# --- the referee's side --------------------------------------------------------------------------


class Remote:
    """The candidate as the referee measures it."""

    def __init__(self, opponent: Opponent):
        self._opponent = opponent
        #: By the referee's clock, with what was told of each.
        self.outsides: list[Outside] = []

    def open(self, core: int | None) -> None:
        """Have the clock made there, before the candidate's code is executed, on one core."""
        self._ask({"step": "open", "core": core})

    def stand(
        self, sets: list[list[Any]], weights: dict[str, torch.Tensor], training: bool, seed: int
    ) -> First:
        """Set it up with inputs and weights, and have it called for the first time."""
        blobs: list[Blob] = []
        header = {
            "step": "stand",
            "sets": pack(sets, blobs),
            "state": pack(weights, blobs),
            "training": training,
            "seed": seed,
        }
        found = self._ask(header, blobs).header
        try:
            tuned, peak = found["autotune_s"], found["peak_bytes"]
            if peak is not None and (type(peak) is not int or peak < 0):
                raise ValueError("no memory")
            (first_s,) = _figures([found["first_s"]], 1)
            return First(first_s, None if tuned is None else _figures([tuned], 1)[0], peak)
        except (KeyError, ValueError) as error:
            raise garbled(error) from None

    def turn(self, calls: int, shift: int | None = None) -> list[float]:
        """The device's milliseconds of each call, as it tells them."""
        self._turn(3, shift)
        started = time.perf_counter()
        told = self._turn(calls, None)
        self.outsides.append(Outside((time.perf_counter() - started) * 1e3, tuple(told)))
        return told

    def empty_ms(self) -> float:
        """What a turn without calls lasts: messages, and looking around."""
        lasted = []
        for _ in range(5):
            started = time.perf_counter()
            self._turn(0, None)
            lasted.append((time.perf_counter() - started) * 1e3)
        return sorted(lasted)[2]

    def _turn(self, calls: int, shift: int | None) -> list[float]:
        found = self._ask({"step": "turn", "calls": calls, "shift": shift}).header
        return self._taken(found, "device_ms", calls)

    def alone(self, calls: int) -> Alone:
        """Calls one by one, as it tells them."""
        found = self._ask({"step": "alone", "calls": calls}).header
        device, wall = (self._taken(found, name, calls) for name in ("device_ms", "wall_ms"))
        return Alone(tuple(device), tuple(wall))

    def results(self, slot: int) -> tuple[Any, tuple[str, ...]]:
        """What a timed call returned, and on which devices it was."""
        message = self._ask({"step": "results", "slot": slot})
        try:
            devices = tuple(str(name) for name in message.header["devices"])
            return unpack(message.header["outputs"], message.blobs), devices
        except (KeyError, ValueError, TypeError) as error:
            raise garbled(error) from None

    def kernels(self) -> list[tuple[str, int, float, bool]]:
        """Its kernels on the device: name, launches, milliseconds, and whether it defines it."""
        found = self._ask({"step": "kernels"}).header
        try:
            rows = found["kernels"]
            if not isinstance(rows, list) or len(rows) > MOST_WORDS:
                raise ValueError("no kernels")
            return [_kernel(row) for row in rows]
        except (KeyError, ValueError, TypeError) as error:
            raise garbled(error) from None

    def _taken(self, found: dict[str, Any], name: str, count: int) -> list[float]:
        try:
            return _figures(found[name], count)
        except (KeyError, ValueError) as error:
            raise garbled(error) from None

    def _ask(self, header: dict[str, Any], blobs: list[Blob] | None = None) -> Message:
        return self._opponent.exchange({"do": "time", **header}, blobs or [])


def _figures(found: Any, count: int) -> list[float]:
    if not isinstance(found, list) or len(found) != count:
        raise ValueError("not as many figures as calls")
    if not all(type(x) in (int, float) and 0 < x < math.inf for x in found):
        raise ValueError("no figures")
    return [float(x) for x in found]


def _kernel(row: Any) -> tuple[str, int, float, bool]:
    name, launches, ms, own = row
    if not isinstance(name, str) or type(launches) is not int or launches < 1:
        raise ValueError("no kernel")
    return printable(name[:NAME_LIMIT]), launches, _figures([ms], 1)[0], own is True
