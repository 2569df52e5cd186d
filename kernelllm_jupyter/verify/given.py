"""The values of the user's session that came with a request: inputs, weights, arguments.

Runs in the referee's process. They come from the caller, as bytes with their forms: nothing is
unpickled. What is made of them, and at which sizes they hold, is decided elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from kernelllm_jupyter.verify.child import constructor_arguments
from kernelllm_jupyter.verify.tensors import Blob, unpack

__all__ = ["Given", "parted"]


@dataclass(frozen=True)
class Given:
    """What stands for ``get_inputs()``, ``get_init_inputs()`` and the constructor's own weights.

    Its tensors lie in the message's own memory: copy them before anything may write there.
    """

    #: Arguments of ``forward``, by call; the names of the last of them that are keywords.
    inputs: list[list[Any]] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    keywords: tuple[str, ...] = ()
    init: tuple[list[Any], dict[str, Any]] | None = None
    state: dict[str, torch.Tensor] | None = None
    ties: dict[str, str] = field(default_factory=dict)
    dtype: str | None = None
    training: bool | None = None
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Whether the source's ``get_inputs()`` is of the problem.
    draws: bool = True

    @classmethod
    def of(cls, request: dict[str, Any], blobs: list[Blob]) -> Given:
        """What a request carries."""
        live = request.get("live")
        if live is None:
            return cls()
        state = live["state"]
        init = live["init"]
        return cls(
            inputs=[unpack(form, blobs) for form in live["inputs"]],
            outputs=[None if form is None else unpack(form, blobs) for form in live["outputs"]],
            keywords=tuple(live["keywords"]),
            init=None if init is None else constructor_arguments(unpack(init, blobs)),
            state=None if state is None else unpack(state, blobs),
            ties=live["ties"],
            dtype=live["dtype"],
            training=live["training"],
            settings=live["settings"],
            draws=bool(request["has_inputs"]),
        )

    @property
    def only_inputs(self) -> list[Any] | None:
        """The first call's arguments, where the source has no way to make others."""
        return self.inputs[0] if self.inputs and not self.draws else None


def parted(arguments: list[Any], keywords: tuple[str, ...]) -> tuple[list[Any], dict[str, Any]]:
    """``forward``'s arguments by position and by name: the last ones are named by ``keywords``."""
    first = len(arguments) - len(keywords)
    return arguments[:first], dict(zip(keywords, arguments[first:], strict=True))
