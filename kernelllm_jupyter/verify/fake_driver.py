"""A driver that lets host code run where there is no GPU.

``triton.autotune``, ``do_bench`` and ``get_current_target`` ask the active driver for a device;
without one they raise. This one answers as an H100 would and runs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.backends.driver import DriverBase

__all__ = ["CAPABILITY", "PROPERTIES", "TARGET", "install"]

CAPABILITY = (9, 0)
TARGET = GPUTarget("cuda", CAPABILITY[0] * 10 + CAPABILITY[1], 32)
#: What triton reads of a device, and what the host code of Triton kernels asks it for.
PROPERTIES = {
    "max_shared_mem": 232448,
    "multiprocessor_count": 132,
    "max_num_regs": 65536,
    "warpSize": 32,
    "sm_clock_rate": 1980000,
    "mem_clock_rate": 2619000,
    "mem_bus_width": 5120,
}


class FakeDriver(DriverBase):  # type: ignore[misc]
    """Answers questions about a device; launches nothing."""

    def __init__(self) -> None:
        self.target = TARGET
        self.capability = CAPABILITY
        self.properties = dict(PROPERTIES)
        self.utils = SimpleNamespace(get_device_properties=lambda device=0: dict(self.properties))
        self.get_current_device = lambda: 0
        self.set_current_device = lambda device: None
        self.get_current_stream = lambda device=0: 0

    def aim(
        self, target: GPUTarget, capability: tuple[int, int], shared_limit_bytes: int | None
    ) -> None:
        """Answer as another GPU would."""
        self.target, self.capability = target, capability
        self.properties["warpSize"] = target.warp_size
        if shared_limit_bytes is not None:
            self.properties["max_shared_mem"] = shared_limit_bytes

    @classmethod
    def is_active(cls) -> bool:
        return True

    def map_python_to_cpp_type(self, ty: str) -> str:
        return ty

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cuda", 0)

    def get_device_interface(self) -> Any:
        return torch.cuda

    def get_empty_cache_for_benchmark(self) -> torch.Tensor:
        return torch.zeros(1)

    def clear_cache(self, cache: torch.Tensor) -> None:
        cache.zero_()

    def get_benchmarker(self) -> Callable[..., Any]:
        return _one_millisecond


def _one_millisecond(
    function: Callable[[], Any], *, quantiles: Sequence[float] | None = None, **_: Any
) -> Any:
    """Run it once, for what it writes, and report a time that says nothing."""
    function()
    return [1.0] * len(quantiles) if quantiles else 1.0


def install() -> None:
    """Make it the active driver, and ``do_bench`` one call."""
    triton.runtime.driver.set_active(FakeDriver())

    def do_bench(
        fn: Callable[[], Any],
        warmup: int = 25,
        rep: int = 100,
        grad_to_none: Any = None,
        quantiles: Sequence[float] | None = None,
        return_mode: str = "mean",
        **_: Any,
    ) -> Any:
        return _one_millisecond(fn, quantiles=quantiles)

    triton.testing.do_bench = do_bench
