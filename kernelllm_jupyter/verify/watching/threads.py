"""Threads that a candidate starts: their operators count, and they end with the call.

Runs in the candidate's process. PyTorch's modes hold for one thread, so that work handed to
another would not be seen; and a thread that goes on after ``forward()`` returned writes into an
output that was handed out already.
"""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from kernelllm_jupyter.verify.watching.audit import Launches

__all__ = ["Threads"]

#: The functions that start one, by module; which of them there are depends on Python's version.
STARTERS = (
    (_thread, "start_new_thread"),
    (_thread, "start_new"),
    (_thread, "start_joinable_thread"),
    (threading, "_start_new_thread"),
    (threading, "_start_joinable_thread"),
)


class Threads:
    """Those that run now, and which of them computed something since the run began."""

    def __init__(self, launches: Launches, active: Callable[[], bool]):
        self._launches, self._active = launches, active
        self._running: set[int] = set()
        self._started: set[int] = set()
        self._working: set[int] = set()
        for module, name in STARTERS:
            original = getattr(module, name, None)
            if original is not None:
                setattr(module, name, self._watched(original))

    def begin(self) -> None:
        """Forget what was done before this run."""
        self._started.clear()
        self._working.clear()

    def left(self) -> bool:
        """Whether one that was started in this run, or worked in it, still runs."""
        return bool(self._running & (self._started | self._working))

    def _watched(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def start(function: Any, *args: Any, **kwargs: Any) -> Any:
            if not self._active():
                return original(function, *args, **kwargs)
            announced = object()
            self._running.add(id(announced))
            self._started.add(id(announced))

            def run(*given: Any, **named: Any) -> Any:
                key = id(announced)
                try:
                    with Following(self._launches, lambda: self._working.add(key)):
                        return function(*given, **named)
                finally:
                    self._running.discard(key)

            try:
                return original(run, *args, **kwargs)
            except BaseException:
                self._running.discard(id(announced))
                raise

        return start


class Following(TorchDispatchMode):  # type: ignore[misc]
    """Counts a thread's operators with those of whichever run is under way."""

    def __init__(self, launches: Launches, worked: Callable[[], None]):
        super().__init__()
        self._launches, self._worked = launches, worked

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        operators = self._launches.operators
        if operators is None:
            return func(*args, **(kwargs or {}))
        self._worked()
        return operators.__torch_dispatch__(func, types, args, kwargs)
