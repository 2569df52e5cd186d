"""Big problems are checked at smaller sizes, and every one at other sizes than its own."""

from __future__ import annotations

import pytest
from verify_candidates import HEAD, TRITON, elementwise, model

from kernelllm_jupyter.values import Problem, Verdict
from kernelllm_jupyter.verify.check import check
from kernelllm_jupyter.verify.steps import Step

SMALL = model("torch.relu(x) * 2", "torch.randn(16, 256)")
LARGE = model("torch.relu(x) * 2", "torch.randn(4096, 65536)")
MIDDLE = model("torch.relu(x) * 2", "torch.randn(1024, 1024)")
RIGHT = elementwise("tl.where(x > 0, x, 0.0) * 2").replace("128", "1024")
WRONG = RIGHT.replace("* 2", "* 2.001")
UNMASKED = RIGHT.replace(", mask=mask", "")

PRODUCT = """
class Model(nn.Module):
    def __init__(self, features, classes):
        super().__init__()
        self.linear = nn.Linear(features, classes)

    def forward(self, x):
        return self.linear(x)

batch_size = 8192
features, classes = 4 * 1024, 2048

def get_inputs():
    return [torch.rand(batch_size, features)]

def get_init_inputs():
    return [features, classes]
"""
PRODUCT_RIGHT = """
@triton.jit
def product_kernel(x, w, b, out, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    m = tl.program_id(0) * BM + tl.arange(0, BM)[:, None]
    n = tl.program_id(1) * BN + tl.arange(0, BN)[None, :]
    total = tl.zeros((BM, BN), dtype=tl.float32)
    for start in range(0, K, BK):
        k = start + tl.arange(0, BK)
        left = tl.load(x + m * K + k[None, :], mask=(m < M) & (k[None, :] < K), other=0.0)
        right = tl.load(w + n * K + k[:, None], mask=(n < N) & (k[:, None] < K), other=0.0)
        total += tl.dot(left, right, input_precision="ieee")
    total += tl.load(b + n, mask=n < N, other=0.0)
    tl.store(out + m * N + n, total, mask=(m < M) & (n < N))

class ModelNew(nn.Module):
    def __init__(self, features, classes):
        super().__init__()
        self.linear = nn.Linear(features, classes)

    def forward(self, x):
        M, K = x.shape
        N = self.linear.out_features
        out = torch.empty(M, N, device=x.device, dtype=x.dtype)
        grid = (triton.cdiv(M, 64), triton.cdiv(N, 64))
        product_kernel[grid](
            x, self.linear.weight, self.linear.bias, out, M, N, K, BM=64, BN=64, BK=64
        )
        return out
"""


def run(reference: str, candidate: str, **options: bool) -> Verdict:
    told: list[str] = []
    problem, code = Problem(HEAD + reference, "Model"), TRITON + candidate
    verdict = check(problem, code, device="cpu", progress=told.append, **options)
    never_goes_back([step for step in told if isinstance(step, Step) and step.number])
    return verdict


def never_goes_back(steps: list[Step]) -> None:
    """What a check tells of how far it is, whatever it has to try anew."""
    numbers = [step.number or 0 for step in steps]
    parts = [-1.0 if step.part is None else step.part for step in steps]
    assert numbers == sorted(numbers)
    assert parts == sorted(parts)
    assert (numbers[0], parts[0]) == (1, 0.0)
    assert all(step.number <= (step.total or 0) for step in steps if step.number)


def codes(verdict: Verdict) -> set[str]:
    return {warning.code for warning in verdict.warnings}


# --- problems that are too large -----------------------------------------------------------------


def test_a_problem_of_gigabytes_is_checked_at_a_smaller_size_that_the_verdict_names() -> None:
    verdict = run(LARGE, RIGHT)
    assert verdict.verdict == "correct", verdict.reasons
    assert "reduced_size" in codes(verdict)
    assert verdict.sizes is not None
    assert verdict.sizes.reduced_from == ("float32[4096, 65536]",)
    assert verdict.sizes.inputs != verdict.sizes.reduced_from


def test_a_wrong_candidate_of_a_large_problem_is_refused_and_its_size_named() -> None:
    verdict = run(LARGE, WRONG)
    assert verdict.verdict == "incorrect"
    assert "reduced size" in verdict.reasons[0].message


def test_weights_are_reduced_with_the_inputs_that_they_fit() -> None:
    verdict = run(PRODUCT, PRODUCT_RIGHT)
    assert verdict.verdict == "correct", verdict.reasons
    assert "reduced_size" in codes(verdict)
    assert "single_shape" not in codes(verdict)
    wrong = PRODUCT_RIGHT.replace("total += tl.load(b + n, mask=n < N, other=0.0)", "")
    assert run(PRODUCT, wrong).verdict == "incorrect"


def test_code_that_needs_no_mask_at_the_given_size_needs_none_at_a_smaller_one() -> None:
    verdict = run(LARGE, UNMASKED)
    assert verdict.verdict == "correct", verdict.reasons
    assert {"single_shape", "wrong_at_other_sizes"} <= codes(verdict)


def test_code_for_one_large_size_is_tried_at_that_size() -> None:
    tied = RIGHT.replace("n = out.numel()", "n = 1048576")
    verdict = run(MIDDLE, tied)
    assert verdict.verdict == "correct", verdict.reasons
    assert verdict.sizes is not None
    assert verdict.sizes.reduced_from is None
    assert "single_shape" in codes(verdict)
    assert run(MIDDLE, tied.replace("* 2", "* 2.001")).verdict == "incorrect"


def test_code_for_a_size_that_cannot_be_run_here_is_neither_correct_nor_wrong() -> None:
    verdict = run(LARGE, RIGHT.replace("n = out.numel()", f"n = {4096 * 65536}"))
    assert verdict.verdict == "timeout"
    assert verdict.reasons[0].code == "too_large_here"


def test_a_size_that_is_affordable_is_run_once_after_all() -> None:
    verdict = run(MIDDLE, RIGHT)
    assert verdict.verdict == "correct", verdict.reasons
    assert verdict.sizes is not None
    assert verdict.sizes.inputs == ("float32[1024, 1024]",)
    assert "reduced_size" not in codes(verdict)


# --- other sizes ---------------------------------------------------------------------------------


def test_code_for_any_size_is_said_to_be_nothing_else() -> None:
    assert not {"single_shape", "wrong_at_other_sizes"} & codes(run(SMALL, RIGHT))


@pytest.mark.parametrize(
    "change",
    [
        ("n = out.numel()", "n = 4096"),
        (", mask=mask", ""),
        ("(triton.cdiv(n, 1024),)", "(4,)"),
    ],
    ids=["count", "mask", "grid"],
)
def test_code_that_is_wrong_at_other_sizes_without_an_error_is_named(
    change: tuple[str, str],
) -> None:
    verdict = run(SMALL, RIGHT.replace(*change))
    assert verdict.verdict == "correct", verdict.reasons
    assert {"single_shape", "wrong_at_other_sizes"} <= codes(verdict)


def test_code_that_refuses_other_sizes_is_tied_to_its_own_and_not_wrong() -> None:
    strict = RIGHT.replace(
        "        out = torch.empty_like(x)\n",
        "        assert x.shape == (16, 256)\n        out = torch.empty_like(x)\n",
    )
    verdict = run(SMALL, strict)
    assert verdict.verdict == "correct", verdict.reasons
    assert "single_shape" in codes(verdict)
    assert "wrong_at_other_sizes" not in codes(verdict)


@pytest.mark.parametrize("offsets", ["tl.program_id(0) * BLOCK", "tl.program_id(0)"])
def test_a_problem_of_one_block_is_tried_where_it_is_several(offsets: str) -> None:
    tiny = SMALL.replace("torch.randn(16, 256)", "torch.randn(5, 9)")
    verdict = run(tiny, RIGHT.replace("tl.program_id(0) * BLOCK", offsets))
    assert verdict.verdict == "correct", verdict.reasons
    assert ("wrong_at_other_sizes" in codes(verdict)) is (offsets == "tl.program_id(0)")


TIED = """
@triton.jit
def rows_kernel(x_ptr, out_ptr, rows, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    row, column = tl.arange(0, BLOCK)[:, None], tl.arange(0, WIDTH)[None, :]
    x = tl.load(x_ptr + row * WIDTH + column, mask=(row < rows) if {masked} else None)
    tl.store(out_ptr + row * WIDTH + column, tl.maximum(x, 0.0) * 2, mask=row < rows)

class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        out = torch.empty_like(x)
        rows_kernel[(1,)](x, out, len(x), x.shape[1], triton.next_power_of_2(len(x)))
        return out
"""


@pytest.mark.parametrize("masked", [True, False])
def test_one_size_that_must_be_as_it_is_does_not_hide_what_is_wrong_at_another(
    masked: bool,
) -> None:
    verdict = run(SMALL, TIED.format(masked=masked))
    assert verdict.verdict == "correct", verdict.reasons
    assert ("wrong_at_other_sizes" in codes(verdict)) is not masked
    assert "single_shape" in codes(verdict)


def test_live_inputs_have_one_size_and_the_verdict_says_so() -> None:
    import torch

    from kernelllm_jupyter.live.packing import Call, live_values

    live = live_values([Call([torch.randn(8, 32)])])
    problem = Problem(HEAD + SMALL, "Model", has_inputs=False, live=live)
    verdict = check(problem, TRITON + RIGHT, device="cpu")
    assert verdict.verdict == "correct", verdict.reasons
    assert "sizes" in {finding.code for finding in verdict.not_made}


# --- TF32 ----------------------------------------------------------------------------------------


def test_a_product_in_tf32_is_named_and_allowed_on_request_or_by_pytorchs_setting() -> None:
    in_tf32 = PRODUCT_RIGHT.replace(', input_precision="ieee"', "")
    verdict = run(PRODUCT, in_tf32)
    assert [reason.code for reason in verdict.reasons] == ["tf32"]
    assert run(PRODUCT, in_tf32, allow_tf32=True).verdict == "correct"
    setting = "torch.backends.cuda.matmul.allow_tf32 = True\n"
    assert run(setting + PRODUCT, in_tf32).verdict == "correct"


def test_allowing_tf32_allows_nothing_less_precise() -> None:
    narrow = PRODUCT_RIGHT.replace(
        'tl.dot(left, right, input_precision="ieee")',
        "tl.dot(left.to(tl.bfloat16), right.to(tl.bfloat16))",
    )
    assert run(PRODUCT, narrow, allow_tf32=True).verdict == "incorrect"
