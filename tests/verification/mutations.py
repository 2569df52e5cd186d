"""Wrong candidates made from right ones: one small mistake each, at a place found by ``ast``.

A mutant is taken to be wrong unless ``survivors.json`` says why it is not: some mistakes change
nothing (a mask that is not needed), and each of those was looked at by hand.

Knows nothing of the checker.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from entries import Entry, Expectation, read_expectation
from operators import OPERATORS
from source import Source

T = TypeVar("T")
SURVIVORS = Path(__file__).with_name("survivors.json")
#: How many places of one candidate an operator is applied to: the first and the last.
PLACES = 2
#: How many mutants of one operator are kept in one folder of pairs.
OF_A_KIND = 2
#: What the references say whose outputs are in half precision or whole numbers anyway.
NOT_FLOAT32 = re.compile(r"half\(|float16|% 101|& keep|argmax")
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


def chosen(entries: Iterable[Entry]) -> list[Entry]:
    """The mutants that the corpus holds: of each mistake a few in each folder of pairs."""
    kinds: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        for mutant in mutants(entry):
            kinds.setdefault((entry.pair, mutant.name.split("~")[1]), []).append(mutant)
    return [mutant for made in kinds.values() for mutant in ends(made, OF_A_KIND)]


def ends(items: Sequence[T], count: int) -> list[T]:
    """The first ones and the last, ``count`` at most."""
    return [*items[: count - 1], *items[max(count - 1, len(items) - 1) :]]


def mutants(entry: Entry) -> list[Entry]:
    """The wrong candidates made from a right one, named ``RIGHT~OPERATOR~PLACE``."""
    known = survivors()
    source = Source(entry.source)
    made = {entry.source}
    found = []
    for name, make in OPERATORS.items():
        if not _applies(name, entry):
            continue
        edits = list(make(source))
        for place in ends(range(len(edits)), PLACES):
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


def _applies(name: str, entry: Entry) -> bool:
    """Whether a mistake would be one in this candidate."""
    if name in ("result_lowered", "accumulator_lowered") and NOT_FLOAT32.search(entry.reference):
        return False
    if name == "loaded_lowered" and "bfloat16" in entry.reference:
        return False
    return name in ARITHMETIC or not entry.pair.startswith(ONE_FRAME)


def survivors() -> dict[str, dict[str, str]]:
    """By a pattern of labels: mutants that are right after all (``expect``), and ``why``."""
    found: dict[str, dict[str, str]] = json.loads(SURVIVORS.read_text())
    return found
