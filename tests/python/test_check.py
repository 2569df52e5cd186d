"""What the checker promises about verdicts: right candidates pass, wrong ones are refused."""

from __future__ import annotations

import json
import re
import threading

import pytest
import torch
from entries import written
from verify_candidates import (
    ADD_RELU,
    ADD_RELU_RIGHT,
    AUTOTUNED,
    COPY,
    HEAD,
    LINEAR_BY_NAME,
    LINEAR_KERNEL,
    LINEAR_RELU,
    RELU,
    RIGHT,
    TRITON,
    WRONG,
    Case,
    elementwise,
    filled,
    model,
)

from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.live.packing import Call, live_values
from kernelllm_jupyter.values import Problem, Verdict
from kernelllm_jupyter.verify.check import check
from kernelllm_jupyter.verify.gpu import gpu_present


def run(case: Case) -> Verdict:
    return check(case.problem(), case.source(), device="cpu")


def named(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("case", RIGHT, ids=named)
def test_a_right_candidate_is_correct(case: Case) -> None:
    verdict = run(case)
    assert verdict.verdict == "correct", (verdict.reasons, verdict.output)
    assert verdict.launches
    assert verdict.trials is not None
    assert verdict.trials >= 3
    assert verdict.device == "cpu-interpreter"
    assert verdict.max_abs_error is not None
    assert verdict.error_budget is not None
    assert verdict.max_abs_error <= verdict.error_budget


@pytest.mark.parametrize("case", WRONG, ids=named)
def test_a_wrong_candidate_is_refused(case: Case) -> None:
    verdict = run(case)
    assert verdict.verdict == case.verdict, (verdict.reasons, verdict.output)
    if case.code:
        assert [reason.code for reason in verdict.reasons] == [case.code]
    assert all(reason.message for reason in verdict.reasons)


@pytest.mark.parametrize("given", ["X", "X.normal_()"], ids=["the same", "refilled"])
@pytest.mark.parametrize(
    ("expression", "expected"), [("x * 2", "correct"), ("x * 1.999", "incorrect")]
)
def test_inputs_may_share_memory_from_draw_to_draw(
    given: str, expression: str, expected: str
) -> None:
    reference = HEAD + "X = torch.randn(6, 70)\n" + model("x * 2", given)
    verdict = check(Problem(reference, "Model"), TRITON + elementwise(expression), device="cpu")
    assert verdict.verdict == expected, verdict.reasons


# --- what a verdict says -----------------------------------------------------------------------


def test_a_wrong_result_says_where_and_what_instead() -> None:
    source = elementwise("tl.where(offsets == 207, 7.0, x * 2)")
    verdict = check(Problem(HEAD + model("x * 2", "torch.randn(6, 70)"), "Model"), TRITON + source)
    (reason,) = verdict.reasons
    assert "1 of 420 elements" in reason.message
    assert "[2, 67]" in reason.message
    assert "got 7" in reason.message


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("x * 0.0", "all zeros"),
        ("x", "the input, unchanged"),
        ("x * 4", "2 times what it should be"),
    ],
)
def test_a_known_way_of_being_wrong_is_named(expression: str, words: str) -> None:
    problem = Problem(HEAD + model("x * 2", "torch.randn(6, 70)"), "Model")
    verdict = check(problem, TRITON + elementwise(expression), device="cpu")
    assert words in verdict.reasons[0].message


def test_unwritten_elements_are_named_as_such() -> None:
    problem = Problem(HEAD + ADD_RELU, "Model")
    source = TRITON + ADD_RELU_RIGHT.replace("triton.cdiv(n, 128)", "n // 128")
    verdict = check(problem, source, device="cpu")
    assert "last 36 elements" in verdict.reasons[0].message


def test_an_access_out_of_bounds_names_argument_program_and_line() -> None:
    source = TRITON + elementwise("x * 2").replace(
        "tl.load(x_ptr + offsets, mask=mask)", "tl.load(x_ptr + offsets)"
    )
    problem = Problem(HEAD + model("x * 2", "torch.randn(6, 70)"), "Model")
    (reason,) = check(problem, source, device="cpu").reasons
    assert reason.code == "out_of_bounds"
    assert "x_ptr" in reason.message
    assert "420" in reason.message
    assert "program (3, 0, 0)" in reason.message
    assert reason.line == 1 + source.splitlines().index("    x = tl.load(x_ptr + offsets)")


def test_arithmetic_left_to_pytorch_is_listed() -> None:
    problem = Problem(HEAD + model("torch.relu(x) + 1", "torch.randn(6, 70)"), "Model")
    source = (
        RELU + "class ModelNew(nn.Module):\n    def forward(self, x):\n        return relu(x) + 1\n"
    )
    verdict = check(problem, TRITON + source, device="cpu")
    assert verdict.verdict == "correct"
    assert verdict.aten == {"add": 1}
    assert "aten" in [warning.code for warning in verdict.warnings]


def test_names_that_had_to_be_put_back_are_a_warning() -> None:
    case = next(case for case in RIGHT if "TorchInductor's style" in case.name)
    warnings = {warning.code: warning.message for warning in run(case).warnings}
    assert "grid" in warnings["missing_names"]


def test_a_problem_that_cannot_tell_right_from_wrong_is_a_warning() -> None:
    problem = Problem(
        HEAD + model("torch.relu(x) * 0 + torch.zeros(6, 70)", "torch.ones(6, 70)"), "Model"
    )
    verdict = check(problem, TRITON + elementwise("x * 0.0"), device="cpu")
    assert "weak_problem" in [warning.code for warning in verdict.warnings]


def test_batch_norm_that_is_right_in_eval_mode_only_says_so() -> None:
    (entry,) = written(["module_bn_eval_kernel"])
    verdict = check(entry.problem(), entry.source, device="cpu")
    assert "eval_mode_only" in [warning.code for warning in verdict.warnings]


def test_weights_that_cannot_be_matched_are_named() -> None:
    source = filled(LINEAR_KERNEL, **LINEAR_BY_NAME).replace(
        "self.linear = nn.Linear(features, out)",
        "self.other = nn.Linear(3, 3); self.linear = nn.Linear(features + 0, out)\n"
        "        nn.init.zeros_(self.linear.weight); self.linear.weight = nn.Parameter("
        "self.linear.weight.t().contiguous())",
    )
    verdict = check(Problem(HEAD + LINEAR_RELU, "Model"), TRITON + source, device="cpu")
    assert verdict.verdict == "incorrect"
    assert "linear.weight" in verdict.reasons[0].message


def test_a_candidate_that_needs_contiguous_inputs_without_saying_so_is_a_warning() -> None:
    source = elementwise("x * 2").replace("torch.empty_like(x)", "torch.empty(x.shape)")
    problem = Problem(HEAD + model("x * 2", "torch.randn(6, 70)"), "Model")
    silent = check(problem, TRITON + source, device="cpu")
    assert silent.verdict == "correct"
    assert "contiguous_only" in [warning.code for warning in silent.warnings]
    loud = source.replace("        out =", "        assert x.is_contiguous()\n        out =")
    warned = check(problem, TRITON + loud, device="cpu").warnings
    assert "contiguous_only" not in [warning.code for warning in warned]


def test_each_autotuning_configuration_is_tried() -> None:
    broken = AUTOTUNED.replace("tl.maximum(x + y, 0.0)", "tl.maximum(x + y, 0.0) + (BLOCK // 256)")
    verdict = check(Problem(HEAD + ADD_RELU, "Model"), TRITON + broken, device="cpu")
    assert verdict.verdict == "incorrect"
    assert "BLOCK: 256" in verdict.reasons[0].message


@pytest.mark.parametrize(
    "asked", ["", ', input_precision="tf32"', ", allow_tf32=True", ', input_precision="TF32"']
)
def test_a_float32_product_in_tf32_is_refused_by_name(asked: str) -> None:
    case = next(case for case in RIGHT if case.name == "matmul")
    source = case.source().replace(', input_precision="ieee"', asked)
    verdict = check(case.problem(), source, device="cpu")
    assert verdict.verdict == "incorrect"
    assert [reason.code for reason in verdict.reasons] == ["tf32"]


def test_a_float32_product_of_three_in_tf32_is_as_good_as_float32() -> None:
    case = next(case for case in RIGHT if case.name == "matmul")
    assert check(case.problem(), case.source().replace('"ieee"', '"tf32x3"'), device="cpu").correct


def test_a_reference_may_allow_tf32_by_either_spelling() -> None:
    """From torch 2.9 on there is a newer one, beside which the older cannot be read."""
    newer = """
try:
    torch.backends.cuda.matmul.fp32_precision = "tf32"
except AttributeError:
    torch.backends.cuda.matmul.allow_tf32 = True
"""
    for setting in (newer, "\ntorch.backends.cuda.matmul.allow_tf32 = True\n"):
        source = HEAD + setting + model("x @ x", "torch.randn(16, 16)")
        verdict = check(Problem(source, "Model"), TRITON + SQUARED, device="cpu")
        assert verdict.correct, verdict.reasons


SQUARED = """
@triton.jit
def square(x_ptr, out_ptr, N: tl.constexpr):
    at = tl.arange(0, N)
    at = at[:, None] * N + at[None, :]
    x = tl.load(x_ptr + at)
    tl.store(out_ptr + at, tl.dot(x, x))


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        square[(1,)](x, out, N=16)
        return out
"""


def test_a_float32_product_in_tf32_that_does_not_show_is_a_warning() -> None:
    case = next(case for case in RIGHT if case.name == "matmul")
    # Nothing but signs is multiplied, and no bit of those is lost in TF32.
    signs = "tl.dot(tl.where(a < 0, -1.0, 1.0), tl.where(b < 0, -1.0, 1.0))"
    source = case.source().replace('tl.dot(a, b, input_precision="ieee")', signs)
    product = "torch.where(x < 0, -1.0, 1.0) @ torch.where(y < 0, -1.0, 1.0)"
    short = HEAD + model(product, "torch.randn(33, 64), torch.randn(64, 21)")
    verdict = check(Problem(short, "Model"), source, device="cpu")
    assert "tf32" in [warning.code for warning in verdict.warnings]


def test_a_copying_triton_kernel_is_honest_where_there_is_nothing_to_compute() -> None:
    source = COPY + (
        "class ModelNew(nn.Module):\n    def forward(self, x):\n"
        "        x = x.contiguous()\n        out = torch.empty_like(x)\n"
        "        copy_kernel[(triton.cdiv(x.numel(), 128),)](x, out, x.numel(), BLOCK=128)\n"
        "        return out.reshape(-1)\n"
    )
    problem = Problem(HEAD + model("x.reshape(-1)", "torch.randn(6, 70)"), "Model")
    assert check(problem, TRITON + source, device="cpu").verdict == "correct"


def test_the_verdict_is_json_and_figures_that_were_not_measured_are_null() -> None:
    right = json.loads(json.dumps(run(RIGHT[0]).to_json()))
    assert right["verdict"] == "correct"
    assert right["versions"]["torch"] == torch.__version__
    assert right["sandbox"]
    broken = check(RIGHT[0].problem(), "def broken(:\n", device="cpu").to_json()
    assert broken["verdict"] == "compile_error"
    assert broken["reasons"][0]["line"] == 1
    assert broken["max_abs_error"] is None
    assert broken["launches"] is None


# --- how it is asked ---------------------------------------------------------------------------


def test_live_inputs_and_constructor_arguments_are_used() -> None:
    source = HEAD + LINEAR_RELU.replace("torch.randn(9, 24)", "torch.randn(9, 5)")
    live = live_values([Call([torch.randn(3, 8)])], init=[[8, 4], {}])
    problem = Problem(source, "Model", has_inputs=False, live=live)
    right = TRITON + filled(LINEAR_KERNEL, **LINEAR_BY_NAME)
    assert check(problem, right, device="cpu").verdict == "correct"
    wrong = right.replace("tl.maximum(total, 0.0)", "total")
    assert check(problem, wrong, device="cpu").verdict == "incorrect"


def test_progress_is_told_in_words() -> None:
    told: list[str] = []
    check(RIGHT[0].problem(), RIGHT[0].source(), device="cpu", progress=told.append)
    assert "Building the candidate" in told
    assert any(re.fullmatch(r"Checking 1 of \d+: the problem's inputs", said) for said in told)


def test_the_same_seed_gives_the_same_figures() -> None:
    first, second = (
        check(RIGHT[0].problem(), RIGHT[0].source(), device="cpu", seed=3) for _ in range(2)
    )
    assert first.max_abs_error == second.max_abs_error
    assert first.error_budget == second.error_budget


def test_a_check_that_is_not_cancelled_ignores_the_event() -> None:
    verdict = check(RIGHT[0].problem(), RIGHT[0].source(), device="cpu", cancel=threading.Event())
    assert verdict.verdict == "correct"


@pytest.mark.parametrize("device", ["tpu", "gpu:7"])
def test_an_unknown_device_is_a_usage_error(device: str) -> None:
    with pytest.raises(UsageError, match="auto, cpu or cuda"):
        check(RIGHT[0].problem(), RIGHT[0].source(), device=device)


@pytest.mark.skipif(gpu_present(), reason="this machine has a GPU")
def test_asking_for_a_gpu_that_is_not_there_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="No GPU"):
        check(RIGHT[0].problem(), RIGHT[0].source(), device="cuda")


def test_a_timeout_of_nothing_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="timeout"):
        check(RIGHT[0].problem(), RIGHT[0].source(), timeout_s=0)


def test_imports_that_no_kernel_needs_are_told_before_anything_runs() -> None:
    told: list[str] = []
    source = "import requests.sessions\n" + TRITON + ADD_RELU_RIGHT
    verdict = check(Problem(HEAD + ADD_RELU, "Model"), source, device="cpu", progress=told.append)
    assert "requests" in told[0]
    assert [w.line for w in verdict.warnings if w.code == "unusual_import"] == [1]


def test_code_nested_too_deep_to_be_read_is_refused() -> None:
    source = "class ModelNew: pass\nx = " + "-" * 200_000 + "1\n"
    verdict = check(Problem(HEAD + ADD_RELU, "Model"), source, device="cpu")
    assert verdict.verdict == "compile_error"


def test_code_without_its_class_is_told_which_classes_it_has() -> None:
    source = TRITON + ADD_RELU_RIGHT.replace("ModelNew", "TritonModel")
    (reason,) = check(Problem(HEAD + ADD_RELU, "Model"), source, device="cpu").reasons
    assert reason.code == "no_model_new"
    assert "TritonModel" in reason.message
