"""CUDA graphs without CUDA: what runs while one is captured is written down, and played again.

Like a real graph, a tape holds operators and the memory they work on, and no line of Python: what a
pass reads from a variable instead of from its tensors is wrong the second time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["capturing"]


class TapeGraph:
    """Stands where ``torch.cuda.CUDAGraph`` does."""

    def __init__(self) -> None:
        self.steps: list[tuple[Any, Any, Any, Any]] = []

    def replay(self) -> None:
        for operator, args, kwargs, outputs in self.steps:
            given = {_memory(each) for each in tree_leaves((args, kwargs)) if _is_tensor(each)}
            made = operator(*args, **kwargs)
            for new, old in zip(tree_leaves(made), tree_leaves(outputs), strict=True):
                # What shares its memory with an input is a view, or was written in place.
                if _is_tensor(old) and _memory(old) not in given:
                    old.copy_(new)


class _Recording(TorchDispatchMode):  # type: ignore[misc]
    def __init__(self, graph: TapeGraph):
        super().__init__()
        self._graph = graph

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self._graph.steps.append((func, args, kwargs or {}, made))
        return made


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def _memory(tensor: Any) -> int:
    return int(tensor.untyped_storage().data_ptr())


@contextmanager
def _graph(graph: TapeGraph, capture_error_mode: str) -> Iterator[None]:
    assert capture_error_mode == "thread_local"
    with _Recording(graph):
        yield


class _Stream:
    def __init__(self, device: Any = None) -> None: ...

    def wait_stream(self, other: Any) -> None: ...


def capturing(patched: pytest.MonkeyPatch, free_bytes: list[int]) -> None:
    """Put tapes in the place of CUDA graphs; the last of ``free_bytes`` of 100 is what is free."""
    patched.setattr(torch.cuda, "CUDAGraph", TapeGraph)
    patched.setattr(torch.cuda, "graph", _graph)
    patched.setattr(torch.cuda, "Stream", _Stream)
    patched.setattr(torch.cuda, "current_stream", _Stream)
    patched.setattr(torch.cuda, "stream", lambda _: nullcontext())
    patched.setattr(torch.cuda, "mem_get_info", lambda _: (free_bytes[-1], 100))
