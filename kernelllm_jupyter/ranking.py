"""Which of several candidates is kept: the fastest verified one, else the nearest to correct."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kernelllm_jupyter.values import Candidate, Timing, Verdict, VerdictKind

__all__ = ["fastest", "nearest", "standing"]

#: From the goal to the farthest from it: wrong numbers are nearer than none at all.
ORDER: tuple[VerdictKind, ...] = (
    "correct",
    "incorrect",
    "rejected",
    "timeout",
    "out_of_memory",
    "runtime_error",
    "crashed",
    "compile_error",
)


def standing(verdict: Verdict | None) -> tuple[int, float, int]:
    """How far from correct, the smaller the nearer: the kind, the error's size, the trials passed.

    The error is that of the worst element, in multiples of what is allowed there.
    """
    if verdict is None:
        return len(ORDER), math.inf, 0
    ratio = math.inf
    if verdict.max_abs_error is not None and verdict.error_budget:
        ratio = verdict.max_abs_error / verdict.error_budget
    return (
        ORDER.index(verdict.verdict),
        ratio if math.isfinite(ratio) else math.inf,
        -(verdict.trials or 0),
    )


def nearest(candidates: Sequence[Candidate], verdicts: Sequence[Verdict | None]) -> int:
    """The place of the best one; among equals one that is whole, then the earliest."""

    def key(at: int) -> tuple[object, ...]:
        candidate = candidates[at]
        return (
            *standing(verdicts[at]),
            not candidate.code.strip(),
            candidate.finish != "stop",
            at,
        )

    return min(range(len(candidates)), key=key)


def fastest(timings: Sequence[Timing | None]) -> int | None:
    """The place of the shortest time on the device; None where nothing was measured."""
    measured = [
        (timing.candidate_ms, at)
        for at, timing in enumerate(timings)
        if timing is not None and timing.candidate_ms is not None
    ]
    return min(measured)[1] if measured else None
