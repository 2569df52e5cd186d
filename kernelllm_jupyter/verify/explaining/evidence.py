"""A wrong output, looked at in a bounded number of places: what explanations are tested on.

Outputs may fill a GPU's memory, so an explanation is a hypothesis about single elements ("this one
is what belongs one row below"), tested on a sample. Small outputs are looked at whole. Runs in the
referee's process; knows nothing of what the explanations are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

__all__ = ["Evidence", "gathered", "positions", "spread"]

#: How many elements are looked at, evenly spread, and as many of the wrong ones.
SAMPLE = 32768
#: Up to how many wrong elements are listed to choose from.
LISTED = 1 << 20
#: Two values count as the same up to this part of their scale.
ALIKE: dict[torch.dtype, float] = {torch.float64: 1e-6, torch.float32: 1e-4}
ALIKE_LOW = 1e-2
#: The part of the elements that a hypothesis must explain.
MOST = 0.995


@dataclass(frozen=True)
class Evidence:
    """``got`` should be ``expected`` and is not, where ``wrong`` is set; all of one shape.

    ``inputs`` are the tensors that ``forward()`` was given. ``at`` are flat positions in ascending
    order, ``where`` the same by axis.
    """

    got: torch.Tensor
    expected: torch.Tensor
    wrong: torch.Tensor
    inputs: Sequence[torch.Tensor]
    at: torch.Tensor
    #: Whether ``at`` is every element.
    whole: bool
    count: int

    @classmethod
    def of(
        cls,
        got: torch.Tensor,
        expected: torch.Tensor,
        wrong: torch.Tensor,
        inputs: Sequence[Any],
    ) -> Evidence:
        """Look at an output; ``inputs`` may hold anything, of which the tensors are kept."""
        total, count = expected.numel(), int(wrong.sum())
        tensors = [item for item in inputs if isinstance(item, torch.Tensor) and item.numel()]
        tensors = [item.to(got.device) for item in tensors]
        if total <= 2 * SAMPLE:
            at = torch.arange(total, device=got.device)
        else:
            at = torch.cat([spread(total, SAMPLE, got.device), _wrong_ones(wrong, count)]).unique()
        return cls(got, expected, wrong, tensors, at, total <= 2 * SAMPLE, count)

    @property
    def total(self) -> int:
        return int(self.expected.numel())

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.expected.shape)

    @property
    def floats(self) -> bool:
        return bool(self.expected.is_floating_point())

    @cached_property
    def where(self) -> tuple[torch.Tensor, ...]:
        return positions(self.at, self.shape)

    @cached_property
    def have(self) -> torch.Tensor:
        return gathered(self.got, self.where).double()

    @cached_property
    def want(self) -> torch.Tensor:
        return gathered(self.expected, self.where).double()

    @cached_property
    def bad(self) -> torch.Tensor:
        return gathered(self.wrong, self.where)

    @cached_property
    def scale(self) -> float:
        """A typical magnitude of the expected values."""
        present = self.want[torch.isfinite(self.want) & (self.want != 0)].abs()
        return float(present.median()) if present.numel() else 1.0

    @cached_property
    def alike(self) -> float:
        return ALIKE.get(self.expected.dtype, ALIKE_LOW) if self.floats else 0.0

    def same(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Where two samples hold the same values, to what a hypothesis asks for."""
        allowed = self.alike * right.abs().clamp(min=self.scale)
        close = ((left - right).abs() <= allowed) | (left == right)
        return close | (torch.isnan(left) & torch.isnan(right))

    def explains(self, values: torch.Tensor, among: torch.Tensor | None = None) -> bool:
        """Whether ``got`` is ``values`` in nearly every place (of those ``among``), where the
        expected result is not."""
        agrees = self.same(self.have, values)
        telling = ~self.same(self.want, values) & self.bad
        if among is not None:
            agrees, telling = agrees[among], telling[among]
        if agrees.numel() < 2 or not telling.any():
            return False
        wrong = self.bad if among is None else self.bad[among]
        return bool(
            agrees.double().mean() >= MOST
            and telling.sum() >= 0.5 * wrong.sum()
            and agrees[wrong].double().mean() >= MOST
        )


def spread(total: int, count: int, device: torch.device) -> torch.Tensor:
    """``count`` positions out of ``total``, evenly spread."""
    step = max(1, total // count)
    # An even step would look at the same columns of every row.
    step += 1 - step % 2 if step > 1 else 0
    return torch.arange(0, total, step, device=device)


def _wrong_ones(wrong: torch.Tensor, count: int) -> torch.Tensor:
    """Flat positions of wrong elements, evenly chosen from all of them where they are few."""
    flat = wrong.reshape(-1)
    if count <= LISTED:
        listed = flat.nonzero().reshape(-1)
    else:
        looked_at = spread(flat.numel(), 16 * SAMPLE, flat.device)
        listed = looked_at[flat[looked_at]]
    return listed[spread(listed.numel(), SAMPLE, flat.device)] if listed.numel() else listed


def positions(flat: torch.Tensor, shape: Sequence[int]) -> tuple[torch.Tensor, ...]:
    """Flat positions by axis."""
    found, rest = [], flat
    for size in reversed(shape):
        found.append(rest % size)
        rest = rest // size
    return tuple(reversed(found))


def gathered(tensor: torch.Tensor, where: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Single elements of a tensor, without copying it whole."""
    return tensor[where] if where else tensor.reshape(1)
