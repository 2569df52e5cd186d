"""PyTorch through ``torch.compile``, as it is timed beside a candidate and PyTorch as written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["BASELINES", "Baseline", "autotuning_seconds"]

#: What torch's own record of its compilation calls trying configurations, as parts of names.
TUNING = ("autotun", "benchmark")


@dataclass(frozen=True)
class Baseline:
    """One way of ``torch.compile``, and its name among the contenders."""

    name: str
    mode: str

    @property
    def words(self) -> str:
        return "torch.compile" + ("" if self.mode == "default" else f" ({self.mode})")

    def compiled(self, model: torch.nn.Module) -> Callable[..., Any]:
        """The module through ``torch.compile``, which compiles at the first call."""
        compiled: Callable[..., Any] = torch.compile(model, mode=self.mode)
        return compiled


BASELINES = {
    "compile": Baseline("compile", "default"),
    "max-autotune": Baseline("max-autotune", "max-autotune-no-cudagraphs"),
}


def autotuning_seconds() -> float | None:
    """What this process has spent so far on trying configurations; None where torch does not say.

    ``torch._dynamo`` keeps the seconds of each part of a compilation by name.
    """
    try:
        from torch._dynamo.utils import compilation_time_metrics as record

        return float(sum(sum(record[name]) for name in record if _tuning(name)))
    except (ImportError, AttributeError, TypeError):
        return None


def _tuning(name: str) -> bool:
    return any(part in name.lower() for part in TUNING)
