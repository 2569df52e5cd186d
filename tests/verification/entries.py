"""The corpus: folders of a reference with right and wrong candidates, and what to say of each.

``pairs/NAME/reference.py`` is a module in KernelBench's form; every other file of the folder is a
candidate. Its first line says what the checker must answer::

    # expect: correct                     nothing more
    # expect: correct single_shape        correct, with this warning
    # expect: incorrect wrong_values      this verdict for this reason
    # expect: incorrect|rejected          one of these verdicts
    # expect: refused                     anything but correct

Knows nothing of how a check is made; imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kernelllm_jupyter.values import Problem, Verdict

PAIRS = Path(__file__).with_name("pairs")
MARK = "# expect:"


@dataclass(frozen=True)
class Expectation:
    """``verdicts`` is empty where anything but ``correct`` will do; ``code`` is a reason's, or a
    warning's where ``correct`` is expected, and empty where the verdict is enough."""

    verdicts: frozenset[str] = frozenset()
    code: str = ""

    @property
    def right(self) -> bool:
        return self.verdicts == {"correct"}

    def objection(self, verdict: Verdict) -> str | None:
        """What is wrong about a verdict; None where it is as it must be."""
        got = " ".join([verdict.verdict, *(reason.code for reason in verdict.reasons)])
        if self.right and not verdict.correct:
            reasons = "; ".join(reason.message for reason in verdict.reasons)
            return f"false refusal: {got}: {reasons}"
        if not self.right and verdict.correct:
            return "false accept"
        if self.verdicts and verdict.verdict not in self.verdicts:
            return f"{got} instead of {' or '.join(sorted(self.verdicts))}"
        found = verdict.warnings if self.right else verdict.reasons
        if self.code and self.code not in {finding.code for finding in found}:
            codes = ", ".join(finding.code for finding in found) or "nothing"
            return f"{verdict.verdict} with {codes} instead of {self.code}"
        return None


def read_expectation(text: str) -> Expectation:
    """Parse what follows ``# expect:``."""
    verdicts, _, code = text.strip().partition(" ")
    if verdicts == "refused":
        return Expectation(code=code)
    return Expectation(frozenset(verdicts.split("|")), code)


@dataclass(frozen=True)
class Entry:
    """One candidate of the corpus, written by hand or made by mutation."""

    pair: str
    name: str
    reference: str
    source: str
    expectation: Expectation

    @property
    def label(self) -> str:
        return f"{self.pair}/{self.name}"

    def problem(self) -> Problem:
        return Problem(self.reference, "Model")


def written(pairs: Iterable[str] = ()) -> list[Entry]:
    """The candidates that lie in the folders, right ones first within each."""
    chosen = set(pairs)
    entries = []
    for path in sorted(PAIRS.glob("*/*.py")):
        if path.name == "reference.py" or (chosen and path.parent.name not in chosen):
            continue
        source = path.read_text()
        first = source.partition("\n")[0]
        if not first.startswith(MARK):
            raise ValueError(f"{path}: the first line must begin with {MARK!r}")
        expectation = read_expectation(first.removeprefix(MARK))
        reference = path.with_name("reference.py").read_text()
        entries.append(Entry(path.parent.name, path.stem, reference, source, expectation))
    return entries
