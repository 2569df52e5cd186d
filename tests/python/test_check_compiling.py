"""Without a GPU, Triton kernels compile for one that is named, or the verdict says why not."""

from __future__ import annotations

import pytest
from corpus import written
from verify_candidates import ADD_RELU, ADD_RELU_RIGHT, AUTOTUNED, HEAD, RIGHT, TRITON

from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.values import Problem, Verdict
from kernelllm_jupyter.verify.check import check

PROBLEM = Problem(HEAD + ADD_RELU, "Model")
RIGHT_SOURCE = TRITON + ADD_RELU_RIGHT
STORE = "    tl.store("


def compiled(source: str, target: str = "sm_90") -> Verdict:
    return check(PROBLEM, source, device="cpu", compile_for=target)


def with_lines(lines: str) -> str:
    return RIGHT_SOURCE.replace(STORE, lines + STORE)


#: Candidates of the corpus that ask more of the compiler than elementwise arithmetic.
KERNELS = [
    entry for entry in written() if entry.pair.startswith("kernel_") and entry.expectation.right
]


@pytest.mark.parametrize(
    ("problem", "source"),
    [
        *(pytest.param(case.problem(), case.source(), id=case.name) for case in RIGHT),
        *(pytest.param(entry.problem(), entry.source, id=entry.label) for entry in KERNELS),
    ],
)
def test_a_right_candidate_also_compiles(problem: Problem, source: str) -> None:
    verdict = check(problem, source, device="cpu", compile_for="sm_90")
    assert verdict.verdict == "correct", (verdict.reasons, verdict.output)
    assert "compilation" not in [finding.code for finding in verdict.not_made]


@pytest.mark.parametrize(
    ("lines", "marked", "word"),
    [
        ("    i = 0\n    while i < 4:\n        i += 1\n        break\n", "break", "Break"),
        ("    q = 0\n    for i in range(3):\n        q = q + 0.5\n", "for i in", "Loop-carried"),
    ],
)
def test_what_the_interpreter_accepts_and_the_compiler_does_not_is_refused_with_its_line(
    lines: str, marked: str, word: str
) -> None:
    source = with_lines(lines)
    assert check(PROBLEM, source, device="cpu").verdict == "correct"
    verdict = compiled(source)
    assert verdict.verdict == "compile_error"
    (reason,) = verdict.reasons
    assert reason.code == "triton"
    assert word in reason.message
    line = 1 + next(i for i, text in enumerate(source.splitlines()) if marked in text)
    assert reason.line is not None
    assert abs(reason.line - line) <= 1


def test_a_launch_with_options_that_no_gpu_takes_is_refused() -> None:
    verdict = compiled(RIGHT_SOURCE.replace("BLOCK=128)", "BLOCK=128, num_warps=3)"))
    assert verdict.verdict == "compile_error"
    assert "num_warps" in verdict.reasons[0].message


def test_a_grid_that_no_gpu_takes_is_refused() -> None:
    # One program does the work; the others, of which a GPU takes no so many, return at once.
    tall = RIGHT_SOURCE.replace("(triton.cdiv(n, 128),)", "(triton.cdiv(n, 128), 65536)").replace(
        "    offsets =", "    if tl.program_id(1) > 0:\n        return\n    offsets =", 1
    )
    verdict = compiled(tall)
    assert verdict.verdict == "compile_error"
    assert verdict.reasons[0].code == "too_large"


@pytest.mark.parametrize("target", ["sm_80", "sm_100", "gfx942"])
def test_other_targets_compile(target: str) -> None:
    assert compiled(TRITON + AUTOTUNED, target).verdict == "correct"


def test_an_unknown_target_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="sm_90"):
        compiled(RIGHT_SOURCE, "h100")


def test_without_a_target_the_verdict_says_that_nothing_was_compiled() -> None:
    verdict = check(PROBLEM, RIGHT_SOURCE, device="cpu")
    assert "compilation" in [finding.code for finding in verdict.not_made]
