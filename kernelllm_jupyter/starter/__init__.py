"""The starter model: a tiny translator for the common kinds of modules.

It ships with the package, runs on any CPU, and says so where a module is beyond it. Before it sees
a module, everything that is the user's own (names, numbers, parameters, which value an operation
takes) becomes a placeholder (:mod:`.trace`), and what one Triton kernel cannot do becomes several
(:mod:`.program`); the bodies of the Triton kernels, their order, tiles and launches are the model's
own tokens; while they stream, :mod:`.reader` puts the user's text back and :mod:`.skeleton` writes
what can be taken from the source: imports, signatures, constructor, views, argument checks.

Nothing here imports torch, and nothing here knows how an operation is written in Triton: that is
learned from the corpus in ``tools/starter``.
"""

from __future__ import annotations

import pathlib

from kernelllm_jupyter.prompts import Reader
from kernelllm_jupyter.starter.naming import names_for
from kernelllm_jupyter.starter.reader import AnswerReader
from kernelllm_jupyter.starter.skeleton import Skeleton
from kernelllm_jupyter.starter.trace import trace
from kernelllm_jupyter.values import Candidate, Problem, Sampling, Verdict

__all__ = ["CHECKPOINT", "StarterProfile"]

#: The folder of the bundled checkpoint.
CHECKPOINT = pathlib.Path(__file__).parent / "checkpoint"


class StarterProfile:
    """Implements :class:`kernelllm_jupyter.prompts.Profile` for the bundled checkpoint."""

    name = "starter"
    single = Sampling(temperature=0.0, top_p=1.0, top_k=0, max_new_tokens=1200)
    several = Sampling(temperature=1.0, top_p=1.0, top_k=0, max_new_tokens=1200)

    def prompt(self, problem: Problem) -> str:
        """The module as placeholders; raises ``UnsupportedModule`` outside the families."""
        return trace(problem).plan.prompt()

    def reader(self, problem: Problem) -> Reader:
        traced = trace(problem)
        arguments = tuple(argument.arg for argument in traced.forward.args.args)
        names = names_for(traced.plan, traced.cls.name, arguments)
        return AnswerReader(names, Skeleton(traced, names, problem.source))

    def repair_prompt(
        self, problem: Problem, candidate: Candidate, verdict: Verdict | None
    ) -> str | None:
        return None  # It reads modules only, and no words.
