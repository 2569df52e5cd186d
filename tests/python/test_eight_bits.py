"""8-bit floats are checked like others: by rounding to nearest, and no nearer than they tell."""

from __future__ import annotations

import pytest
from verify_candidates import HEAD, TRITON, elementwise, model

from kernelllm_jupyter.values import Problem
from kernelllm_jupyter.verify.check import check

FORMATS = [("float8_e4m3fn", "tl.float8e4nv"), ("float8_e5m2", "tl.float8e5")]


@pytest.mark.parametrize(("dtype", "word"), FORMATS)
def test_a_result_in_eight_bits_is_right_or_wrong(dtype: str, word: str) -> None:
    reference = model(f"(x * 1.5).to(torch.{dtype})", "torch.randn(6, 70)")
    candidate = elementwise(f"(x * 1.5).to({word})").replace(
        "torch.empty_like(x)", f"torch.empty(x.shape, dtype=torch.{dtype}, device=x.device)"
    )
    problem = Problem(HEAD + reference, "Model")
    verdict = check(problem, TRITON + candidate, device="cpu")
    assert verdict.verdict == "correct", verdict.reasons
    wrong = check(problem, TRITON + candidate.replace("1.5", "1.3"), device="cpu")
    assert wrong.verdict == "incorrect"
    partial = candidate.replace("(triton.cdiv(n, 128),)", "(n // 128,)")
    assert not check(problem, TRITON + partial, device="cpu").correct


@pytest.mark.parametrize(("dtype", "word"), FORMATS)
def test_inputs_in_eight_bits_are_read(dtype: str, word: str) -> None:
    inputs = "torch.randn(6, 70).to(EIGHT)"
    reference = model("x.float() * 1.5", inputs).replace("EIGHT", f"torch.{dtype}")
    candidate = elementwise("x.to(tl.float32) * 1.5").replace(
        "torch.empty_like(x)", "torch.empty(x.shape, device=x.device)"
    )
    verdict = check(Problem(HEAD + reference, "Model"), TRITON + candidate, device="cpu")
    assert verdict.verdict == "correct", verdict.reasons
