"""No candidate is called correct for numbers that Triton did not compute; honest ones are."""

from __future__ import annotations

import pytest
from verify_candidates import ADD_RELU, HEAD, TRITON, Case
from verify_gaming import ATTACKS, IN_PLACE, forward
from verify_honest import HONEST

from kernelllm_jupyter.values import Problem
from kernelllm_jupyter.verify.check import check


def named(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("case", ATTACKS, ids=named)
def test_a_candidate_that_games_the_check_is_refused(case: Case) -> None:
    verdict = check(case.problem(), case.source(), device="cpu")
    assert verdict.verdict == case.verdict, (verdict.reasons, verdict.output)
    for reason in verdict.reasons:
        assert reason.code in case.code.split(), reason


@pytest.mark.parametrize("case", HONEST, ids=named)
def test_an_honest_candidate_that_looks_alike_is_correct(case: Case) -> None:
    verdict = check(case.problem(), case.source(), device="cpu")
    assert verdict.verdict == "correct", (verdict.reasons, verdict.output)
    assert verdict.launches


def test_an_input_that_only_the_reference_overwrites_is_a_warning() -> None:
    source = TRITON + forward("return add_relu(x, y)", "x y")
    verdict = check(Problem(HEAD + IN_PLACE, "Model"), source, device="cpu")
    assert verdict.verdict == "correct", verdict.reasons
    assert "input_not_updated" in [warning.code for warning in verdict.warnings]


def test_what_is_refused_before_anything_runs_names_its_line() -> None:
    source = TRITON + forward("return add_relu(x, y)", "x y") + "\nimport gc\ngc.get_objects()\n"
    verdict = check(Problem(HEAD + ADD_RELU, "Model"), source, device="cpu")
    assert [reason.code for reason in verdict.reasons] == ["tampering"]
    assert verdict.reasons[0].line == source.count("\n")
    assert verdict.trials is None
