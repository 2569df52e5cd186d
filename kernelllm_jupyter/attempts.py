"""The candidates of one search, on their way and complete, and what is made of them in the end.

Pure bookkeeping: starts nothing and waits for nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from kernelllm_jupyter.asking import Asked
from kernelllm_jupyter.engines import Completion
from kernelllm_jupyter.ranking import fastest, nearest
from kernelllm_jupyter.values import (
    Candidate,
    FinishReason,
    Problem,
    Timing,
    Translation,
    Verdict,
)

__all__ = ["Attempt", "distinct", "translation", "verified"]


@dataclass
class Attempt:
    """One candidate on its way; ``written`` is what has come of its code."""

    index: int
    round: int
    asked: Asked
    completion: Completion
    written: list[str] = field(default_factory=list)
    candidate: Candidate | None = None
    verdict: Verdict | None = None
    timing: Timing | None = None
    stream: threading.Thread | None = None

    def keep(self, candidate: Candidate) -> Candidate:
        """The candidate is complete; it is marked with how it was asked for."""
        self.candidate = replace(
            candidate,
            seed=self.asked.sampling.seed,
            round=self.round,
            repair_of=self.asked.repair_of,
        )
        return self.candidate

    def unfinished(self, model: str, finish: FinishReason, note: str) -> Candidate:
        """A candidate of what had arrived."""
        code = "".join(self.written)
        tokens = self.completion.tokens
        return Candidate(code, code, model, finish, tokens=tokens, note=note)


def distinct(attempts: list[Attempt]) -> Iterator[Attempt]:
    """Those with a candidate of their own, in the order they were begun."""
    for attempt in attempts:
        candidate = attempt.candidate
        if (
            candidate is not None
            and candidate.duplicate_of is None
            and candidate.finish not in ("failed", "cancelled")
        ):
            yield attempt


def verified(attempts: list[Attempt]) -> Iterator[Attempt]:
    """Those of them that are correct."""
    return (each for each in distinct(attempts) if each.verdict and each.verdict.correct)


def translation(problem: Problem, attempts: list[Attempt], winner: int | None) -> Translation:
    """All of it: the winner is kept, else the fastest, else the nearest to correct."""
    candidates = tuple(each.candidate for each in attempts if each.candidate)
    verdicts = tuple(each.verdict for each in attempts if each.candidate)
    timings = tuple(each.timing for each in attempts if each.candidate)
    chosen = winner
    if chosen is None:
        chosen = fastest(timings)
    if chosen is None:
        chosen = nearest(candidates, verdicts)
    return Translation(problem, candidates, chosen, verdicts, timings[chosen], timings=timings)
