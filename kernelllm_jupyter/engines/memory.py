"""How much memory a checkpoint will need, from its headers: before anything of it is read.

An estimate of what stays: the weights in the form in which they will be kept, and the attention
cache of one reply. Imports neither torch nor transformers.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelllm_jupyter.errors import CheckpointError, EngineError

__all__ = ["QUANTIZATIONS", "MemoryNeed", "available_bytes", "memory_need", "refuse_if_too_large"]

#: Bytes a weight takes in bitsandbytes' forms: NF4 in blocks of 64 with a doubly quantized scale
#: for each (Dettmers et al. 2023, section 3), and int8 with a scale for each row.
QUANTIZATIONS = {"none": None, "8bit": 1.0, "4bit": 0.5 + 1 / 64 + 4 / (64 * 256)}
#: Not quantized: bitsandbytes takes linear layers, and transformers leaves the last one out.
LEFT_WHOLE = re.compile(r"embed|lm_head|\bwte\b|\bwpe\b")
#: What a prompt and its reply come to, for a first idea of the cache.
CACHE_TOKENS = 4096
MAX_HEADER_BYTES = 100 * 1024 * 1024
GIB = 2**30


@dataclass(frozen=True)
class MemoryNeed:
    """``cache_bytes`` is for one reply of ``cache_tokens``, prompt included."""

    weights_bytes: int
    cache_bytes: int
    cache_tokens: int
    form: str

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.cache_bytes

    def words(self) -> str:
        return (
            f"about {size(self.total_bytes)} of memory ({size(self.weights_bytes)} of weights in "
            f"{self.form}, {size(self.cache_bytes)} for {self.cache_tokens:,} tokens of a reply)"
        )


def size(count: float) -> str:
    """Bytes as people say them."""
    return f"{count / GIB:.1f} GiB" if count >= GIB / 10 else f"{count / 2**20:.1f} MiB"


def memory_need(
    path: Path, config: Any, itemsize: int, form: str, quantization: str = "none"
) -> MemoryNeed:
    """What the model of ``path`` (a folder, or a GGUF file) needs at ``itemsize`` bytes a weight.

    ``config`` is the model's configuration as transformers has it.
    """
    each = QUANTIZATIONS[quantization]
    weights = 0.0
    for name, shape in _shapes(path):
        packed = each is not None and len(shape) == 2 and not LEFT_WHOLE.search(name)
        weights += math.prod(shape) * (each if packed and each is not None else itemsize)
    context = getattr(config, "max_position_embeddings", None) or CACHE_TOKENS
    tokens = min(context, CACHE_TOKENS)
    cache = tokens * _cached_values(config) * itemsize
    words = form if each is None else f"{quantization} and {form}"
    return MemoryNeed(round(weights), cache, tokens, words)


def refuse_if_too_large(need: MemoryNeed, name: object, where: str, available: int | None) -> None:
    """Raise where it cannot fit: else the system ends some process, perhaps the notebook's."""
    if available is None or need.total_bytes <= available:
        return
    raise EngineError(
        f"{name} needs {need.words()}, and {size(available)} are available {where}. Free some, "
        "load it in fewer bits (--quantization 8bit or 4bit), use a machine with more, or a "
        "smaller model; -m starter is made for a CPU."
    )


def available_bytes() -> int | None:
    """Main memory that can be had without swapping, where the platform tells (Linux)."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found = {name: int(rest.split()[0]) for name, rest in (line.split(":") for line in lines)}
        available = found["MemAvailable"] * 1024
    except (OSError, ValueError, KeyError):
        return None
    try:  # A container may be allowed less than the machine has.
        return min(available, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):
        return available


def _cached_values(config: Any) -> int:
    """Keys and values that the cache holds for each token."""
    layers = getattr(config, "num_hidden_layers", 0) or 0
    heads = getattr(config, "num_attention_heads", 1) or 1
    if getattr(config, "kv_lora_rank", None):  # DeepSeek: transformers caches what is unpacked.
        keys = config.qk_nope_head_dim + config.qk_rope_head_dim
        return int(layers * heads * (keys + config.v_head_dim))
    kept = getattr(config, "num_key_value_heads", None) or heads
    width = getattr(config, "head_dim", None) or getattr(config, "hidden_size", 0) // heads
    return int(2 * layers * kept * width)


def _shapes(path: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    if path.suffix == ".gguf":
        yield from _gguf_shapes(path)
        return
    for file in sorted(path.glob("*.safetensors")):
        for name, entry in _header(file).items():
            if name != "__metadata__":
                yield name, tuple(entry["shape"])


def _header(file: Path) -> dict[str, Any]:
    """The header of a safetensors file (https://github.com/huggingface/safetensors, "Format")."""
    try:
        with open(file, "rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if length > min(MAX_HEADER_BYTES, file.stat().st_size):
                raise ValueError("its header is longer than the file")
            found = json.loads(opened.read(length))
        for name, entry in found.items():
            if name != "__metadata__" and not all(isinstance(n, int) for n in entry["shape"]):
                raise ValueError(f"{name} has no shape")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{file} cannot be loaded: it is damaged ({error}). Download it again."
        ) from error
    return dict(found)


def _gguf_shapes(path: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    from gguf import GGUFReader

    try:
        tensors = GGUFReader(path).tensors
    except Exception as error:
        raise CheckpointError(f"{path} cannot be loaded: {error}. Download it again.") from error
    for tensor in tensors:
        yield tensor.name, tuple(int(n) for n in tensor.shape)
