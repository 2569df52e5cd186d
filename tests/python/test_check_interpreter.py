"""What a check says where Triton's interpreter and its compiler would differ."""

from __future__ import annotations

import pytest
import triton
from verify_candidates import HEAD, TRITON, elementwise, model

from kernelllm_jupyter.values import Problem, Verdict
from kernelllm_jupyter.verify.check import check

ROWS = "torch.randn(6, 70)"
DOUBLE = model("x * 2", ROWS)


def verdict_of(reference: str, candidate: str) -> Verdict:
    return check(Problem(HEAD + reference, "Model"), TRITON + candidate, device="cpu")


@pytest.mark.parametrize(
    ("expression", "body"),
    [
        ("x * 2 if x > 0 else x * 2", ""),
        ("y", "    y = x\n    if x > 0:\n        y = x * 2\n"),
        ("y", "    y = x\n    while x > 0:\n        y = x * 2\n"),
    ],
)
def test_a_block_is_no_condition(expression: str, body: str) -> None:
    verdict = verdict_of(DOUBLE, elementwise(expression, prelude=body))
    assert not verdict.correct
    assert "condition" in verdict.reasons[0].message
    assert verdict.reasons[0].line is not None


def test_logic_in_words_is_element_by_element() -> None:
    reference = model("torch.where((x > 0) & (x < 1) | ~(x > -1), x, x * 2)", ROWS)
    words = "tl.where((x > 0 and x < 1) or not x > -1, x, x * 2)"
    chain = "tl.where((0 < x < 1) | ~(x > -1), x, max(x, -99.0) * 2)"
    for expression in (words, chain):
        verdict = verdict_of(reference, elementwise(expression))
        assert verdict.correct, verdict.reasons


def test_a_loop_counter_is_a_tensor() -> None:
    source = elementwise(
        "y",
        prelude="    y = x\n    for i in range(2, 4):\n        y += (i - 2).to(tl.float32) * x\n",
    )
    assert verdict_of(DOUBLE, source).correct


def test_inline_assembly_that_only_a_gpu_runs_is_no_mistake_of_the_code() -> None:
    source = elementwise(
        'tl.inline_asm_elementwise("{ .reg .f32 t; add.f32 t, $1, $1; mov.f32 $0, t; }", "=f,f", '
        "[x], dtype=tl.float32, is_pure=True, pack=1)"
    )
    verdict = verdict_of(DOUBLE, source)
    assert verdict.verdict == "runtime_error"
    assert [reason.code for reason in verdict.reasons] == ["needs_gpu"]
    assert "inline assembly" in verdict.reasons[0].message


def test_a_device_library_of_its_own_is_no_mistake_of_the_code() -> None:
    source = elementwise(
        'tl.extern_elementwise("mine", "/mine.bc", [x], {(tl.float32,): ("mine", tl.float32)}, '
        "is_pure=True)"
    ).replace("tl.extern_elementwise", "tl.core.extern_elementwise")
    assert [reason.code for reason in verdict_of(DOUBLE, source).reasons] == ["needs_gpu"]


def test_libdevice_refuses_the_types_that_it_refuses_on_a_gpu() -> None:
    head = "from triton.language.extra import libdevice\n"
    reference = model("torch.tanh(x)", "torch.randn(6, 70).half()")
    refused = verdict_of(reference, head + elementwise("libdevice.tanh(x)"))
    assert not refused.correct
    assert "float32" in refused.reasons[0].message
    right = head + elementwise("libdevice.tanh(x.to(tl.float32))")
    assert verdict_of(reference, right).correct


def test_a_product_smaller_than_a_tensor_core_takes_is_refused() -> None:
    source = """
@triton.jit
def product(x_ptr, y_ptr, out_ptr):
    i = tl.arange(0, 4)
    at = i[:, None] * 4 + i[None, :]
    x, y = tl.load(x_ptr + at), tl.load(y_ptr + at)
    tl.store(out_ptr + at, tl.dot(x, y, input_precision="ieee"))

class ModelNew(nn.Module):
    def forward(self, x, y):
        out = torch.empty_like(x)
        product[(1,)](x, y, out)
        return out
"""
    verdict = verdict_of(model("x @ y", "torch.randn(4, 4), torch.randn(4, 4)"), source)
    assert not verdict.correct
    assert "Input shapes should have" in verdict.reasons[0].message


BLOCK_POINTER = """
@triton.jit
def twice(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK
    x = tl.make_block_ptr(x_ptr, (n,), (1,), (at,), (BLOCK,), (0,))
    out = tl.make_block_ptr(out_ptr, (n,), (1,), (at,), (BLOCK,), (0,))
    tl.store(out, tl.load(x, boundary_check=(0,)) * 2, boundary_check=(0,))

class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        twice[(triton.cdiv(x.numel(), 64),)](x, out, x.numel(), BLOCK=64)
        return out
"""


def test_block_pointers_run_or_are_refused_as_the_installed_triton_does() -> None:
    verdict = verdict_of(DOUBLE, BLOCK_POINTER)
    if tuple(map(int, triton.__version__.split(".")[:2])) < (3, 9):
        assert verdict.correct, verdict.reasons
    else:
        assert "Block pointers have been removed" in verdict.reasons[0].message


PERSISTENT = """
@triton.jit
def soft(o_ptr, x_ptr, rows, columns, BLOCK: tl.constexpr, STAGES: tl.constexpr):
    for row in tl.range(tl.program_id(0), rows, tl.num_programs(0), num_stages=STAGES):
        at = tl.arange(0, BLOCK)
        inside = at < columns
        x = tl.load(x_ptr + row * columns + at, mask=inside, other=-float("inf"))
        e = tl.exp(x - tl.max(x, axis=0))
        tl.store(o_ptr + row * columns + at, e / tl.sum(e, axis=0), mask=inside)

properties = triton.runtime.driver.active.utils.get_device_properties(0)

class ModelNew(nn.Module):
    def forward(self, x):
        rows, columns = x.shape
        block = triton.next_power_of_2(columns)
        o = torch.empty_like(x)
        made = soft.warmup(
            o, x, rows, columns, BLOCK=block, STAGES=2, num_warps=8, grid=(1,)
        )
        made._init_handles()
        fit = properties["max_num_regs"] // (made.n_regs * properties["warpSize"] * 8)
        fit = min(fit, properties["max_shared_mem"] // made.metadata.shared)
        programs = min(properties["multiprocessor_count"] * fit, rows)
        made[(programs, 1, 1)](o, x, rows, columns{constants})
        return o
"""


@pytest.mark.parametrize("constants", ["", ", block, 2"])
def test_a_persistent_kernel_may_be_warmed_up_and_launched_from_that(constants: str) -> None:
    reference = model("torch.softmax(x, dim=-1)", ROWS)
    verdict = verdict_of(reference, PERSISTENT.replace("{constants}", constants))
    assert verdict.correct, verdict.reasons
    assert verdict.launches
