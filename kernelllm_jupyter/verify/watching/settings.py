"""PyTorch's process-wide settings, which a forward pass must leave as they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch

__all__ = ["changed", "set_to_tf32", "settings"]

READERS: dict[str, Callable[[], Any]] = {
    "the default dtype": torch.get_default_dtype,
    "whether gradients are recorded": torch.is_grad_enabled,
    "the precision of float32 products": torch.get_float32_matmul_precision,
    "whether cuBLAS may use TF32": lambda: torch.backends.cuda.matmul.allow_tf32,
    "whether cuDNN may use TF32": lambda: torch.backends.cudnn.allow_tf32,
    "whether algorithms must be deterministic": torch.are_deterministic_algorithms_enabled,
    "the number of threads": torch.get_num_threads,
    "the seed of random numbers": torch.initial_seed,
}


def settings() -> dict[str, Any]:
    """All of them by what they are."""
    return {what: _read(reader) for what, reader in READERS.items()}


def _read(reader: Callable[[], Any]) -> Any:
    try:
        return reader()
    except RuntimeError as error:
        # Newer versions refuse to tell where the old and the new spelling disagree.
        return str(error)


def changed(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Which differ."""
    return [what for what, value in before.items() if now[what] != value]


def set_to_tf32(what: Literal["products", "convolutions"]) -> bool:
    """Whether PyTorch's settings let float32 be multiplied in TF32.

    From 2.9 on there are two spellings of them, and where code used the newer one the older cannot
    be read.
    """
    backends = torch.backends
    old, new = (
        (backends.cuda.matmul, backends.cuda.matmul)
        if what == "products"
        else (backends.cudnn, getattr(backends.cudnn, "conv", None))
    )
    try:
        return bool(old.allow_tf32)
    except RuntimeError:
        return getattr(new, "fp32_precision", "") == "tf32"
