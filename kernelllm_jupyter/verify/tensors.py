"""Nested arguments and results as JSON plus raw bytes, with dtype, shape and strides kept.

Runs in worker processes only (imports torch). Knows nothing of sockets or of what is compared.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch

from kernelllm_jupyter.carried import Buffer

__all__ = ["Blob", "Foreign", "pack", "plain_nest", "unpack"]

Blob = Buffer

#: Dtypes whose elements fill whole bytes and mean the same on both sides; no quantized ones.
PLAIN = re.compile(r"bool|u?int(8|16|32|64)|b?float(16|32|64)|float8_\w+|complex(32|64|128)")
#: Bounds of what a sound form can say.
DEEPEST = 100
#: How Python reads a container.
READING = ("__iter__", "__getitem__", "__len__", "items", "__getattribute__")
MOST_DIMENSIONS = 64
MOST_ELEMENTS = 1 << 60


class Foreign(Exception):
    """A value that cannot be handed from one process to another; the text names its type."""


def pack(value: Any, blobs: list[Blob], *, shapes_only: bool = False) -> Any:
    """``value`` as JSON; the bytes of its tensors are appended to ``blobs``.

    With ``shapes_only`` there are none: the other side unpacks to the device ``meta``.
    Raises :class:`Foreign` for tensor subclasses and for types that have no plain form.
    """
    if isinstance(value, torch.Tensor):
        return _pack_tensor(value, blobs, shapes_only)
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    if isinstance(value, Mapping):
        items = [
            [str(key), pack(item, blobs, shapes_only=shapes_only)] for key, item in value.items()
        ]
        return {"dict": items}
    if isinstance(value, tuple | list):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [pack(item, blobs, shapes_only=shapes_only) for item in value]}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    raise Foreign(_named(type(value)))


def plain_nest(value: Any) -> Any:
    """A result as plain lists, tuples and dicts, each read once and as Python itself reads it.

    Raises :class:`Foreign` for containers with a reading of their own and for tensors that are
    none: code behind them would compute when they are looked at.
    """
    kind = type(value)
    if isinstance(value, torch.Tensor):
        _refuse_foreign_tensor(value)
        return value
    for plain in (dict, OrderedDict, tuple, list):
        if isinstance(value, plain):
            if any(getattr(kind, name, None) is not getattr(plain, name, None) for name in READING):
                raise Foreign(f"{_named(kind)} with a reading of its own")
            if isinstance(value, dict):
                return {key: plain_nest(item) for key, item in value.items()}
            return (tuple if plain is tuple else list)(plain_nest(item) for item in value)
    if isinstance(value, Mapping):
        raise Foreign(_named(kind))
    return value


def _refuse_foreign_tensor(tensor: torch.Tensor) -> None:
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        raise Foreign(f"tensor subclass {type(tensor).__qualname__}")
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise Foreign(f"{tensor.layout} tensor")
    if torch._is_functional_tensor(tensor) or torch._C._functorch.is_functorch_wrapped_tensor(
        tensor
    ):
        raise Foreign("wrapped tensor")
    if tensor.is_meta:
        raise Foreign("tensor without memory (device meta)")


def _named(kind: type) -> str:
    home, name = kind.__module__, kind.__qualname__
    return name if home in ("builtins", "candidate", "reference") else f"{home}.{name}"


def _pack_tensor(tensor: torch.Tensor, blobs: list[Blob], shapes_only: bool) -> Any:
    if not shapes_only:
        _refuse_foreign_tensor(tensor)
    plain = tensor.detach().resolve_conj().resolve_neg()
    if not shapes_only:
        plain = plain.cpu()
    if plain.numel() and not shapes_only:
        span = 1 + sum((n - 1) * s for n, s in zip(plain.shape, plain.stride(), strict=True))
        flat = plain.as_strided((span,), (1,), plain.storage_offset()).contiguous()
        blobs.append(flat.view(torch.uint8).numpy().data)
    else:
        blobs.append(b"")
    return {
        "tensor": len(blobs) - 1,
        "dtype": str(plain.dtype).removeprefix("torch."),
        "shape": list(plain.shape),
        "strides": list(plain.stride()),
    }


def unpack(form: Any, blobs: list[Blob], device: str = "cpu", depth: int = 0) -> Any:
    """The value that :func:`pack` wrote; raises ``ValueError`` where the form is not sound.

    Whoever wrote the form may be hostile: a tensor is made only where its bytes are all there, so
    that it shows nothing of the memory of the process that reads it.
    """
    if not isinstance(form, dict) or not form or depth > DEEPEST:
        raise ValueError("a value without its form")
    kind, content = next(iter(form.items()))
    if kind == "tensor":
        return _unpack_tensor(form, blobs, device)
    if kind == "value" and (content is None or isinstance(content, bool | int | float | str)):
        return content
    if kind == "dtype":
        return _dtype(content)
    if isinstance(content, list):
        if kind == "dict":
            return {
                _text(key): unpack(item, blobs, device, depth + 1)
                for key, item in map(_two, content)
            }
        if kind == "tuple":
            return tuple(unpack(item, blobs, device, depth + 1) for item in content)
        if kind == "list":
            return [unpack(item, blobs, device, depth + 1) for item in content]
    raise ValueError("a value of an unknown form")


def _unpack_tensor(form: dict[str, Any], blobs: list[Blob], device: str) -> torch.Tensor:
    dtype = _dtype(form.get("dtype"))
    shape, strides = _counts(form.get("shape")), _counts(form.get("strides"))
    (index,) = _counts([form["tensor"]])
    if len(shape) != len(strides) or index >= len(blobs):
        raise ValueError("a tensor without its strides or bytes")
    raw = blobs[index]
    numel = math.prod(shape)
    span = 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) if numel else 0
    needed = 0 if device == "meta" else span * dtype.itemsize
    if numel > MOST_ELEMENTS or len(raw) != needed:
        raise ValueError("a tensor whose bytes do not fit its shape")
    if not numel or device == "meta":
        return torch.empty_strided(shape, strides, dtype=dtype, device=device)
    if dtype == torch.bool:
        # A byte that is neither 0 nor 1 would be true to one operator and false to another.
        flat = torch.frombuffer(raw, dtype=torch.uint8).ne(0)
    else:
        flat = torch.frombuffer(raw, dtype=dtype)
    return flat.to(device).as_strided(shape, strides)


def _dtype(name: Any) -> torch.dtype:
    found = getattr(torch, name, None) if isinstance(name, str) and PLAIN.fullmatch(name) else None
    if not isinstance(found, torch.dtype):
        raise ValueError("a tensor of an unknown dtype")
    return found


def _counts(found: Any) -> list[int]:
    """Non-negative integers that fit PyTorch's own."""
    if not isinstance(found, list) or len(found) > MOST_DIMENSIONS:
        raise ValueError("a tensor without its shape")
    if not all(type(n) is int and 0 <= n <= MOST_ELEMENTS for n in found):
        raise ValueError("a tensor of an impossible shape")
    return found


def _two(item: Any) -> tuple[Any, Any]:
    if not isinstance(item, list) or len(item) != 2:
        raise ValueError("a dict without its keys")
    return item[0], item[1]


def _text(key: Any) -> str:
    if not isinstance(key, str):
        raise ValueError("a dict without its keys")
    return key
