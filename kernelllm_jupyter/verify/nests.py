"""Nested values of tensors: walking, mapping, copying and comparing them leaf by leaf.

Runs in worker processes only (imports torch).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

__all__ = ["aligned", "copied", "identical", "leaves", "mapped", "ordered", "structure", "wide"]


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a nested value with its path, for example ``[1]['mask']``."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f"{path}[{key!r}]")
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
    else:
        yield path, value


def mapped(value: Any, function: Callable[[torch.Tensor], Any]) -> Any:
    """The same nest with ``function`` applied to every tensor."""
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, Mapping):
        return {key: mapped(item, function) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(mapped(item, function) for item in value)
    if isinstance(value, list):
        return [mapped(item, function) for item in value]
    return value


def copied(value: Any) -> Any:
    """A deep copy of the tensors of a nest, strides kept, cut off from any graph."""

    def copy(tensor: torch.Tensor) -> torch.Tensor:
        plain = tensor.detach().resolve_conj().resolve_neg()
        if not plain.numel() or plain.layout != torch.strided:
            return plain.clone()
        span = 1 + sum((n - 1) * s for n, s in zip(plain.shape, plain.stride(), strict=True))
        flat = plain.as_strided((span,), (1,), plain.storage_offset()).clone()
        return flat.as_strided(plain.shape, plain.stride())

    return mapped(value, copy)


def structure(value: Any) -> str:
    """The shape of a nest in words: ``a tuple of (a tensor, a tensor)``."""
    if isinstance(value, torch.Tensor):
        return "a tensor"
    if isinstance(value, dict):
        return "a dict of {" + ", ".join(f"{k!r}: {structure(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple | list):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return f"a {kind} of (" + ", ".join(structure(item) for item in value) + ")"
    return "None" if value is None else f"a {type(value).__name__}"


def ordered(value: Any, like: Any) -> Any:
    """``value`` with the keys of its dicts in the order of ``like``'s: to Python they are equal."""
    if isinstance(value, Mapping) and isinstance(like, Mapping):
        if value.keys() != like.keys():
            return value
        return {key: ordered(value[key], like[key]) for key in like}
    if isinstance(value, tuple | list) and isinstance(like, tuple | list):
        if len(value) != len(like):
            return value
        items = [ordered(*pair) for pair in zip(value, like, strict=True)]
        return tuple(items) if isinstance(value, tuple) else items
    return value


def identical(left: Any, right: Any) -> bool:
    """Bit for bit the same tensors in the same places."""
    lefts, rights = list(leaves(left)), list(leaves(right))
    return len(lefts) == len(rights) and all(
        _same_leaf(a, b) for (_, a), (_, b) in zip(lefts, rights, strict=True)
    )


def _same_leaf(left: Any, right: Any) -> bool:
    if not isinstance(left, torch.Tensor) or not isinstance(right, torch.Tensor):
        return type(left) is type(right)
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    return not left.numel() or bool(torch.equal(_raw(left), _raw(right.to(left.device))))


def _raw(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def aligned(value: Any | None, beside: list[Any]) -> list[torch.Tensor | None]:
    """The tensors of ``value`` that fit the leaves ``beside`` them, None where one does not."""
    if value is None:
        return [None] * len(beside)
    found = [leaf for _, leaf in leaves(value)]
    if len(found) != len(beside):
        return [None] * len(beside)
    return [
        leaf
        if isinstance(leaf, torch.Tensor)
        and isinstance(want, torch.Tensor)
        and leaf.shape == want.shape
        else None
        for leaf, want in zip(found, beside, strict=True)
    ]


def wide(tensor: torch.Tensor) -> torch.Tensor:
    """An 8-bit float as float32, exactly: PyTorch computes little in 8 bits. Others as they are."""
    narrow = tensor.is_floating_point() and tensor.element_size() == 1
    return tensor.float() if narrow else tensor
