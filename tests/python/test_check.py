"""What the checker promises about verdicts: right candidates pass, wrong ones are refused."""

from __future__ import annotations

import pytest
from verify_candidates import RIGHT, WRONG, Case

from kernelllm_jupyter.verify.check import check


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: case.name)
def test_a_right_candidate_is_correct(case: Case) -> None:
    verdict = check(case.problem(), case.source(), device="cpu")
    assert verdict.verdict == "correct", (verdict.reasons, verdict.output)
    assert verdict.launches
    assert verdict.trials is not None
    assert verdict.trials >= 3
    assert verdict.device == "cpu-interpreter"
    assert verdict.max_abs_error is not None
    assert verdict.error_budget is not None
    assert verdict.max_abs_error <= verdict.error_budget


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.name)
def test_a_wrong_candidate_is_refused(case: Case) -> None:
    verdict = check(case.problem(), case.source(), device="cpu")
    assert verdict.verdict == case.verdict, (verdict.reasons, verdict.output)
    if case.code:
        assert [reason.code for reason in verdict.reasons] == [case.code]
    assert all(reason.message for reason in verdict.reasons)
