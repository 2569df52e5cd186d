"""Triton kernels that are compiled and launched on a GPU: counted, and old names put back."""

from __future__ import annotations

from typing import Any

import triton.language as tl
from triton.runtime.jit import JITFunction

from kernelllm_jupyter.verify.audit import Launches

__all__ = ["install"]


def install(launches: Launches) -> list[str]:
    """Count every launch; returns the names that were added to ``tl``."""
    _watch_launches(launches)
    _watch_inductor_launches(launches)
    return _old_names()


def _watch_launches(launches: Launches) -> None:
    original = JITFunction.run

    def run(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        def launch() -> Any:
            return original(self, *args, grid=launches.observed(grid), warmup=warmup, **kwargs)

        if warmup:
            return launch()
        return launches.around(self.fn.__name__, [*args, *kwargs.values()], launch)

    JITFunction.run = run


def _watch_inductor_launches(launches: Launches) -> None:
    """Functions decorated by TorchInductor's heuristics have a launcher of their own."""
    from torch._inductor.runtime.triton_heuristics import CachingAutotuner

    original = CachingAutotuner.run

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
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
