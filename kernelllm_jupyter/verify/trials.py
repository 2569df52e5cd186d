"""Which inputs and weights a candidate is tried on, derived from the problem's own.

Runs in the referee's process. A trial on the problem's own distribution differs by its seed only;
a variation changes magnitudes, signs or weights. Integers and booleans are left as drawn, because
they often are indices.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy
import torch

from kernelllm_jupyter.verify.nests import mapped

__all__ = ["OWN_TRIALS", "Trial", "plan", "sow", "varied_state"]

OWN_TRIALS = 3


@dataclass(frozen=True)
class Trial:
    """One run of both modules: ``change`` is applied to the drawn inputs."""

    name: str
    seed: int
    own: bool
    change: Callable[[list[Any]], list[Any]] | None = None
    weights_varied: bool = False
    #: The same values, laid out otherwise in memory; being wrong there is a warning only.
    layout: bool = False
    #: Fresh memory is NaN, or a number, which shows where the result itself is NaN.
    poison_nan: bool = True


def plan(seed: int) -> list[Trial]:
    """The trials in the order in which they are made: the problem's own first."""
    own = [
        Trial(f"seed {seed + n}", seed + n, own=True, poison_nan=n != 1) for n in range(OWN_TRIALS)
    ]
    return [
        *own,
        Trial("other weights", seed + 11, own=False, weights_varied=True),
        Trial("inputs times 100", seed + 12, own=False, change=_each(lambda x: x * 100)),
        Trial("all inputs negative", seed + 13, own=False, change=_each(lambda x: -x.abs())),
        Trial("some inputs exactly zero", seed + 14, own=False, change=_each(_some_zeros)),
        Trial("inputs times 0.001", seed + 15, own=False, change=_each(lambda x: x * 0.001)),
        Trial("inputs all zero", seed + 16, own=False, change=_each(torch.zeros_like)),
        Trial("all inputs positive", seed + 17, own=False, change=_each(torch.abs)),
        Trial("transposed memory", seed, own=False, change=_laid_out_otherwise, layout=True),
    ]


def _some_zeros(tensor: torch.Tensor) -> torch.Tensor:
    """A third of the elements zero, others in every tensor."""
    return torch.where(torch.rand(tensor.shape, device=tensor.device) < 0.33, 0.0, tensor)


def _each(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[list[Any]], list[Any]]:
    def change(inputs: list[Any]) -> list[Any]:
        def one(tensor: torch.Tensor) -> torch.Tensor:
            if not tensor.is_floating_point() or not tensor.numel():
                return tensor
            changed = function(tensor)
            return changed if 0 in tensor.stride() else tensor.copy_(changed)

        changed: list[Any] = mapped(inputs, one)
        return changed

    return change


def _laid_out_otherwise(inputs: list[Any]) -> list[Any]:
    """Every matrix with its last two axes swapped in memory, so that it is not contiguous."""

    def swap(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.ndim < 2 or not tensor.is_contiguous():
            return tensor
        return tensor.mT.contiguous().mT

    swapped: list[Any] = mapped(inputs, swap)
    return swapped


def varied_state(
    state: dict[str, torch.Tensor], parameters: set[str], seed: int
) -> dict[str, torch.Tensor] | None:
    """Other values for weights and running statistics; None where there is nothing to vary."""
    generator = torch.Generator().manual_seed(seed)
    varied = {}
    changed = False
    for name, value in state.items():
        last = name.rpartition(".")[2]
        statistic = "mean" in last or "var" in last
        if value.is_floating_point() and value.numel() and (name in parameters or statistic):
            varied[name] = _varied(value, generator)
            changed = True
        else:
            varied[name] = value.clone()
    return varied if changed else None


def _varied(value: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Near the old values; positive stays positive (variances), zeros become small numbers."""
    plain = value.detach().cpu().double()
    if not torch.isfinite(plain).all():
        return value.clone()
    factor = 0.5 + torch.rand(plain.shape, generator=generator, dtype=torch.float64)
    if (plain > 0).all():
        changed = plain * factor
    elif not plain.any():
        changed = 0.3 * torch.randn(plain.shape, generator=generator, dtype=torch.float64)
    else:
        spread = float(plain.std()) if plain.numel() > 1 else abs(float(plain.reshape(-1)[0]))
        noise = torch.randn(plain.shape, generator=generator, dtype=torch.float64)
        changed = plain * factor + 0.2 * spread * noise
    return changed.to(value.dtype).to(value.device)


def sow(seed: int) -> None:
    """Seed every generator that a module may draw from.

    ``torch.manual_seed`` also tells back ends that are not there, which costs a millisecond.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda._initialized:
        torch.cuda.manual_seed_all(seed)
    random.seed(seed)
    numpy.random.seed(seed % (1 << 32))
