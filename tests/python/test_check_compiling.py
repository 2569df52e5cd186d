"""Without a GPU, Triton kernels compile for one that is named, or the verdict says why not."""

from __future__ import annotations

import re

import pytest
from entries import written
from verify_candidates import ADD_RELU, ADD_RELU_RIGHT, AUTOTUNED, HEAD, RIGHT, TRITON

from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.values import CompiledKernel, Problem, Verdict
from kernelllm_jupyter.verify.check import check

PROBLEM = Problem(HEAD + ADD_RELU, "Model")
RIGHT_SOURCE = TRITON + ADD_RELU_RIGHT
STORE = "    tl.store("
#: True in the compiler's processes, so that a test can have the code behave otherwise there.
COMPILING = 'os.environ.get("TRITON_INTERPRET") is None'


def compiled(source: str, target: str = "sm_90", problem: Problem = PROBLEM) -> Verdict:
    return check(problem, source, device="cpu", compile_for=target)


def with_lines(lines: str) -> str:
    return RIGHT_SOURCE.replace(STORE, lines + STORE)


def in_forward(lines: str) -> str:
    return "import os" + RIGHT_SOURCE.replace("        n = out", lines + "        n = out")


def line_of(source: str, marked: str) -> int:
    return 1 + next(i for i, text in enumerate(source.splitlines()) if marked in text)


def why_not_made(verdict: Verdict) -> str:
    return "".join(found.message for found in verdict.not_made if found.code == "compilation")


def kernel_of(verdict: Verdict) -> CompiledKernel:
    assert verdict.compilation is not None
    (kernel,) = verdict.compilation.kernels
    return kernel


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
    assert not why_not_made(verdict)
    assert "host_tensor" not in [warning.code for warning in verdict.warnings]
    assert verdict.compilation is not None
    assert verdict.compilation.kernels
    for kernel in verdict.compilation.kernels:
        assert kernel.registers
        assert kernel.spill_bytes is not None


# --- what is refused, and where -------------------------------------------------------------------

NESTED = """
@triton.jit
def inner(x):
    i = 0
    while i < 2:
        i += 1
        break  # here
    return x

@triton.jit
def outer(x):
    return inner(x)

@triton.jit"""


@pytest.mark.parametrize(
    ("source", "marked", "word"),
    [
        (
            with_lines("    i = 0\n    while i < 4:\n        i += 1\n        break\n"),
            "break",
            "Break",
        ),
        (
            with_lines("    q = 0\n    for i in range(3):\n        q = q + 0.5\n"),
            "for i in",
            "Loop-carried",
        ),
        (
            with_lines("    if n > 3:\n        z = 1.5\n    else:\n        z = 1\n"),
            "if n > 3",
            "Mismatched type for z",
        ),
        (
            with_lines("    if n > 3:\n        w = x + 1\n    x = x + w * 0\n"),
            "w * 0",
            "NameError: w is not defined",
        ),
        (with_lines("    q = [i for i in range(3)]\n"), "q = [", "comprehensions|ListComp"),
        (with_lines("    q = int(n)\n"), "int(n)", r"int\(\) argument"),
        (
            with_lines("    if n > 10**8:\n        t = tl.arange(0, 100)\n"),
            "tl.arange(0, 100)",
            "power of 2",
        ),
        (
            with_lines("    if n > 10**8:\n        t = tl.nonsense(x)\n"),
            "tl.nonsense",
            "has no attribute 'nonsense'",
        ),
        (
            with_lines("    if n > 10**8:\n        t = tl.zeros((n,), tl.float32)\n"),
            "tl.zeros((n",
            "constexpr",
        ),
        (with_lines("    x = outer(x)\n").replace("\n@triton.jit", NESTED, 1), "# here", "Break"),
        (
            RIGHT_SOURCE.replace("BLOCK=128)", "BLOCK=128, num_warps=3)"),
            "num_warps=3",
            "power of 2",
        ),
        (
            with_lines(
                "    if n > 10**8:\n"
                '        x = tl.inline_asm_elementwise("bogus.f32 $0, $1;", "=f,f", [x], '
                "dtype=tl.float32, is_pure=True, pack=1)\n"
            ),
            "bogus",
            "bogus",
        ),
    ],
    ids=[
        "break",
        "loop type",
        "branch type",
        "name of one branch",
        "list",
        "python int",
        "arange of 100",
        "unknown name of tl",
        "no constexpr",
        "nested functions",
        "num_warps=3",
        "ptxas",
    ],
)
def test_what_the_compiler_refuses_is_refused_in_its_words_with_the_line(
    source: str, marked: str, word: str
) -> None:
    assert check(PROBLEM, source, device="cpu").verdict == "correct"
    verdict = compiled(source)
    assert verdict.verdict == "compile_error"
    (reason,) = verdict.reasons
    assert reason.code == "triton"
    assert re.search(word, reason.message)
    assert reason.line == line_of(source, marked)


#: A product in a loop, which is only compiled; every stage of it keeps 32 KB in shared memory.
PRODUCT = """    if n > 10**8:
        r = tl.arange(0, 64)
        total = tl.zeros((64, 64), tl.float32)
        for start in range(0, n, 64):
            a = tl.load(x_ptr + r[:, None] * n + start + r[None, :])
            b = tl.load(y_ptr + (start + r[:, None]) * n + r[None, :])
            total += tl.dot(a, b)
        tl.store(out_ptr + r[:, None] * n + r[None, :], total)
"""


@pytest.mark.parametrize(
    ("source", "marked", "word"),
    [
        (
            with_lines(PRODUCT).replace("BLOCK=128)", "BLOCK=128, num_stages=9)"),
            "def apply_kernel",
            "bytes of shared memory",
        ),
        (
            RIGHT_SOURCE.replace("BLOCK=128)", "BLOCK=128, num_warps=64)"),
            "num_warps=64",
            "2,048 threads",
        ),
    ],
    ids=["shared memory", "threads"],
)
def test_what_compiles_and_does_not_fit_on_the_target_is_refused(
    source: str, marked: str, word: str
) -> None:
    verdict = compiled(source)
    assert verdict.verdict == "compile_error"
    (reason,) = verdict.reasons
    assert reason.code == "too_large"
    assert word in reason.message
    assert reason.line == line_of(source, marked)


def test_host_code_that_goes_on_without_a_refused_kernel_is_refused() -> None:
    source = with_lines("    q = int(n)\n").replace(
        "        apply_kernel[",
        "        try:\n            self.launch(x, y, out, n)\n"
        "        except Exception:\n            return torch.relu(x + y)\n"
        "        return out\n\n"
        "    def launch(self, x, y, out, n):\n        apply_kernel[",
    )
    verdict = compiled(source)
    assert [reason.code for reason in verdict.reasons] == ["triton"]


# --- autotuning -----------------------------------------------------------------------------------


def tuned(*stages: int) -> str:
    configurations = ", ".join(f"triton.Config({{}}, num_stages={count})" for count in stages)
    return with_lines(PRODUCT).replace(
        "\n@triton.jit", f'\n@triton.autotune(configs=[{configurations}], key=["n"])\n@triton.jit'
    )


def test_every_configuration_is_compiled_and_one_that_does_not_fit_is_left_out() -> None:
    verdict = compiled(tuned(9, 2))
    assert verdict.verdict == "correct", verdict.reasons
    assert "num_stages=2" in (kernel_of(verdict).configuration or "")
    assert verdict.compilation is not None
    (left_out,) = verdict.compilation.left_out
    assert "num_stages=9" in left_out
    assert "shared memory" in left_out


def test_where_no_configuration_fits_the_candidate_is_refused() -> None:
    verdict = compiled(tuned(9, 10))
    assert [reason.code for reason in verdict.reasons] == ["too_large"]


def test_a_configuration_that_does_not_compile_at_all_is_refused() -> None:
    source = tuned(1, 2).replace("        r = tl.arange(0, 64)", "        r = int(n)")
    verdict = compiled(source)
    assert [reason.code for reason in verdict.reasons] == ["triton"]
    assert verdict.reasons[0].line == line_of(source, "r = int(n)")


def test_heuristics_are_followed() -> None:
    source = RIGHT_SOURCE.replace(
        "\n@triton.jit",
        '\n@triton.heuristics({"BLOCK": lambda args: 2 * triton.next_power_of_2(args["n"] // 8)})'
        "\n@triton.jit",
    )
    source = source.replace(
        "(triton.cdiv(n, 128),)", 'lambda meta: (triton.cdiv(n, meta["BLOCK"]),)'
    )
    verdict = compiled(source.replace(", BLOCK=128)", ")"))
    assert verdict.verdict == "correct", verdict.reasons
    assert kernel_of(verdict).grid == (4, 1, 1)


# --- what is told ---------------------------------------------------------------------------------


def test_the_figures_of_a_kernel_are_those_of_its_largest_launch() -> None:
    source = RIGHT_SOURCE.replace(
        "        return out",
        "        apply_kernel[(1,)](x, y, out, n, BLOCK=16)\n        return out",
    )
    verdict = compiled(source)
    assert verdict.verdict == "correct", verdict.reasons
    kernel = kernel_of(verdict)
    assert (kernel.name, kernel.line) == ("apply_kernel", line_of(source, "def apply_kernel"))
    assert (kernel.launches, kernel.num_warps, kernel.grid) == (2, 4, (4, 1, 1))
    assert (kernel.shared_bytes, kernel.shared_limit_bytes) == (0, 232448)
    assert verdict.to_json()["compilation"]["target"] == "sm_90"


@pytest.mark.parametrize(
    ("target", "limit"),
    [("sm_80", 166912), ("sm_100", 232448), ("gfx942", 65536), ("gfx1100", 65536)],
)
def test_other_targets_compile(target: str, limit: int) -> None:
    verdict = compiled(TRITON + AUTOTUNED, target)
    assert verdict.verdict == "correct"
    if "ld.lld not found" in why_not_made(verdict):
        # Up to 3.3, Triton links for AMD with ROCm's own linker only.
        assert verdict.compilation is None
        return
    assert verdict.compilation is not None
    assert verdict.compilation.target == target
    assert len(verdict.compilation.kernels) == 2
    for kernel in verdict.compilation.kernels:
        assert kernel.registers
        assert (kernel.spill_bytes, kernel.stack_bytes) == (0, 0)
        assert kernel.shared_limit_bytes == limit


def test_a_limit_that_is_not_known_is_none_and_not_checked() -> None:
    verdict = compiled(with_lines(PRODUCT), "gfx1103")
    assert verdict.verdict == "correct", (verdict.reasons, why_not_made(verdict))
    if "ld.lld not found" not in why_not_made(verdict):
        assert kernel_of(verdict).shared_limit_bytes is None


def test_host_code_asks_for_the_target_that_is_compiled_for() -> None:
    lines = (
        "        assert torch.cuda.get_device_capability() == "
        f"((8, 0) if {COMPILING} else (9, 0))\n"
    )
    verdict = compiled(in_forward(lines), "sm_80")
    assert verdict.compilation is not None
    assert verdict.compilation.kernels, why_not_made(verdict)


def test_an_unknown_target_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="sm_90"):
        compiled(RIGHT_SOURCE, "h100")


def test_a_target_that_this_triton_cannot_compile_for_refuses_no_candidate() -> None:
    verdict = compiled(RIGHT_SOURCE, "sm_91")
    assert verdict.verdict == "correct"
    assert "cannot compile for sm_91" in why_not_made(verdict)


def test_without_a_target_the_verdict_says_that_nothing_was_compiled() -> None:
    verdict = check(PROBLEM, RIGHT_SOURCE, device="cpu")
    assert why_not_made(verdict)
    assert verdict.compilation is None
