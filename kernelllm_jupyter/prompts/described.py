"""A profile made from the description of a family: prompts from templates, replies of any form."""

from __future__ import annotations

from collections.abc import Callable

from kernelllm_jupyter.extract import CodeReader
from kernelllm_jupyter.feedback import feedback
from kernelllm_jupyter.prompts.families import Family, filled
from kernelllm_jupyter.prompts.kernelllm import EXAMPLE
from kernelllm_jupyter.prompts.protocol import Reader
from kernelllm_jupyter.reply import ReplyReader
from kernelllm_jupyter.values import Candidate, Message, Problem, Prompt, Sampling, Verdict

__all__ = ["DescribedProfile"]

AGAIN = "Put it right, and answer with the complete Python module in one code block."
#: Of a reply without code; what it said instead is seldom worth more of the context.
TALK_CHARACTERS = 2000


class DescribedProfile:
    """Addresses a model as its ``family`` says.

    ``hardware`` gives a line on the GPU that is written for, or an empty one; it is asked when a
    prompt names it. ``served`` tells that the reply comes from a server, which does not say
    whether the chat template opened the reasoning; the local engine does.
    """

    def __init__(self, family: Family, *, hardware: Callable[[], str], served: bool = False):
        self._family = family
        self._hardware = hardware
        self._served = served

    @property
    def name(self) -> str:
        return self._family.name

    @property
    def single(self) -> Sampling:
        return self._family.single

    @property
    def several(self) -> Sampling:
        return self._family.several

    def prompt(self, problem: Problem) -> Prompt:
        system = self._filled(self._family.system, problem)
        user = self._filled(self._family.user, problem)
        if self._family.form == "raw":
            return user
        turns = (Message("user", user),)
        return (Message("system", system), *turns) if system else turns

    def reader(self, problem: Problem) -> Reader:
        family = self._family
        return ReplyReader(
            CodeReader,
            marks=family.thought,
            begins_inside=family.reasons and self._served,
            stop=family.stop,
        )

    def repair_prompt(
        self, problem: Problem, candidate: Candidate, verdict: Verdict | None
    ) -> Prompt | None:
        """The chat so far, with what the check found as the next turn; None for raw text."""
        asked = self.prompt(problem)
        if isinstance(asked, str):
            return None
        code = candidate.code.strip("\n")
        said = f"```python\n{code}\n```" if code else candidate.text[:TALK_CHARACTERS] or "…"
        told = f"{feedback(candidate, verdict)}\n\n{AGAIN}"
        return (*asked, Message("assistant", said), Message("user", told))

    def _filled(self, template: str, problem: Problem) -> str:
        hardware = self._hardware() if "{hardware}" in template else ""
        values = {
            "source": problem.source.strip("\n"),
            "class_name": problem.class_name,
            "hardware": hardware,
            "example": EXAMPLE,
        }
        return filled(template, values)
