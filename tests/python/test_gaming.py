"""No candidate is called correct for numbers that Triton did not compute; honest ones are."""

from __future__ import annotations

import pytest
from verify_candidates import Case
from verify_gaming import ATTACKS
from verify_honest import HONEST

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
