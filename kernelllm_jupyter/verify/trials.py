"""Which inputs and weights a candidate is tried on, derived from the problem's own.

Runs in the referee's process. A trial on the problem's own distribution differs by its seed only;
a variation changes magnitudes, signs, layouts or weights. Integers stay within the range in which
the problem draws them, because they often are indices.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy
import torch

from kernelllm_jupyter.verify.nests import copied, leaves, mapped
from kernelllm_jupyter.verify.tolerance import Leniency
from kernelllm_jupyter.verify.watching.audit import POISON_NUMBER

__all__ = ["Trial", "one_at_a_time", "plan", "sow", "unforeseen", "varied_state"]

Change = Callable[[list[Any]], list[Any] | None]
Varied = Literal["values", "integers", "weights", "buffers", "layout"]
#: Of more inputs than this, a variation is made of all at once or not at all.
MOST_APART = 4


@dataclass(frozen=True)
class Trial:
    """One run of both modules: ``change`` is applied to the drawn inputs.

    A change that returns None has nothing to vary in these inputs: the trial is left out.
    """

    name: str
    seed: int
    own: bool
    change: Change | None = None
    #: What it varies. Being wrong where only the layout in memory differs is a warning, and so it
    #: is with other buffers, which may be constants that stand in the code.
    varies: Varied = "values"
    #: Whether inputs are such that digits are lost: only what is grossly wrong counts.
    coarse: bool = False
    #: Whether ``change`` is of one of several inputs only.
    alone: bool = False
    #: Whether the inputs have few digits, so that comparisons and roundings can be exact.
    few_digits: bool = False
    #: What fresh memory holds: NaN, or a number, which shows where NaN is passed over (as a
    #: maximum does, or a result that is NaN itself).
    poison: float = math.nan
    #: Masked lanes for which a load names no value are NaN; being wrong then is a warning only.
    padding_undefined: bool = False
    #: Of several calls whose arguments are the inputs, the one that they come from.
    call: int = 0

    @property
    def doing(self) -> str:
        """What is tried, for who waits for it."""
        return "the problem's inputs" if self.own else self.name

    @property
    def leniency(self) -> Leniency:
        """By which tolerance its results are compared."""
        if self.own:
            return "strict"
        return "coarse" if self.coarse else "close"


def plan(
    seed: int, first: list[Any], second: list[Any], calls: int = 0, *, weights: bool = True
) -> list[Trial]:
    """The trials in the order in which they are made: the problem's own first.

    ``first`` and ``second`` are two draws of its inputs. Integers and masks that are the same in
    both are left alone: they may be offsets, lengths or a causal mask, which have to fit.
    Variations that these inputs have nothing for are left out, and that of the weights without
    ``weights``.

    Where there are ``calls`` whose arguments are the inputs, each is a trial of its own, and
    they take turns in the variations.
    """
    poisons = (math.nan, POISON_NUMBER, -POISON_NUMBER)
    own = [
        Trial(f"seed {seed + n}", seed + n, own=True, poison=poisons[n % 3], call=n)
        for n in range(max(3, calls))
    ]
    drawn = _drawn_anew(first, second)
    variations = _variations(seed, drawn)
    if calls < 2:
        # Of several calls another one may have what this one lacks.
        given = [leaf for _, leaf in (*leaves(first), *leaves(second))]
        there = {
            "values": any(isinstance(x, torch.Tensor) and x.is_floating_point() for x in given),
            "integers": bool(drawn),
            "weights": weights,
            "buffers": weights,
            "layout": True,
        }
        variations = [trial for trial in variations if there[trial.varies]]
    turns = max(1, calls)
    return [*own, *(replace(trial, call=n % turns) for n, trial in enumerate(variations))]


def _variations(seed: int, drawn: frozenset[str]) -> list[Trial]:
    return [
        Trial("other weights", seed + 11, own=False, varies="weights"),
        Trial("inputs times 100", seed + 12, own=False, change=_each(lambda x: x * 100)),
        Trial("some inputs very large", seed + 18, own=False, change=_each(_some_extreme)),
        Trial("all inputs negative", seed + 13, own=False, change=_each(lambda x: -x.abs())),
        Trial(
            "inputs far below zero",
            seed + 24,
            own=False,
            change=_each(_far_below_zero),
            coarse=True,
        ),
        # In order, the elements of a row are nearly alike: a variance that is the difference of two
        # means loses digits.
        Trial("inputs ascending", seed + 25, own=False, change=_each(_sorted_up), coarse=True),
        Trial(
            "inputs descending",
            seed + 26,
            own=False,
            change=_each(lambda x: -_sorted_up(-x)),
            coarse=True,
        ),
        Trial(
            "inputs of few digits",
            seed + 27,
            own=False,
            change=_each(_of_few_digits),
            coarse=True,
            few_digits=True,
        ),
        Trial("no input positive, some exactly zero", seed + 28, own=False, change=_each(_capped)),
        Trial("some inputs exactly zero", seed + 14, own=False, change=_each(_some_zeros)),
        Trial("inputs times 0.001", seed + 15, own=False, change=_each(lambda x: x * 0.001)),
        Trial("inputs all zero", seed + 16, own=False, change=_each(torch.zeros_like)),
        Trial("inputs all alike", seed + 19, own=False, change=_each(_alike)),
        Trial("many values nearly alike", seed + 23, own=False, change=_each(_near_ties)),
        Trial("all inputs positive", seed + 17, own=False, change=_each(torch.abs)),
        Trial(
            "other integers",
            seed + 20,
            own=False,
            change=_redrawn(drawn, seed + 20),
            varies="integers",
        ),
        Trial(
            "masks all true", seed + 21, own=False, change=_masked(drawn, True), varies="integers"
        ),
        Trial(
            "masks all false", seed + 22, own=False, change=_masked(drawn, False), varies="integers"
        ),
        Trial("other buffers", seed + 29, own=False, varies="buffers"),
        Trial("transposed memory", seed, own=False, change=_layout(_transposed), varies="layout"),
        Trial("every second column", seed, own=False, change=_layout(_sliced), varies="layout"),
        Trial("expanded memory", seed, own=False, change=_layout(_expanded), varies="layout"),
    ]


def one_at_a_time(trial: Trial, inputs: list[Any]) -> list[Trial]:
    """A variation of all inputs, as one of each alone; none where there is only one to vary."""
    change = trial.change
    places = [
        n
        for n, (_, leaf) in enumerate(leaves(inputs))
        if isinstance(leaf, torch.Tensor) and leaf.is_floating_point() and leaf.numel()
    ]
    if change is None or trial.alone or trial.varies != "values":
        return []
    if not 1 < len(places) <= MOST_APART:
        return []

    def changed_alone(place: int) -> Change:
        def changed_there(inputs: list[Any]) -> list[Any] | None:
            kept: list[Any] = copied(inputs)
            changed = change(inputs)
            if changed is None:
                return None
            new = [leaf for _, leaf in leaves(changed)]
            turn = iter(n for n, leaf in enumerate(new) if isinstance(leaf, torch.Tensor))
            return list(mapped(kept, lambda old: new[n] if (n := next(turn)) == place else old))

        return changed_there

    names = [path for path, _ in leaves(inputs)]
    return [
        replace(
            trial,
            name=f"{trial.name}, in input{names[place]} alone",
            change=changed_alone(place),
            alone=True,
        )
        for place in places
    ]


# --- floating-point values -----------------------------------------------------------------------


def _each(function: Callable[[torch.Tensor], torch.Tensor]) -> Change:
    def change(inputs: list[Any]) -> list[Any] | None:
        seen = False

        def one(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal seen
            if not tensor.is_floating_point() or not tensor.numel():
                return tensor
            seen = True
            wide = tensor.float() if tensor.element_size() == 1 else tensor
            changed = function(wide).to(tensor.dtype)
            return changed if 0 in tensor.stride() else tensor.copy_(changed)

        changed: list[Any] = mapped(inputs, one)
        return changed if seen else None

    return change


def _some_zeros(tensor: torch.Tensor) -> torch.Tensor:
    """A third of the elements zero, others in every tensor."""
    return torch.where(torch.rand(tensor.shape, device=tensor.device) < 0.33, 0.0, tensor)


def _far_below_zero(tensor: torch.Tensor) -> torch.Tensor:
    """Where padding with 0, or with what someone took for very small, stands out as largest."""
    return -2000 - 1000 * tensor.abs()


def _capped(tensor: torch.Tensor) -> torch.Tensor:
    """The largest element again and again, and exactly: the first of them counts."""
    return _some_zeros(-tensor.abs())


def _of_few_digits(tensor: torch.Tensor) -> torch.Tensor:
    """Rounded to quarters, some to sixteenths, of a typical one: equal elements, and some on the
    very edge of a comparison."""
    typical = float(tensor.abs().double().mean()) or 1.0
    if not math.isfinite(typical):
        return tensor
    step = torch.full_like(tensor, math.ldexp(1.0, math.frexp(typical)[1] - 3))
    if tensor.element_size() >= 4:
        finer = torch.rand(tensor.shape, device=tensor.device) < 0.5
        step = torch.where(finer, step / 4, step)
    return torch.round(tensor / step) * step


def _sorted_up(tensor: torch.Tensor) -> torch.Tensor:
    """The same values in order, so that the last element matters to a maximum, the first to a
    minimum."""
    return tensor.reshape(-1).sort().values.reshape(tensor.shape)


def _some_extreme(tensor: torch.Tensor) -> torch.Tensor:
    """One element in sixteen far away: exponentials without a guard overflow there.

    Its square is still finite in the tensor's precision; a variation on which the reference
    overflows is dropped. No two are alike: where large numbers cancel, rounding decides.
    """
    far = 200.0 if torch.finfo(tensor.dtype).max < 1e5 else 1e4
    chosen = torch.rand(tensor.shape, device=tensor.device) < 1 / 16
    size = far * (0.5 + 0.5 * torch.rand(tensor.shape, device=tensor.device))
    return torch.where(chosen, torch.where(tensor < 0, -size, size).to(tensor.dtype), tensor)


def _near_ties(tensor: torch.Tensor) -> torch.Tensor:
    """Three values, of which no two are quite alike: float32 tells them apart, float16 does not.

    What depends on an order (argmax, sorting, comparisons) shows there in which precision it was
    found; mean and variance stay as they are, so that nothing cancels.
    """
    typical = float(tensor.abs().double().mean()) or 1.0
    if not math.isfinite(typical):
        return tensor
    level = torch.clamp(torch.round(tensor / typical), -1, 1) * typical
    return level * (1 + 2e-4 * torch.rand(tensor.shape, device=tensor.device).to(tensor.dtype))


def _alike(tensor: torch.Tensor) -> torch.Tensor:
    """One value in all elements, of the tensor's own magnitude.

    It has three bits, so that sums are exact: equal values that are not have equal rounding errors,
    which add up in an honest running sum as they do nowhere else.
    """
    middle = float(tensor.abs().double().mean())
    if not math.isfinite(middle):
        return torch.ones_like(tensor)
    mantissa, exponent = math.frexp(middle)
    return torch.full_like(tensor, math.ldexp(round(mantissa * 8) / 8, exponent))


# --- integers and masks --------------------------------------------------------------------------


def _drawn_anew(first: list[Any], second: list[Any]) -> frozenset[str]:
    """Paths of integer and boolean tensors that ``get_inputs`` draws at random, unordered."""
    found = set()
    for (path, one), (_, other) in zip(leaves(first), leaves(second), strict=False):
        if not isinstance(one, torch.Tensor) or not isinstance(other, torch.Tensor):
            continue
        if one.is_floating_point() or one.is_complex() or one.shape != other.shape:
            continue
        if one.numel() and not torch.equal(one, other) and not _sorted(one):
            found.add(path)
    return frozenset(found)


def _sorted(tensor: torch.Tensor) -> bool:
    flat = tensor.reshape(-1)
    return flat.dtype != torch.bool and bool((flat[1:] >= flat[:-1]).all()) and flat.numel() > 2


def _redrawn(paths: frozenset[str], seed: int) -> Change:
    """Integers anew within the range that the problem's own show, both ends among them."""

    def change(inputs: list[Any]) -> list[Any] | None:
        generator = torch.Generator().manual_seed(seed)

        def one(tensor: torch.Tensor) -> torch.Tensor:
            if tensor.dtype == torch.bool:
                drawn = torch.rand(tensor.shape, generator=generator) < 0.5
            else:
                low, high = int(tensor.min()), int(tensor.max())
                drawn = torch.randint(low, high + 1, tensor.shape, generator=generator)
                ends = torch.rand(tensor.shape, generator=generator)
                drawn = torch.where(ends < 0.1, low, torch.where(ends > 0.9, high, drawn))
            return tensor.copy_(drawn)

        return _at_paths(inputs, paths, one)

    return change


def _masked(paths: frozenset[str], value: bool) -> Change:
    def change(inputs: list[Any]) -> list[Any] | None:
        masks = {
            path
            for path, leaf in leaves(inputs)
            if path in paths and isinstance(leaf, torch.Tensor) and leaf.dtype == torch.bool
        }
        return _at_paths(inputs, frozenset(masks), lambda tensor: tensor.fill_(value))

    return change


def _at_paths(
    inputs: list[Any], paths: frozenset[str], function: Callable[[torch.Tensor], torch.Tensor]
) -> list[Any] | None:
    """``function`` applied in place to the tensors at some paths; None where there are none."""
    if not paths:
        return None
    for path, leaf in leaves(inputs):
        if path in paths:
            function(leaf)
    return inputs


# --- layouts -------------------------------------------------------------------------------------


def _layout(function: Callable[[torch.Tensor], torch.Tensor]) -> Change:
    """The same shapes laid out otherwise, where the problem's own tensors are contiguous."""

    def change(inputs: list[Any]) -> list[Any] | None:
        seen = False

        def one(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal seen
            if not tensor.is_contiguous() or tensor.numel() < 2:
                return tensor
            changed = function(tensor)
            seen = seen or changed.stride() != tensor.stride()
            return changed

        changed: list[Any] = mapped(inputs, one)
        return changed if seen else None

    return change


def _transposed(tensor: torch.Tensor) -> torch.Tensor:
    """The last two axes swapped in memory."""
    return tensor.mT.contiguous().mT if tensor.ndim >= 2 else tensor


def _sliced(tensor: torch.Tensor) -> torch.Tensor:
    """A view of every second element of the last axis of something twice as wide."""
    if not tensor.ndim:
        return tensor
    wide = torch.repeat_interleave(tensor, 2, dim=-1)
    # What lies between is not what is wanted.
    wide[..., 1::2] = torch.flip(tensor, (-1,))
    return wide[..., ::2]


def _expanded(tensor: torch.Tensor) -> torch.Tensor:
    """The first row again and again, without memory of its own."""
    return tensor[:1].expand(tensor.shape) if tensor.ndim >= 2 and len(tensor) > 1 else tensor


# --- weights -------------------------------------------------------------------------------------


def varied_state(
    state: dict[str, torch.Tensor], parameters: set[str], seed: int, *, buffers: bool = False
) -> dict[str, torch.Tensor] | None:
    """Other values for weights and running statistics, or for all other ``buffers``; None where
    there is nothing to vary."""
    generator = torch.Generator().manual_seed(seed)
    varied = {}
    changed = False
    for name, value in state.items():
        last = name.rpartition(".")[2]
        learnt = name in parameters or "mean" in last or "var" in last
        wanted = not learnt and not _is_mask(value) if buffers else learnt
        if value.is_floating_point() and value.numel() and wanted:
            varied[name] = _varied(value, generator)
            changed = True
        else:
            varied[name] = value.clone()
    return varied if changed else None


def _is_mask(value: torch.Tensor) -> bool:
    """Whether it is ones and zeros, which may not mean numbers."""
    return bool(((value == 0) | (value == 1)).all()) and bool(
        (value != value.reshape(-1)[:1]).any()
    )


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


def unforeseen(seed: int, *texts: str) -> int:
    """A seed that follows from ``seed`` and what is checked, and that no source can name.

    Code that holds results for known seeds would change it by every byte it is changed by.
    """
    digest = hashlib.sha256("\0".join([str(seed), *texts]).encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def sow(seed: int) -> None:
    """Seed every generator that a module may draw from.

    ``torch.manual_seed`` also tells back ends that are not there, which costs a millisecond.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda._initialized:
        torch.cuda.manual_seed_all(seed)
    random.seed(seed)
    numpy.random.seed(seed % (1 << 32))
