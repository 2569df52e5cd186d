"""A device as a measurement needs it: its clock, its cache, and when it is idle.

A clock is made before any code of a candidate is executed, and keeps C functions that Python code
cannot replace. :class:`CpuClock` measures the host's own work: the same loop runs on it where
there is no GPU, which is how that loop is tested; nobody is shown its figures.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Protocol

import torch

from kernelllm_jupyter.verify.isolation.sandbox import available_memory_mb

__all__ = ["Clock", "CpuClock", "CudaClock", "clock_for"]

#: What is written between two calls: at least as much as ``triton.testing.do_bench`` writes, so
#: that launches hide behind it as they do there, and twice the cache where that is larger.
FLUSHED_BYTES = 256 << 20
CPU_FLUSHED_BYTES = 1 << 20

Mark = Any


class Clock(Protocol):
    """What the measuring loop asks of a device."""

    on_gpu: bool
    cache_bytes: int | None
    #: By how much two processes may differ in what a call takes beside itself.
    tolerance_ms: float
    #: The wall clock.
    seconds: Callable[[], float]

    def wait(self) -> None:
        """Return when the whole device is idle, whatever stream or thread gave it work."""

    def flush(self) -> None:
        """Have what is cached replaced; need not wait for it."""

    def mark(self) -> Mark:
        """A point in the work of the current stream."""

    def between_ms(self, start: Mark, end: Mark) -> float:
        """The device's time from one mark to another; after :meth:`wait`."""

    def forget_peak(self) -> None:
        """Begin to watch for the most memory that is held at once."""

    def peak_bytes(self) -> int | None:
        """The most that was held since then, beyond what was held already."""

    def free_bytes(self) -> int:
        """Memory that may still be had."""


class CudaClock:
    """A GPU that torch calls CUDA, AMD's among them; the current stream is the default one."""

    def __init__(self) -> None:
        self.on_gpu = True
        self.tolerance_ms = 0.02
        properties = torch.cuda.get_device_properties(0)
        self.cache_bytes: int | None = getattr(properties, "L2_cache_size", None)
        size = max(FLUSHED_BYTES, 2 * (self.cache_bytes or 0))
        self._buffer = torch.empty(size // 4, dtype=torch.int32, device="cuda:0")
        self._zero = torch.Tensor.zero_
        self._stream = torch.cuda.current_stream()
        c: Any = torch._C
        self._event: Callable[..., Any] = c._CudaEventBase
        self._record, self._elapsed = self._event.record, self._event.elapsed_time
        self._synchronize: Callable[[], None] = c._cuda_synchronize
        self._memory = (
            torch.cuda.reset_peak_memory_stats,
            torch.cuda.max_memory_allocated,
            torch.cuda.memory_allocated,
            torch.cuda.mem_get_info,
        )
        self._held = 0
        self.seconds: Callable[[], float] = time.perf_counter

    def wait(self) -> None:
        self._synchronize()

    def flush(self) -> None:
        self._zero(self._buffer)

    def mark(self) -> Mark:
        event = self._event(enable_timing=True)
        self._record(event, self._stream)
        return event

    def between_ms(self, start: Mark, end: Mark) -> float:
        return float(self._elapsed(start, end))

    def forget_peak(self) -> None:
        reset, _, now, _ = self._memory
        self._held = now()
        reset()

    def peak_bytes(self) -> int | None:
        return max(0, int(self._memory[1]()) - self._held)

    def free_bytes(self) -> int:
        # What PyTorch keeps of tensors that are gone is free as well.
        torch.cuda.empty_cache()
        return int(self._memory[3]()[0])


class CpuClock:
    """The host itself, which does all its work at once: it is idle whenever it is asked."""

    def __init__(self) -> None:
        self.on_gpu = False
        # What surrounds a call is work of a host that others share: nothing can be told from it.
        self.tolerance_ms = math.inf
        self.cache_bytes: int | None = None
        self._buffer = torch.empty(CPU_FLUSHED_BYTES // 4, dtype=torch.int32)
        self._zero = torch.Tensor.zero_
        self.seconds: Callable[[], float] = time.perf_counter

    def wait(self) -> None:
        return

    def flush(self) -> None:
        self._zero(self._buffer)

    def mark(self) -> Mark:
        return self.seconds()

    def between_ms(self, start: Mark, end: Mark) -> float:
        return float(end - start) * 1e3

    def forget_peak(self) -> None:
        return

    def peak_bytes(self) -> int | None:
        return None

    def free_bytes(self) -> int:
        return available_memory_mb() << 20


def clock_for(device: str) -> Clock:
    """The clock of ``cpu`` or of a GPU."""
    return CpuClock() if device == "cpu" else CudaClock()
