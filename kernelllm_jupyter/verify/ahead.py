"""Compiling ahead of time, for a GPU that is not there.

Runs in a server of its own, without ``TRITON_INTERPRET``: the candidate's host code runs on the
CPU as usual, and each launch compiles its Triton kernel for the target down to machine code
instead of running it. This finds what the interpreter accepts and the compiler does not.
"""

from __future__ import annotations

from typing import Any

from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from kernelllm_jupyter.verify import fake_driver
from kernelllm_jupyter.verify.audit import Launches
from kernelllm_jupyter.verify.autotuning import take_turns

__all__ = ["NotCompiled", "TooLarge", "aim_at", "install"]

#: The largest grid along y and z.
GRID_LIMIT = 65535
#: Shared memory that one block may have, in bytes, by compute capability.
SHARED_LIMITS = {
    75: 65536,
    80: 166912,
    86: 101376,
    89: 101376,
    90: 232448,
    100: 232448,
    120: 101376,
}
HIP_SHARED_LIMIT = 65536


class NotCompiled(Exception):
    """The compiler refused a launch, for the reason that is this exception's cause."""


class TooLarge(Exception):
    """A launch that compiles and does not fit on the target."""


def install(launches: Launches) -> None:
    """Make every launch a compilation."""
    fake_driver.install()
    take_turns(launches)
    original = JITFunction.run

    def run(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        name = self.fn.__name__
        launches.names[name] += 1
        if launches.operators is not None:
            launches.operators.paused = True
        try:
            compiled = original(self, *args, grid=grid, warmup=True, **kwargs)
        except Exception as error:
            raise NotCompiled(name) from error
        finally:
            if launches.operators is not None:
                launches.operators.paused = False
        bound = {**dict(zip(self.arg_names, args, strict=False)), **kwargs}
        _check_size(name, compiled, grid(bound) if callable(grid) else grid)
        return compiled

    JITFunction.run = run


def aim_at(target: str) -> None:
    """Compile for ``sm_90``, ``gfx942`` or the like from now on; raises ``ValueError``."""
    if target.startswith("sm_") and target[3:].isdigit():
        driver.active.target = GPUTarget("cuda", int(target[3:]), 32)
    elif target.startswith("gfx"):
        driver.active.target = GPUTarget("hip", target, 64)
    else:
        raise ValueError(f"there is no target {target!r}: name one such as sm_90 or gfx942")


def _check_size(name: str, compiled: Any, grid: tuple[int, ...]) -> None:
    if any(int(size) > GRID_LIMIT for size in grid[1:]):
        raise TooLarge(
            f"{name} is launched on a grid of {tuple(map(int, grid))}: along y and z a GPU takes "
            f"{GRID_LIMIT} programs at most."
        )
    target = driver.active.target
    limit = HIP_SHARED_LIMIT if target.backend == "hip" else SHARED_LIMITS.get(target.arch, 232448)
    shared = getattr(getattr(compiled, "metadata", None), "shared", 0)
    if shared > limit:
        raise TooLarge(
            f"{name} needs {shared} bytes of shared memory; the target has {limit}. Use smaller "
            "blocks or fewer stages."
        )
