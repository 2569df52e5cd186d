"""The checks of one search: a few at once, in the order that candidates became complete.

They run in threads of their own and report to the queue that the search reads.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from dataclasses import dataclass

from kernelllm_jupyter.translate import (
    Checked,
    Checking,
    Generated,
    Noted,
    Thought,
    Wrote,
    run_check,
)
from kernelllm_jupyter.values import CheckOptions, Problem, Verdict

__all__ = ["Broke", "Checks", "News"]


@dataclass(frozen=True)
class Broke:
    """The stream or the check of candidate ``index`` ended with an error."""

    index: int
    error: BaseException


#: What threads report to the search.
News = Thought | Wrote | Noted | Generated | Checking | Checked | Broke


class Checks:
    """``done`` is to be called for each verdict and each failure that was read.

    ``jobs`` of them run at once; by default as many as are good for the device.
    """

    def __init__(
        self,
        problem: Problem,
        options: CheckOptions | None,
        news: queue.SimpleQueue[News],
        jobs: int | None = None,
    ):
        from kernelllm_jupyter.verify.gpu import gpu_present
        from kernelllm_jupyter.verify.suite import default_jobs

        self._problem, self._options, self._news = problem, options, news
        device = options.device if options else "cpu"
        self.on_gpu = device != "cpu" and gpu_present()
        self._jobs = jobs or default_jobs(device)
        self._waiting: deque[tuple[int, str]] = deque()
        self._running: dict[int, tuple[threading.Event, threading.Thread]] = {}

    @property
    def busy(self) -> bool:
        return bool(self._running or self._waiting)

    def add(self, index: int, code: str) -> None:
        self._waiting.append((index, code))
        self._start()

    def done(self, index: int) -> None:
        del self._running[index]
        self._start()

    def close(self, until: float) -> None:
        """Cancel all of them, and wait for their workers to be gone."""
        self._waiting.clear()
        running = list(self._running.values())
        self._running.clear()
        for cancel, _ in running:
            cancel.set()
        for _, thread in running:
            thread.join(max(0.0, until - time.monotonic()))

    def _start(self) -> None:
        while self._waiting and len(self._running) < self._jobs:
            index, code = self._waiting.popleft()
            cancel = threading.Event()
            thread = threading.Thread(
                target=self._work,
                args=(index, code, cancel),
                name="kernelllm-judge",
                daemon=True,
            )
            self._running[index] = (cancel, thread)
            thread.start()

    def _work(self, index: int, code: str, cancel: threading.Event) -> None:
        try:
            self._news.put(Checked(self._verdict(index, code, cancel), index))
        except BaseException as error:
            self._news.put(Broke(index, error))

    def _verdict(self, index: int, code: str, cancel: threading.Event) -> Verdict:
        from kernelllm_jupyter.verify.isolation.sandbox import available_memory_mb

        assert self._options is not None

        def report(message: str) -> None:
            self._news.put(Checking(message, index))

        shared = max(1024, available_memory_mb() * 6 // 10 // self._jobs)
        return run_check(self._problem, code, self._options, report, cancel, shared)
