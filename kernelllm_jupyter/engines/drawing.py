"""Which token comes next: one draw from the model's distribution, for each row by its own rules.

Pure functions of tensors. A draw is one number in [0, 1), looked up in the cumulative distribution
of the tokens ranked by likelihood, so that a seed gives the same reply whoever is in the batch and
however many tokens are looked at in one pass.

Imports torch; only the model process imports this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

__all__ = ["Rules", "drawn"]


class Rules:
    """How the rows of a batch are sampled: one temperature, top-p and top-k for each."""

    def __init__(
        self,
        temperatures: Sequence[float],
        top_ps: Sequence[float],
        top_ks: Sequence[int],
        device: str,
    ):
        self.greedy = not any(temperature > 0 for temperature in temperatures)
        # Greedy is the draw that always takes the first of the ranked tokens.
        self.temperatures = torch.tensor(
            [[value if value > 0 else 1.0] for value in temperatures], device=device
        )
        self.top_ps = torch.tensor([[value] for value in top_ps], device=device)
        self.top_ks = tuple(top_ks)

    def repeated(self, times: int) -> Rules:
        """The same for ``times`` places in each row, row by row."""
        made = object.__new__(Rules)
        made.greedy = self.greedy
        made.temperatures = self.temperatures.repeat_interleave(times, dim=0)
        made.top_ps = self.top_ps.repeat_interleave(times, dim=0)
        made.top_ks = tuple(value for value in self.top_ks for _ in range(times))
        return made


def drawn(scores: Any, rules: Rules, levels: Sequence[float]) -> Any:
    """One token for each row of ``scores`` [rows, vocabulary]; ``levels`` has a number for each."""
    if rules.greedy:
        return scores.argmax(dim=-1)
    ranked, tokens = torch.sort(
        scores.float() / rules.temperatures, dim=-1, descending=True, stable=True
    )
    probabilities = torch.softmax(ranked, dim=-1)
    before = probabilities.cumsum(-1) - probabilities
    # Of top-p, the token that reaches the mass still belongs to it.
    kept = probabilities * (before < rules.top_ps)
    for row, top_k in enumerate(rules.top_ks):
        if top_k > 0:
            kept[row, top_k:] = 0
    kept[:, 0] = probabilities[:, 0]
    mass = kept.cumsum(-1)
    wanted = torch.tensor(levels, dtype=mass.dtype, device=mass.device).unsqueeze(1)
    place = torch.searchsorted(mass, wanted * mass[:, -1:], right=True)
    # Rounding may put a level on the very end, past the last token that is kept.
    last = (kept > 0).sum(-1, keepdim=True) - 1
    return tokens.gather(1, torch.minimum(place, last)).squeeze(1)
