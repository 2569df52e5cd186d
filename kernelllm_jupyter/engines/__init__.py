"""Engines run models. One protocol; the local one lives in a process of its own.

An engine turns a prompt into text and knows nothing of PyTorch modules, Triton or notebooks:
what a prompt looks like and how code is taken out of the reply is the profile's business
(:mod:`kernelllm_jupyter.prompts`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from kernelllm_jupyter.errors import EngineError
from kernelllm_jupyter.values import FinishReason, Prompt, Sampling

__all__ = ["Completion", "Engine", "LoadProgress", "ProgressCallback", "get_engine"]


@dataclass(frozen=True)
class LoadProgress:
    """One step of getting a model ready: ``stage`` is starting, download, load or ready.

    ``done_bytes`` and ``total_bytes`` are set while files are fetched, where they are known.
    """

    stage: str
    message: str
    done_bytes: int | None = None
    total_bytes: int | None = None


ProgressCallback = Callable[[LoadProgress], None]


class Completion(Protocol):
    """One reply, first an iterator over its text as it is decoded, then a value.

    Iterating yields non-empty pieces of text and raises
    :class:`~kernelllm_jupyter.errors.EngineError` (or a subclass) where the engine failed; what
    came before stays with the caller. ``tokens`` counts those generated so far, an end token too.
    ``notes`` say what was changed of the request so that it could be carried out.
    ``close()`` cancels within one token, may be called at any time, from any thread, and twice.
    """

    tokens: int
    finish: FinishReason | None
    notes: list[str]

    def __iter__(self) -> Iterator[str]: ...

    def close(self) -> None: ...


class Engine(Protocol):
    """What can turn a prompt into text. Several completions may run side by side."""

    #: As the user named the model; shown in the panel.
    model: str

    def load(self, progress: ProgressCallback | None = None) -> None:
        """Block until the model can generate; raise ``EngineError`` where it never will."""

    def generate(self, prompt: Prompt, sampling: Sampling) -> Completion:
        """Start one completion and return at once.

        A ``prompt`` that is text carries no BOS and is gone on with; turns of a chat are written
        in the model's own template. Where that opens the model's reasoning, or a server keeps
        reasoning apart, the completion's text begins with the mark (``<think>``) all the same.
        """

    def status(self) -> dict[str, Any]:
        """What is loaded and where, for ``%kernelllm status`` and ``kernelllm doctor``."""

    def unload(self) -> None:
        """Free the model's memory."""


@lru_cache(maxsize=32)
def get_engine(model: str, **options: Any) -> Engine:
    """The engine for ``model``, the same object for the same arguments.

    ``options`` are those of :class:`~kernelllm_jupyter.engines.local.LocalEngine`: ``device``,
    ``dtype``, ``quantization``, ``idle_s``, ``runtime_dir``. A server (``URL#name``) chooses for
    itself and is not told. Nothing is started or sent before the engine is used.

    Raises :class:`~kernelllm_jupyter.errors.EngineError` on Windows, where no model process can be
    reached: it listens at a Unix socket, and is known by a lock that ends with it.
    """
    from kernelllm_jupyter.address import server_address

    if server_address(model) is not None:
        from kernelllm_jupyter.engines.remote import RemoteEngine

        return RemoteEngine(model)
    if sys.platform == "win32":
        raise EngineError(
            "A model of this machine needs Linux or macOS. On Windows work in WSL, or name a "
            "server's model: -m URL#NAME."
        )
    from kernelllm_jupyter.engines.local import LocalEngine

    return LocalEngine(model, **options)
