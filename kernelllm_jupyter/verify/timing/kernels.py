"""Which kernels a call launches on a GPU and how long each takes, through torch's profiler.

The profiler needs CUPTI or its like, and rights that containers often lack: then nothing is known,
and that is said. Runs in the candidate's process; :func:`totals` is pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.profiler

__all__ = ["launched_kernels", "totals"]

PROFILED_CALLS = 5
#: What the profiler lists beside kernels and no call does.
IGNORED = ("Activity Buffer Request", "Buffer Flush")


def launched_kernels(
    call: Callable[[], Any], wait: Callable[[], None]
) -> list[tuple[str, int, float]]:
    """Name, launches and milliseconds in one call, the longest first; empty where it cannot be."""
    with torch.no_grad():
        try:
            with torch.profiler.profile(
                activities=[torch.profiler.ProfilerActivity.CUDA]
            ) as profile:
                for _ in range(PROFILED_CALLS):
                    call()
                wait()
        except (RuntimeError, TypeError):
            return []
    rows = [
        (event.key, event.count, _microseconds(event))
        for event in profile.key_averages()
        if event.device_type != torch.autograd.DeviceType.CPU
    ]
    return totals(rows, PROFILED_CALLS)


def _microseconds(event: Any) -> float:
    """A kernel's own time; torch renamed it in 2.4."""
    found = getattr(event, "self_device_time_total", None)
    return float(event.self_cuda_time_total if found is None else found)


def totals(rows: Iterable[tuple[str, int, float]], calls: int) -> list[tuple[str, int, float]]:
    """Per call, from launches and microseconds over ``calls`` of them; what was not in each call
    (a copy that came late) counts as one launch."""
    merged: dict[str, tuple[int, float]] = {}
    for name, count, microseconds in rows:
        if microseconds > 0 and count > 0 and not name.startswith(IGNORED):
            launches, spent = merged.get(name, (0, 0.0))
            merged[name] = (launches + count, spent + microseconds)
    found = [
        (name, max(1, round(count / calls)), spent / calls / 1e3)
        for name, (count, spent) in merged.items()
    ]
    return sorted(found, key=lambda row: -row[2])
