"""A cache of keys and values at fixed places in memory, each row at a position of its own.

transformers' static cache writes all rows at the same positions; here each may have come farther
than its neighbours, as it does where guesses came true for one and not for another. Nothing is ever
moved or made anew, so that a pass over it can be captured once and replayed.

Imports torch; only the model process imports this module.
"""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["Slots"]


class Slots:
    """What transformers' models call a cache: they ``update`` it, and read back all of it.

    ``positions`` [rows, tokens] is where the tokens of the next pass are, in the text and in
    memory. What lies behind a row's position is never seen: the mask of the pass is
    ``places <= position``.
    """

    #: Read by transformers' ``generate`` machinery and by torch.compile's tracing of the models.
    is_compileable = True

    def __init__(self, rows: int, size: int, device: str):
        self.rows, self.size = rows, size
        self.keys: list[Any] = []
        self.values: list[Any] = []
        self.positions = torch.zeros((rows, 1), dtype=torch.long, device=device)
        self.places = torch.arange(size, device=device)
        self._rows = torch.arange(rows, device=device)[:, None, None]
        #: So many of the places are read: all, or for a prompt those that it fills.
        self.seen = size

    def mask(self) -> Any:
        """[rows, 1, tokens, seen]: what each token of the pass may look at."""
        return self.places[: self.seen] <= self.positions[:, None, :, None]

    def update(self, key: Any, value: Any, layer: int, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Write a pass's keys and values ([rows, heads, tokens, depth]) and return all of them."""
        if layer == len(self.keys):
            self.keys.append(key.new_zeros((*key.shape[:2], self.size, key.shape[3])))
            self.values.append(value.new_zeros((*value.shape[:2], self.size, value.shape[3])))
        # As transformers' own static cache is written, index_put: compiled, it is done in place.
        heads = torch.arange(key.shape[1], device=key.device)[None, :, None]
        place = (self._rows, heads, self.positions[:, None, :])
        self.keys[layer].index_put_(place, key)
        self.values[layer].index_put_(place, value)
        return self.keys[layer][:, :, : self.seen], self.values[layer][:, :, : self.seen]

    def get_seq_length(self, *_: Any) -> int:
        """Positions and masks are given to the model, so it has to count nothing."""
        return 0

    @property
    def nbytes(self) -> int:
        return sum(x.nbytes for x in (*self.keys, *self.values) if not x.is_meta)

    def let_go(self) -> None:
        """Give the memory back, with what it held, and remember its form."""
        self.keys = [key.to("meta") for key in self.keys]
        self.values = [value.to("meta") for value in self.values]

    def take_up(self) -> None:
        """Have the memory again, where it was let go."""
        device = self.places.device
        for held in (self.keys, self.values):
            for at, x in enumerate(held):
                if x.is_meta:
                    held[at] = torch.zeros_like(x, device=device)

    def take(self, other: Slots) -> None:
        """Give every row what the one row of ``other`` holds: a prompt is read once for all."""
        if not self.keys:
            for key, value in zip(other.keys, other.values, strict=True):
                self.keys.append(key.new_zeros((self.rows, key.shape[1], self.size, key.shape[3])))
                shape = (self.rows, value.shape[1], self.size, value.shape[3])
                self.values.append(value.new_zeros(shape))
        for own, given in zip(self.keys + self.values, other.keys + other.values, strict=True):
            own[:, :, : other.seen].copy_(given[:, :, : other.seen])
