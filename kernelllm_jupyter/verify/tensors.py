"""Nested arguments and results as JSON plus raw bytes, with dtype, shape and strides kept.

Runs in worker processes only (imports torch). Knows nothing of sockets or of what is compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

__all__ = ["Blob", "Foreign", "pack", "unpack"]

Blob = bytes | bytearray | memoryview


class Foreign(Exception):
    """A value that cannot be handed from one process to another; the text names its type."""


def pack(value: Any, blobs: list[Blob]) -> Any:
    """``value`` as JSON; the bytes of its tensors are appended to ``blobs``.

    Raises :class:`Foreign` for tensor subclasses and for types that have no plain form.
    """
    if isinstance(value, torch.Tensor):
        return _pack_tensor(value, blobs)
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    if isinstance(value, Mapping):
        return {"dict": [[str(key), pack(item, blobs)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [pack(item, blobs) for item in value]}
    if isinstance(value, list):
        return {"list": [pack(item, blobs) for item in value]}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    raise Foreign(f"{type(value).__module__}.{type(value).__qualname__}")


def _pack_tensor(tensor: torch.Tensor, blobs: list[Blob]) -> Any:
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        raise Foreign(f"tensor subclass {type(tensor).__qualname__}")
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise Foreign(f"{tensor.layout} tensor")
    plain = tensor.detach().resolve_conj().resolve_neg().cpu()
    if plain.numel():
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


def unpack(form: Any, blobs: list[bytearray], device: str = "cpu") -> Any:
    """The value that :func:`pack` wrote; raises ``ValueError`` where the form is not sound."""
    kind, content = next(iter(form.items()))
    if kind == "tensor":
        return _unpack_tensor(form, blobs, device)
    if kind == "value":
        return content
    if kind == "dict":
        return {key: unpack(item, blobs, device) for key, item in content}
    if kind == "tuple":
        return tuple(unpack(item, blobs, device) for item in content)
    if kind == "list":
        return [unpack(item, blobs, device) for item in content]
    if kind == "dtype":
        return getattr(torch, content)
    raise ValueError(f"unknown form {kind!r}")


def _unpack_tensor(form: dict[str, Any], blobs: list[bytearray], device: str) -> torch.Tensor:
    dtype = getattr(torch, form["dtype"])
    shape, strides = form["shape"], form["strides"]
    raw = blobs[form["tensor"]]
    if not raw:
        return torch.empty_strided(shape, strides, dtype=dtype, device=device)
    flat = torch.frombuffer(raw, dtype=dtype)
    return flat.to(device).as_strided(shape, strides)
