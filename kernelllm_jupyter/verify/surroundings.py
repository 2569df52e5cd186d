"""What is active around user's and generated code, and only around it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from kernelllm_jupyter.verify.compat_cuda import CudaSpellings

__all__ = ["surroundings"]


def surroundings(device: str) -> AbstractContextManager[Any]:
    """On a CPU, code that was written for CUDA finds what it asks for."""
    return CudaSpellings() if device == "cpu" else nullcontext()
