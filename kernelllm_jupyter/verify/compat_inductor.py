"""Names that Triton code in TorchInductor's style imports and that this torch does not have.

KernelLLM was trained on what TorchInductor of torch 2.5 wrote, so its code imports ``grid`` from
``triton_heuristics`` (gone since 2.7) or ``_cuda_getCurrentRawStream`` (absent from CPU builds).
The names are put back; the source is not rewritten. Which ones a candidate relies on is reported,
because outside the check they are still missing.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import torch

__all__ = ["install", "relied_on"]

Grid = Callable[[dict[str, int]], tuple[int, int, int]]
Y_LIMIT = 65535


def install(*, on_cpu: bool) -> tuple[str, ...]:
    """Add what is missing; returns the names that were added."""
    import torch._inductor.runtime.triton_helpers as helpers
    import torch._inductor.runtime.triton_heuristics as heuristics

    added = []
    for name, function in (("grid", grid), ("split_scan_grid", split_scan_grid)):
        if not hasattr(heuristics, name):
            setattr(heuristics, name, function)
            added.append(name)
    for old, module in (("triton_helpers", helpers), ("triton_heuristics", heuristics)):
        if f"torch._inductor.{old}" not in sys.modules:
            sys.modules[f"torch._inductor.{old}"] = module
            added.append(f"torch._inductor.{old}")
    added.extend(_allocators(on_cpu))
    if not hasattr(torch._C, "_cuda_getCurrentRawStream"):
        torch._C._cuda_getCurrentRawStream = lambda device=0: 0
    return tuple(added)


def relied_on(added: tuple[str, ...], source: str) -> list[str]:
    """Which of the added names a source mentions where it imports or reads them."""
    # Most sources mention none, which is seen at once; a hundred patterns take milliseconds.
    return [name for name in added if name in source and re.search(_mention_of(name), source)]


def _mention_of(name: str) -> str:
    return rf"(?<![\w.]){re.escape(name)}\b" if "." in name else _import_of(name)


def _import_of(name: str) -> str:
    return rf"(?m)^\s*from\s+torch\S*\s+import\s.*\b{re.escape(name)}\b|guards\.{re.escape(name)}\b"


def _allocators(on_cpu: bool) -> list[str]:
    """``empty_strided_cuda`` and its like; on a CPU they bypass what poisons fresh memory.

    There ``cuda`` means what it means around a candidate's code: see ``compat_cuda``.
    """
    guards: Any = torch._C._dynamo.guards
    added = []

    def empty_strided(size: Any, stride: Any, dtype: torch.dtype) -> torch.Tensor:
        return torch.empty_strided(size, stride, dtype=dtype)

    def empty_strided_cuda(size: Any, stride: Any, dtype: torch.dtype) -> torch.Tensor:
        return torch.empty_strided(size, stride, dtype=dtype, device="cuda")

    def empty_cuda(
        size: Any, dtype: torch.dtype = torch.float32, *_: Any, **__: Any
    ) -> torch.Tensor:
        return torch.empty(size, dtype=dtype, device="cuda")

    if on_cpu:
        guards._empty_strided_cpu = empty_strided
        guards._empty_strided_cuda = empty_strided_cuda
    if not hasattr(guards, "_empty_cuda"):
        guards._empty_cuda = empty_cuda
        added.append("_empty_cuda")
    return added


def _blocks(count: int | None, size: int | None) -> int:
    if count is None:
        return 1
    return count if size is None else -(-count // size)


def grid(*counts: int) -> Grid:
    """TorchInductor's grid: element counts, slowest axis first, over XBLOCK, YBLOCK, ZBLOCK."""
    x, y, z = ([*reversed(counts), None, None])[:3]

    def launch(meta: dict[str, int]) -> tuple[int, int, int]:
        nx = _blocks(x, meta.get("XBLOCK", 1))
        ny, nz = _blocks(y, meta.get("YBLOCK")), _blocks(z, meta.get("ZBLOCK"))
        if ny > Y_LIMIT and z is None:
            # As TorchInductor did: what exceeds the y axis goes to z.
            parts = -(-ny // Y_LIMIT)
            ny, nz = -(-ny // parts), parts
        return nx, ny, nz

    return launch


def split_scan_grid(x_count: int, r_count: int) -> Grid:
    """TorchInductor's grid of a scan that is split over programs."""
    return lambda meta: (-(-r_count // meta["RBLOCK"]), x_count, 1)
