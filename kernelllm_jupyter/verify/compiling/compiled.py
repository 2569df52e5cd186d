"""Triton kernels that are compiled and launched on a GPU: counted, read, and old names put back."""

from __future__ import annotations

import time
from typing import Any

import triton.language as tl
from triton.runtime.jit import JITFunction

from kernelllm_jupyter.verify.compiling.resources import (
    definition_line,
    from_launch,
    multiplies_in_tf32,
)
from kernelllm_jupyter.verify.watching.audit import Launches

__all__ = ["install"]


def install(launches: Launches) -> list[str]:
    """Count every launch; returns the names that were added to ``tl``."""
    _watch_launches(launches)
    _pass_over_tuning(launches)
    _watch_inductor_launches(launches)
    return _old_names()


def _watch_launches(launches: Launches) -> None:
    original = JITFunction.run

    def run(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        if launches.resting:
            return original(self, *args, grid=grid, warmup=warmup, **kwargs)
        sizes = [] if callable(grid) else [grid]
        observed = launches.observed(grid)

        def asked(*meta: Any, **options: Any) -> Any:
            sizes.append(observed(*meta, **options))
            return sizes[-1]

        def launch() -> Any:
            chosen = asked if callable(grid) else grid
            return original(self, *args, grid=chosen, warmup=warmup, **kwargs)

        if warmup:
            return launch()
        compiled = launches.around(self.fn.__name__, [*args, *kwargs.values()], launch)
        if multiplies_in_tf32(compiled):
            launches.notes.add("tf32")
        if compiled is not None and sizes:
            _note(launches, self.fn, compiled, sizes[-1])
        return compiled

    JITFunction.run = run


def _note(launches: Launches, function: Any, compiled: Any, grid: Any) -> None:
    """What the kernel that just ran takes of this GPU."""
    target = getattr(getattr(compiled, "metadata", None), "target", None)
    if target is None:
        return
    number = target.arch
    launches.kernels.target = f"sm_{number}" if target.backend == "cuda" else str(number)
    line = definition_line(function, launches.filename)
    sizes = tuple(grid) if isinstance(grid, tuple | list) else (grid,)
    launches.kernels.note(function.__name__, line, None, sizes, from_launch(compiled))


def _pass_over_tuning(launches: Launches) -> None:
    """While an autotuner measures its configurations, none of them is the one that is used."""
    from triton.runtime.autotuner import Autotuner

    original = Autotuner._bench

    def bench(self: Any, *args: Any, **kwargs: Any) -> Any:
        launches.kernels.paused = True
        started = time.perf_counter()
        try:
            return original(self, *args, **kwargs)
        finally:
            launches.kernels.paused = False
            launches.tuning_s += time.perf_counter() - started

    Autotuner._bench = bench


def _watch_inductor_launches(launches: Launches) -> None:
    """Functions decorated by TorchInductor's heuristics have a launcher of their own."""
    from torch._inductor.runtime.triton_heuristics import CachingAutotuner

    original = CachingAutotuner.run

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        if launches.resting:
            return original(self, *args, **kwargs)
        return launches.around(
            self.fn.__name__, list(args), lambda: original(self, *args, **kwargs)
        )

    CachingAutotuner.run = run


def _old_names() -> list[str]:
    """``tl.math.tanh`` and its like, which Triton has moved to libdevice."""
    from triton.language.extra import libdevice

    added = []
    for name in dir(libdevice):
        if not name.startswith("_") and not hasattr(tl.math, name):
            function = getattr(libdevice, name)
            if getattr(function, "__triton_builtin__", False) or callable(function):
                setattr(tl.math, name, function)
                added.append(f"tl.math.{name}")
    return added
