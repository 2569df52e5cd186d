"""No candidate is called correct for numbers that Triton did not compute; honest ones are."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from verify_candidates import ADD_RELU, HEAD, TRITON, Case
from verify_gaming import ATTACKS, IN_PLACE, forward
from verify_honest import HONEST

from kernelllm_jupyter.values import Problem
from kernelllm_jupyter.verify.check import check
from kernelllm_jupyter.verify.watching.audit import Launches, Operators
from kernelllm_jupyter.verify.watching.guard_zones import GuardZones


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


@pytest.mark.parametrize("wrapped", [lambda x: SimpleNamespace(base=x), lambda x: (3, (x,))])
def test_a_launch_is_seen_to_compute_through_descriptors_and_tuples(wrapped: Any) -> None:
    for factor, copies in ((1.0, True), (2.0, False)):
        launches, x = Launches(), torch.arange(1.0, 5.0)
        launches.around("kernel", [wrapped(x)], partial(x.mul_, factor))
        assert launches.only_copies is copies


# --- guard zones, which a check uses on a GPU ---------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64, torch.bool])
def test_guard_zones_keep_values_and_layout(dtype: torch.dtype) -> None:
    zones = GuardZones()
    for tensor in (torch.arange(12).reshape(3, 4), torch.arange(24).reshape(4, 6)[1:, ::2].t()):
        guarded = zones.around(tensor.to(dtype))
        assert torch.equal(guarded, tensor.to(dtype))
        assert guarded.stride() == tensor.to(dtype).stride()
    assert not zones.broken()


@pytest.mark.parametrize("offset", [-1, 12])
def test_a_write_beside_a_guarded_tensor_is_seen(offset: int) -> None:
    zones = GuardZones()
    guarded = zones.around(torch.zeros(3, 4))
    guarded.fill_(1.0)
    assert not zones.broken()
    start = guarded.storage_offset() + offset
    guarded.as_strided((1,), (1,), start).fill_(0.0)
    assert zones.broken()


def test_what_a_candidate_allocates_gets_guard_zones() -> None:
    zones = GuardZones()
    with Operators(zones=zones):
        made = [torch.empty(5), torch.zeros(2, 3), torch.empty_like(torch.ones(4, 4).t())]
    assert len(zones.buffers) >= 3
    assert made[0].isnan().all()
    assert not made[1].any()
    assert made[2].stride() == (1, 4)
    assert not zones.broken()
