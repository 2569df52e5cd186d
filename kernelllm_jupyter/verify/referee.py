"""One candidate against one reference at one size: the order of its trials.

Runs in the referee's process, which the candidate's code never enters; what crosses over is raw
bytes. What each point of DESIGN.md's "what correct means" asks is in ``outputs`` and ``conduct``;
at which sizes a match is played is in ``course``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from kernelllm_jupyter.verify.conduct import Launching, Memory, watch_side_effects
from kernelllm_jupyter.verify.configurations import Configurations
from kernelllm_jupyter.verify.findings import Findings, Refusal, Say
from kernelllm_jupyter.verify.nests import identical, leaves, mapped
from kernelllm_jupyter.verify.opponent import Opponent, Result
from kernelllm_jupyter.verify.outputs import Controls, compare_outputs, passes, telling
from kernelllm_jupyter.verify.reference import Expectation, Reference, ReferenceFailure
from kernelllm_jupyter.verify.steps import Steps
from kernelllm_jupyter.verify.tensors import Foreign
from kernelllm_jupyter.verify.trials import (
    Trial,
    one_at_a_time,
    plan,
    unforeseen,
    varied_state,
)
from kernelllm_jupyter.verify.watching.audit import POISON_NUMBER

__all__ = ["Match"]

#: Variations stop when a check has taken this long: large inputs in the interpreter.
VARIATIONS_S = 10.0

#: What cannot be found out on a device, by reason code.
NOT_MADE = {
    "cpu": {
        "compilation": "The Triton kernels were interpreted, not compiled for a GPU.",
        "device": "Whether outputs are on the GPU cannot be seen without one.",
    },
    "gpu": {
        "out_of_bounds": "Accesses out of bounds were not tracked: that needs the interpreter.",
        "races": "Races between programs were not looked for.",
    },
}

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Run:
    """A trial under way, and what it should give; None where it says nothing."""

    trial: Trial
    inputs: list[Any]
    state: State
    expectation: Expectation | None


class Match:
    """One candidate against one reference."""

    def __init__(
        self,
        opponent: Opponent,
        request: dict[str, Any],
        reference: Reference,
        say: Say,
        seconds_left: Callable[[], float],
        findings: Findings,
        again: bool,
        steps: Steps,
    ):
        self.opponent, self.request, self.reference = opponent, request, reference
        self.say, self.seconds_left, self.findings = say, seconds_left, findings
        self.steps = steps
        #: Of the trials; weights are made by the seed that the user gave.
        self.seed = unforeseen(reference.seed, request["source"], request["code"])
        self.on_gpu = reference.device != "cpu"
        self.training = reference.training
        self.eval_differs = False
        #: What the candidate returned last.
        self.result: Result | None = None
        #: Whether the candidate's module was executed before, for a match at another size.
        self.again = again
        #: The problem's inputs as they were drawn first.
        self.inputs: list[Any] = []
        #: Which of the candidate's tensors stands for which of the reference's.
        self.names: dict[str, str] = {}
        #: Weights of the reference that could as well stand for another one, by that one.
        self.twins: dict[str, str] = {}
        self.launching, self.memory, self.controls = Launching(), Memory(), Controls()
        self.configurations = Configurations()

    def play(self, *, brief: bool = False) -> None:
        """Raise :class:`Refusal` or :class:`ReferenceFailure`, or return: then it is correct.

        ``brief`` leaves the variations out.
        """
        for code, message in NOT_MADE["gpu" if self.on_gpu else "cpu"].items():
            self.findings.skip(code, message)
        timed = self.findings.timed
        with timed("build"):
            self.build()
        self.say("reference", "")
        first, second = (self.reference.draw(self.seed + n, n) for n in (0, 1))
        self.reference.keep_apart(first, second)
        self.inputs = first
        calls = len(self.reference.calls)
        trials = plan(self.seed, first, second, calls, weights=bool(self.reference.state))
        if brief:
            self.findings.skip("variations", "Runs take too long for further variations.")
            trials = [trial for trial in trials if trial.own]
        with timed("mode"):
            self._settle_mode(first)
            if self.training == self.reference.training:
                self.reference.confirm()
        self._try_all(trials)
        self.launching.conclude(self.findings)
        self.controls.conclude(self.findings)

    def _try_all(self, trials: list[Trial]) -> None:
        timed, steps = self.findings.timed, self.steps
        # After the trials come those of padding and without launches.
        with steps.planned(2):
            with steps.planned(len(trials)):
                self._try_each(trials)
            with timed("padding"):
                self._try_padding()
            with timed("configurations"), steps.planned(self.configurations.left):
                late_s = 0.4 * float(self.request["timeout_s"])
                self.configurations.finish(
                    lambda: self._try(trials[0]),
                    lambda: self.seconds_left() < late_s,
                    self.findings,
                )
            with timed("without_launches"):
                self._try_without_launches(trials[1])

    def _try_each(self, trials: list[Trial]) -> None:
        timed = self.findings.timed
        with timed("own_inputs"):
            self._try_first(trials[0])
        asides = ("buffers", "layout")
        self._try_in_turn([trial for trial in trials[1:] if trial.varies not in asides])
        with timed("other_weights"):
            for trial in trials:
                if trial.varies == "buffers" and not self._too_late(trial):
                    self._try_buffers(trial)
        with timed("layouts"):
            for trial in trials:
                if trial.varies == "layout" and not self._too_late(trial):
                    self._try_layout(trial)

    def glance(self, name: str, training: bool | None = None) -> bool:
        """One trial alone. Returns whether it was made: not where it says nothing."""
        if training is not None:
            self.training = training
        # That is found out where a match is played.
        self.launching.only_copies = False
        self.build()
        trial = Trial(name, self.seed + 30, own=False)
        self.inputs = self.reference.draw(trial.seed)
        return self._try(trial)

    # --- building -----------------------------------------------------------------------------

    def build(self) -> None:
        """Have ``ModelNew`` built with the reference's arguments, and match its weights."""
        self.say("candidate", "building the candidate")
        try:
            built = self.opponent.build(
                self.reference.init,
                self.request,
                again=self.again,
                dtype=self.reference.given.dtype,
            )
        except Foreign as error:
            raise _cannot_cross("get_init_inputs()", error) from None
        if built.added_names:
            self.findings.warn(
                "missing_names",
                f"The code uses {', '.join(built.added_names)}, which this torch or triton no "
                "longer has; the check put the names back, your own session does not.",
            )
        self.names, self.twins = _matched(self.reference.seeded, built.state)
        self._equate_twins()

    def _equate_twins(self) -> None:
        """Give weights that cannot be told apart one value, where the live module's differ."""
        state = self.reference.state
        for name, twin in self.twins.items():
            if not torch.equal(state[name], state[twin]):
                self.findings.skip(
                    "weights",
                    f"Which of the candidate's weights stands for {name} and which for {twin} "
                    "cannot be told (keep their names): both had the values of the latter.",
                )
                state[name] = state[twin].clone()

    def _settle_mode(self, inputs: list[Any]) -> None:
        """Leave training mode where the module draws random numbers in it (dropout)."""
        seed = self.reference.seed
        if self._repeats(inputs, self.training):
            once, evaluated = (
                self.reference.outputs(inputs, mode, seed) for mode in (self.training, False)
            )
            self.eval_differs = self.training and not identical(once, evaluated)
        elif self.training and self._repeats(inputs, False):
            self.training = False
            self.findings.warn(
                "eval_mode",
                "In training mode the module draws random numbers; it was checked in eval mode.",
            )
        else:
            raise ReferenceFailure(
                "forward() gives different results for the same inputs (it draws random numbers), "
                "so no candidate can be compared with it: pass the random tensor as an input "
                "instead."
            )

    def _repeats(self, inputs: list[Any], training: bool) -> bool:
        seed = self.reference.seed
        once, again = (self.reference.outputs(inputs, training, n) for n in (seed, seed + 1))
        return identical(once, again)

    def _begin(self, doing: str) -> None:
        """Say what the next step is."""
        self.steps.begin()
        self.say("candidate", doing)

    # --- trials -------------------------------------------------------------------------------

    def _try_first(self, trial: Trial) -> None:
        """The first trial settles the mode: batch norm, say, may be right in eval mode only."""
        try:
            self._try(trial)
        except Refusal as refusal:
            if refusal.kind != "incorrect":
                raise
            if not self.eval_differs:
                raise self._with_weights_named(refusal) from None
            in_training = self.result
            self.training = False
            self.findings.forget_errors()
            try:
                self._try(trial)
            except Refusal:
                raise refusal from None
            assert in_training is not None
            assert self.result is not None
            if not identical(in_training.outputs, self.result.outputs):
                # It tells the modes apart, and is wrong in the one in which the module is built.
                raise refusal from None
            self.findings.warn(
                "eval_mode_only",
                "The candidate is right in eval mode only. In training mode, in which the module "
                f"is built: {refusal.message}",
            )

    def _try_layout(self, trial: Trial) -> None:
        """Refusing inputs that are not contiguous is fine; a wrong result without a word is not."""
        if self.findings.warned("contiguous_only"):
            self.steps.drop()
            return
        drawn = self._drawn(trial)
        plain = self.reference.draw(trial.seed, trial.call)
        if drawn is None or _strides(drawn[0]) == _strides(plain):
            self.steps.drop()
            return
        if self._wrong_without_error(drawn, trial):
            self.findings.warn(
                "contiguous_only",
                "For inputs that are not contiguous in memory the result is wrong without an "
                "error: call .contiguous() on them first.",
            )

    def _try_buffers(self, trial: Trial) -> None:
        """A constant of the module may stand in the code, as long as it stays what it is."""
        parameters = {name for name, _ in self.reference.model.named_parameters()}
        own = self.reference.state
        state = varied_state(own, parameters, trial.seed, buffers=True)
        if state is None:
            self.steps.drop()
            return
        drawn = self.reference.draw(trial.seed, trial.call), state
        if self._wrong_without_error(drawn, trial):
            names = ", ".join(name for name in state if not torch.equal(state[name], own[name]))
            self.findings.warn(
                "constant_buffers",
                f"The result does not follow the reference's {names}: it is right while they hold "
                "what the constructor puts there, and wrong once other values are loaded.",
            )

    def _try_padding(self) -> None:
        """Lanes that a mask leaves out hold 0 on today's GPUs, which Triton does not promise."""
        if self.result is None or "padding" not in self.result.notes:
            self.steps.drop()
            return
        trial = Trial("undefined padding", self.seed, own=False, padding_undefined=True)
        if self._wrong_without_error((self.reference.draw(self.seed), self.reference.state), trial):
            self.findings.warn(
                "undefined_padding",
                "The result depends on what a masked load gives where its mask is false: pass "
                "other=0.0, or whatever is neutral there. Triton leaves it undefined.",
            )

    def _wrong_without_error(self, drawn: tuple[list[Any], State], trial: Trial) -> bool:
        """Whether a run that does not decide gives a wrong result, instead of a right one or an
        error."""
        inputs, state = drawn
        self._begin(trial.doing)
        self._start(inputs, state, trial)
        expectation = self._expectation(trial, inputs, state)
        result = self._discard()
        if result is None or expectation is None:
            return False
        self.findings.trials += 1
        return not passes(trial, expectation, result)

    def _with_weights_named(self, refusal: Refusal) -> Refusal:
        """A first wrong result is no wonder where the candidate has other weights."""
        missing = [name for name in self.reference.state if name not in self.names]
        if missing:
            refusal.message += (
                f" The candidate has no weight that matches the reference's {', '.join(missing)} "
                "by name and shape, nor by value when built with the same seed: keep the "
                "reference's submodules."
            )
        return refusal

    def _try_in_turn(self, trials: list[Trial]) -> None:
        """Runs that have to be right: the candidate makes one while the one before is judged."""
        timed = self.findings.timed
        run: Run | None = None
        result: Result | None = None
        left = deque(trials)
        while left:
            trial = left.popleft()
            if self._too_late(trial, run):
                break
            with timed(_point(trial)):
                drawn = self._drawn(trial)
            if drawn is None:
                self.steps.drop()
                continue
            if run is not None:
                with timed(_point(run.trial)):
                    result = self._result(run)
            with timed(_point(trial)):
                self._begin(trial.doing)
                self._start(*drawn, trial)
                self._judge(run, result)
                run = Run(trial, *drawn, self._expectation(trial, *drawn))
            if run.expectation is None:
                # Of all inputs at once it may be none that the reference can run.
                left.extendleft(one_at_a_time(trial, self.inputs))
        if run is not None:
            with timed(_point(run.trial)):
                self._judge(run, self._result(run))

    def _try(self, trial: Trial) -> bool:
        """One run that has to be right; False where the trial is none for this problem."""
        drawn = self._drawn(trial)
        if drawn is None:
            self.steps.drop()
            return False
        self._begin(trial.doing)
        self._start(*drawn, trial)
        run = Run(trial, *drawn, self._expectation(trial, *drawn))
        return self._judge(run, self._result(run))

    def _result(self, run: Run) -> Result | None:
        """Wait for what the candidate returns; None where it does not count."""
        return self._discard() if run.expectation is None else self.opponent.finish()

    def _judge(self, run: Run | None, result: Result | None) -> bool:
        """Raise :class:`Refusal` unless the result of a run is right; False where none counts."""
        if run is None or run.expectation is None or result is None:
            return False
        trial, inputs, state, expectation = run.trial, run.inputs, run.state, run.expectation
        self.result = result
        self.findings.trials += 1
        self.launching.watch(trial, result, self.findings, bool(self.request["allow_tf32"]))
        try:
            compare_outputs(trial, inputs, expectation, result, self.findings, on_gpu=self.on_gpu)
        except Refusal:
            self.memory.explain(expectation, result)
            raise
        watch_side_effects(inputs, state, self.names, expectation, result, self.findings)
        self.memory.remember(expectation, result)
        self.configurations.note(result)
        self.launching.compare(inputs, state, expectation, result)
        self.controls.try_all(trial, inputs, expectation)
        return True

    def _drawn(self, trial: Trial) -> tuple[list[Any], State] | None:
        """Inputs and weights of a trial; None where this problem has nothing to vary."""
        self.say("reference", "")
        inputs = self.reference.draw(trial.seed, trial.call)
        if trial.change is not None:
            changed = trial.change(inputs)
            if changed is None:
                return None
            inputs = changed
        if trial.varies != "weights":
            return inputs, self.reference.state
        return self._with_other_weights(inputs, trial.seed)

    def _with_other_weights(self, inputs: list[Any], seed: int) -> tuple[list[Any], State] | None:
        """The same inputs with other values in every weight that the candidate has as well."""
        original = self.reference.state
        parameters = {name for name, _ in self.reference.model.named_parameters()}
        state = varied_state(original, parameters, seed)
        if state is None:
            return None
        changed = {name for name in state if not torch.equal(state[name], original[name])}
        for name in sorted(changed - self.names.keys()):
            self.findings.skip(
                "weights",
                f"The reference's {name} has no counterpart of its name and shape in the "
                "candidate, so it could not be varied.",
            )
            state[name] = original[name]
        if not changed & self.names.keys():
            return None
        for alike in (self.twins, self.reference.ties):
            for name, twin in alike.items():
                state[name] = state[twin].clone()
        return inputs, state

    def _expectation(self, trial: Trial, inputs: list[Any], state: State) -> Expectation | None:
        """What the reference makes of it; None where a variation is none that it can run."""
        self.say("reference", "")
        try:
            expectation = self.reference.expect(
                inputs,
                state,
                self.training,
                trial.seed,
                watch_overflow=not trial.own,
                few_digits=trial.few_digits,
            )
        except ReferenceFailure:
            if trial.own:
                raise
            return None
        finally:
            self.say("candidate", "")
        return expectation if trial.own or telling(expectation) else None

    def _start(self, inputs: list[Any], state: State, trial: Trial, *, launch: bool = True) -> None:
        weights = {self.names[name]: value for name, value in state.items() if name in self.names}
        try:
            self.opponent.start(
                inputs,
                weights,
                seed=trial.seed,
                launch=launch,
                training=self.training,
                only_copies=self.launching.only_copies,
                poison=trial.poison,
                padding_undefined=trial.padding_undefined,
                keywords=self.reference.given.keywords,
            )
        except Foreign as error:
            raise _cannot_cross("get_inputs()", error) from None

    def _discard(self) -> Result | None:
        """The result of a run that does not count; None where it failed, unless it crashed."""
        try:
            return self.opponent.finish()
        except Refusal as refusal:
            if refusal.kind == "crashed":
                raise
            return None

    def _try_without_launches(self, trial: Trial) -> None:
        """With its launches disabled the candidate must not give the right answer any more.

        The inputs are those of an earlier trial, so that what is kept by content shows as well.
        """
        trial = replace(trial, poison=POISON_NUMBER)
        self.say("reference", "")
        inputs, state = self.reference.draw(trial.seed, trial.call), self.reference.state
        self._begin("without its Triton kernels")
        self._start(inputs, state, trial, launch=False)
        expectation = self._expectation(trial, inputs, state)
        result = self._discard()
        if expectation is None or not any(
            isinstance(x, torch.Tensor) and x.numel() for _, x in leaves(expectation.outputs)
        ):
            return
        if result is None or not passes(trial, expectation, result):
            return
        self.launching.expect_launches(trial, result)
        # Scratch that is used again may still hold what the run before left there: other values.
        self._start(mapped(inputs, _negative), state, trial)
        self._discard()
        self._start(inputs, state, trial, launch=False)
        result = self._discard()
        if result is not None and passes(trial, expectation, result):
            raise Refusal(
                "rejected",
                "decoy_launch",
                "The result does not depend on the Triton kernels that run: with their launches "
                "disabled it is the same.",
            )

    def _too_late(self, trial: Trial, run: Run | None = None) -> bool:
        """Whether the time that further trials may take is spent; two of its own are made."""
        timeout_s = float(self.request["timeout_s"])
        spent = timeout_s - self.seconds_left()
        enough = self.findings.trials + (run is not None) >= 2 if trial.own else True
        late = enough and spent > min(0.5 * timeout_s, VARIATIONS_S)
        if late:
            self.findings.skip("variations", "Runs take too long for further variations.")
        return late


def _negative(tensor: torch.Tensor) -> torch.Tensor:
    return -tensor if tensor.is_floating_point() else tensor


def _point(trial: Trial) -> str:
    """Under which name a trial's cost is counted."""
    if trial.own:
        return "own_inputs"
    if trial.varies == "layout":
        return "layouts"
    return "other_weights" if trial.varies in ("weights", "buffers") else "variations"


def _strides(inputs: list[Any]) -> list[Any]:
    return [x.stride() for _, x in leaves(inputs) if isinstance(x, torch.Tensor)]


def _matched(own: State, others: State) -> tuple[dict[str, str], dict[str, str]]:
    """The reference's tensors and the candidate's that stand for them; and which are alike.

    By name and shape; what is left over by equal values, since both were built by one seed. Some
    of equal values (the ones of two norms, say) cannot be told apart: they must stay equal, and
    where the two sides do not have as many of them, none can be said to stand for another.
    """
    names = {
        name: name
        for name, value in own.items()
        if name in others and others[name].shape == value.shape
    }
    twins: dict[str, str] = {}
    left = [name for name in own if name not in names]
    free = [name for name in others if name not in names]
    while left:
        value = own[left[0]]
        mine = [name for name in left if _equal(own[name], value)]
        theirs = [name for name in free if _equal(others[name].to(value.device), value)]
        left = [name for name in left if name not in mine]
        if len(mine) == len(theirs):
            names.update(zip(mine, theirs, strict=True))
            twins.update(dict.fromkeys(mine[1:], mine[0]))
    return names, twins


def _equal(left: torch.Tensor, right: torch.Tensor) -> bool:
    return left.shape == right.shape and bool(torch.equal(left, right))


def _cannot_cross(function: str, error: Foreign) -> ReferenceFailure:
    return ReferenceFailure(
        f"{function} returns a {error}, which cannot be handed to the candidate's process: return "
        "tensors, numbers, strings, lists and dicts of them."
    )
