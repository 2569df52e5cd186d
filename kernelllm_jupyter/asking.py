"""What is asked of the model, round by round: which prompt, and how it is sampled.

Pure: knows neither engines nor checks.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kernelllm_jupyter.prompts import Profile
from kernelllm_jupyter.ranking import standing
from kernelllm_jupyter.values import Candidate, Effort, Problem, Prompt, Sampling, Verdict

__all__ = ["Asked", "Asking"]


@dataclass(frozen=True)
class Asked:
    """One completion that is to be made; ``repair_of`` is the candidate that it is to mend."""

    prompt: Prompt
    sampling: Sampling
    repair_of: int | None = None


class Asking:
    """``sampling`` is what the user asked for; the rest is the profile's."""

    def __init__(self, problem: Problem, profile: Profile, effort: Effort, sampling: Sampling):
        self._problem, self._profile, self._effort = problem, profile, effort
        self._prompt = profile.prompt(problem)
        several = effort.k > 1
        self._usual = sampling.over(profile.several if several else profile.single)
        #: Another sample of the same prompt has to be able to be another.
        self._again = sampling.over(profile.several)

    def first(self) -> list[Asked]:
        """The candidates before any repair."""
        return [Asked(self._prompt, _seeded(self._usual, at)) for at in range(self._effort.k)]

    def repairs(
        self, failed: Sequence[tuple[int, Candidate, Verdict | None]], begun: int
    ) -> list[Asked]:
        """A round of repair of the ``failed`` ones (with their places), the nearest first.

        Where the model cannot be told what was wrong, more samples. ``begun`` candidates came
        before.
        """
        ranked = sorted(failed, key=lambda each: standing(each[2]))
        return [self._repair(ranked, at, begun + at) for at in range(self._effort.k)]

    def _repair(
        self, ranked: Sequence[tuple[int, Candidate, Verdict | None]], at: int, index: int
    ) -> Asked:
        if ranked:
            parent, candidate, verdict = ranked[at % len(ranked)]
            prompt = self._profile.repair_prompt(self._problem, candidate, verdict)
            if prompt is not None:
                return Asked(prompt, _seeded(self._usual, index), parent)
        return Asked(self._prompt, _seeded(self._again, index))


def _seeded(sampling: Sampling, index: int) -> Sampling:
    """The user's own seed for the first candidate, and one that follows from it for each other."""
    if sampling.seed is None or index == 0:
        return sampling
    return replace(sampling, seed=random.Random(f"{sampling.seed}/{index}").getrandbits(31))
