"""What compiled Triton kernels take of a GPU, and what it has: registers, stack, shared memory.

Imports neither torch nor triton; reads what their compilers say. The same records are kept of
kernels that ran on a GPU and of kernels that were compiled for one that is not there.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = [
    "GRID_LIMIT_X",
    "GRID_LIMIT_YZ",
    "THREADS_LIMIT",
    "Figures",
    "Kernels",
    "definition_line",
    "from_amdgcn",
    "from_launch",
    "from_ptxas",
    "multiplies_in_tf32",
    "shared_limit_bytes",
]

#: Shared memory that one block may have, in bytes. NVIDIA: "Maximum amount of shared memory per
#: thread block" in the CUDA C++ programming guide's table of technical specifications per compute
#: capability. AMD: the LDS of a workgroup in the ISA documents of CDNA 2 to 4 and RDNA 2 to 4.
SHARED_LIMIT_BYTES = {
    "sm_70": 96 << 10,
    "sm_75": 64 << 10,
    "sm_80": 163 << 10,
    "sm_86": 99 << 10,
    "sm_87": 163 << 10,
    "sm_89": 99 << 10,
    "sm_90": 227 << 10,
    "sm_100": 227 << 10,
    "sm_103": 227 << 10,
    "sm_120": 99 << 10,
    "sm_121": 99 << 10,
    "gfx90a": 64 << 10,
    "gfx942": 64 << 10,
    "gfx950": 160 << 10,
    "gfx1030": 64 << 10,
    "gfx1100": 64 << 10,
    "gfx1101": 64 << 10,
    "gfx1102": 64 << 10,
    "gfx1200": 64 << 10,
    "gfx1201": 64 << 10,
}
#: The largest grid, and the most threads of a block, on every GPU of both makers (same table).
GRID_LIMIT_X = 2**31 - 1
GRID_LIMIT_YZ = 65535
THREADS_LIMIT = 1024


def shared_limit_bytes(target: str) -> int | None:
    """Shared memory per block of ``sm_90``, ``gfx942``, …; None for a target not in the table."""
    return SHARED_LIMIT_BYTES.get(target)


@dataclass(frozen=True)
class Figures:
    """One compiled kernel's demands, for each thread (registers, stack, spills) or block."""

    num_warps: int | None = None
    registers: int | None = None
    stack_bytes: int | None = None
    spill_bytes: int | None = None
    shared_bytes: int | None = None


def from_ptxas(log: str) -> Figures:
    """What ``ptxas -v`` says of one kernel and the functions that it calls."""
    return Figures(
        registers=_largest(r"Used (\d+) registers", log),
        stack_bytes=_largest(r"(\d+) bytes (?:stack frame|cumulative stack size)", log),
        spill_bytes=_largest(r"(\d+) bytes spill stores", log),
    )


def from_amdgcn(text: str) -> Figures:
    """What the metadata of AMD assembly says; a spilled vector register takes 4 bytes a lane."""
    spilled = _largest(r"\.vgpr_spill_count: *(\d+)", text)
    return Figures(
        registers=_largest(r"\.vgpr_count: *(\d+)", text),
        stack_bytes=_largest(r"\.private_segment_fixed_size: *(\d+)", text),
        spill_bytes=None if spilled is None else 4 * spilled,
    )


def from_launch(compiled: Any) -> Figures:
    """What a kernel that was loaded onto a GPU takes.

    Triton's ``n_spills`` is the local memory of a thread in words of 4 bytes, which is its stack.
    """
    metadata = getattr(compiled, "metadata", None)
    local = getattr(compiled, "n_spills", None)
    return Figures(
        num_warps=getattr(metadata, "num_warps", None),
        registers=getattr(compiled, "n_regs", None),
        stack_bytes=None if local is None else 4 * local,
        spill_bytes=None if local is None else 4 * local,
        shared_bytes=getattr(metadata, "shared", None),
    )


def multiplies_in_tf32(compiled: Any) -> bool:
    """Whether a compiled kernel has a product of float32 that tensor cores make in TF32."""
    text = getattr(compiled, "asm", {}).get("ttir", "")
    return re.search(r"tt\.dot [^\n]*inputPrecision = tf32 :[^\n]*xf32> \*", str(text)) is not None


def _largest(pattern: str, text: str) -> int | None:
    return max(map(int, re.findall(pattern, text)), default=None)


def definition_line(function: Any, filename: str) -> int | None:
    """The line of ``def`` of a Python function, below its decorators; None in other files."""
    code = getattr(function, "__code__", None)
    if code is None or code.co_filename != filename:
        return None
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError):
        return None
    return next(
        (first + i for i, text in enumerate(lines) if text.lstrip().startswith("def ")), None
    )


class Kernels:
    """The Triton kernels that were compiled, with the largest figures over their launches."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int | None, str | None], dict[str, Any]] = {}
        #: The GPU that they ran on.
        self.target: str | None = None
        #: True while an autotuner measures: what it does not choose is not counted.
        self.paused = False

    def clear(self) -> None:
        """Forget all of them."""
        self.rows.clear()

    def note(
        self,
        name: str,
        line: int | None,
        configuration: str | None,
        grid: tuple[int, ...],
        figures: Figures,
    ) -> None:
        """One launch."""
        if self.paused:
            return
        row = self.rows.setdefault((name, line, configuration), {"launches": 0, "grid": [0, 0, 0]})
        row["launches"] += 1
        whole = [*map(int, grid), 1, 1][:3]
        if _programs(whole) > _programs(row["grid"]):
            row["grid"] = whole
        for field, value in vars(figures).items():
            known = [item for item in (row.get(field), value) if item is not None]
            row[field] = max(known, default=None)

    def to_json(self) -> list[dict[str, Any]]:
        """Every kernel in the order of its first launch."""
        return list(self._described())

    def _described(self) -> Iterator[dict[str, Any]]:
        for (name, line, configuration), row in self.rows.items():
            yield {"name": name, "line": line, "configuration": configuration, **row}


def _programs(grid: list[int]) -> int:
    return grid[0] * grid[1] * grid[2]
