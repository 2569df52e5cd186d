"""The checker's promise on its corpus: no wrong candidate is correct, no right one is refused."""

from __future__ import annotations

import hashlib
from fnmatch import fnmatchcase

import pytest
from entries import Entry, Expectation, read_expectation, written
from mutations import chosen, mutants, survivors
from operators import OPERATORS
from run import Outcome

from kernelllm_jupyter.values import Finding, Verdict

WRITTEN = written()
RIGHT = [entry for entry in WRITTEN if entry.expectation.right]
WRONG = [entry for entry in WRITTEN if not entry.expectation.right]
MUTANTS = [mutant for entry in RIGHT for mutant in mutants(entry)]
#: One mutant in so many is checked here, by its name; ``run.py`` checks all.
SAMPLED = 24


def sampled(entry: Entry) -> bool:
    return int(hashlib.sha256(entry.label.encode()).hexdigest(), 16) % SAMPLED == 0


def labelled(entry: Entry) -> str:
    return entry.label


def verdict_of(outcome: Outcome) -> Verdict:
    assert outcome.objection is None, outcome.verdict and outcome.verdict.output
    assert outcome.verdict is not None
    return outcome.verdict


@pytest.mark.parametrize("entry", RIGHT, ids=labelled)
def test_a_right_candidate_is_correct(outcome: Outcome) -> None:
    verdict = verdict_of(outcome)
    assert verdict.launches
    assert verdict.trials is not None
    assert verdict.trials >= 3
    assert verdict.device == "cpu-interpreter"
    assert verdict.max_abs_error is not None
    assert verdict.error_budget is not None
    assert verdict.max_abs_error <= verdict.error_budget


@pytest.mark.parametrize("entry", WRONG, ids=labelled)
def test_a_wrong_candidate_is_refused(outcome: Outcome) -> None:
    verdict = verdict_of(outcome)
    assert verdict.reasons
    assert all(reason.message for reason in verdict.reasons)


@pytest.mark.parametrize("entry", [m for m in chosen(RIGHT) if sampled(m)], ids=labelled)
def test_a_mutant_is_refused_unless_it_is_harmless(outcome: Outcome) -> None:
    verdict_of(outcome)


# --- the corpus itself -------------------------------------------------------------------------


def test_the_corpus_is_as_large_as_was_promised() -> None:
    assert len({entry.pair for entry in WRITTEN}) >= 25
    assert len(RIGHT) >= 60
    assert len(WRONG) >= 120


def test_every_mutation_finds_a_place() -> None:
    assert {mutant.name.split("~")[1] for mutant in MUTANTS} == set(OPERATORS)


def test_every_survivor_that_is_explained_is_still_made() -> None:
    labels = [mutant.label for mutant in MUTANTS]
    for pattern, found in survivors().items():
        assert found["why"], pattern
        assert any(fnmatchcase(label, pattern) for label in labels), pattern


@pytest.mark.parametrize(
    ("expected", "verdict", "objection"),
    [
        ("correct", Verdict("correct"), None),
        ("correct single_shape", Verdict("correct"), "nothing instead of single_shape"),
        ("correct", Verdict("incorrect"), "false refusal"),
        ("refused", Verdict("correct"), "false accept"),
        ("incorrect|rejected", Verdict("rejected"), None),
        ("incorrect", Verdict("rejected"), "instead of incorrect"),
        ("incorrect nan", Verdict("incorrect", (Finding("nan", "NaN"),)), None),
        ("incorrect shape", Verdict("incorrect", (Finding("nan", "NaN"),)), "instead of shape"),
    ],
)
def test_an_expectation_tells_what_is_wrong_about_a_verdict(
    expected: str, verdict: Verdict, objection: str | None
) -> None:
    found = read_expectation(expected).objection(verdict)
    assert (found is None) if objection is None else (found is not None and objection in found)


def test_a_correct_verdict_never_meets_an_expectation_of_refusal() -> None:
    assert Expectation().objection(Verdict("correct")) == "false accept"
