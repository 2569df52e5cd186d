"""Triton's interpreter, made right and fast enough for a check.

Installed once in the server, before its first fork; every child inherits it. Each concern is its
own module; what differs between triton versions is absorbed by passing unknown arguments through.
"""

from __future__ import annotations

from typing import Any

import numpy
import torch
import triton.runtime.interpreter as tri

from kernelllm_jupyter.verify import fake_driver, triton_versions
from kernelllm_jupyter.verify.autotuning import StaticAssertion, take_turns
from kernelllm_jupyter.verify.interpreter import (
    assembly,
    atomics,
    bounds,
    dot,
    libdevice,
    map,
    names,
    narrow,
    patches,
    reduce,
    syntax,
    types,
    warmup,
)
from kernelllm_jupyter.verify.watching.audit import Launches

__all__ = ["install"]


def install(launches: Launches) -> list[str]:
    """Mend the interpreter for this process and all that are forked from it.

    Returns the old names that were added to ``triton.language``.
    """
    # Overflow checks triple the cost of integer arithmetic and change no result.
    tri.interpreter_builder.options = tri.InterpreterOptions(sanitize_overflow=False)
    numpy.seterr(all="ignore")
    triton_versions.mend()
    fake_driver.install()
    _watch_launches(launches)
    take_turns(launches)
    _static_assertions()
    _quick_erf()
    names.install()
    syntax.install()
    dot.install(launches)
    reduce.install()
    added = libdevice.install()
    narrow.install()
    atomics.install()
    assembly.install()
    map.install()
    warmup.install()
    bounds.install(launches)
    types.install()
    patches.install()
    return added


def _watch_launches(launches: Launches) -> None:
    original = tri.GridExecutor.__call__

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.grid = launches.observed(self.grid)
        # There are none up to 3.3.
        hooks = getattr(self, "pre_run_hooks", [])
        self.pre_run_hooks = [launches.observed(hook) for hook in hooks]
        return launches.around(
            self.fn.__name__, [*args, *kwargs.values()], lambda: original(self, *args, **kwargs)
        )

    tri.GridExecutor.__call__ = call


def _static_assertions() -> None:
    """Tell those that fail from other assertions: autotuning leaves such a configuration out."""
    original = tri._patch_lang_core

    def patch(language: Any, *scope: Any) -> Any:
        result = original(language, *scope)

        def static_assert(condition: Any, message: Any = "") -> None:
            if not condition:
                raise StaticAssertion(message)

        language.static_assert = static_assert
        return result

    tri._patch_lang_core = patch


def _quick_erf() -> None:
    """The interpreter calls ``math.erf`` for one element at a time."""

    def erf(self: Any, argument: Any) -> Any:
        values = torch.erf(torch.from_numpy(numpy.ascontiguousarray(argument.data))).numpy()
        return tri.TensorHandle(values, argument.dtype.scalar)

    tri.InterpreterBuilder.create_erf = erf
