"""The compiler's dry run: at full size without memory, and no ground for a refusal by itself."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
import torch
from verify_candidates import ADD_RELU, ADD_RELU_RIGHT, HEAD, TRITON, model

from kernelllm_jupyter.live.packing import Call, live_values
from kernelllm_jupyter.values import Compilation, Problem, Verdict
from kernelllm_jupyter.verify.check import check, make_request
from kernelllm_jupyter.verify.compiling.compilation import CompileRun, compilation_from
from kernelllm_jupyter.verify.worker import worker

PROBLEM = Problem(HEAD + ADD_RELU, "Model")
RIGHT_SOURCE = TRITON + ADD_RELU_RIGHT
#: True in the compiler's processes, so that code can behave otherwise there.
COMPILING = 'os.environ.get("TRITON_INTERPRET") is None'


def dry_run(problem: Problem, code: str) -> tuple[dict[str, Any], Compilation]:
    """What the compiler's processes answer, without a check beside them."""
    request, blobs = make_request("compile", problem, code, 60.0, target="sm_90")
    answer = CompileRun("sm_90", request, blobs).answer(None, time.monotonic() + 60.0)
    assert answer is not None
    return answer["final"], compilation_from(answer["final"], "sm_90")


def in_forward(lines: str, source: str = RIGHT_SOURCE) -> str:
    return "import os\n" + source.replace("        n = out", lines + "        n = out")


def checked(source: str, timeout_s: float = 60.0) -> Verdict:
    # A server that starts is not what is timed here.
    worker("cpu").start()
    worker("compile").start()
    return check(PROBLEM, source, device="cpu", compile_for="sm_90", timeout_s=timeout_s)


def why_not_made(verdict: Verdict) -> str:
    return "".join(found.message for found in verdict.not_made if found.code == "compilation")


# --- at full size ---------------------------------------------------------------------------------

HUGE = Problem(
    HEAD + model("torch.relu(x + y)", "torch.rand(1 << 34), torch.rand(1 << 34)"), "Model"
)
#: 64 GB of weights.
HEAVY = """
class Model(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.linear = nn.Linear(features, features)
        self.register_buffer("scale", torch.full((features,), 2.0))

    def forward(self, x):
        return x * self.linear.weight[0] * self.scale

def get_inputs():
    return [torch.rand(4, 1 << 17)]

def get_init_inputs():
    return [1 << 17]
"""
HEAVY_RIGHT = (
    TRITON
    + """
@triton.jit
def scale_kernel(x_ptr, w_ptr, s_ptr, out_ptr, n, BLOCK: tl.constexpr):
    columns = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    at = tl.program_id(1) * n + columns
    x = tl.load(x_ptr + at, mask=columns < n)
    w = tl.load(w_ptr + columns, mask=columns < n) * tl.load(s_ptr + columns, mask=columns < n)
    tl.store(out_ptr + at, x * w, mask=columns < n)

class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.linear = nn.Linear(features, features)
        self.register_buffer("scale", torch.full((features,), 2.0))

    def forward(self, x):
        out = torch.empty_like(x)
        rows, n = x.shape
        scale_kernel[(triton.cdiv(n, 256), rows)](
            x, self.linear.weight, self.scale, out, n, BLOCK=256
        )
        return out
"""
)


def test_a_problem_of_many_gigabytes_compiles_at_its_own_size() -> None:
    final, compilation = dry_run(HUGE, RIGHT_SOURCE)
    assert final["verdict"] == "correct", final
    assert compilation.kernels[0].grid == (1 << 27, 1, 1)


def test_weights_take_no_memory_either() -> None:
    final, compilation = dry_run(Problem(HEAD + HEAVY, "Model"), HEAVY_RIGHT)
    assert final["verdict"] == "correct", final
    assert compilation.kernels[0].grid == (512, 4, 1)


def test_a_grid_that_is_too_large_at_full_size_only_is_found() -> None:
    source = RIGHT_SOURCE.replace("(triton.cdiv(n, 128),)", "(1, triton.cdiv(n, 128))")
    source = source.replace("tl.program_id(0)", "tl.program_id(1)")
    assert checked(source).verdict == "correct"
    final, _ = dry_run(HUGE, source)
    (reason,) = final["reasons"]
    assert reason["code"] == "too_large"
    assert "along y" in reason["message"]
    assert "apply_kernel[" in source.splitlines()[reason["line"] - 1]


def test_live_inputs_keep_their_shapes_and_dtypes() -> None:
    live = live_values([Call([torch.rand(8, 40).half().t(), torch.rand(40, 8).half()])])
    problem = Problem(HEAD + ADD_RELU, "Model", has_inputs=False, live=live)
    lines = f"        assert not {COMPILING} or (x.stride(), x.dtype) == ((1, 40), torch.half)\n"
    final, compilation = dry_run(problem, in_forward(lines))
    assert final["verdict"] == "correct", final
    assert compilation.kernels[0].grid == (3, 1, 1)


@pytest.mark.parametrize(
    "lines",
    [
        "        assert x.is_cuda and x.device.type == 'cuda' and x.get_device() == 0\n",
        "        out = torch.empty(x.shape, device='cuda')\n",
        "        out = torch.zeros(x.shape, device=x.device, dtype=x.dtype)\n",
        "        out = torch.zeros(1).to(x.device).expand(x.shape)\n",
        "        out = torch.zeros(1).cuda().expand(x.shape)\n",
        "        with torch.device('cuda'):\n            out = torch.zeros(x.shape)\n",
        "        torch.set_default_device('cuda')\n        out = torch.zeros(x.shape)\n",
        "        out = x.new_zeros(x.shape)\n",
        "        x, y = x.cuda().contiguous(), y.to('cuda', non_blocking=True)\n",
        "        stream = torch.cuda.current_stream()\n        x.record_stream(stream)\n",
        "        with torch.cuda.device(x.device):\n            x = x + 0\n",
        "        x = x * torch.tensor(1.0) + torch.tensor(0.0, device='cuda')\n",
    ],
)
def test_code_written_for_a_gpu_runs_without_memory(lines: str) -> None:
    final, compilation = dry_run(HUGE, in_forward(lines))
    assert final["verdict"] == "correct", final
    assert compilation.kernels
    assert not final["on_host"]


def test_an_output_in_the_hosts_memory_is_a_warning() -> None:
    verdict = checked(RIGHT_SOURCE.replace("torch.empty_like(x)", "torch.empty(x.shape)"))
    assert verdict.verdict == "correct", verdict.reasons
    assert "host_tensor" in [warning.code for warning in verdict.warnings]


def test_host_memory_that_is_not_there_is_done_without() -> None:
    source = RIGHT_SOURCE.replace("torch.empty_like(x)", "torch.empty(x.shape)")
    final, compilation = dry_run(HUGE, source)
    assert final["verdict"] == "correct", final
    assert compilation.kernels


# --- host code that needs values ------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        "        assert float(x.abs().max().item()) >= 0\n",
        "        assert len(x.cpu().numpy()) == len(x)\n",
        "        k = int(torch.nonzero(x > 0).shape[0])\n",
        "        if bool((x > 1e9).any()):\n            return x\n",
        "        if x.is_meta:\n            return torch.relu(x + y)\n",
        "        if x.is_meta:\n            apply_kernel[(1,)](x, y, x, 'no number', BLOCK=3)\n",
        "        if x.is_meta:\n            raise ValueError('not here')\n",
    ],
    ids=["item", "numpy", "nonzero", "branch", "no launch", "refused there", "raises there"],
)
def test_code_that_behaves_otherwise_without_memory_gets_real_tensors(lines: str) -> None:
    final, compilation = dry_run(PROBLEM, in_forward(lines))
    assert final.get("verdict") == "correct", final
    assert compilation.kernels


def test_values_of_what_is_too_large_are_not_made_and_that_is_said() -> None:
    final, compilation = dry_run(HUGE, in_forward("        assert x.sum().item() > 0\n"))
    assert "line" in final["not_made"]
    assert "item()" in final["not_made"]
    assert not compilation.kernels


def test_a_refusal_stands_where_real_tensors_would_be_too_large() -> None:
    final, _ = dry_run(HUGE, RIGHT_SOURCE.replace("BLOCK=128)", "BLOCK=128, num_warps=3)"))
    assert final["verdict"] == "compile_error"


# --- what ends it without an answer ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        (f"        if {COMPILING}:\n            os.kill(os.getpid(), 11)\n", "SIGSEGV"),
        (f"        if {COMPILING}:\n            raise OSError('lost')\n", "OSError: lost"),
        (f"        if {COMPILING}:\n            os._exit(0)\n", "ended itself"),
        (f"        if {COMPILING}:\n            return torch.relu(x + y)\n", "launched nothing"),
    ],
    ids=["crash", "exception", "exit", "no launch"],
)
def test_what_says_nothing_about_the_kernels_refuses_no_candidate(lines: str, word: str) -> None:
    verdict = checked(in_forward(lines))
    assert verdict.verdict == "correct", verdict.reasons
    assert word in why_not_made(verdict)


def test_a_dry_run_that_hangs_ends_with_the_check_and_refuses_no_candidate() -> None:
    verdict = checked(in_forward(f"        while {COMPILING}:\n            pass\n"), timeout_s=10.0)
    assert verdict.verdict == "correct", verdict.reasons
    assert "too long" in why_not_made(verdict)


def test_a_bad_verdict_stands_and_does_not_wait_for_the_compiler() -> None:
    wrong = RIGHT_SOURCE.replace("tl.maximum(x + y, 0.0)", "x + y")
    checked(wrong)
    started = time.monotonic()
    lines = f"        while {COMPILING}:\n            pass\n"
    verdict = checked(in_forward(lines, wrong), timeout_s=50.0)
    assert verdict.verdict == "incorrect"
    assert [reason.code for reason in verdict.reasons] == ["wrong_values"]
    assert time.monotonic() - started < 45.0


#: Every thread keeps 128 numbers until their sum is known.
SPILLING = RIGHT_SOURCE.replace(
    "    tl.store(out_ptr", "    x = x / tl.sum(x, axis=0)\n    tl.store(out_ptr"
).replace("BLOCK=128)", "BLOCK=4096, num_warps=1, maxnreg=32)")


def test_spills_are_counted() -> None:
    _, compilation = dry_run(PROBLEM, SPILLING)
    (kernel,) = compilation.kernels
    assert kernel.registers == 32
    assert (kernel.spill_bytes or 0) > 0
    assert (kernel.stack_bytes or 0) > 0


# --- how far it is --------------------------------------------------------------------------------

TWO_KERNELS = RIGHT_SOURCE.replace(
    "class ModelNew",
    """@triton.jit
def second_kernel(o_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(o_ptr + i, tl.load(o_ptr + i, mask=i < n), mask=i < n)

class ModelNew""",
).replace("        return out", "        second_kernel[(1,)](out, 1, BLOCK=16)\n        return out")


def test_compiling_tells_which_kernel_it_is_at() -> None:
    told: list[str] = []
    request, blobs = make_request("compile", PROBLEM, TWO_KERNELS, 60.0, target="sm_90")
    worker("compile").ask(request, blobs, told.append, None)
    first, second = [step for step in told if "kernel " in step]
    assert re.fullmatch(r"Compiling kernel 1 of 2: \w+", first)
    assert second == "Compiling kernel 2 of 2: second_kernel"


def test_who_waits_for_the_compiler_is_told_after_a_second() -> None:
    wait = f"        if {COMPILING}: import time; time.sleep(2)\n"
    code = "import os\n" + TWO_KERNELS.replace("        second", f"{wait}        second")
    request, blobs = make_request("compile", PROBLEM, code, 60.0, target="sm_90")
    told: list[str] = []
    run = CompileRun("sm_90", request, blobs)
    assert run.answer(None, time.monotonic() + 60.0, told.append) is not None
    assert told[0].startswith("Compiling kernel 1 of 2")
