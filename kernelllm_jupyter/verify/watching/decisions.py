"""Whether what an operator decides (an order, a comparison) is decided by exact numbers.

Where two numbers are equal, or one lies halfway between two integers, one rounding of an input
turns the decision round. That says nothing about a candidate as long as the numbers carry rounding
errors of their own. Where they have few digits, though, they were computed without any, and every
honest order of operations arrives at the same ones.

Runs in the referee's process, over the reference.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Decisions"]

#: Operators whose result jumps, without their underscores.
DECIDING_NAMES = """
round floor ceil trunc frac remainder fmod floor_divide eq ne lt le gt ge sign sgn signbit
heaviside threshold hardshrink argmax argmin bucketize searchsorted histc isin max min
max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices
"""
DECIDING = frozenset(DECIDING_NAMES.split())
#: Those that leave open which of equal elements comes first.
OPEN_NAMES = "sort argsort topk kthvalue median nanmedian mode unique msort"
OPEN = frozenset(OPEN_NAMES.split())
#: The integer of a dtype's width, and the low bits that are zero in a number of few digits.
LOW_BITS = {
    torch.float64: (torch.int64, (1 << 32) - 1),
    torch.float32: (torch.int32, (1 << 12) - 1),
    torch.float16: (torch.int16, (1 << 5) - 1),
    torch.bfloat16: (torch.int16, (1 << 2) - 1),
}


class Decisions(TorchDispatchMode):  # type: ignore[misc]
    """Looks at the operands of what decides, while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = False
        self.inexact = False

    @property
    def exact(self) -> bool:
        """Whether something was decided, and all of it by exact numbers."""
        return self.seen and not self.inexact

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func._schema.name.rpartition("::")[2].strip("_")
        if name in OPEN:
            self.inexact = True
        elif name in DECIDING:
            self.seen = True
            self.inexact = self.inexact or not all(map(_of_few_digits, args))
        return func(*args, **(kwargs or {}))


def _of_few_digits(value: Any) -> bool:
    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        return not isinstance(value, torch.Tensor) or not value.is_complex()
    if value.dtype not in LOW_BITS:
        return False
    kind, low = LOW_BITS[value.dtype]
    return not bool((value.contiguous().view(kind) & low).any())
