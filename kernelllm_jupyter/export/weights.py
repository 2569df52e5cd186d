"""A live module's weights as a safetensors file beside an exported module.

Written only where it was asked for. Imports torch, in its functions.
"""

from __future__ import annotations

import os
from pathlib import Path

from kernelllm_jupyter.carried import Buffer, mapped, offsets
from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.values import Live

__all__ = ["MARK", "is_ours", "write_weights"]

#: In the file's metadata; without it a file is not ours to overwrite.
MARK = {"made_by": "kernelllm-jupyter"}


def is_ours(path: Path) -> bool:
    """Whether an export has written the file at ``path``."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            found: dict[str, str] = file.metadata() or {}
    except (SafetensorError, OSError):
        return False
    return MARK.items() <= found.items()


def write_weights(path: Path, live: Live) -> None:
    """Write all weights and buffers of a live module, one for those that are tied.

    Raises :class:`UsageError` where they cannot be written, and leaves nothing behind.
    """
    from safetensors.torch import save_file

    from kernelllm_jupyter.verify.tensors import unpack

    sizes = live.carried.sizes
    begins = offsets(sizes)
    length = begins[-1] + sizes[-1] if sizes else 0
    memory = mapped(live.carried.descriptor, length) if length else memoryview(b"")
    blobs: list[Buffer] = [
        memory[begin : begin + size] for begin, size in zip(begins, sizes, strict=True)
    ]
    kept = {
        name: unpack(form, blobs).contiguous()
        for name, form in live.state["dict"]
        if name not in live.ties
    }
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(kept, beside, metadata=MARK)
        os.replace(beside, path)
    except Exception as error:
        # The library has errors of its own for a full disk and for dtypes that it does not know.
        raise UsageError(f"The weights cannot be written to {path}: {error}") from None
    finally:
        beside.unlink(missing_ok=True)
