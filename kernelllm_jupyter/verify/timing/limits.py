"""What a GPU reached here and now in a copy and in a matrix product: the limits beside a figure.

Measured through the same stand and clock as everything else, so that both are fractions of the
same thing. Runs in the referee's process.
"""

from __future__ import annotations

from statistics import median

import torch

from kernelllm_jupyter.verify.timing.clocks import Clock
from kernelllm_jupyter.verify.timing.stand import Stand

__all__ = ["copy_gb_per_s", "matrix_tflop_per_s"]

#: Far more than any cache holds; and where there is little memory, this part of what is free.
COPIED_BYTES, MOST_PART = 1 << 30, 8
CALLS = 20
#: Large enough for every GPU's full rate, in float32 without tensor cores some 20 ms.
MATRIX_SIZE = 8192


def copy_gb_per_s(clock: Clock, device: str) -> float:
    """Bytes read and written in a second by PyTorch's own copy of a large tensor, in 10⁹."""
    count = min(COPIED_BYTES, clock.free_bytes() // MOST_PART) // 4
    source, target = (torch.ones(count, dtype=torch.int32, device=device) for _ in range(2))
    ms = _median_ms(Stand(clock, lambda: target.copy_(source), [[]]))
    return 2 * 4 * count / ms / 1e6


def matrix_tflop_per_s(clock: Clock, device: str, dtype: torch.dtype) -> float | None:
    """Operations in a second of a square product by PyTorch, in 10¹²; None where it makes none.

    In float32 as PyTorch's settings say: with TF32 or without.
    """
    size = MATRIX_SIZE
    while 4 * size * size * dtype.itemsize > clock.free_bytes() // 2 and size > 1024:
        size //= 2
    try:
        left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        out = torch.empty_like(left)
        ms = _median_ms(Stand(clock, lambda: torch.mm(left, right, out=out), [[]]))
    except RuntimeError:
        return None
    return 2 * size**3 / ms / 1e9


def _median_ms(stand: Stand) -> float:
    stand.warm()
    return median(stand.turn(CALLS))
