"""Profiles: how one family of models is addressed, and how code is read from its reply.

A profile turns a :class:`~kernelllm_jupyter.values.Problem` into prompt text, names the sampling
that the family was trained or evaluated with, and gives a reader that takes the code out of the
reply while it streams. It knows nothing of the engine that runs the model.
"""

from __future__ import annotations

from typing import Protocol

from kernelllm_jupyter.values import Problem, Sampling

__all__ = ["Profile", "Reader"]


class Reader(Protocol):
    """Takes reply text in pieces of any size and gives code in pieces, as soon as it is sure.

    The pieces that ``feed`` and ``flush`` return, joined, are the candidate's code. ``done`` turns
    true when the reply holds all the code there will be: the caller then closes the completion.
    """

    done: bool

    def feed(self, text: str) -> str: ...

    def flush(self) -> str: ...


class Profile(Protocol):
    """How one family of models is addressed."""

    name: str
    #: Sampling for a single candidate, and for several of one prompt.
    single: Sampling
    several: Sampling

    def prompt(self, problem: Problem) -> str:
        """The prompt, without a BOS token; raises ``UnsupportedModule`` where the model has none."""

    def reader(self, problem: Problem) -> Reader: ...
