"""The referee's side of a measurement at one size: PyTorch here, the candidate in its process.

PyTorch is timed in the referee's process, which the candidate's code never enters, and before that
code is executed as well; the candidate in its own, by a clock made before it. Both processes keep
to one core, take turns, and are never busy at once. What timed calls returned comes back and is
compared here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch

from kernelllm_jupyter.verify.findings import Findings, Refusal, Say
from kernelllm_jupyter.verify.nests import leaves
from kernelllm_jupyter.verify.opponent import Opponent, Result
from kernelllm_jupyter.verify.outputs import compare_outputs
from kernelllm_jupyter.verify.referee import Match
from kernelllm_jupyter.verify.reference import Reference, ReferenceFailure
from kernelllm_jupyter.verify.timing.baselines import Baseline, autotuning_seconds
from kernelllm_jupyter.verify.timing.clocks import Clock
from kernelllm_jupyter.verify.timing.honesty import (
    Alone,
    disturbed_baseline,
    hidden_in_turns,
    hidden_outside_stream,
)
from kernelllm_jupyter.verify.timing.remote import First, Remote
from kernelllm_jupyter.verify.timing.rounds import Rounds, calls_for, sets_for, turn_order
from kernelllm_jupyter.verify.timing.stand import Stand, nothing, spelled
from kernelllm_jupyter.verify.trials import Trial, unforeseen

__all__ = ["Bench", "Measured"]

CANDIDATE = "candidate"
#: Calls in the first estimate, in the look at what measuring takes by itself, and one by one.
ESTIMATED_CALLS, EMPTY_CALLS, ALONE_CALLS = 5, 50, 9


#: Rounds that are made whatever they take.
LEAST_ROUNDS = 3


@dataclass
class Measured:
    """What one measurement found, on its way to becoming a ``Timing``."""

    rounds: Rounds
    firsts: dict[str, First] = field(default_factory=dict)
    alone: dict[str, Alone] = field(default_factory=dict)
    #: Why a baseline has no figure.
    failed: dict[str, str] = field(default_factory=dict)
    #: What makes the figures doubtful: code and message.
    doubts: list[dict[str, Any]] = field(default_factory=list)
    #: What the results of timed calls showed; None where they are right.
    wrong: str | None = None

    def doubt(self, code: str, message: str) -> None:
        """Add a finding."""
        self.doubts.append({"code": code, "message": message})


class Bench:
    """One candidate beside PyTorch at one size."""

    def __init__(
        self,
        opponent: Opponent,
        request: dict[str, Any],
        reference: Reference,
        clock: Clock,
        say: Say,
        seconds_left: Callable[[], float],
        *,
        again: bool = False,
    ):
        self.request, self.reference, self.clock = request, reference, clock
        self.say, self.seconds_left = say, seconds_left
        self.opponent, self.again = opponent, again
        self.remote = Remote(opponent)
        self.seed = unforeseen(reference.seed, request["source"], request["code"], "timing")
        self.training = reference.training and not request["eval_mode"]
        self.seeds, self.sets = self._draw()
        self.stands: dict[str, Stand] = {}
        self.calls: dict[str, int] = {}
        self.measured = Measured(Rounds(()))
        self.before_ms = 0.0
        #: What a call of PyTorch's took beside itself, turn by turn.
        self.besides: list[float] = []

    def run(self, baselines: Sequence[Baseline], budget_s: float) -> Measured:
        """Set everybody up, take turns, and look at what came of it; raises :class:`Refusal`."""
        self._set_up(baselines)
        until = time.monotonic() + min(budget_s, self.seconds_left() - 5)
        beside_ms, idle = self._measure_nothing()
        empty_ms = self.remote.empty_ms()
        for name, stand in self.stands.items():
            self.calls[name] = calls_for(self._estimate(stand), beside_ms)
        told = median(self.remote.turn(ESTIMATED_CALLS, 0))
        self.calls[CANDIDATE] = calls_for(told, beside_ms)
        self.remote.outsides.clear()
        measured = self.measured
        measured.rounds = Rounds((*self.stands, CANDIDATE))
        self._alone()
        self._take_turns(until)
        self._alone()
        self._look_for_hidden_work(empty_ms, beside_ms, idle)
        return measured

    # --- setting up -----------------------------------------------------------------------------

    def _draw(self) -> tuple[list[int], list[list[Any]]]:
        """Several sets of inputs, alike in form, and their seeds; inputs that are given are one."""
        first = self.reference.draw(self.seed)
        size = sum(x.nbytes for _, x in leaves(first) if isinstance(x, torch.Tensor))
        count = 1 if self.reference.calls else sets_for(size)
        seeds, sets = [self.seed], [first]
        for seed in range(self.seed + 1, self.seed + count):
            other = self.reference.draw(seed)
            if _form(other) == _form(first):
                seeds.append(seed)
                sets.append(other)
        return seeds, sets

    def _set_up(self, baselines: Sequence[Baseline]) -> None:
        self.say("reference", "running PyTorch")
        core = _stay_on_this_core() if self.clock.on_gpu else None
        model = self.reference.model.train(self.training)
        self._seat("eager", model)
        if "eager" not in self.stands:
            raise ReferenceFailure(f"The reference module failed: {self.measured.failed['eager']}")
        self.before_ms = self._estimate(self.stands["eager"])
        if not self.again:
            self.remote.open(core)
        match = Match(
            self.opponent,
            self.request,
            self.reference,
            self.say,
            self.seconds_left,
            Findings(),
            self.again,
        )
        match.build()
        state = self.reference.state
        weights = {match.names[name]: value for name, value in state.items() if name in match.names}
        self.say("candidate", "running the candidate")
        self.measured.firsts[CANDIDATE] = self.remote.stand(
            self.sets, weights, self.training, self.seed
        )
        for baseline in baselines:
            self.say("reference", f"compiling with {baseline.words}")
            self._seat(baseline.name, baseline.compiled(model))

    def _seat(self, name: str, call: Callable[..., Any]) -> None:
        """A stand of PyTorch's; one that fails has its reason kept instead."""
        tuned = autotuning_seconds()
        try:
            stand = Stand(self.clock, spelled(call, self.reference.device), self.sets)
            first_s = stand.first()
            spent = autotuning_seconds()
            autotune_s = spent - tuned if spent is not None and tuned is not None else None
            self.measured.firsts[name] = First(first_s, autotune_s or None, stand.peak())
            self.stands[name] = stand
        except Exception as error:
            self.measured.failed[name] = f"{type(error).__name__}: {error}"[:500].strip()

    def _measure_nothing(self) -> tuple[float, Alone]:
        """What a call takes beside itself, by the wall clock, and calls of nothing one by one."""
        empty = Stand(self.clock, nothing, [[]])
        empty.warm()
        lasted = []
        for _ in range(3):
            started = time.perf_counter()
            empty.turn(EMPTY_CALLS)
            lasted.append((time.perf_counter() - started) * 1e3 / EMPTY_CALLS)
        return median(lasted), empty.alone(ALONE_CALLS)

    def _estimate(self, stand: Stand) -> float:
        stand.warm()
        return median(stand.turn(ESTIMATED_CALLS))

    # --- turns ----------------------------------------------------------------------------------

    def _take_turns(self, until: float) -> None:
        rounds = self.measured.rounds
        number = 0
        # Not at the values of the first round again: what was kept of that would be right.
        while (
            number < LEAST_ROUNDS
            or (len(self.sets) > 1 and (number - 1) % len(self.sets) == 0)
            or (time.monotonic() < until and not rounds.enough())
        ):
            self.say("candidate", f"timing, round {number + 1}" if number % 10 == 0 else "")
            turns: dict[str, list[float]] = {}
            for name in turn_order(rounds.names, number, self.seed):
                turns[name] = self._turn(name, number)
            rounds.add(turns)
            if number == 0:
                self._compare(0)
            number += 1
        self._compare(self.seed % max(1, self.calls[CANDIDATE]))

    def _turn(self, name: str, shift: int) -> list[float]:
        if name == CANDIDATE:
            return self.remote.turn(self.calls[name], shift)
        stand = self.stands[name]
        stand.place(shift)
        stand.warm()
        started = time.perf_counter()
        told = stand.turn(self.calls[name])
        if name == "eager":
            lasted = (time.perf_counter() - started) * 1e3
            self.besides.append((lasted - sum(told)) / len(told))
        return told

    def _alone(self) -> None:
        """Everybody by itself, for the wall clock."""
        for name in (*self.stands, CANDIDATE):
            found = (
                self.remote.alone(ALONE_CALLS)
                if name == CANDIDATE
                else self.stands[name].alone(ALONE_CALLS)
            )
            before = self.measured.alone.get(name, Alone((), ()))
            self.measured.alone[name] = Alone(
                before.device_ms + found.device_ms, before.wall_ms + found.wall_ms
            )

    # --- looking at it --------------------------------------------------------------------------

    def _compare(self, call: int) -> None:
        """What the last turn's call on some set returned, against the reference."""
        slot = call % len(self.sets)
        shift = self.measured.rounds.count - 1
        # As they were drawn: calls may have changed those that were handed out.
        inputs = self.reference.draw(self.seeds[(slot + shift) % len(self.sets)])
        outputs, devices = self.remote.results(slot)
        self.say("reference", "")
        expectation = self.reference.expect(inputs, self.reference.state, self.training, self.seed)
        self.reference.model.train(self.training)
        self.say("candidate", "")
        result = _result(outputs, devices)
        trial = Trial("a timed call", self.seed, own=True)
        try:
            compare_outputs(
                trial, inputs, expectation, result, Findings(), on_gpu=self.clock.on_gpu
            )
        except Refusal as refusal:
            self.measured.wrong = refusal.message

    def _look_for_hidden_work(self, empty_ms: float, beside_ms: float, idle: Alone) -> None:
        measured, tolerance = self.measured, self.clock.tolerance_ms
        beside_ms = max([beside_ms, *([median(self.besides)] if self.besides else [])])
        hidden = hidden_in_turns(self.remote.outsides, empty_ms, beside_ms, tolerance)
        if hidden is not None:
            measured.doubt(
                "clock_disagrees",
                f"Seen from another process a call of the candidate takes {hidden:.3g} ms longer "
                "than its own process tells: its time is not to be trusted.",
            )
        outside = hidden_outside_stream(measured.alone[CANDIDATE], idle, tolerance)
        if outside is not None:
            measured.doubt(
                "outside_stream",
                f"After a call of the candidate the GPU works on for {outside:.3g} ms that its "
                "current stream does not wait for: on another stream, or from a thread.",
            )
        beside = median(measured.rounds.medians("eager"))
        if disturbed_baseline(self.before_ms, beside):
            measured.doubt(
                "baseline_disturbed",
                f"PyTorch takes {beside:.3g} ms beside the candidate and took "
                f"{self.before_ms:.3g} ms before that was loaded.",
            )


def _form(inputs: list[Any]) -> list[Any]:
    return [
        (x.shape, x.dtype, x.stride()) if isinstance(x, torch.Tensor) else x
        for _, x in leaves(inputs)
    ]


def _result(outputs: Any, devices: tuple[str, ...]) -> Result:
    """A result of which only the outputs are looked at."""
    return Result(
        outputs=outputs,
        inputs=[],
        state={},
        launches={},
        only_copies=False,
        aten={},
        work={},
        read_by_host={},
        stale=False,
        notes=("tf32",),
        configuration=None,
        configurations={},
        compiled={},
        devices=devices,
    )


def _stay_on_this_core() -> int | None:
    """Keep this thread on the core where it is: launches take longer on some than on others."""
    try:
        with open("/proc/thread-self/stat") as file:
            core = int(file.read().rpartition(")")[2].split()[36])
        os.sched_setaffinity(0, {core})
        return core
    except (OSError, ValueError, IndexError):
        return None
