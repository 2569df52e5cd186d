"""``kernel.warmup(…)``, for code that sizes its grid by what the compiled kernel takes.

Persistent kernels ask for registers and shared memory and then launch what they were handed
(Triton's tutorial on softmax does). There is nothing compiled here: the figures are those of a
modest kernel, and launching runs the function in the interpreter.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import triton.runtime.interpreter as tri

__all__ = ["install"]


class Warmed:
    """What stands for a compiled kernel."""

    n_regs = 32
    n_spills = 0

    def __init__(self, function: Any, arguments: dict[str, Any], options: dict[str, Any]) -> None:
        self.function, self.arguments, self.options = function, arguments, options
        self.metadata = SimpleNamespace(
            shared=1024,
            name=function.__name__,
            num_warps=options.get("num_warps", 4),
            num_stages=options.get("num_stages", 3),
            num_ctas=options.get("num_ctas", 1),
        )
        self.asm: dict[str, str] = {}

    def _init_handles(self) -> None:
        return

    def __getitem__(self, grid: Any) -> Callable[..., Any]:
        def launch(*given: Any, **named: Any) -> Any:
            # Constants were fixed by the warm-up; newer code hands them over once more.
            now = dict(zip(self.function.arg_names, given, strict=False))
            arguments = {**self.arguments, **now, **named}
            return self.function.run(grid=grid, warmup=False, **arguments, **self.options)

        return launch


def install() -> None:
    """Give the interpreter's functions the method."""

    def warmup(self: Any, *given: Any, grid: Any = None, **named: Any) -> Warmed:
        arguments = dict(zip(self.arg_names, given, strict=False))
        arguments.update({name: value for name, value in named.items() if name in self.arg_names})
        options = {name: value for name, value in named.items() if name not in self.arg_names}
        return Warmed(self, arguments, options)

    tri.InterpretedFunction.warmup = warmup
