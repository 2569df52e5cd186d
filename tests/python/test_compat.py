"""Code written for a GPU runs without one, and Triton's interpreter computes as a GPU would.

Each idiom runs in a real check, because that is where it has to work: the candidate prints the
ones that fail.
"""

from __future__ import annotations

import textwrap

import pytest
from verify_candidates import ADD_RELU, ADD_RELU_RIGHT, HEAD, TRITON, elementwise, model

from kernelllm_jupyter.values import Problem, Verdict
from kernelllm_jupyter.verify.check import check

CUDA_IDIOMS = """
x.cuda().is_cuda
x.to('cuda').shape == x.shape
x.to('cuda:0', torch.float16).dtype == torch.float16
x.to(device=torch.device('cuda'), dtype=torch.float64).dtype == torch.float64
x.device.type == 'cuda' and x.device == torch.device('cuda:0')
x.get_device() == 0
torch.zeros(3, device='cuda').sum().item() == 0
torch.empty(3, device=x.device).shape == (3,)
torch.empty_strided((2, 3), (3, 1), device='cuda').shape == (2, 3)
torch.tensor([1.0], device='cuda').item() == 1
torch.arange(3, device='cuda')[2].item() == 2
torch.full_like(x, 1.0, device='cuda').min().item() == 1
x.new_zeros(3, device='cuda').sum().item() == 0
torch.rand(3, generator=torch.Generator(device='cuda'), device='cuda').shape == (3,)
torch.from_numpy(x[0, :3].cpu().numpy()).cuda().is_cuda
x.cuda(non_blocking=True).shape == x.shape
torch.zeros(3, pin_memory=True).shape == (3,)
nn.Linear(3, 4, device='cuda')(torch.randn(2, 3)).shape == (2, 4)
nn.Linear(3, 4).cuda()(torch.randn(2, 3, device='cuda')).shape == (2, 4)
nn.Linear(3, 4).to('cuda').weight.is_cuda
nn.Parameter(torch.randn(3, device='cuda')).is_cuda
torch.cuda.is_available() and torch.cuda.device_count() == 1
torch.cuda.current_device() == 0
torch.cuda.synchronize() is None
torch.cuda.set_device(0) is None
torch.cuda.empty_cache() is None
torch.cuda.current_stream().cuda_stream == 0
torch.cuda.get_device_properties(0).multi_processor_count > 0
torch.cuda.get_device_properties(x.device).total_memory > 0
torch.cuda.get_device_capability() >= (8, 0)
torch.cuda.is_bf16_supported()
torch.cuda.max_memory_allocated() == 0
torch.cuda.is_current_stream_capturing() is False
torch.set_default_device('cuda') is None
torch._C._cuda_getCurrentRawStream(0) == 0
torch.autocast('cuda', dtype=torch.bfloat16) is not None
torch.cuda.amp.autocast() is not None
triton.runtime.driver.active.get_current_target().arch == 90
triton.runtime.driver.active.utils.get_device_properties(0)['multiprocessor_count'] > 0
triton.testing.do_bench(lambda: 1) > 0
""".strip().splitlines()

CUDA_STATEMENTS = [
    "with torch.cuda.device(0): pass",
    "with torch.cuda.device(x.device): pass",
    "with torch.cuda._DeviceGuard(0): torch.cuda.set_device(0)",
    "with torch.cuda.stream(torch.cuda.Stream()): pass",
    "with torch.device('cuda'): assert nn.Linear(2, 2).weight.is_cuda",
    "a = torch.cuda.Event(enable_timing=True); a.record(); a.synchronize(); a.elapsed_time(a)",
    "torch.cuda.nvtx.range_push('a'); torch.cuda.nvtx.range_pop()",
    "x.record_stream(torch.cuda.current_stream())",
    "from torch._C import _cuda_getCurrentRawStream as get_raw_stream; get_raw_stream(0)",
    "from torch._inductor.runtime.triton_heuristics import grid, split_scan_grid",
    "from torch._inductor.runtime import triton_helpers; triton_helpers.maximum",
    "from torch._inductor.triton_heuristics import grid",
    "torch._C._dynamo.guards._empty_strided_cuda((2, 3), (3, 1), torch.float32)",
    "torch._C._dynamo.guards._empty_cuda((2, 3), torch.float32)",
    "torch._C._dynamo.guards.assert_size_stride(x, tuple(x.shape), x.stride())",
]


def run_inside(program: str) -> Verdict:
    """A right candidate that runs ``program``, with its input ``x``, at the start of forward."""
    head = "        out = torch.empty_like(x)\n"
    source = ADD_RELU_RIGHT.replace(head, textwrap.indent(program, " " * 8) + "\n" + head)
    return check(Problem(HEAD + ADD_RELU, "Model"), TRITON + source, device="cpu")


@pytest.mark.parametrize("statements", [CUDA_IDIOMS, CUDA_STATEMENTS], ids=["values", "statements"])
def test_cuda_spellings_mean_the_cpu(statements: list[str]) -> None:
    lines = [f"assert {line}" if statements is CUDA_IDIOMS else line for line in statements]
    program = "\n".join(
        f"try: exec({line!r}, {{**globals(), 'x': x}})\n"
        f"except Exception as error: print('FAILED', {line!r}, type(error).__name__, error)"
        for line in lines
    )
    verdict = run_inside(program)
    assert "FAILED" not in verdict.output, verdict.output
    assert verdict.verdict == "correct", verdict.reasons


def test_inductors_grid_counts_blocks_along_the_named_axes() -> None:
    verdict = run_inside(
        "from torch._inductor.runtime.triton_heuristics import grid\n"
        "print(grid(100)({'XBLOCK': 32}), grid(7, 100)({'XBLOCK': 32, 'YBLOCK': 2}))"
    )
    assert verdict.output.splitlines()[0] == "(4, 1, 1) (4, 4, 1)"


def row(lines: str) -> str:
    """A candidate with one program per row; ``lines`` compute ``r`` from ``x``."""
    return f"""
@triton.jit
def larger(a, b):
    return tl.where(a > b, a, b)

@triton.jit
def row_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + row * n + offsets, mask=mask, other=-1e30)
{textwrap.indent(lines, "    ")}
    tl.store(out_ptr + row * n + offsets, r, mask=mask)

class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        row_kernel[(x.shape[0],)](x, out, x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]))
        return out
"""


@pytest.mark.parametrize(
    ("body", "expression"),
    [
        ("x * 3 + x / 7", "x * 3 + x / 7"),
        ("-x - 1", "-x - 1"),
        ("torch.exp(x)", "tl.exp(x.to(tl.float32))"),
        ("torch.abs(x)", "tl.abs(x)"),
        ("torch.where(x > 0.5, x, -x)", "tl.where(x > 0.5, x, -x)"),
        ("torch.maximum(x, x * x)", "tl.maximum(x, x * x)"),
        ("x.float()", "x.to(tl.float32)"),
        ("x.half()", "x.to(tl.float16)"),
    ],
)
def test_bfloat16_is_computed_as_hardware_does(body: str, expression: str) -> None:
    source = elementwise(expression).replace(
        "torch.empty_like(x)",
        f"torch.empty_like({body})" if "half" in body or "float" in body else "torch.empty_like(x)",
    )
    problem = Problem(HEAD + model(body, "torch.randn(5, 60).bfloat16()"), "Model")
    verdict = check(problem, TRITON + source, device="cpu")
    assert verdict.verdict == "correct", verdict.reasons


@pytest.mark.parametrize("name", ["tanh", "erf", "log1p", "expm1", "sinh", "atan", "rsqrt", "cos"])
def test_libdevice_functions_are_computed(name: str) -> None:
    source = "from triton.language.extra import libdevice\n" + elementwise(f"libdevice.{name}(x)")
    problem = Problem(HEAD + model(f"torch.{name}(x)", "torch.rand(5, 60) + 0.1"), "Model")
    verdict = check(problem, TRITON + source, device="cpu")
    assert verdict.verdict == "correct", (verdict.reasons, verdict.output)


def test_old_names_of_triton_are_computed_and_reported() -> None:
    source = TRITON + elementwise("tl.math.tanh(x)")
    problem = Problem(HEAD + model("torch.tanh(x)", "torch.randn(5, 60)"), "Model")
    verdict = check(problem, source, device="cpu")
    assert verdict.verdict == "correct", verdict.reasons
    warnings = {warning.code: warning.message for warning in verdict.warnings}
    assert "tl.math.tanh" in warnings["missing_names"]


def test_a_reduction_with_its_own_function_is_right_and_not_one_element_at_a_time() -> None:
    problem = Problem(
        HEAD + model("x.max(1, keepdim=True).values.expand(-1, 4000) * 1", "torch.randn(2, 4000)"),
        "Model",
    )
    source = row("r = x * 0.0 + tl.reduce(x, 0, larger)").replace(
        "x * 0.0", "tl.where(mask, 0.0, x)"
    )
    verdict = check(problem, TRITON + source, device="cpu", timeout_s=60)
    assert verdict.verdict == "correct", verdict.reasons
    assert not [finding for finding in verdict.not_made if finding.code == "variations"]


def test_a_scan_with_its_own_function_is_right() -> None:
    problem = Problem(HEAD + model("x.cummax(1).values", "torch.randn(3, 300)"), "Model")
    source = row("r = tl.associative_scan(x, 0, larger)")
    assert check(problem, TRITON + source, device="cpu").verdict == "correct"


@pytest.mark.parametrize("forgotten", ["import triton.language as tl\n", "import math\n"])
def test_a_name_that_the_code_does_not_import_is_missing_in_the_interpreter_too(
    forgotten: str,
) -> None:
    source = (TRITON + elementwise("x * math.sqrt(4.0)")).replace(forgotten, "")
    problem = Problem(HEAD + model("x * 2", "torch.randn(6, 70)"), "Model")
    (reason,) = check(problem, source, device="cpu").reasons
    assert reason.code == "exception"
    assert "NameError" in reason.message


def test_host_code_does_not_find_names_that_the_interpreter_left_behind() -> None:
    source = (TRITON + elementwise("x * 2")).replace("return out", "return out + np.float32(0)")
    problem = Problem(HEAD + model("x * 2", "torch.randn(6, 70)"), "Model")
    (reason,) = check(problem, source, device="cpu").reasons
    assert "name 'np' is not defined" in reason.message


@pytest.mark.parametrize(
    ("imports", "prefix"),
    [
        ("import triton\nimport triton.language", "triton.language."),
        ("import triton\nfrom triton import language", "language."),
        (
            "import triton\nfrom triton.language import arange, constexpr, load, program_id, store",
            "",
        ),
    ],
)
def test_the_language_may_go_by_any_name(imports: str, prefix: str) -> None:
    source = HEAD + imports + "\n" + elementwise("x * 2").replace("tl.", prefix)
    problem = Problem(HEAD + model("x * 2", "torch.randn(6, 70)"), "Model")
    verdict = check(problem, source, device="cpu")
    assert verdict.verdict == "correct", verdict.reasons
