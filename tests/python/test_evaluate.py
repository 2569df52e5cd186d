"""What a model is worth on a suite: exact estimates, real checks, runs that can be resumed."""

from __future__ import annotations

import errno
import itertools
import json
import os
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from scripted_engine import ScriptedEngine, Step

from kernelllm_jupyter.cli import main
from kernelllm_jupyter.errors import EngineError, UnsupportedModule, UsageError
from kernelllm_jupyter.evaluate import Plan, evaluate, find_problems
from kernelllm_jupyter.ledger import Ledger
from kernelllm_jupyter.prompts import KernelLLMProfile
from kernelllm_jupyter.scores import (
    Outcome,
    Sample,
    estimate,
    fast_p,
    pass_at,
    reported_ks,
    samples_of,
)
from kernelllm_jupyter.values import (
    Candidate,
    CheckOptions,
    Finding,
    Problem,
    Prompt,
    Timing,
    Translation,
    Verdict,
)

GOOD = """\
import torch
import triton
import triton.language as tl


@triton.jit
def double_relu(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(out_ptr + at, tl.maximum(x, 0.0) * 2.5, mask=at < n)


class ModelNew(torch.nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        double_relu[(triton.cdiv(x.numel(), 256),)](x, out, x.numel(), BLOCK=256)
        return out
"""
WRONG = GOOD.replace("* 2.5", "* 2.4")
PLAN = Plan(k=2, check=CheckOptions(device="cpu", target="sm_90"))


# --- the figures ---------------------------------------------------------------------------------


def test_the_estimate_is_the_share_of_all_draws_that_hold_a_good_one() -> None:
    for n, c in itertools.product(range(1, 8), range(8)):
        good = [at < c for at in range(n)]
        for k in range(1, n + 1) if c <= n else ():
            draws = list(itertools.combinations(good, k))
            expected = sum(map(any, draws)) / len(draws)
            assert estimate(n, c, k) == pytest.approx(expected)
    assert estimate(3, 1, 4) is None
    assert estimate(200, 1, 100) == pytest.approx(0.5)
    assert reported_ks(10) == [1, 5, 10]
    assert reported_ks(7) == [1, 5, 7]


def outcome(*samples: tuple[str, float | None], **more: str) -> Outcome:
    return Outcome("p", tuple(Sample(kind, speed) for kind, speed in samples), **more)  # type: ignore[arg-type]


def test_what_fails_has_no_speed_and_what_is_not_timed_is_not_fast() -> None:
    # A wrong one would be the fastest; one was never timed; one failed.
    mixed = outcome(("incorrect", 9.0), ("correct", 1.4), ("correct", None), ("crashed", None))
    slow, refused = outcome(*[("correct", 0.7)] * 4), outcome(refused="not covered")
    found = [mixed, slow, refused]
    assert mixed.best_speedup == 1.4
    assert pass_at(found, 1) == pytest.approx((0.5 + 1 + 0) / 3)
    assert pass_at(found, 4) == pytest.approx(2 / 3)
    assert fast_p(found, 1.0, 1) == pytest.approx((0.25 + 0 + 0) / 3)
    assert fast_p(found, 1.0, 4) == pytest.approx(1 / 3)
    assert fast_p(found, 1.5, 4) == 0.0
    # Where nothing was timed there is no figure at all, and what had trouble is left out.
    untimed = [outcome(("correct", None)), outcome(("crashed", None))]
    assert fast_p(untimed, 1.0, 1) is None
    assert pass_at([*untimed, outcome(trouble="the reference fails")], 1) == 0.5
    assert pass_at([], 1) is None


def test_a_speed_is_the_codes_own_and_taken_on_an_idle_gpu() -> None:
    def candidate(**more: int) -> Candidate:
        return Candidate("code", "code", "m", "stop", **more)  # type: ignore[arg-type]

    right, wrong = Verdict("correct"), Verdict("incorrect")
    busy = (Finding("gpu_busy", "another process ran"),)
    made = Translation(
        Problem("", "Model"),
        (candidate(), candidate(), candidate(duplicate_of=0), candidate(), candidate()),
        0,
        (right, wrong, right, right, None),
        timings=(
            Timing("faster", speedup=1.5),
            None,
            None,
            Timing("faster", speedup=9.0, contamination=busy),
            None,
        ),
    )
    found = [(sample.verdict, sample.speedup) for sample in samples_of(made)]
    assert found == [("correct", 1.5), ("incorrect", None), ("correct", 1.5), ("correct", None)]


# --- a suite -------------------------------------------------------------------------------------


@pytest.fixture
def suite(tmp_path: Path, small_module: str) -> Path:
    folder = tmp_path / "suite"
    (folder / "_drafts").mkdir(parents=True)
    (folder / "_drafts" / "no.py").write_text("x = 1\n")
    for number in (1, 2, 10):
        (folder / f"{number}_relu.py").write_text(f"# Number {number}.\n{small_module}")
    return folder


def fenced(code: str) -> list[Step]:
    return [f"```python\n{code}```\n"]


class RefusesNumberTwo(KernelLLMProfile):
    def prompt(self, problem: Problem) -> Prompt:
        if "# Number 2." in problem.source:
            raise UnsupportedModule("number 2 is not covered")
        return super().prompt(problem)


def run(
    suite: Path,
    out: Path,
    engine: ScriptedEngine,
    *,
    stop_after: int = 99,
    profile: Callable[[str], KernelLLMProfile] = KernelLLMProfile,
    fresh: bool = False,
) -> list[Outcome]:
    found = []
    with Ledger(out, {"k": PLAN.k}, fresh=fresh) as ledger:
        results = evaluate(
            find_problems([suite]), engine, profile("no/such-model"), PLAN, ledger, jobs=1
        )
        with closing(results):
            for each in results:
                found.append(each)
                if len(found) == stop_after:
                    break
    return found


def names(outcomes: Sequence[Outcome]) -> list[str]:
    return [each.problem for each in outcomes]


def test_an_interrupted_evaluation_goes_on_where_it_was(suite: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    # All are checked, though the first is right: it is a measurement, no search.
    engine = ScriptedEngine(fenced(GOOD), fenced(WRONG), fenced(GOOD), fenced(GOOD))
    [first] = run(suite, out, engine, stop_after=1)
    assert (first.problem, first.correct, len(first.samples)) == ("suite/1_relu.py", 1, 2)
    lines = out.read_bytes().splitlines(keepends=True)
    with out.open("ab") as file:
        file.write(b'{"problem": "suite/2_relu.py", "sam')  # The disk was full.
    engine = ScriptedEngine(fenced(GOOD))
    whole = run(suite, out, engine)
    assert names(whole) == ["suite/1_relu.py", "suite/2_relu.py", "suite/10_relu.py"]
    assert whole[0] == first
    assert len(engine.asked) == 4, "two candidates of each of the two that were left"
    assert pass_at(whole, 1) == pytest.approx((0.5 + 1 + 1) / 3)
    assert out.read_bytes().splitlines(keepends=True)[: len(lines)] == lines
    kept = [json.loads(line) for line in out.read_text().splitlines()]
    assert [each["code"] for each in kept[1]["candidates"]] == [GOOD, WRONG]
    # A problem that was changed is another one; the rest is not asked for again.
    (suite / "2_relu.py").write_text((suite / "2_relu.py").read_text().replace("2.5", "2.4"))
    engine = ScriptedEngine(fenced(GOOD))
    changed = {each.problem: each for each in run(suite, out, engine)}
    assert len(engine.asked) == 2
    assert changed["suite/2_relu.py"].correct == 0
    with pytest.raises(UsageError, match=r"other settings \(k\)"):
        Ledger(out, {"k": 3})
    with Ledger(out, {"k": 3}, fresh=True) as ledger:
        assert ledger.entry("suite/2_relu.py") is None
        with pytest.raises(UsageError, match="Another evaluation is writing"):
            Ledger(out, {"k": 3})
    other = tmp_path / "notes.txt"
    other.write_text("mine\n")
    with pytest.raises(UsageError, match="is not the file of an evaluation"):
        Ledger(other, {}, fresh=True)
    assert other.read_text() == "mine\n"


def test_a_full_disk_is_told_and_the_problem_is_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Ledger(tmp_path / "out.jsonl", {}) as ledger:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(UsageError, match=r"Cannot write .*out\.jsonl: No space"):
            ledger.add("suite/2_relu.py", {})
        assert ledger.entry("suite/2_relu.py") is None


def test_what_the_model_refuses_is_wrong_and_what_had_trouble_is_tried_again(
    suite: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    gone = [EngineError("gone")]
    engine = ScriptedEngine(fenced(GOOD), gone, fenced(GOOD))
    found = run(suite, out, engine, profile=RefusesNumberTwo)
    assert [each.counted for each in found] == [False, True, True]
    assert "gone" in found[0].trouble
    assert "not covered" in found[1].refused
    assert pass_at(found, 2) == 0.5
    engine = ScriptedEngine(fenced(GOOD))
    again = run(suite, out, engine, profile=RefusesNumberTwo)
    assert len(engine.asked) == 2, "only what had trouble"
    assert pass_at(again, 2) == pytest.approx(2 / 3)
    # An engine that is gone for good ends it, instead of a table of failures.
    with pytest.raises(EngineError, match="gone"):
        run(suite, out, ScriptedEngine(gone), fresh=True)


def test_the_command_evaluates_the_starter(
    suite: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (suite / "2_relu.py").write_text("class Model: ...\n")
    attention = (suite / "10_relu.py").read_text().replace("torch.relu(x)", "torch.svd(x)[0]")
    (suite / "10_relu.py").write_text(attention)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    command = ["evaluate", str(suite), "-k", "2", "--seed", "1", "--device", "cpu"]
    assert main([*command, "--json"]) == 1
    said = capsys.readouterr()
    made = json.loads(said.out)
    one, none, refused = made["problems"]
    assert (one["candidates"], one["correct"]) == (2, 2), said.err
    assert none["trouble"]
    assert none["pass_at"] is None
    assert refused["refused"]
    assert (made["counted"], made["not_counted"]) == (2, 1)
    assert made["pass_at"] == {"1": 0.5, "2": 0.5}
    assert made["fast_p"] is None, "nothing was timed here"
    (kept,) = (tmp_path / "state").rglob("evaluations")
    assert kept.stat().st_mode & 0o077 == 0, "what it keeps is this user's"
    assert main(command) == 1
    table = capsys.readouterr()
    assert "2 of 3 were evaluated before" in table.err
    assert "pass@1: 50.0 %" in table.out
    assert "suite/1_relu.py   2 of 2" in table.out
