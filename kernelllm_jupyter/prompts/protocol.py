"""What a profile is, and what reads the replies to its prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kernelllm_jupyter.values import Candidate, Problem, Prompt, Sampling, Verdict

__all__ = ["Profile", "Reader"]


class Reader(Protocol):
    """Takes reply text in pieces of any size and gives code in pieces, as soon as it is sure.

    The pieces that ``feed`` and ``flush`` return, joined, are the candidate's code, unless
    ``whole`` says otherwise: a reply may give a piece of code first and the whole later. ``done``
    turns true when the reply holds all the code there will be: the caller then closes the
    completion.
    """

    done: bool

    @property
    def whole(self) -> str | None:
        """The candidate's code, where it is something else than the joined pieces."""

    @property
    def thoughts(self) -> Sequence[str]:
        """The pieces of the reply that were reasoning; grows while the reply is read."""

    @property
    def thinking(self) -> bool:
        """Whether the reply is in the midst of its reasoning."""

    def feed(self, text: str) -> str: ...

    def flush(self) -> str: ...


class Profile(Protocol):
    """How one family of models is addressed."""

    #: For people: which profile this is.
    @property
    def name(self) -> str: ...

    #: Sampling for a single candidate, and for several of one prompt.
    @property
    def single(self) -> Sampling: ...

    @property
    def several(self) -> Sampling: ...

    def prompt(self, problem: Problem) -> Prompt:
        """Text without a BOS token, or turns; raises ``UnsupportedModule`` where there is none."""

    def reader(self, problem: Problem) -> Reader: ...

    def repair_prompt(
        self, problem: Problem, candidate: Candidate, verdict: Verdict | None
    ) -> Prompt | None:
        """The prompt that asks for a failed candidate put right, its verdict explained.

        None for a family that knows one form of prompt only: then another sample is drawn.
        """
