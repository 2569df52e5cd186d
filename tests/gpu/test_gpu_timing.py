"""What a timing promises, on a real GPU. Without one, everything here is skipped.

Run with ``pytest tests/gpu`` on a machine with a GPU that torch can use, and nothing else at work
on it. ``benchmarks/timing.py`` measures the rates that are only sampled here.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "python"))

from test_gpu import WHY
from verify_candidates import ADD_RELU_RIGHT, HEAD, TRITON, model

from kernelllm_jupyter.timings import Timing
from kernelllm_jupyter.values import Problem
from kernelllm_jupyter.verify.benchmark import BenchmarkOptions, benchmark

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(bool(WHY), reason=WHY or "there is a GPU")]

SIZE = "torch.randn(4096, 4096)"
SOURCE = HEAD + model("torch.relu(x + y)", f"{SIZE}, {SIZE}")
PROBLEM = Problem(SOURCE, "Model")
TWIN = SOURCE.replace("class Model(", "class ModelNew(")
CANDIDATE = TRITON + ADD_RELU_RIGHT.replace("128", "1024")


def timed(code: str, problem: Problem = PROBLEM, **options: bool) -> Timing:
    return benchmark(problem, code, BenchmarkOptions(unverified=True, **options))


def with_body(*lines: str) -> str:
    """The twin with another ``forward``."""
    body = "".join(f"        {line}\n" for line in lines)
    return TWIN.replace("        return torch.relu(x + y)\n", body)


def test_pytorch_beside_itself_makes_no_difference() -> None:
    timings = [timed(TWIN) for _ in range(3)]
    assert all(timing.measured for timing in timings), [t.message for t in timings]
    assert [timing.conclusion for timing in timings].count("no difference") >= 2
    for timing in timings:
        assert timing.speedup == pytest.approx(1.0, abs=0.03)


def test_twice_the_work_is_slower() -> None:
    timing = timed(with_body("torch.relu(x + y)", "return torch.relu(x + y)"))
    assert timing.conclusion == "slower"
    assert timing.speedup == pytest.approx(0.5, abs=0.05)


def test_a_verified_candidate_has_all_its_figures() -> None:
    timing = benchmark(PROBLEM, CANDIDATE, BenchmarkOptions(sweep=True))
    assert timing.measured, timing.message
    assert timing.verified
    assert [contender.name for contender in timing.contenders] == ["eager", "compile", "candidate"]
    assert timing.work is not None
    assert timing.work.bytes == 3 * 4 * 4096**2
    assert timing.bound is not None
    assert timing.bound.basis == "measured"
    fraction = timing.bound.fraction(timing.candidate_ms)
    assert fraction is not None
    assert 0.2 < fraction < 1.2
    if timing.kernels:
        assert timing.kernels[0].name == "apply_kernel"
        assert timing.triton_share == pytest.approx(1.0)
    measured = [point for point in timing.sweeps[0].points if point.candidate_ms]
    assert len(measured) >= 5
    assert all(point.bound_ms for point in measured)


@pytest.mark.parametrize(
    "lines",
    [
        (
            "out = torch.empty_like(x)",
            "stream = self.__dict__.setdefault('stream', torch.cuda.Stream())",
            "with torch.cuda.stream(stream):",
            "    torch.cuda._sleep(20_000_000)",
            "    out.copy_(torch.relu(x + y))",
            "return out",
        ),
        (
            "import threading",
            "out = torch.empty_like(x)",
            "def work():",
            "    torch.cuda._sleep(20_000_000)",
            "    out.copy_(torch.relu(x + y))",
            "threading.Thread(target=work).start()",
            "return out",
        ),
    ],
    ids=["a stream", "a thread"],
)
def test_work_that_nobody_waits_for_gives_no_figure(lines: tuple[str, ...]) -> None:
    timing = timed(with_body(*lines))
    assert not timing.measured
    assert timing.message


def test_work_on_a_stream_that_is_waited_for_counts() -> None:
    lines = (
        "stream = self.__dict__.setdefault('stream', torch.cuda.Stream())",
        "stream.wait_stream(torch.cuda.current_stream())",
        "with torch.cuda.stream(stream):",
        "    out = torch.relu(x + y)",
        "torch.cuda.current_stream().wait_stream(stream)",
        "out.record_stream(torch.cuda.current_stream())",
        "return out",
    )
    timing = timed(with_body(*lines))
    assert timing.measured, timing.message
    assert timing.speedup == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize(
    "line",
    [
        "torch.cuda.Event.elapsed_time = lambda self, other: 0.001",
        "torch.cuda.synchronize = lambda *_: None",
        "import time; time.perf_counter = lambda: 0.0",
    ],
)
def test_timers_that_are_patched_give_no_figure(line: str) -> None:
    timing = timed(f"{TWIN}\n{line}\n")
    assert not timing.measured
    assert "replaced" in timing.message


def test_our_clock_agrees_with_tritons() -> None:
    import torch
    import triton.testing

    from kernelllm_jupyter.verify.timing.clocks import CudaClock
    from kernelllm_jupyter.verify.timing.stand import Stand

    x = torch.randn(4096, 4096, device="cuda")
    stand = Stand(CudaClock(), lambda: torch.softmax(x, -1), [[]])
    ours, theirs = [], []
    for _ in range(5):
        stand.warm()
        ours.append(median(stand.turn(100)))
        theirs.append(triton.testing.do_bench(stand.call, return_mode="median"))
    assert median(ours) == pytest.approx(median(theirs), rel=0.03)
