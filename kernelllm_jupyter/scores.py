"""What an evaluation adds up to: pass@k and fast_p over the problems of a suite. Pure.

pass@k is the unbiased estimator of Chen et al., "Evaluating Large Language Models Trained on Code"
(arXiv:2107.03374, section 2.1). fast_p is KernelBench's (Ouyang et al., arXiv:2502.10517): the
share of problems with a candidate that is correct *and* more than p times as fast as eager PyTorch;
over k candidates it is estimated in the same way. A candidate that fails has no speed at all, and
one that was not timed counts as not fast.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kernelllm_jupyter.values import Translation, VerdictKind

__all__ = ["Outcome", "Sample", "estimate", "fast_p", "pass_at", "reported_ks", "samples_of"]

#: Of these, as many as there are candidates for are reported, and the number of candidates.
KS = (1, 5, 10, 20, 50, 100)


@dataclass(frozen=True)
class Sample:
    """One candidate of a problem; ``speedup`` over eager, None where it was not timed."""

    verdict: VerdictKind
    speedup: float | None = None

    @property
    def correct(self) -> bool:
        return self.verdict == "correct"


@dataclass(frozen=True)
class Outcome:
    """What became of one problem.

    ``refused`` says why the model gives no candidate (the module is none of those it covers, or
    too long for it): all its candidates count as wrong. ``trouble`` says why there is no outcome (a
    reference that does not run, a server that is gone): then the problem does not count.
    """

    problem: str
    samples: tuple[Sample, ...] = ()
    refused: str = ""
    trouble: str = ""
    seconds: float | None = None

    @property
    def counted(self) -> bool:
        return not self.trouble

    @property
    def correct(self) -> int:
        return sum(sample.correct for sample in self.samples)

    def faster_than(self, p: float) -> int:
        """How many are correct and were measured as more than ``p`` times as fast."""
        return sum(
            sample.correct and sample.speedup is not None and sample.speedup > p
            for sample in self.samples
        )

    @property
    def best_speedup(self) -> float | None:
        """Of the correct candidates that were timed."""
        found = [s.speedup for s in self.samples if s.correct and s.speedup is not None]
        return max(found, default=None)

    def pass_at(self, k: int) -> float | None:
        """The chance that of ``k`` candidates one is correct; None where fewer were made."""
        return 0.0 if self.refused else estimate(len(self.samples), self.correct, k)

    def to_json(self) -> dict[str, Any]:
        return {
            "problem": self.problem,
            "candidates": len(self.samples),
            "correct": self.correct,
            "verdicts": dict(Counter(sample.verdict for sample in self.samples)),
            "best_speedup": self.best_speedup,
            "refused": self.refused or None,
            "trouble": self.trouble or None,
            "seconds": self.seconds,
        }


def samples_of(made: Translation) -> tuple[Sample, ...]:
    """The candidates of a translation that have a verdict.

    One that repeats another's code has that one's speed. A figure that was taken while something
    else was busy on the GPU is none.
    """
    found = []
    for at, verdict in enumerate(made.verdicts):
        if verdict is None:
            continue
        same = made.candidates[at].duplicate_of
        timing = made.timings[at if same is None else same] if made.timings else None
        measured = timing is not None and not timing.contamination
        found.append(Sample(verdict.verdict, timing.speedup if timing and measured else None))
    return tuple(found)


def estimate(n: int, c: int, k: int) -> float | None:
    """The chance that ``k`` of ``n`` candidates, ``c`` of them good, hold a good one.

    1 - C(n - c, k) / C(n, k), which has no bias, as 1 - (1 - c / n) ** k has. None for k > n.
    """
    if not 1 <= k <= n:
        return None
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def pass_at(outcomes: Sequence[Outcome], k: int) -> float | None:
    """pass@k over the problems that count; None where there are none, or too few candidates."""
    return _mean([outcome.pass_at(k) for outcome in outcomes if outcome.counted])


def fast_p(outcomes: Sequence[Outcome], p: float, k: int) -> float | None:
    """The share of problems with a correct candidate among ``k`` that is > ``p`` times as fast.

    None where no correct candidate was timed: without a GPU there is no such figure.
    """
    counted = [outcome for outcome in outcomes if outcome.counted]
    if all(outcome.best_speedup is None for outcome in counted):
        return None
    return _mean(
        [
            0.0 if one.refused else estimate(len(one.samples), one.faster_than(p), k)
            for one in counted
        ]
    )


def reported_ks(most: int) -> list[int]:
    """The ks for which pass@k is reported where ``most`` candidates were made of each problem."""
    return sorted({k for k in KS if k < most} | {most})


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
