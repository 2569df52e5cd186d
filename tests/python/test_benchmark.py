"""Timing where there is no GPU: it says so at once and loads nothing."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from verify_candidates import ADD_RELU, ADD_RELU_RIGHT, HEAD, TRITON

from kernelllm_jupyter.values import Problem
from kernelllm_jupyter.verify.benchmark import benchmark, timing_of
from kernelllm_jupyter.verify.gpu import gpu_present


@pytest.mark.skipif(gpu_present(), reason="this machine has a GPU")
def test_without_a_gpu_nothing_is_measured_and_it_says_why() -> None:
    timing = benchmark(Problem(HEAD + ADD_RELU, "Model"), TRITON + ADD_RELU_RIGHT)
    assert timing.conclusion == "not measured"
    assert "GPU" in timing.message
    figures = timing.to_json()
    assert all(figures[name] is None for name in figures if name.endswith("_ms"))
    assert timing.speedup is None


@pytest.mark.skipif(gpu_present(), reason="this machine has a GPU")
def test_without_a_gpu_no_torch_is_imported_and_no_worker_started() -> None:
    program = textwrap.dedent(
        """
        import sys
        sys.path[:0] = sys.argv[1:]
        import test_benchmark as case
        from kernelllm_jupyter.verify.worker import worker
        case.benchmark(case.Problem("", "Model"), "")
        assert "torch" not in sys.modules
        assert worker("cuda").server is None
        """
    )
    import kernelllm_jupyter

    paths = [str(Path(kernelllm_jupyter.__file__).parents[1]), str(Path(__file__).parent)]
    tried = subprocess.run(
        [sys.executable, "-c", program, *paths], capture_output=True, text=True, timeout=60
    )
    assert tried.returncode == 0, tried.stderr


@pytest.mark.parametrize(
    ("candidate", "conclusion"),
    [
        ({"median": 1.0, "low": 0.9, "high": 1.1}, "faster"),
        ({"median": 3.0, "low": 2.9, "high": 3.1}, "slower"),
        ({"median": 1.9, "low": 1.7, "high": 2.2}, "no difference"),
    ],
)
def test_faster_is_said_only_where_the_spreads_do_not_overlap(
    candidate: dict[str, float], conclusion: str
) -> None:
    eager = {"median": 2.0, "low": 1.8, "high": 2.3}
    timing = timing_of({"timing": {"eager": eager, "candidate": candidate}}, {"gpu": "a GPU"})
    assert timing.conclusion == conclusion
    assert timing.speedup == pytest.approx(2.0 / candidate["median"])
    assert timing.compile_ms is None
    assert timing.device == "a GPU"


def test_a_measurement_that_failed_has_no_figures() -> None:
    reason = {"code": "memory", "message": "no memory left"}
    failed = {"verdict": "out_of_memory", "reasons": [reason]}
    timing = timing_of(failed, {})
    assert timing.conclusion == "not measured"
    assert "no memory left" in timing.message
    assert timing.candidate_ms is None
