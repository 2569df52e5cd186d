"""The comment over a generated cell's code: which model, when, what the check found, which record.

One line, which is no part of the code: what is checked, kept and counted leaves it out.
``labextension/src/generated.ts`` knows it by how it begins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from kernelllm_jupyter.address import model_name
from kernelllm_jupyter.values import Verdict

__all__ = ["Heading", "under_heading", "without_heading"]

MARK = "# KernelLLM · "
#: A path or an address is shown by its end.
LONGEST_NAME = 40


@dataclass(frozen=True)
class Heading:
    """What is known of a generated code; ``code_edited`` where a person changed it before the
    verdict. ``line`` is the heading as long as the code stays as it is, ``edited_line`` after."""

    model: str
    day: date
    verdict: Verdict | None = None
    record: str | None = None
    code_edited: bool = False

    @property
    def line(self) -> str:
        outcome = _outcome(self.verdict)
        return self._line(f"edited, {outcome}" if self.code_edited else outcome)

    @property
    def edited_line(self) -> str:
        return self._line("edited, not checked")

    def _line(self, outcome: str) -> str:
        record = [f"record {self.record}"] if self.record else []
        return MARK + " · ".join([_short(self.model), self.day.isoformat(), outcome, *record])


def _outcome(verdict: Verdict | None) -> str:
    if verdict is None:
        return "not checked"
    words = verdict.verdict.replace("_", " ")
    return f"{words} ({verdict.device})" if verdict.device else words


def _short(model: str) -> str:
    name = re.sub(r"\s+", " ", model_name(model)).strip()
    if name.startswith(("/", "~", ".")):
        name = name.rstrip("/").rpartition("/")[2]
    return name if len(name) <= LONGEST_NAME else f"…{name[-LONGEST_NAME:]}"


def under_heading(line: str, code: str) -> str:
    """``code`` with its heading; no code has none."""
    return f"{line}\n{code}" if code else code


def without_heading(text: str) -> str:
    """A cell's text without its heading."""
    if not text.startswith(MARK):
        return text
    return text.partition("\n")[2]
