"""A module built anew from its class and arguments, made what the live one was, or told apart.

Runs in the referee's process. The rebuilt module stands for the user's live one only where it has
the same weights, the same plain attributes and, where a call was captured, the same results: a
constructor argument that was read off wrongly shows here, before any candidate is judged by it.
"""

from __future__ import annotations

from typing import Any

import torch

from kernelllm_jupyter.verify.nests import leaves, structure

__all__ = ["WHY_UNLIKE", "differing", "load", "unlike"]

WHY_UNLIKE = (
    "Its weights or attributes may have changed since the call (then capture it again), it may use "
    "what is no part of its source, or its constructor may have had other arguments (then pass "
    "--init)."
)
#: How far results may lie from the live ones, relative to their norm: the live module may have run
#: on another device, in TF32 or under autocast. What was rebuilt wrongly differs by more.
SAME = 0.02
#: Names that are listed in a message at most.
LISTED = 4


def unlike(
    model: torch.nn.Module,
    state: dict[str, torch.Tensor],
    settings: dict[str, dict[str, Any]],
) -> str | None:
    """In words, how a rebuilt module differs from the live one in more than values of weights."""
    own = tensors_of(model)
    missing, more = sorted(state.keys() - own.keys()), sorted(own.keys() - state.keys())
    if missing or more:
        parts = [
            f"{who} {', '.join(names[:LISTED])}{', …' if len(names) > LISTED else ''}"
            for who, names in (("the live one has", missing), ("the new one has", more))
            if names
        ]
        return _otherwise("other weights: " + "; ".join(parts))
    for name, value in state.items():
        if own[name].shape != value.shape:
            shapes = f"{list(value.shape)}, and {list(own[name].shape)} in the new one"
            return _otherwise(f"other weights: {name} is {shapes}")
    persistent = model.state_dict().keys()
    for name, value in state.items():
        if own[name].dtype != value.dtype:
            dtypes = f"{_dtype(value)}, and {_dtype(own[name])} in the new one"
            return _otherwise(f"weights of other dtypes: {name} is {dtypes}")
        if name not in persistent and not torch.equal(own[name].cpu(), value):
            return (
                f"The live module's buffer {name} has other values than the constructor gives it, "
                "and is not part of its state_dict(): register it with persistent=True."
            )
    return _unlike_settings(model, settings)


def _unlike_settings(model: torch.nn.Module, settings: dict[str, dict[str, Any]]) -> str | None:
    modules = dict(model.named_modules())
    for path, attributes in settings.items():
        for name, value in attributes.items():
            own = getattr(modules.get(path), name, None)
            own = list(own) if isinstance(own, tuple) else own
            if own != value and not (own != own and value != value):
                called = f"{path}.{name}" if path else name
                return _otherwise(f"other attributes: {called} is {value!r}, and {own!r} in it")
    return None


def _otherwise(what: str) -> str:
    return (
        f"The live module cannot be built anew from its class: built with these arguments it has "
        f"{what}. Pass --init with the constructor's arguments."
    )


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def load(model: torch.nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Give ``model`` the values of ``state``, which fits it."""
    with torch.no_grad():
        for name, own in tensors_of(model).items():
            own.copy_(state[name])


def tensors_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name, those among them that are no part of ``state_dict()``."""
    found = dict(model.named_parameters(remove_duplicate=False))
    found.update(model.named_buffers(remove_duplicate=False))
    return found


def differing(results: Any, wanted: Any) -> str | None:
    """In words, how a rebuilt module's results differ from the live one's; None where alike."""
    beginning = "Built anew from its class, the live module"
    ours, theirs = list(leaves(results)), list(leaves(wanted))
    if [path for path, _ in ours] != [path for path, _ in theirs]:
        return f"{beginning} returns {structure(results)}, and {structure(wanted)} when captured."
    for (_, got), (path, want) in zip(ours, theirs, strict=True):
        if not isinstance(got, torch.Tensor) or not isinstance(want, torch.Tensor):
            continue
        where = f" in result{path}" if path else ""
        if got.shape != want.shape:
            return (
                f"{beginning} returns a tensor of shape {list(got.shape)}{where}, and "
                f"{list(want.shape)} when captured."
            )
        share = distance(got, want)
        if share > SAME:
            return (
                f"{beginning} gives other results{where} than when it was captured "
                f"({share:.1%} off)."
            )
    return None


def distance(got: torch.Tensor, want: torch.Tensor) -> float:
    """Relative to the norm of ``want``; of integers, the share of those that are not equal."""
    if not got.numel():
        return 0.0
    got, want = got.detach().cpu(), want.detach().cpu()
    if not want.is_floating_point() and not want.is_complex():
        return float((got != want).double().mean())
    kind = torch.complex128 if want.is_complex() else torch.float64
    got, want = got.to(kind).nan_to_num(), want.to(kind).nan_to_num()
    return float((got - want).norm() / want.norm().clamp_min(1e-30))
