"""Wrong candidates made from right ones: one small mistake each, at a place found by ``ast``.

A mutant is taken to be wrong unless ``survivors.json`` says why it is not: some mistakes change
nothing (a mask that is not needed), and each of those was looked at by hand.

Knows nothing of the checker.
"""

from __future__ import annotations

import json
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from corpus import Entry, Expectation, read_expectation
from operators import OPERATORS
from source import Source

SURVIVORS = Path(__file__).with_name("survivors.json")
#: How many places of one candidate an operator is applied to: the first and the last.
PLACES = 2
#: Pairs whose outputs are in half precision or whole numbers anyway.
NOT_FLOAT32 = ("half_", "bfloat16_", "integer_", "boolean_")
#: Many small functions in one and the same frame: only what they compute is mutated.
ONE_FRAME = ("pointwise_", "rows_", "module_")
ARITHMETIC = {
    "constant_changed",
    "epsilon_changed",
    "sign_changed",
    "operand_dropped",
    "maximum_not_subtracted",
    "function_changed",
    "function_dropped",
    "condition_dropped",
    "divisor_off_by_one",
}


def mutants(entry: Entry) -> list[Entry]:
    """The wrong candidates made from a right one, named ``RIGHT~OPERATOR~PLACE``."""
    known = survivors()
    source = Source(entry.source)
    made = {entry.source}
    found = []
    for name, make in OPERATORS.items():
        if not _applies(name, entry.pair):
            continue
        edits = list(make(source))
        for place in sorted({*range(len(edits))[: PLACES - 1], *range(len(edits))[-1:]}):
            edit = edits[place]
            text = entry.source[: edit.start] + edit.text + entry.source[edit.end :]
            if text in made:
                continue
            made.add(text)
            mutant = replace(entry, name=f"{entry.name}~{name}~{place}", source=text)
            why = next((w for p, w in known.items() if fnmatchcase(mutant.label, p)), None)
            expectation = read_expectation(why["expect"]) if why else Expectation()
            found.append(replace(mutant, expectation=expectation))
    return found


def _applies(name: str, pair: str) -> bool:
    """Whether a mistake would be one in this pair's candidates."""
    if name.endswith("_lowered") and pair.startswith(NOT_FLOAT32):
        return False
    if name == "result_lowered" and pair == "argmax":
        return False  # Small whole numbers are exact in float16.
    return name in ARITHMETIC or not pair.startswith(ONE_FRAME)


def survivors() -> dict[str, dict[str, str]]:
    """By a pattern of labels: mutants that are right after all (``expect``), and ``why``."""
    found: dict[str, dict[str, str]] = json.loads(SURVIVORS.read_text())
    return found
