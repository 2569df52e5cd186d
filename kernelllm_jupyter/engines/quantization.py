"""Weights in 4 or 8 bits, and from GGUF files: what transformers is told, and what it needs.

Imports transformers; only the model process imports this module.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch

from kernelllm_jupyter.errors import EngineError

__all__ = ["check_quantization", "quantized", "source_of", "unpacking"]


def check_quantization(quantization: str, path: Path) -> None:
    """Raise ``EngineError`` where a package is missing, or the wish cannot be met."""
    if path.suffix == ".gguf":
        if quantization != "none":
            raise EngineError(
                f"{path.name} is quantized as it is: leave --quantization out for GGUF files."
            )
        _need("gguf", "gguf", "GGUF files")
        _need("accelerate", "gguf", "GGUF files")
    elif quantization != "none":
        _need("bitsandbytes", "quantization", f"--quantization {quantization}")
        _need("accelerate", "quantization", f"--quantization {quantization}")


def source_of(path: Path) -> dict[str, Any]:
    """How ``from_pretrained`` is told where a model lies: a folder, or a GGUF file."""
    if path.suffix == ".gguf":
        return {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}
    return {"pretrained_model_name_or_path": path}


def unpacking(path: Path) -> dict[str, Any]:
    """``from_pretrained``'s arguments for a GGUF file: its weights are unpacked while loading.

    Newer transformers would else keep them packed with a kernel that the ``kernels`` package
    fetches from the network and runs, where that is installed.
    """
    if path.suffix != ".gguf":
        return {"use_safetensors": True}
    try:
        from transformers import GgufConfig
    except ImportError:  # An older one, which knows nothing else.
        return {}
    return {"quantization_config": GgufConfig(dequantize=True)}


def quantized(quantization: str, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """``from_pretrained``'s arguments for weights in fewer bits; they are put on the device."""
    if quantization == "none":
        return {}
    return {"quantization_config": _config(quantization, dtype), "device_map": {"": device}}


def _config(quantization: str, dtype: torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    if quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _need(package: str, extra: str, what: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise EngineError(
            f"{what}: {package} is missing. pip install 'kernelllm-jupyter[{extra}]', then end "
            "the model's process with `%kernelllm stop` and try again."
        )
