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
from kernelllm_jupyter.verify.steps import Steps
from kernelllm_jupyter.verify.timing.baselines import Baseline, autotuning_seconds
from kernelllm_jupyter.verify.timing.clocks import Clock
from kernelllm_jupyter.verify.timing.honesty import (
    Alone,
    disturbed_baseline,
    hidden_in_turns,
    hidden_outside_stream,
)
from kernelllm_jupyter.verify.timing.remote import First, Remote
from kernelllm_jupyter.verify.timing.rounds import (
    MOST_ROUNDS,
    Rounds,
    calls_for,
    sets_for,
    turn_order,
)
from kernelllm_jupyter.verify.timing.stand import Stand, nothing, spelled
from kernelllm_jupyter.verify.timing.statistics import FEWEST_ROUNDS
from kernelllm_jupyter.verify.trials import Trial, unforeseen

__all__ = ["Bench", "Measured"]

CANDIDATE = "candidate"
#: Calls in the first estimate, in the look at what measuring takes by itself, and one by one.
ESTIMATED_CALLS, EMPTY_CALLS, ALONE_CALLS = 5, 50, 9


#: Rounds that are made whatever they take.
LEAST_ROUNDS = 3
#: Seconds of rounds before anything is compiled, which stand where compiling never ends.
PRELIMINARY_S = 2.0
#: How often what is measured is told, for the case that nothing comes after it.
KEEP_EVERY_S = 4.0


@dataclass
class Measured:
    """What one measurement found, on its way to becoming a ``Timing``."""

    rounds: Rounds
    firsts: dict[str, First] = field(default_factory=dict)
    alone: dict[str, Alone] = field(default_factory=dict)
    #: Why a baseline has no figure.
    failed: dict[str, str] = field(default_factory=dict)
    #: What makes the figures doubtful.
    doubts: list[dict[str, Any]] = field(default_factory=list)
    #: What the results of timed calls showed; None where they are right.
    wrong: str | None = None
    #: PyTorch's median before the candidate was loaded, which is all where no round was taken.
    before_ms: float | None = None


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
        keep: Callable[[Measured], None] = lambda _: None,
    ):
        self.request, self.reference, self.clock = request, reference, clock
        self.say, self.seconds_left = say, seconds_left
        self.opponent, self.again = opponent, again
        #: Told what is there by now, for the case that it ends before it is through.
        self.keep = keep
        self.remote = Remote(opponent)
        self.seed = unforeseen(reference.seed, request["source"], request["code"], "timing")
        self.training = reference.training and not request["eval_mode"]
        self.seeds, self.sets = self._draw()
        self.stands: dict[str, Stand] = {}
        self.calls: dict[str, int] = {}
        self.measured = Measured(Rounds(()))
        self.empty_ms, self.beside_ms, self.idle = 0.0, 0.0, Alone((), ())
        #: What a call of PyTorch's took beside itself, turn by turn.
        self.besides: list[float] = []

    def run(self, baselines: Sequence[Baseline], budget_s: float) -> Measured:
        """Set everybody up, take turns, and look at what came of it; raises :class:`Refusal`."""
        self._set_up()
        self.beside_ms, self.idle = self._measure_nothing()
        self.empty_ms = self.remote.empty_ms()
        told = median(self.remote.turn(ESTIMATED_CALLS, 0))
        self.calls[CANDIDATE] = calls_for(told, self.beside_ms)
        self.remote.outsides.clear()
        if baselines:
            if not self.again:
                # Compiling may take all the time there is, and is waited for in one piece.
                self._measure(min(budget_s, PRELIMINARY_S), FEWEST_ROUNDS)
            for baseline in baselines:
                self.say("reference", f"compiling with {baseline.words}")
                self._seat(baseline.name, baseline.compiled(self.reference.model))
        self._measure(min(budget_s, self.seconds_left() - 5))
        return self.measured

    def _measure(self, seconds: float, most_rounds: int = MOST_ROUNDS) -> None:
        """Rounds of all that have a stand, in place of those before."""
        until = time.monotonic() + seconds
        for name, stand in self.stands.items():
            self.calls[name] = calls_for(self._estimate(stand), self.beside_ms)
        self.measured.rounds, self.measured.alone = Rounds((*self.stands, CANDIDATE)), {}
        self._alone()
        self._take_turns(until, most_rounds)
        self._alone()
        self._keep()

    def _keep(self) -> None:
        """Look at what there is by now, and tell of it."""
        self.measured.doubts = self._doubts()
        self.keep(self.measured)

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

    def _set_up(self) -> None:
        self.say("reference", "running PyTorch")
        core = _stay_on_this_core() if self.clock.on_gpu else None
        model = self.reference.model.train(self.training)
        self._seat("eager", model)
        if "eager" not in self.stands:
            raise ReferenceFailure(f"The reference module failed: {self.measured.failed['eager']}")
        self.measured.before_ms = self._estimate(self.stands["eager"])
        self.keep(self.measured)
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
            Steps(),
        )
        match.build()
        state = self.reference.state
        weights = {match.names[name]: value for name, value in state.items() if name in match.names}
        self.say("candidate", "running the candidate")
        self.measured.firsts[CANDIDATE] = self.remote.stand(
            self.sets, weights, self.training, self.seed
        )

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

    def _take_turns(self, until: float, most_rounds: int) -> None:
        rounds = self.measured.rounds
        number, kept = 0, time.monotonic()
        while (
            number < LEAST_ROUNDS
            or self._at_the_first_values(number)
            or (time.monotonic() < until and number < most_rounds and not rounds.enough())
        ):
            self.say("candidate", f"timing, round {number + 1}" if number % 10 == 0 else "")
            turns: dict[str, list[float]] = {}
            for name in turn_order(rounds.names, number, self.seed):
                turns[name] = self._turn(name, number)
            rounds.add(turns)
            number += 1
            if number == 1:
                self._compare(0)
            elif time.monotonic() > kept + KEEP_EVERY_S and not self._at_the_first_values(number):
                self._compare(self.seed % self.calls[CANDIDATE])
                self._keep()
                kept = time.monotonic()
        self._compare(self.seed % self.calls[CANDIDATE])

    def _at_the_first_values(self, rounds: int) -> bool:
        """Whether the last of so many rounds had the first one's inputs in their places: what was
        kept of that would be right in it, so it is not compared."""
        return len(self.sets) > 1 and (rounds - 1) % len(self.sets) == 0

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

    def _doubts(self) -> list[dict[str, Any]]:
        """What makes the figures so far doubtful: code and message."""
        measured, tolerance, found = self.measured, self.clock.tolerance_ms, {}
        beside_ms = max([self.beside_ms, *([median(self.besides)] if self.besides else [])])
        hidden = hidden_in_turns(self.remote.outsides, self.empty_ms, beside_ms, tolerance)
        if hidden is not None:
            found["clock_disagrees"] = (
                f"Seen from another process a call of the candidate takes {hidden:.3g} ms longer "
                "than its own process tells: its time is not to be trusted."
            )
        outside = hidden_outside_stream(measured.alone[CANDIDATE], self.idle, tolerance)
        if outside is not None:
            found["outside_stream"] = (
                f"After a call of the candidate the GPU works on for {outside:.3g} ms that its "
                "current stream does not wait for: on another stream, or from a thread."
            )
        before, beside = measured.before_ms, median(measured.rounds.medians("eager"))
        if before is not None and disturbed_baseline(before, beside):
            found["baseline_disturbed"] = (
                f"PyTorch takes {beside:.3g} ms beside the candidate and took {before:.3g} ms "
                "before that was loaded."
            )
        return [{"code": code, "message": message} for code, message in found.items()]


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
