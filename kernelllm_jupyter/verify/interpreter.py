"""Triton's interpreter, made right and fast enough for a check."""

from __future__ import annotations

from typing import Any

import triton.runtime.interpreter as tri

from kernelllm_jupyter.verify.audit import Launches


def install(launches: Launches) -> None:
    tri.interpreter_builder.options = tri.InterpreterOptions(sanitize_overflow=False)
    original = tri.GridExecutor.__call__

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return launches.around(
            self.fn.__name__, [*args, *kwargs.values()], lambda: original(self, *args, **kwargs)
        )

    tri.GridExecutor.__call__ = call
