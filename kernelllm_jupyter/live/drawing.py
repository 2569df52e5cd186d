"""Source that draws inputs of the kind that a call had: shapes, dtypes, rough range.

For the model, which is to see what comes in; and for the check, which tries the same module at
other sizes. Integers and masks are written down for the model only: what they may be, an index or
the ends of sequences, their values do not say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["Drawing", "drawing"]

#: How many elements are looked at.
SAMPLE = 1 << 16
#: Standard deviations between which a normal distribution is left as it is.
ORDINARY = (0.3, 3.0)


@dataclass(frozen=True)
class Drawing:
    """The text of a list of arguments; ``faithful`` where others of their kind may be drawn."""

    text: str
    faithful: bool


class _Unwritable(Exception):
    """A value that no line stands for."""


def drawing(arguments: list[Any]) -> Drawing | None:
    """Source for arguments like these; None where one of them has none."""
    try:
        drawn = [_drawn(value) for value in arguments]
    except _Unwritable:
        return None
    listed = ", ".join(one.text for one in drawn)
    return Drawing(f"[{listed}]", all(one.faithful for one in drawn))


def _drawn(value: Any) -> Drawing:
    if isinstance(value, torch.Tensor):
        return _tensor(value)
    if isinstance(value, tuple | list):
        inner = [_drawn(item) for item in value]
        listed = ", ".join(one.text for one in inner)
        is_faithful = all(one.faithful for one in inner)
        if isinstance(value, list):
            return Drawing(f"[{listed}]", is_faithful)
        return Drawing(f"({listed},)" if len(inner) == 1 else f"({listed})", is_faithful)
    if type(value) is dict:
        parts = {key: _drawn(item) for key, item in value.items()}
        listed = ", ".join(f"{key!r}: {one.text}" for key, one in parts.items())
        return Drawing(f"{{{listed}}}", all(one.faithful for one in parts.values()))
    if value is None or type(value) in (bool, int, str) or isinstance(value, torch.dtype):
        return Drawing(repr(value), True)
    if type(value) is float and math.isfinite(value):
        return Drawing(repr(value), True)
    raise _Unwritable


def _tensor(tensor: torch.Tensor) -> Drawing:
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or tensor.is_meta:
        raise _Unwritable
    if tensor.layout != torch.strided or tensor.is_complex():
        raise _Unwritable
    shape = ", ".join(map(str, tensor.shape)) if tensor.ndim else "()"
    values = tensor.detach().reshape(-1)[:SAMPLE].cpu()
    if tensor.dtype == torch.bool:
        return Drawing(f"torch.rand({shape}) < 0.5", False)
    if not tensor.is_floating_point():
        low, high = (int(values.min()), int(values.max())) if len(values) else (0, 1)
        dtype = "" if tensor.dtype == torch.int64 else f", dtype={tensor.dtype}"
        size = f"({shape},)" if tensor.ndim == 1 else f"({shape})" if tensor.ndim else "()"
        return Drawing(f"torch.randint({low}, {high + 1}, {size}{dtype})", False)
    text, is_faithful = _floats(values.double(), shape)
    if tensor.dtype != torch.float32:
        is_whole = text.endswith(")") and " * " not in text
        text = f"{text}.to({tensor.dtype})" if is_whole else f"({text}).to({tensor.dtype})"
    return Drawing(text, is_faithful)


def _floats(values: torch.Tensor, shape: str) -> tuple[str, bool]:
    if not len(values):
        return f"torch.randn({shape})", True
    if not torch.isfinite(values).all():
        # A mask that is added, most often.
        return f"torch.randn({shape})", False
    # Two values among many are a mask, or labels.
    is_faithful = len(values) < 8 or len(torch.unique(values)) > 2
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high > 0:
        return f"torch.rand({shape})" + ("" if high <= 1 else f" * {_round(high)}"), is_faithful
    mean = float(values.mean())
    spread = float(values.std()) if len(values) > 1 else 1.0
    text = f"torch.randn({shape})"
    if spread and not ORDINARY[0] <= spread <= ORDINARY[1]:
        text += f" * {_round(spread)}"
    if abs(mean) > max(spread, 0.1):
        text += f" {'+' if mean > 0 else '-'} {_round(abs(mean))}"
    return text, is_faithful


def _round(number: float) -> str:
    return repr(float(f"{number:.2g}"))
