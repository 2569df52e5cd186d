"""The checker and the timing on a real GPU. Without one, everything here is skipped.

Run with ``pytest tests/gpu`` on a machine with a GPU that torch can use.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "python"))

from conftest import SMALL_MODULE
from entries import Entry, written
from scripted_engine import ScriptedEngine
from test_search import GOOD, fenced
from verify_candidates import (
    ADD_RELU,
    ADD_RELU_RIGHT,
    AUTOTUNED,
    HEAD,
    MATMUL,
    MATMUL_KERNEL,
    RIGHT,
    TRITON,
    WRONG,
    Case,
    filled,
)
from verify_gaming import ATTACKS, forward
from verify_honest import HONEST

from kernelllm_jupyter.errors import DeviceUnusable
from kernelllm_jupyter.prompts import KernelLLMProfile
from kernelllm_jupyter.search import search
from kernelllm_jupyter.translate import Finished
from kernelllm_jupyter.values import CheckOptions, Effort, Problem
from kernelllm_jupyter.verify.benchmark import benchmark
from kernelllm_jupyter.verify.check import check
from kernelllm_jupyter.verify.gpu import gpu_present
from kernelllm_jupyter.verify.worker import shutdown, worker


def _missing() -> str:
    """Why there is no GPU to test on; empty where there is one."""
    if not gpu_present():
        return "this machine has no GPU"
    try:
        worker("cuda").start()
    except DeviceUnusable as error:
        return str(error)
    return ""


WHY = _missing()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(bool(WHY), reason=WHY or "there is a GPU")]

PROBLEM = Problem(HEAD + ADD_RELU, "Model")
CANDIDATE = TRITON + ADD_RELU_RIGHT
#: Cases that only the interpreter can decide, or that are spelled for a machine without a GPU.
INTERPRETER_ONLY = {"no mask", "right in one configuration only"}


def named(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("case", RIGHT, ids=named)
def test_a_right_candidate_is_correct(case: Case) -> None:
    verdict = check(case.problem(), case.source(), device="cuda", timeout_s=120)
    assert verdict.verdict == "correct", (verdict.reasons, verdict.output)
    assert verdict.device == "cuda"
    assert verdict.launches


@pytest.mark.parametrize("case", WRONG, ids=named)
def test_a_wrong_candidate_is_refused(case: Case) -> None:
    if case.name in INTERPRETER_ONLY:
        pytest.skip("only the interpreter sees this")
    verdict = check(case.problem(), case.source(), device="cuda", timeout_s=120)
    assert verdict.verdict != "correct"


@pytest.mark.parametrize("entry", written(), ids=lambda entry: entry.label)
def test_the_corpus_is_told_right_from_wrong(entry: Entry) -> None:
    verdict = check(entry.problem(), entry.source, device="cuda", timeout_s=120)
    # Out of bounds and races are the interpreter's to see.
    if entry.expectation.right or "rejected" not in entry.expectation.verdicts:
        assert verdict.correct is entry.expectation.right, (verdict.reasons, verdict.output)


def test_a_product_in_tf32_is_named() -> None:
    source = TRITON + filled(MATMUL_KERNEL, cast="").replace(', input_precision="ieee"', "")
    problem = Problem(HEAD + MATMUL, "Model")
    refused = check(problem, source, device="cuda", timeout_s=120)
    assert [reason.code for reason in refused.reasons] == ["tf32"]
    assert check(problem, source, device="cuda", timeout_s=120, allow_tf32=True).correct


def test_an_output_on_the_wrong_device_is_refused() -> None:
    source = CANDIDATE.replace("return out", "return out.cpu()")
    verdict = check(PROBLEM, source, device="cuda", timeout_s=120)
    assert [reason.code for reason in verdict.reasons] == ["device"]


def test_what_the_kernels_take_is_read_from_those_that_ran() -> None:
    verdict = check(PROBLEM, CANDIDATE, device="cuda", timeout_s=120)
    compilation = verdict.compilation
    assert compilation is not None
    assert re.fullmatch(r"sm_\d+|gfx\w+", compilation.target)
    (kernel,) = compilation.kernels
    assert kernel.name == "apply_kernel"
    assert "def apply_kernel" in CANDIDATE.splitlines()[(kernel.line or 0) - 1]
    assert (kernel.launches, kernel.num_warps, kernel.grid) == (1, 4, (4, 1, 1))
    assert kernel.registers
    assert (kernel.spill_bytes, kernel.shared_bytes) == (0, 0)


def test_an_autotuned_kernel_is_counted_as_it_was_chosen() -> None:
    verdict = check(PROBLEM, TRITON + AUTOTUNED, device="cuda", timeout_s=120)
    assert verdict.compilation is not None
    (kernel,) = verdict.compilation.kernels
    assert kernel.launches == 1


def test_a_target_that_is_named_is_compiled_for_beside_the_present_gpu() -> None:
    verdict = check(PROBLEM, CANDIDATE, device="cuda", timeout_s=120, compile_for="gfx942")
    assert verdict.correct, verdict.reasons
    assert verdict.compilation is not None
    assert verdict.compilation.target == "gfx942"


@pytest.mark.parametrize("case", [*ATTACKS, *HONEST], ids=named)
def test_gaming_is_refused_and_what_looks_alike_is_not(case: Case) -> None:
    verdict = check(case.problem(), case.source(), device="cuda", timeout_s=120)
    if case.verdict == "correct":
        assert verdict.correct, (verdict.reasons, verdict.output)
    else:
        assert not verdict.correct


def test_a_stream_that_is_not_waited_for_is_refused() -> None:
    body = (
        "out = torch.empty_like(x)\nstream = torch.cuda.Stream()\n"
        "with torch.cuda.stream(stream):\n"
        "    torch.cuda._sleep(200_000_000)\n    add_relu(x, y, out)\n"
    )
    wait = "torch.cuda.current_stream().wait_stream(stream)\n"
    source, waiting = (
        TRITON + forward(text, "x y") for text in (body + "return out", body + wait + "return out")
    )
    verdict = check(PROBLEM, source, device="cuda", timeout_s=120)
    assert [reason.code for reason in verdict.reasons] == ["unsynchronised"]
    assert check(PROBLEM, waiting, device="cuda", timeout_s=120).correct


def test_a_write_just_behind_an_output_is_refused() -> None:
    source = CANDIDATE.replace(
        "    mask = offsets < n", "    mask = offsets < n\n    tl.store(out_ptr + n + 1, 1.0)"
    )
    verdict = check(PROBLEM, source, device="cuda", timeout_s=120)
    assert [reason.code for reason in verdict.reasons] == ["out_of_bounds"]


def test_a_fault_on_the_gpu_ends_the_worker_and_nothing_else() -> None:
    statement = "tl.store(out_ptr + (offsets + 1) * 1000000000000, 1.0)"
    source = CANDIDATE.replace("    mask = offsets < n", f"    mask = offsets < n\n    {statement}")
    verdict = check(PROBLEM, source, device="cuda", timeout_s=120)
    assert verdict.verdict in ("runtime_error", "crashed", "incorrect")
    assert check(PROBLEM, CANDIDATE, device="cuda", timeout_s=120).correct


def test_an_assertion_that_fails_on_the_gpu_ends_the_worker_and_nothing_else() -> None:
    statement = "x[torch.full((4,), 1 << 30, device=x.device)]"
    first = "        out = torch.empty_like(x)"
    source = CANDIDATE.replace(first, f"        {statement}\n{first}")
    verdict = check(PROBLEM, source, device="cuda", timeout_s=120)
    assert verdict.verdict in ("runtime_error", "crashed")
    assert check(PROBLEM, CANDIDATE, device="cuda", timeout_s=120).correct


def test_a_hanging_triton_kernel_is_killed() -> None:
    loop = "    mask = offsets < n\n    i = 0\n    while i < 1:\n        i = i * 1"
    source = CANDIDATE.replace("    mask = offsets < n", loop)
    verdict = check(PROBLEM, source, device="cuda", timeout_s=15)
    assert verdict.verdict == "timeout"
    assert check(PROBLEM, CANDIDATE, device="cuda", timeout_s=120).correct


def test_a_wrong_candidate_is_not_timed() -> None:
    timing = benchmark(PROBLEM, CANDIDATE.replace("tl.maximum(x + y, 0.0)", "x + y"))
    assert timing.conclusion == "not measured"
    assert timing.verified is False
    assert timing.candidate_ms is None


def teardown_module() -> None:
    shutdown()


def test_the_fastest_of_the_verified_is_kept() -> None:
    source = SMALL_MODULE.replace("torch.randn(4, 33)", "torch.randn(2048, 4096)")
    engine = ScriptedEngine(
        fenced(GOOD.replace("256", "16")), fenced(GOOD.replace("256", "1024")), fenced("x = 1\n")
    )
    made = None
    for event in search(
        Problem(source, "Model"),
        engine,
        KernelLLMProfile("no/such-model"),
        effort=Effort(k=3, best="fastest"),
        check=CheckOptions(),
    ):
        if isinstance(event, Finished):
            made = event.translation
    assert made is not None
    assert "1024" in made.code
    slow, fast = (timing.candidate_ms for timing in made.timings[:2] if timing)
    assert slow is not None
    assert fast is not None
    assert fast < slow
    assert made.timings[2] is None, "what is not verified is not timed"
