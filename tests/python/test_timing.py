"""The measuring loop through real processes, on the host's clock where there is no GPU.

The same code runs on a GPU with another clock (``tests/gpu``). Figures of the host mean nothing
and none is compared with another here; what is looked at is what may be said about them.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from timing_schema import VALIDATOR
from verify_candidates import ADD_RELU, ADD_RELU_RIGHT, HEAD, TRITON, model

from kernelllm_jupyter.timing_report import timing_text
from kernelllm_jupyter.timings import Timing
from kernelllm_jupyter.values import Problem
from kernelllm_jupyter.verify import candidate
from kernelllm_jupyter.verify.benchmark import UNTRUSTED, BenchmarkOptions, measured_by, timing_of
from kernelllm_jupyter.verify.case import Case
from kernelllm_jupyter.verify.check import chosen_worker, make_request
from kernelllm_jupyter.verify.given import Given
from kernelllm_jupyter.verify.opponent import Opponent
from kernelllm_jupyter.verify.sizing.scaling import Scaled, Scaling, Size
from kernelllm_jupyter.verify.sizing.sizes import Site
from kernelllm_jupyter.verify.timing import bench, clocks, session
from kernelllm_jupyter.verify.timing.baselines import Baseline
from kernelllm_jupyter.verify.timing.clocks import CpuClock
from kernelllm_jupyter.verify.timing.honesty import (
    Alone,
    Outside,
    disturbed_baseline,
    hidden_in_turns,
    hidden_outside_stream,
)
from kernelllm_jupyter.verify.timing.kernels import totals
from kernelllm_jupyter.verify.timing.rounds import Rounds, turn_order
from kernelllm_jupyter.verify.timing.stand import Stand
from kernelllm_jupyter.verify.timing.statistics import FEWEST_ROUNDS
from kernelllm_jupyter.verify.timing.sweep import axes_of, labels, points, steps
from kernelllm_jupyter.verify.timing.work import counted_without_memory
from kernelllm_jupyter.verify.watching.audit import Launches

PROBLEM = Problem(HEAD + ADD_RELU, "Model")
CANDIDATE = TRITON + ADD_RELU_RIGHT
NAMED = """
WIDTH = 24


class Model(nn.Module):
    def forward(self, x):
        return torch.relu(x)


def get_inputs():
    return [torch.randn(7, WIDTH)]
"""
#: The reference under another name: what is timed is the same twice.
TWIN = HEAD + ADD_RELU.replace("class Model(", "class ModelNew(")


class Uncompiled(BenchmarkOptions):
    """Without ``torch.compile``, which takes seconds for each size."""

    @property
    def baselines(self) -> list[str]:
        return []


def timed(
    code: str,
    problem: Problem = PROBLEM,
    kind: type[BenchmarkOptions] = Uncompiled,
    **options: Any,
) -> Timing:
    """A measurement on the host, in a real pair of processes."""
    return measured_by(
        chosen_worker("cpu", None),
        problem,
        code,
        kind(timeout_s=300, **options),
        Timing("not measured"),
        budget_s=0.2,
    )


def test_a_whole_measurement_has_all_its_figures() -> None:
    timing = timed(CANDIDATE)
    assert timing.measured, timing.message
    assert timing.rounds
    by_name = {contender.name: contender for contender in timing.contenders}
    for name in ("eager", "candidate"):
        contender = by_name[name]
        assert contender.median_ms
        assert contender.interval_ms is not None
        assert contender.interval_ms.low <= contender.median_ms <= contender.interval_ms.high
        assert contender.wall_ms
        assert (contender.calls or 0) >= timing.rounds
    assert by_name["candidate"].compile_s is not None
    assert timing.eager_ms is not None
    assert timing.candidate_ms is not None
    assert timing.speedup == pytest.approx(timing.eager_ms / timing.candidate_ms)
    assert timing.work is not None
    assert (timing.work.read_bytes, timing.work.written_bytes) == (2 * 6 * 70 * 4, 6 * 70 * 4)
    assert timing.sweeps == ()


def test_a_sweep_goes_over_each_size_in_turn() -> None:
    timing = timed(TWIN, sweep=True)
    VALIDATOR.validate(json.loads(json.dumps(timing.to_json())))
    rows, columns = timing.sweeps
    assert (rows.axis, columns.axis) == ("the size that is 6", "the size that is 70")
    for sweep, others in ((rows, 70), (columns, 6)):
        values = [point.value for point in sweep.points]
        assert values == sorted(values)
        for point in sweep.points:
            assert point.bytes == 3 * point.value * others * 4
            assert point.candidate_ms
            assert point.candidate_interval_ms is not None
    assert {1, 3, 6, 12, 24, 48, 96} <= {point.value for point in rows.points}
    assert {1, 2, 4, 8, 17, 35, 70, 140, 280} <= {point.value for point in columns.points}
    assert rows.points[0].inputs == ("float32[1, 70]",) * 2
    # What was measured at the given size is not measured again.
    for sweep, value in ((rows, 6), (columns, 70)):
        (given,) = (point for point in sweep.points if point.value == value)
        assert given.candidate_ms == timing.candidate_ms


def test_a_sweep_over_named_sizes_goes_over_these() -> None:
    source = HEAD + NAMED
    twin = source.replace("class Model(", "class ModelNew(")
    timing = timed(twin, Problem(source, "Model"), sweep_over=("WIDTH", "7", "DEPTH"))
    unknown, width, seven = timing.sweeps
    assert (width.axis, seven.axis) == ("WIDTH", "the size that is 7")
    assert width.points
    assert seven.points
    assert unknown.axis == "DEPTH"
    assert "those that can be varied: WIDTH, the size that is 7" in unknown.message


def test_results_that_are_kept_by_address_are_found_out() -> None:
    """A check would refuse it; it is timed unverified here."""
    kept = TWIN.replace(
        "        return torch.relu(x + y)",
        "        key = x.data_ptr()\n"
        "        self.kept = getattr(self, 'kept', {})\n"
        "        if key not in self.kept:\n"
        "            self.kept[key] = torch.relu(x + y)\n"
        "        return self.kept[key]",
    )
    assert kept != TWIN
    timing = timed(kept)
    assert not timing.measured
    assert timing.conclusion == "not measured"
    assert "wrong result" in timing.message
    assert timing.eager_ms is not None
    assert all(contender.name != "candidate" for contender in timing.contenders)


@pytest.mark.parametrize(
    "line",
    [
        "import time; time.perf_counter = lambda: 0.0",
        "torch.cuda.Event.elapsed_time = lambda self, other: 0.001",
        "torch.cuda.synchronize = lambda *_: None",
        "torch.nn.Module.__call__ = lambda self, *inputs: inputs[0]",
    ],
)
def test_timers_cannot_be_patched(line: str) -> None:
    timing = timed(f"{TWIN}\n{line}\n")
    assert not timing.measured
    assert "replaced" in timing.message


def test_a_candidate_that_fails_while_it_is_timed_gives_no_figure() -> None:
    failing = TWIN.replace(
        "        return torch.relu(x + y)",
        "        self.calls = getattr(self, 'calls', 0) + 1\n"
        "        if self.calls > 9:\n"
        "            raise ValueError('enough')\n"
        "        return torch.relu(x + y)",
    )
    timing = timed(failing)
    assert not timing.measured
    assert "enough" in timing.message


def test_inputs_that_calls_change_are_put_back_for_each() -> None:
    """Summed again and again they would be infinite in the end, and wrong."""
    source = HEAD + model("x.mul_(1e30)", "torch.randn(8, 16)")
    code, problem = source.replace("class Model(", "class ModelNew("), Problem(source, "Model")
    timing = timed(code, problem, BenchmarkOptions)
    assert timing.measured, timing.message
    compiled = next((each for each in timing.contenders if each.name == "compile"), None)
    assert compiled is not None
    assert compiled.median_ms or compiled.message, "a host without a C++ compiler"


# --- a process that lies -------------------------------------------------------------------------


class Lying(CpuClock):
    """What a candidate's process would tell whose clock was tampered with after all."""

    def between_ms(self, start: Any, end: Any) -> float:
        return super().between_ms(start, end) / 10


class Strict(CpuClock):
    """The referee's own, to which a GPU's tolerance applies."""

    def __init__(self) -> None:
        super().__init__()
        self.tolerance_ms = 0.02


PRODUCT_TWIN = HEAD + model("x @ x", "torch.randn(400, 400)").replace("Model(", "ModelNew(")


def measured_in_threads(
    code: str,
    folder: Path,
    keep: Callable[[dict[str, Any]], None] = lambda _: None,
    baselines: tuple[str, ...] = (),
) -> Timing:
    """The candidate's side in a thread of this process, whose clock can be exchanged."""
    left, right = socket.socketpair()
    (folder / "candidate").mkdir()
    side = threading.Thread(
        target=candidate.serve,
        args=(right, folder / "candidate", "cpu", Launches()),
        kwargs={"watch": False},
    )
    side.start()
    source = HEAD + model("x @ x", "torch.randn(400, 400)")
    request, _ = make_request("benchmark", Problem(source, "Model"), code, 60.0)
    more = {"baselines": baselines, "sweep": False, "sweep_over": (), "limits": {}}
    request["eval_mode"] = False
    request.update(more, budget_s=1.0)
    try:
        opponent = Opponent(left)
        case = Case(opponent, request, [], folder, "cpu", lambda *_: None, lambda: 60.0)
        final = session.measure(case, keep)
    finally:
        left.close()
        side.join()
        right.close()
    return timing_of(final, {})


def test_a_process_that_tells_less_than_the_referees_clock_sees_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lying").mkdir()
    monkeypatch.setattr(clocks, "clock_for", lambda device: Lying())
    monkeypatch.setattr(session, "clock_for", lambda device: Strict())
    timing = measured_in_threads(PRODUCT_TWIN, tmp_path / "lying")
    assert not timing.measured
    # Which of the two clocks shows it first depends on what else this machine does.
    assert UNTRUSTED & {finding.code for finding in timing.contamination}
    assert timing.speedup is None
    assert timing.conclusion == "not measured"


def test_a_turn_is_explained_by_the_calls_that_it_reports() -> None:
    honest = [Outside(12.0, (0.1,) * 50)] * 5
    assert hidden_in_turns(honest, empty_ms=2.0, beside_ms=0.1) is None
    hidden = [Outside(12.0, (0.01,) * 50)] * 5
    assert hidden_in_turns(hidden, empty_ms=2.0, beside_ms=0.1) == pytest.approx(0.09)
    once = [*honest, Outside(900.0, (0.1,) * 50)]
    assert hidden_in_turns(once, empty_ms=2.0, beside_ms=0.1) is None, "an interruption"
    assert hidden_in_turns([Outside(2.5, (0.1,))], 2.0, 0.1) is None, "too short to tell"
    assert hidden_in_turns([], 2.0, 0.1) is None


def test_work_outside_of_the_current_stream_shows_on_the_wall_clock() -> None:
    nothing = Alone((0.004,) * 5, (0.014,) * 5)
    assert hidden_outside_stream(Alone((1.0,) * 5, (1.011,) * 5), nothing) is None
    elsewhere = Alone((0.02,) * 5, (1.03,) * 5)
    assert hidden_outside_stream(elsewhere, nothing) == pytest.approx(1.0)
    assert not disturbed_baseline(1.0, 1.1)
    assert disturbed_baseline(1.0, 1.5)


# --- what ends before it is through --------------------------------------------------------------


def test_a_benchmark_that_runs_out_of_time_keeps_what_it_measured() -> None:
    """PyTorch was timed; the candidate's first call never ends."""
    hanging = TWIN.replace(
        "        return torch.relu(x + y)", "        import time\n        time.sleep(1000)"
    )
    assert hanging != TWIN
    timing = measured_by(
        chosen_worker("cpu", None),
        PROBLEM,
        hanging,
        BenchmarkOptions(timeout_s=10),
        Timing("not measured"),
    )
    assert timing.partial
    assert "did not finish within 10 s" in timing.message
    assert (timing.conclusion, timing.candidate_ms, timing.speedup) == ("not measured", None, None)
    assert timing.eager_ms
    assert timing.eager_interval_ms is None, "five calls have no interval"
    found = json.loads(json.dumps(timing.to_json()))
    VALIDATOR.validate(found)
    assert found["partial"] is True


def test_without_memory_for_the_comparison_the_times_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[dict[str, Any]] = []

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(bench, "compare_outputs", full)
    timing = measured_in_threads(PRODUCT_TWIN, tmp_path, kept.append)
    assert "not enough memory" in timing.message
    assert kept[-1]["timing"]["contenders"][0]["name"] == "eager"


def test_each_step_of_a_measurement_is_kept_as_a_timing_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unchanged(Baseline):
        def compiled(self, model: torch.nn.Module) -> Callable[..., Any]:
            return model

    monkeypatch.setattr(session, "BASELINES", {"compile": Unchanged("compile", "default")})
    monkeypatch.setattr(bench, "KEEP_EVERY_S", 0.0)
    kept: list[str] = []
    whole = measured_in_threads(
        PRODUCT_TWIN, tmp_path, lambda found: kept.append(json.dumps(found)), ("compile",)
    )
    ended = {"verdict": "timeout", "reasons": [{"code": "timeout", "message": "No time."}]}
    timings = [timing_of({**ended, "kept": json.loads(each)}, {}) for each in kept]
    assert all(timing.partial and "No time." in timing.message for timing in timings)
    assert timings[0].eager_ms
    assert timings[0].candidate_ms is None
    by_rounds = [timing for timing in timings if timing.measured]
    assert by_rounds[0].compile_ms is None, "measured before anything was compiled"
    assert by_rounds[-1].compile_ms is not None
    for timing in by_rounds:
        enough = (timing.rounds or 0) >= FEWEST_ROUNDS
        assert (timing.conclusion != "not measured") == enough
    assert replace(timings[-1], partial=False, message="") == replace(whole, message="")
    assert not whole.partial
    assert "partial" in timing_text(by_rounds[0])


# --- the loop itself -----------------------------------------------------------------------------


def test_the_same_function_twice_makes_no_difference() -> None:
    """Real calls, timed by turns; one odd run of three is the machine's."""
    found = []
    for seed in range(3):
        clock = CpuClock()
        sets = [[torch.randn(96, 96)] for _ in range(3)]
        stands = {
            name: Stand(clock, lambda x: torch.relu(x @ x), sets) for name in ("eager", "candidate")
        }
        rounds = Rounds(tuple(stands))
        while not rounds.enough():
            order = turn_order(rounds.names, rounds.count, seed)
            rounds.add({name: stands[name].turn(9) for name in order})
        found.append(rounds.standings()["eager"].conclusion)
    assert found.count("no difference") >= 2, found


def test_a_slower_function_is_found_slower() -> None:
    clock, sets = CpuClock(), [[torch.randn(160, 160)]]
    calls: dict[str, Callable[[Any], Any]] = {
        "eager": lambda x: x @ x,
        "candidate": lambda x: x @ x @ x @ x,
    }
    stands = {name: Stand(clock, call, sets) for name, call in calls.items()}
    rounds = Rounds(tuple(stands))
    while not rounds.enough():
        rounds.add({name: stands[name].turn(9) for name in rounds.names})
    assert rounds.standings()["eager"].conclusion == "slower"


def test_slots_change_their_values_from_turn_to_turn() -> None:
    sets = [[torch.full((2,), float(number))] for number in range(3)]
    stand = Stand(CpuClock(), lambda x: x + 1, sets)
    addresses = [inputs[0].data_ptr() for inputs in stand.slots]
    for shift in range(4):
        stand.place(shift)
        stand.turn(3)
        got = [float(result[0]) for result in stand.results]
        assert got == [(slot + shift) % 3 + 1 for slot in range(3)]
    assert [inputs[0].data_ptr() for inputs in stand.slots] == addresses
    assert [float(inputs[0][0]) for inputs in sets] == [0.0, 1.0, 2.0]


def test_an_expanded_input_is_put_in_place_too() -> None:
    sets = [[torch.randn(1, 4).expand(3, 4)], [torch.randn(1, 4).expand(3, 4)]]
    wanted = sets[1][0].clone()
    stand = Stand(CpuClock(), torch.relu, sets)
    stand.place(1)
    assert torch.equal(stand.slots[0][0], wanted)
    assert stand.slots[0][0].stride() == (0, 1)


def test_all_that_a_call_starts_counts_on_a_clock_that_waits() -> None:
    """A device that works on after the call returned, as a GPU does."""

    class Queued(CpuClock):
        def __init__(self) -> None:
            super().__init__()
            self.work: list[Callable[[], None]] = []

        def wait(self) -> None:
            for job in self.work:
                job()
            self.work.clear()

    clock, took = Queued(), 0.02
    stand = Stand(clock, lambda: clock.work.append(lambda: time.sleep(took)), [[]])
    alone = stand.alone(3)
    idle = Stand(clock, lambda: None, [[]]).alone(3)
    assert min(alone.wall_ms) >= took * 1e3
    assert hidden_outside_stream(alone, idle) is not None


# --- bytes, operations, kernels, sizes -----------------------------------------------------------

LINEAR = """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1024, 2048)
        self.unused = nn.Linear(4096, 4096)

    def forward(self, x):
        return torch.relu(self.linear(x))


def get_inputs():
    return [torch.randn(512, 1024)]
"""
EMBEDDING = """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(100000, 64)

    def forward(self, i):
        return self.table(i)


def get_inputs():
    return [torch.randint(0, 9, (7,))]
"""
ATTENTION = model(
    "torch.nn.functional.scaled_dot_product_attention(x, x, x)",
    "torch.randn(2, 4, 128, 64).bfloat16()",
)
PARTS = model("x[:2] + x.chunk(2)[0][:2] + y.expand(2, 8)", "torch.randn(8, 8), torch.randn(1, 8)")


@pytest.mark.parametrize(
    ("source", "read", "written", "flops", "dtype"),
    [
        (LINEAR, 4 * (512 * 1024 + 1024 * 2048 + 2048), 4 * 512 * 2048, 2 << 30, "float32"),
        (EMBEDDING, 7 * 8 + 7 * 64 * 4, 7 * 64 * 4, 0, None),
        (ATTENTION, 2 * 65536, 2 * 65536, 4 * 8 * 128 * 128 * 64, "bfloat16"),
        (PARTS, 4 * (2 * 8 + 8), 4 * 2 * 8, 0, None),
    ],
    ids=["linear", "embedding", "attention", "parts of inputs"],
)
def test_work_is_what_cannot_be_done_without(
    source: str, read: int, written: int, flops: int, dtype: str | None, tmp_path: Path
) -> None:
    work = counted_without_memory(HEAD + source, "Model", tmp_path / "p.py", 0, None, None)
    assert work is not None
    assert (work.read_bytes, work.written_bytes) == (read, written)
    assert (work.flops, work.products_in) == (flops, dtype)


def test_work_that_depends_on_values_is_not_known(tmp_path: Path) -> None:
    source = HEAD + model("x * x.sum().item()", "torch.randn(4)")
    assert counted_without_memory(source, "Model", tmp_path / "p.py", 0, None, None) is None


def test_kernels_are_counted_for_one_call() -> None:
    rows = [("mine", 10, 500.0), ("gemm", 5, 1500.0), ("Memset", 1, 5.0), ("idle", 5, 0.0)]
    assert totals(rows, calls=5) == [("gemm", 1, 0.3), ("mine", 2, 0.1), ("Memset", 1, 0.001)]


def test_sizes_of_a_sweep_double_as_far_as_memory_allows() -> None:
    assert steps(1024, 1 << 20, 1 << 40) == [16 << n for n in range(11)]
    assert steps(1024, 1 << 20, 1 << 21) == [16, 32, 64, 128, 256, 512, 1024, 2048]
    assert steps(3, 10, 39) == [1, 3, 6]
    assert steps(8, 10, 5) == [1, 2, 4], "the given size itself does not fit"


def test_sizes_are_taken_the_batch_first_and_then_the_large_ones() -> None:
    def size(value: int, *names: str, inputs: bool = True, leading: bool = False) -> Size:
        sites = tuple(Site(name, value, at, at) for at, name in enumerate(names or ("",)))
        return Size(sites, value, True, leading, inputs)

    hidden, batch = size(512, "HIDDEN", inputs=False), size(16, "SHAPE", leading=True)
    rows, columns = size(64, "SHAPE"), size(1024)
    sizes = [hidden, rows, batch, columns]
    assert axes_of(sizes) == ([batch, columns, rows, hidden], [])
    assert axes_of(sizes, ["1024", "HIDDEN", "N", "1024"]) == ([columns, hidden], ["N"])
    assert axes_of(sizes, ["SHAPE"]) == ([rows, batch], [])
    assert list(labels(sizes).values()) == [
        "HIDDEN",
        "SHAPE (64)",
        "SHAPE (16)",
        "the size that is 1,024",
    ]


def test_a_sweep_ends_with_the_time_and_keeps_what_failed(tmp_path: Path) -> None:
    scaling = Scaling(PROBLEM.source, "Model", tmp_path, 0, Given())
    (axis, columns), unknown = axes_of(scaling.sizes)
    assert (axis.value, columns.value, unknown) == (6, 70, [])
    left = iter([100.0, 100.0, 0.0])
    *_, (found, why) = points(
        scaling, axis, 1 << 30, lambda scaled: {"work": None}, lambda: next(left)
    )
    assert len(found) == 3
    assert "time" in why

    def full(scaled: Scaled) -> dict[str, Any]:
        if scaled.values[axis] > 6:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return {"work": None}

    *_, (found, why) = points(scaling, axis, 1 << 30, full, lambda: 100.0)
    assert not why
    assert [bool(point.get("message")) for point in found] == [p["value"] > 6 for p in found]
    assert "not enough memory" in found[-1]["message"]
