"""Who else used the GPU: other processes' work and memory, as NVIDIA's management library tells.

Runs in the caller's process, before, during and after a measurement, and imports no torch. NVML is
asked through the optional package ``nvidia-ml-py`` (``pynvml``); where it is missing nothing is
known, and the timing says so. :func:`contamination` is pure.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernelllm_jupyter.values import Finding

__all__ = ["Look", "Watch", "contamination", "descendants", "visible_device", "watching"]

#: How often the GPU is looked at; its own figures cover a sixth of a second to a second.
EVERY_S = 0.25
#: Use of the GPU, in per cent, above which somebody is at work on it.
AT_WORK = 5
#: How long what was at work just before still counts in what the device says of its use.
SETTLE_S = 1.0


@dataclass(frozen=True)
class Look:
    """The GPU at one moment: its use in per cent, its processes, and the use by each of them."""

    busy: int | None
    processes: frozenset[int] = frozenset()
    at_work: Mapping[int, int] = field(default_factory=dict)
    #: Why the clock is lower than it could be, apart from having nothing to do.
    slowed: str = ""


def contamination(
    before: Iterable[Look], during: Iterable[Look], after: Iterable[Look], ours: set[int]
) -> tuple[Finding, ...]:
    """What disturbed a measurement.

    Before and after it nobody of ours is at work, so any use is another's. While it lasts, others
    are those whose number is not among ``ours``; in a container numbers may be another
    namespace's, which shows in none of ours being there, and then only the rest can be told.
    """
    found = []
    quiet = [look.busy for look in (*before, *after) if look.busy is not None]
    if quiet and sorted(quiet)[len(quiet) // 2] >= AT_WORK:
        text = f"Before or after the measurement another process used {max(quiet)} % of the GPU."
        found.append(Finding("other_process", text))
    looks = list(during)
    seen = set().union(*(look.processes for look in looks)) if looks else set()
    if seen & ours:
        others = sorted(
            {
                pid
                for look in looks
                for pid, use in look.at_work.items()
                if pid not in ours and use >= AT_WORK
            }
        )
        if others and not found:
            names = ", ".join(f"{pid} ({_name(pid)})" for pid in others[:3])
            text = f"Other processes used the GPU during the measurement: {names}."
            found.append(Finding("other_process", text))
    slowed = sorted({look.slowed for look in looks if look.slowed})
    if slowed:
        text = f"The GPU lowered its clock during the measurement: {', '.join(slowed)}."
        found.append(Finding("throttled", text))
    return tuple(found)


def _name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return "of another container or user"


def descendants(root: int) -> set[int]:
    """A process and all that it started, directly or through one another."""
    found, waiting = {root}, [root]
    while waiting:
        pid = waiting.pop()
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            with suppress(OSError, ValueError):
                children = {int(child) for child in path.read_text().split()} - found
                found |= children
                waiting += children
    return found


def visible_device(variable: str | None) -> int | str | None:
    """Which GPU is the first that a program sees, by ``CUDA_VISIBLE_DEVICES``: a number or a UUID;
    None where it sees none, or a part of one (MIG), whose use cannot be told apart."""
    first = (variable if variable is not None else "0").split(",")[0].strip()
    if first.isdigit():
        return int(first)
    return first if first.startswith("GPU-") else None


class Watch:
    """Looks at the GPU: a few times before, all along, and a few times after."""

    def __init__(
        self, look: Callable[[], Look], ours: Callable[[], set[int]], settle_s: float = SETTLE_S
    ):
        self._look, self._ours, self._settle_s = look, ours, settle_s
        self._known: set[int] = set()
        self._looks: dict[str, list[Look]] = {"before": [], "during": [], "after": []}
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Watch:
        self._glance("before")
        self._thread = threading.Thread(target=self._run, name="kernelllm-gpu-watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join(2.0)

    def found(self) -> tuple[Finding, ...]:
        """What disturbed the measurement that was watched; to be asked when it is over."""
        self._glance("after")
        looks = self._looks
        return contamination(looks["before"], looks["during"], looks["after"], self._known)

    def _glance(self, when: str) -> None:
        waits = threading.Event()
        # What the device says of its use is about the time just past, in which we worked ourselves.
        waits.wait(self._settle_s)
        for _ in range(3):
            waits.wait(EVERY_S)
            self._looks[when].append(self._look())

    def _run(self) -> None:
        while not self._end.wait(EVERY_S):
            self._known |= self._ours()
            self._looks["during"].append(self._look())


def watching(ours: Callable[[], set[int]]) -> Watch | None:
    """A watch over the GPU that programs see first; None where nobody tells of it."""
    try:
        import pynvml
    except ImportError:
        return None
    device = visible_device(os.environ.get("CUDA_VISIBLE_DEVICES"))
    if device is None:
        return None
    try:
        pynvml.nvmlInit()
        by = pynvml.nvmlDeviceGetHandleByIndex
        handle = by(device) if isinstance(device, int) else pynvml.nvmlDeviceGetHandleByUUID(device)
    except pynvml.NVMLError:
        return None
    return Watch(lambda: _look(pynvml, handle), ours)


def _look(nvml: Any, handle: Any) -> Look:
    """What NVML tells; what this GPU or driver does not tell is left out."""

    def asked(name: str, *arguments: Any) -> Any:
        try:
            return getattr(nvml, name)(handle, *arguments)
        except (nvml.NVMLError, AttributeError):
            return None

    use = asked("nvmlDeviceGetUtilizationRates")
    processes = asked("nvmlDeviceGetComputeRunningProcesses") or []
    samples = asked("nvmlDeviceGetProcessUtilization", 0) or []
    # The sampled ring holds the last seconds: only the newest of each process counts.
    newest: dict[int, Any] = {}
    for sample in samples:
        if sample.pid not in newest or sample.timeStamp > newest[sample.pid].timeStamp:
            newest[sample.pid] = sample
    latest = max((sample.timeStamp for sample in newest.values()), default=0)
    recent = {
        pid: int(sample.smUtil)
        for pid, sample in newest.items()
        if latest - sample.timeStamp < EVERY_S * 4e6
    }
    # Renamed; the old name goes with CUDA 14.
    reasons = (
        asked("nvmlDeviceGetCurrentClocksEventReasons")
        or asked("nvmlDeviceGetCurrentClocksThrottleReasons")
        or 0
    )
    return Look(
        busy=int(use.gpu) if use is not None else None,
        processes=frozenset(int(process.pid) for process in processes),
        at_work=recent,
        slowed=", ".join(words for bit, words in SLOWING.items() if reasons & bit),
    )


#: NVML's ``nvmlClocksEventReason…`` bits that make figures vary.
SLOWING = {0x8: "hardware slowdown", 0x20: "too hot", 0x40: "too hot", 0x80: "power brake"}
