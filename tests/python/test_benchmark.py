"""Timing where there is no GPU: what can be known is said, as a bound; nothing is a measurement.

And what becomes of a worker's answer, of other processes on a GPU, and of a maker's figures.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from timing_schema import SCHEMA, VALIDATOR
from verify_candidates import ADD_RELU, ADD_RELU_RIGHT, HEAD, TRITON, model

from kernelllm_jupyter.cli import main
from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.options import request_from
from kernelllm_jupyter.timing_report import timing_text
from kernelllm_jupyter.timings import Contender, Interval, Timing, Work
from kernelllm_jupyter.values import Finding, Problem, Verdict
from kernelllm_jupyter.verify.benchmark import BenchmarkOptions, benchmark, timing_of
from kernelllm_jupyter.verify.gpu import gpu_present
from kernelllm_jupyter.verify.timing.gpus import (
    GPUS,
    gpu_for_target,
    gpu_named,
    published_bound,
)
from kernelllm_jupyter.verify.timing.neighbours import (
    Look,
    Watch,
    _look,
    contamination,
    descendants,
    visible_device,
)

PROBLEM = Problem(HEAD + ADD_RELU, "Model")
CANDIDATE = TRITON + ADD_RELU_RIGHT
no_gpu = pytest.mark.skipif(gpu_present(), reason="this machine has a GPU")

# --- without a GPU -------------------------------------------------------------------------------


@no_gpu
def test_without_a_gpu_nothing_is_measured_and_what_can_be_known_is_said() -> None:
    timing = benchmark(PROBLEM, CANDIDATE, BenchmarkOptions(gpu="L4"))
    assert timing.conclusion == "not measured"
    assert "GPU" in timing.message
    figures = timing.to_json()
    assert all(figures[name] is None for name in figures if name.endswith("_ms"))
    assert timing.speedup is None
    assert timing.contenders == ()
    assert timing.verified
    assert timing.launches == 1
    assert timing.compilation is not None
    assert timing.work is not None
    assert timing.work.bytes == 3 * 6 * 70 * 4
    assert timing.bound is not None
    assert (timing.bound.gpu, timing.bound.basis) == ("L4", "published")
    assert timing.bound.bound_ms == pytest.approx(timing.work.bytes / 300e9 * 1e3)
    text = timing_text(timing)
    assert "a bound, not a measurement" in text
    assert "times as long" not in text


@no_gpu
def test_a_verdict_that_is_there_is_not_made_again() -> None:
    """An impossible one shows that it was taken."""
    given = Verdict("correct", launches=77, device="cpu-interpreter")
    assert benchmark(PROBLEM, "no code at all", verdict=given).launches == 77
    wrong = Verdict("incorrect", (Finding("wrong_values", "element 3 differs"),))
    timing = benchmark(PROBLEM, CANDIDATE, verdict=wrong)
    assert timing.verified is False
    assert "element 3 differs" in timing.message


@no_gpu
def test_without_a_gpu_no_torch_is_imported_and_no_gpu_worker_started() -> None:
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


@no_gpu
def test_the_command_says_what_it_knows_and_that_nothing_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reference, code = tmp_path / "reference.py", tmp_path / "candidate.py"
    reference.write_text(PROBLEM.source)
    code.write_text(CANDIDATE)
    command = ["benchmark", str(reference), str(code), "--unverified", "--gpu", "mi300x"]
    assert main([*command, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    VALIDATOR.validate(found)
    assert found["verified"] is None
    assert found["candidate_ms"] is None
    assert found["bound"]["gpu"] == "MI300X"
    assert main(command) == 1
    assert "On MI300X it takes" in capsys.readouterr().out
    assert main([*command[:-1], "no such GPU"]) == 2
    assert "H100 SXM" in capsys.readouterr().err


def test_a_sweep_is_asked_for_with_a_benchmark() -> None:
    assert request_from(argparse.Namespace(sweep=True, benchmark=True)).sweep
    named = request_from(argparse.Namespace(sweep_over="'N, 64,,N'", benchmark=True))
    assert named.benchmark_options.sweeps
    assert named.benchmark_options.sweep_over == ("N", "64")
    with pytest.raises(UsageError, match="--benchmark"):
        request_from(argparse.Namespace(sweep_over="N"))
    with pytest.raises(UsageError, match="--benchmark"):
        request_from(argparse.Namespace(sweep=True))


# --- a worker's answer ---------------------------------------------------------------------------


def contender(name: Any, ms: float, ratio: float | None = None, **more: Any) -> dict[str, Any]:
    conclusion = "faster" if ratio and ratio > 1 else "slower" if ratio else "not measured"
    found = Contender(
        name,
        median_ms=ms,
        interval_ms=Interval(0.9 * ms, 1.1 * ms),
        ratio=ratio,
        ratio_interval=Interval(0.9 * ratio, 1.1 * ratio) if ratio else None,
        conclusion=conclusion,
        **more,
    )
    return json.loads(json.dumps(found.to_json()))  # type: ignore[no-any-return]


def answer(**changes: Any) -> dict[str, Any]:
    timing = {
        "contenders": [
            contender("eager", 2.0, 2.0, wall_ms=2.2),
            contender("compile", 0.8, 0.8, compile_s=9.0, autotune_s=2.0),
            contender("candidate", 1.0, peak_bytes=4_000_000),
        ],
        "rounds": 40,
        "too_few": False,
        "doubts": [],
        "wrong": None,
        **changes,
    }
    work = {"read_bytes": 8 * 10**8, "written_bytes": 2 * 10**8, "flops": 10**9}
    return {
        "timing": timing,
        "work": {**work, "products_in": "float16", "bytes": 10**9},
        "limits": {"copy": 2000.0, "float16": 500.0},
        "kernels": [["mine", 1, 0.6, True], ["gemm", 2, 0.3, False]],
    }


def test_a_measurement_becomes_figures_with_their_limit() -> None:
    timing = timing_of(answer(), {"gpu": "NVIDIA H200"})
    assert timing.conclusion == "faster"
    assert (timing.speedup, timing.speedup_over_compile) == (2.0, 0.8)
    assert timing.device == "NVIDIA H200"
    assert timing.bound is not None
    assert timing.bound.basis == "measured"
    assert timing.bound.bound_ms == pytest.approx(0.5)
    assert timing.triton_share == pytest.approx(2 / 3)
    text = timing_text(timing)
    for words in (
        "2.00× faster than PyTorch eager; 1.25× slower than torch.compile",
        "1 ms (0.9 – 1.1)",
        "over 40 rounds, on NVIDIA H200",
        "compiled in 9.0 s, tried configurations for 2.0 s",
        "holds 4 MB while it runs",
        "1,000 GB/s and 1 TFLOP/s, 50 % of the limit",
        "A call launches 3 kernels on the device; 67 % of their time",
        "by what a copy and a product reached on this GPU",
    ):
        assert words in text, words
    VALIDATOR.validate(json.loads(json.dumps(timing.to_json(), allow_nan=False)))


@pytest.mark.parametrize("code", ["clock_disagrees", "outside_stream"])
def test_what_cannot_be_trusted_is_no_figure(code: str) -> None:
    timing = timing_of(answer(doubts=[{"code": code, "message": "It does not add up."}]), {})
    assert timing.conclusion == "not measured"
    assert timing.candidate_ms is None
    assert timing.speedup is None
    assert timing.eager_ms == 2.0
    assert all(c.ratio is None for c in timing.contenders)
    assert "Disturbed: It does not add up." in timing_text(timing)


def test_a_disturbed_figure_is_marked() -> None:
    finding = Finding("other_process", "Another process used 80 % of the GPU.")
    timing = timing_of(answer(), {}, [finding])
    assert timing.conclusion == "faster"
    assert timing.contamination == (finding,)
    assert "Disturbed: Another process" in timing_text(timing)


def test_an_unverified_figure_says_so() -> None:
    timing = replace(timing_of(answer(), {}), verified=False)
    assert "not verified" in timing_text(timing)


def test_a_measurement_that_failed_has_no_figures() -> None:
    reason = {"code": "memory", "message": "no memory left"}
    timing = timing_of({"verdict": "out_of_memory", "reasons": [reason]}, {})
    assert timing.conclusion == "not measured"
    assert "no memory left" in timing.message
    assert timing.candidate_ms is None


def test_a_sweep_becomes_points_with_their_limit() -> None:
    whole = answer()
    point = {"inputs": ["float32[8]"], "value": 8, "timing": whole["timing"], "work": whole["work"]}
    failed = {"inputs": ["float32[16]"], "value": 16, "message": "no memory left"}
    sweep = {"axis": "N", "points": [point, failed], "message": "There was no time."}
    none = {"axis": "ROWS", "points": [], "message": "There is no size of that name."}
    whole["sweeps"] = [sweep, none]
    timing = timing_of(whole, {})
    good, bad = timing.sweeps[0].points
    assert (good.speedup, good.bound_ms, good.conclusion) == (2.0, 0.5, "faster")
    assert (bad.candidate_ms, bad.message) == (None, "no memory left")
    text = timing_text(timing)
    assert "2.00× faster" in text
    assert "At 16: no memory left" in text
    assert "N: There was no time." in text
    assert "ROWS: There is no size of that name." in text


# --- its schema ----------------------------------------------------------------------------------


def test_the_schema_is_one_and_describes_every_key() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    whole = answer()
    point = {"inputs": ["float32[8]"], "value": 8, "timing": whole["timing"], "work": whole["work"]}
    whole["sweeps"] = [{"axis": "N", "points": [point], "message": ""}]
    found = timing_of(whole, {}, [Finding("throttled", "too hot")]).to_json()
    for name, described in {
        "timing": found,
        "contender": found["contenders"][0],
        "interval": found["speedup_interval"],
        "work": found["work"],
        "bound": found["bound"],
        "achieved": found["achieved"]["eager"],
        "kernel": found["kernels"][0],
        "sweep": found["sweeps"][0],
        "point": found["sweeps"][0]["points"][0],
        "disturbance": found["contamination"][0],
    }.items():
        definition = SCHEMA["$defs"][name]
        assert set(described) - set(definition["properties"]) == set(), name
        assert set(definition["required"]) <= set(described), name
    VALIDATOR.validate(json.loads(json.dumps(found)))


@pytest.mark.parametrize(
    "spoiled",
    [
        {"conclusion": "quick"},
        {"eager_ms": 0},
        {"candidate_ms": -1},
        {"contamination": [{"code": "made_up", "message": "no"}]},
        {"sweeps": None},
        {"work": {"bytes": 3}},
    ],
)
def test_the_schema_refuses_what_no_timing_prints(spoiled: dict[str, Any]) -> None:
    sound = json.loads(json.dumps(timing_of(answer(), {}).to_json()))
    assert VALIDATOR.is_valid(sound)
    assert not VALIDATOR.is_valid({**sound, **spoiled})
    assert not VALIDATOR.is_valid({name: sound[name] for name in sound if name != "partial"})


# --- GPUs by their makers' figures ---------------------------------------------------------------


def test_a_bound_is_the_slower_of_memory_and_products() -> None:
    work = Work(2 * 10**9, 10**9, 10**13, "float16")
    bound = published_bound(work, gpu_named("H100"))
    assert bound.memory_ms == pytest.approx(3e9 / 3350e9 * 1e3)
    assert bound.compute_ms == pytest.approx(1e13 / 989.5e12 * 1e3)
    assert bound.limited_by == "compute"
    assert bound.bound_ms == bound.compute_ms
    assert bound.fraction(2 * bound.bound_ms) == pytest.approx(0.5)
    single = published_bound(Work(1, 1, 10**13, "float32"), gpu_named("H100"))
    in_tf32 = published_bound(Work(1, 1, 10**13, "float32"), gpu_named("H100"), tf32=True)
    assert in_tf32.bound_ms < single.bound_ms
    unknown = published_bound(Work(1, 1, 10**13, "float64"), gpu_named("H100"))
    assert unknown.compute_ms is None


def test_every_gpu_is_found_by_its_name_and_an_unclear_one_is_refused() -> None:
    for gpu in GPUS:
        assert gpu_named(gpu.name) is gpu
        assert gpu_named(gpu.name.lower().replace(" ", "-")) is gpu
    for name in ("RTX", "", "abacus"):
        with pytest.raises(UsageError, match="name one of"):
            gpu_named(name)
    assert gpu_for_target("sm_90") is gpu_named("H100 SXM")
    assert gpu_for_target("sm_42") is None


# --- other processes -----------------------------------------------------------------------------

QUIET = Look(busy=0)
OURS = {100, 101}


def busy(**at_work: int) -> Look:
    use = {int(name.removeprefix("p")): share for name, share in at_work.items()}
    return Look(90, frozenset({100, *use}), use)


@pytest.mark.parametrize(
    ("before", "during", "after", "codes"),
    [
        (QUIET, busy(p100=90, p101=5), QUIET, []),
        (Look(40), busy(p100=90), QUIET, ["other_process"]),
        (QUIET, busy(p100=60, p7=30), QUIET, ["other_process"]),
        (QUIET, busy(p100=60, p7=1), QUIET, []),
        (QUIET, Look(90, frozenset({7, 8}), {7: 60, 8: 30}), QUIET, []),
        (QUIET, replace(busy(p100=90), slowed="too hot"), QUIET, ["throttled"]),
        (Look(None), Look(None), Look(None), []),
    ],
    ids=[
        "ours only",
        "busy before",
        "busy during",
        "idle others",
        "numbers of another namespace",
        "hot",
        "nothing known",
    ],
)
def test_who_else_is_at_work_is_told(
    before: Look, during: Look, after: Look, codes: list[str]
) -> None:
    looks = [during] * 4
    found = contamination([before] * 3, looks, [after] * 3 if before is not after else [], OURS)
    if before.busy == 40:
        found = contamination([before] * 3, looks, [before] * 3, OURS)
    assert [finding.code for finding in found] == codes


def test_a_watch_looks_before_during_and_after() -> None:
    looks = iter([Look(0)] * 3 + [busy(p100=60, p7=30)] * 1000)
    looked = threading.Event()

    def look() -> Look:
        found = next(looks)
        if found.at_work:
            looked.set()
        return found

    watch = Watch(look, lambda: {100}, settle_s=0.0)
    with watch:
        assert looked.wait(10.0)
    assert "other_process" in [finding.code for finding in watch.found()]


def test_a_gpu_that_slows_down_is_seen_by_either_name_that_nvml_has_for_it() -> None:
    class Error(Exception):
        pass

    def fails(*_: Any) -> Any:
        raise Error

    reasons = 0x4 | 0x40
    for name in ("EventReasons", "ThrottleReasons"):
        nvml = SimpleNamespace(
            NVMLError=Error,
            nvmlDeviceGetUtilizationRates=lambda _: SimpleNamespace(gpu=7),
            nvmlDeviceGetComputeRunningProcesses=lambda _: [SimpleNamespace(pid=5)],
            nvmlDeviceGetProcessUtilization=fails,
            **{f"nvmlDeviceGetCurrentClocks{name}": lambda _: reasons},
        )
        look = _look(nvml, None)
        assert (look.busy, look.processes, look.at_work) == (7, {5}, {})
        assert look.slowed == "too hot"


def test_the_first_visible_gpu_is_looked_at() -> None:
    assert visible_device(None) == 0
    assert visible_device("3,1") == 3
    assert visible_device("GPU-8932f937-d72c") == "GPU-8932f937-d72c"
    assert visible_device("MIG-1234") is None
    assert visible_device("") is None


def test_processes_that_ours_started_are_ours() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert child.pid in descendants(os.getpid())
        assert descendants(child.pid) == {child.pid}
    finally:
        child.communicate()


def test_the_whole_work_of_a_product_is_told_in_words() -> None:
    source = HEAD + model("x @ x", "torch.randn(64, 64)")
    given = Verdict("correct", device="cpu-interpreter")
    timing = benchmark(Problem(source, "Model"), "", verdict=given)
    assert "its products are 524.3 kFLOP in float32" in timing_text(timing)
    assert timing_text(Timing("not measured")) == "Not measured."
