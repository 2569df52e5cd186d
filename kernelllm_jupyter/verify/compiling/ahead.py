"""Compiling ahead of time, for a GPU that is not there.

Runs in a server of its own, without ``TRITON_INTERPRET``: the candidate's host code runs on the
CPU as usual, and each launch compiles its Triton kernel for the target down to machine code
instead of running it. This finds what the interpreter accepts and the compiler does not.
"""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any

import torch
from triton.backends.compiler import GPUTarget
from triton.compiler.errors import CompileTimeAssertionFailure
from triton.runtime import driver
from triton.runtime.errors import OutOfResources, PTXASError
from triton.runtime.jit import JITFunction

from kernelllm_jupyter.verify import fake_driver
from kernelllm_jupyter.verify.compiling.ptxas import Listener, listen
from kernelllm_jupyter.verify.compiling.resources import (
    GRID_LIMIT_X,
    GRID_LIMIT_YZ,
    THREADS_LIMIT,
    Figures,
    Kernels,
    definition_line,
    from_amdgcn,
    from_ptxas,
    shared_limit_bytes,
)

__all__ = ["Bench", "NotCompiled", "TooLarge", "aim_at", "install"]

#: Autotuning configurations beyond the first that fits are compiled for so long.
CONFIGURATIONS_BUDGET_S = 5.0
#: AMD's GPUs of the RDNA families run waves of 32 lanes, those of the CDNA families 64.
RDNA = ("gfx10", "gfx11", "gfx12")


class NotCompiled(Exception):
    """The compiler refused a launch, for the reason that is this exception's cause.

    ``log`` is what the assembler said, ``line`` the source line that it was about.
    """

    def __init__(self, name: str, log: str, line: int | None):
        super().__init__(name)
        self.name, self.log, self.line = name, log, line

    @property
    def skipped(self) -> bool:
        """Whether Triton's autotuner would go on with the next configuration."""
        return isinstance(self.__cause__, CompileTimeAssertionFailure | PTXASError)


class TooLarge(OutOfResources):  # type: ignore[misc]
    """A launch that compiles and does not fit on the target.

    Host code that catches Triton's own ``OutOfResources`` catches this one, as it would on a GPU.
    """

    def __init__(self, required: int, limit: int, name: str, message: str, line: int | None):
        super().__init__(required, limit, name)
        self.message, self.line = message, line

    def __str__(self) -> str:
        return self.message


class GridTooLarge(Exception):
    """A grid that no launch takes."""

    def __init__(self, message: str, line: int | None):
        super().__init__(message)
        self.line = line


@dataclass
class Bench:
    """Where launches become compilations: what was compiled, refused and left out."""

    kernels: Kernels
    listener: Listener
    target: str = "sm_90"
    #: The file whose functions have lines to show.
    filename: str = ""
    configuration: str | None = None
    deadline: float = 0.0

    def __post_init__(self) -> None:
        self.figures: dict[str, Figures] = {}
        self.start("")

    def start(self, filename: str, tell: Callable[[str], None] = lambda _: None) -> None:
        """Forget what was compiled before; ``tell`` gets the name of each kernel that is begun."""
        self.filename = filename
        self.tell = tell
        self.begun: set[str] = set()
        self.configuration = None
        self.kernels.clear()
        self.refused: NotCompiled | None = None
        self.left_out: list[str] = []
        #: Arguments of launches that lie in the host's memory, by their Triton kernels.
        self.on_host: set[str] = set()
        self.deadline = time.monotonic() + CONFIGURATIONS_BUDGET_S

    def compile(self, function: Any, launch: Callable[[], Any]) -> Any:
        """Triton's compiled kernel; raises :class:`NotCompiled`."""
        name = function.fn.__name__
        if name not in self.begun:
            self.begun.add(name)
            self.tell(name)
        self.listener.forget()
        try:
            return launch()
        except Exception as error:
            refusal = NotCompiled(name, self.listener.log, self.listener.line)
            refusal.__cause__ = error
            if self.configuration is None or not refusal.skipped:
                self.refused = self.refused or refusal
            raise refusal from error

    def note(self, function: Any, compiled: Any, grid: tuple[int, ...] | None) -> None:
        """Keep a compiled launch; raises where it does not fit on the target."""
        line = definition_line(function.fn, self.filename)
        figures = self._figures(compiled)
        name = function.fn.__name__
        try:
            self._check_shared(name, line, figures.shared_bytes or 0)
            self._check_threads(name, figures.num_warps or 1, compiled)
            if grid is not None:
                self._check_grid(name, tuple(map(int, grid)))
        except TooLarge:
            # An autotuner leaves such a configuration out; of anything else the figures say why.
            if self.configuration is not None:
                raise
            self.kernels.note(name, line, None, grid or (1,), figures)
            raise
        self.kernels.note(name, line, self.configuration, grid or (1,), figures)

    def _figures(self, compiled: Any) -> Figures:
        key = str(getattr(compiled, "hash", ""))
        if self.listener.log or key not in self.figures:
            assembly = getattr(compiled, "asm", {})
            found = (
                from_amdgcn(assembly["amdgcn"])
                if "amdgcn" in assembly
                else from_ptxas(self.listener.log)
            )
            metadata = getattr(compiled, "metadata", None)
            self.figures[key] = replace(
                found,
                num_warps=getattr(metadata, "num_warps", None),
                shared_bytes=getattr(metadata, "shared", None),
            )
        return self.figures[key]

    def _check_shared(self, name: str, line: int | None, needed: int) -> None:
        limit = shared_limit_bytes(self.target)
        if limit is not None and needed > limit:
            text = (
                f"{name} needs {needed:,} bytes of shared memory for a block; {self.target} has "
                f"{limit:,}. Smaller blocks or fewer stages need less."
            )
            raise TooLarge(needed, limit, "shared memory", text, line)

    def _check_threads(self, name: str, warps: int, compiled: Any) -> None:
        metadata = getattr(compiled, "metadata", None)
        threads = warps * getattr(getattr(metadata, "target", None), "warp_size", 32)
        if threads > THREADS_LIMIT:
            text = (
                f"{name} is launched with {warps} warps, which are {threads:,} threads; a block "
                f"has {THREADS_LIMIT:,} at most. Lower num_warps."
            )
            raise TooLarge(threads, THREADS_LIMIT, "threads", text, self._launch_line())

    def _check_grid(self, name: str, grid: tuple[int, ...]) -> None:
        limits = (GRID_LIMIT_X, GRID_LIMIT_YZ, GRID_LIMIT_YZ)
        for axis, size, limit in zip("xyz", grid, limits, strict=False):
            if size > limit:
                raise GridTooLarge(
                    f"{name} is launched on a grid of {grid}: along {axis} a GPU takes {limit:,} "
                    "programs at most.",
                    self._launch_line(),
                )

    def _launch_line(self) -> int | None:
        """The candidate's line that is running now."""
        frame: FrameType | None = sys._getframe()
        while frame is not None and frame.f_code.co_filename != self.filename:
            frame = frame.f_back
        return frame.f_lineno if frame is not None else None


def install() -> Bench:
    """Make every launch a compilation."""
    fake_driver.install()
    bench = Bench(Kernels(), listen())
    _compile_launches(bench)
    _compile_configurations(bench)
    return bench


def _compile_launches(bench: Bench) -> None:
    original = JITFunction.run

    def run(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        compiled = bench.compile(
            self, lambda: original(self, *args, grid=grid, warmup=True, **kwargs)
        )
        if any(_on_host(value) for value in [*args, *kwargs.values()]):
            bench.on_host.add(self.fn.__name__)
        sizes = None
        if not warmup:
            sizes = grid(_bound(self, args, kwargs)) if callable(grid) else grid
        bench.note(self, compiled, (sizes,) if isinstance(sizes, int) else sizes)
        return compiled

    JITFunction.run = run


def _bound(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """What Triton hands to a grid that is a function: every argument and option by name."""
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(function.fn).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    return {**defaults, **dict(zip(function.arg_names, args, strict=False)), **kwargs}


def _on_host(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and not value.is_meta


def _compile_configurations(bench: Bench) -> None:
    """An autotuned kernel is compiled in all its configurations, on a budget of time.

    As on a GPU, one that does not fit is left out, and only if none fits that is an error.
    """
    from triton.runtime.autotuner import Autotuner

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.nargs = dict(zip(self.arg_names, args, strict=False))
        configurations = self.prune_configs(kwargs) if len(self.configs) > 1 else self.configs
        result, chosen, failure = None, None, None
        name = self.base_fn.__name__
        for index, configuration in enumerate(configurations):
            if chosen is not None and time.monotonic() > bench.deadline:
                count = len(configurations) - index
                bench.left_out.append(f"{name}: {count} more configurations, for want of time.")
                break
            bench.configuration = described(configuration)
            try:
                if configuration.pre_hook is not None:
                    configuration.pre_hook({**self.nargs, **kwargs, **configuration.all_kwargs()})
                result = self.fn.run(*args, **kwargs, **configuration.all_kwargs())
                chosen = chosen or configuration
            except (TooLarge, NotCompiled) as error:
                if isinstance(error, NotCompiled) and not error.skipped:
                    raise
                failure = failure or error
                why = _briefly(error).removeprefix(f"{name} ")
                bench.left_out.append(f"{name} ({described(configuration)}): {why}")
            finally:
                bench.configuration = None
        self.nargs = None
        if chosen is None and failure is not None:
            if isinstance(failure, NotCompiled):
                bench.refused = bench.refused or failure
            raise failure
        self.best_config = chosen
        return result

    Autotuner.run = run


def described(configuration: Any) -> str:
    """An autotuning configuration in short: ``BLOCK=64, num_warps=4, num_stages=3``."""
    options = {**configuration.all_kwargs()}
    if options.get("num_ctas") == 1:
        del options["num_ctas"]
    return ", ".join(f"{name}={value}" for name, value in options.items())


def _briefly(error: Exception) -> str:
    cause = error.__cause__ or error
    return (getattr(cause, "error_message", None) or str(cause)).strip().split("\n")[0]


def aim_at(bench: Bench, target: str) -> None:
    """Compile for ``sm_90``, ``gfx942`` or the like from now on; raises ``ValueError``."""
    if target.startswith("sm_") and target[3:].isdigit():
        number = int(target[3:])
        aim, capability = GPUTarget("cuda", number, 32), divmod(number, 10)
    elif target.startswith("gfx"):
        aim = GPUTarget("hip", target, 32 if target.startswith(RDNA) else 64)
        # As torch with ROCm answers: 9.4 for gfx942, 11.0 for gfx1100.
        capability = (int(target[3:-2]), int(target[-2], 16))
    else:
        raise ValueError(f"there is no target {target!r}: name one such as sm_90 or gfx942")
    bench.target = target
    driver.active.aim(aim, capability, shared_limit_bytes(target))
