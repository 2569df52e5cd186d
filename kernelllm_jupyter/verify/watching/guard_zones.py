"""Guard zones: memory on both sides of each tensor whose bytes must not change.

Runs in the candidate's process where accesses out of bounds are not tracked one by one: on a GPU.
Inputs, and what the candidate allocates by ``torch.empty`` and its kin, lie inside larger
buffers with a pattern on both sides; a Triton kernel that writes past an end changes it. A read
past an end sees the pattern, which is NaN for floats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

__all__ = ["GuardZones"]

#: Bytes on each side, a multiple of the alignment that vectorised accesses want.
ZONE = 512
#: Every byte of a zone; four or two of them are NaN, eight as well.
PATTERN = 0xFF


@dataclass
class GuardZones:
    """The buffers of one run."""

    buffers: list[tuple[torch.Tensor, int]] = field(default_factory=list)

    def around(self, tensor: torch.Tensor) -> torch.Tensor:
        """The same values and layout between two zones; as it is where that cannot be."""
        if not tensor.numel() or tensor.layout != torch.strided or tensor.is_quantized:
            return tensor
        shape, strides, size = tensor.shape, tensor.stride(), tensor.element_size()
        span = 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        used = math.ceil(span * size / 16) * 16
        buffer = torch.full((2 * ZONE + used,), PATTERN, dtype=torch.uint8, device=tensor.device)
        self.buffers.append((buffer, span * size))
        flat, start = buffer.view(tensor.dtype), ZONE // size
        flat[start : start + span] = tensor.as_strided((span,), (1,), tensor.storage_offset())
        return flat.as_strided(shape, strides, start)

    def broken(self) -> bool:
        """Whether a zone was written into; waits for the device."""
        return any(
            bool((buffer[:ZONE] != PATTERN).any() | (buffer[ZONE + used :] != PATTERN).any())
            for buffer, used in self.buffers
        )
