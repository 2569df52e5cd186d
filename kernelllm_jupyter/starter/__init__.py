"""The starter model: a tiny translator for common elementwise and row-wise modules.

It ships with the package, runs on any CPU, and says so where a module is beyond it. Before it sees
a module, everything that is the user's own (names, numbers, parameters) becomes a placeholder
(:mod:`.trace`); the Triton operations, their order, masks and launch are the model's own tokens;
while they stream, :mod:`.reader` puts the user's text back and :mod:`.skeleton` writes what can be
taken from the source: imports, signature, constructor, argument checks.

Nothing here imports torch, and nothing here knows how an operation is written in Triton: that is
learned from the corpus in ``tools/starter``.
"""

from __future__ import annotations

import functools
import pathlib

from kernelllm_jupyter.prompts import Reader
from kernelllm_jupyter.starter.naming import names_for
from kernelllm_jupyter.starter.reader import AnswerReader
from kernelllm_jupyter.starter.skeleton import class_head, module_head
from kernelllm_jupyter.starter.trace import trace
from kernelllm_jupyter.values import Candidate, Problem, Sampling, Verdict

__all__ = ["CHECKPOINT", "StarterProfile"]

#: The folder of the bundled checkpoint.
CHECKPOINT = pathlib.Path(__file__).parent / "checkpoint"


class StarterProfile:
    """Implements :class:`kernelllm_jupyter.prompts.Profile` for the bundled checkpoint."""

    name = "starter"
    single = Sampling(temperature=0.0, top_p=1.0, top_k=0, max_new_tokens=600)
    several = Sampling(temperature=0.8, top_p=1.0, top_k=0, max_new_tokens=600)

    def prompt(self, problem: Problem) -> str:
        """The module as placeholders; raises ``UnsupportedModule`` outside the families."""
        return trace(problem).graph.prompt()

    def reader(self, problem: Problem) -> Reader:
        traced = trace(problem)
        arguments = tuple(argument.arg for argument in traced.forward.args.args)
        names = names_for(traced.graph, traced.cls.name, arguments)
        return AnswerReader(
            names,
            functools.partial(module_head, traced, names, problem.source),
            functools.partial(class_head, traced, names, problem.source),
        )

    def repair_prompt(
        self, problem: Problem, candidate: Candidate, verdict: Verdict | None
    ) -> str | None:
        return None  # It reads modules only, and no words.
