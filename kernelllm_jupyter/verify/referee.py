"""The referee: runs the reference, sends the candidate what to run on, compares, decides.

Runs in a process that the candidate's code never enters; what crosses over is raw bytes. Each
point of DESIGN.md's "what correct means" that is decided from results is decided here.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from kernelllm_jupyter.verify.explain import account
from kernelllm_jupyter.verify.protocol import BadMessage, Closed, Message, receive, send
from kernelllm_jupyter.verify.reference import Expectation, Reference, ReferenceFailure
from kernelllm_jupyter.verify.tensors import Blob, Foreign, copied, leaves, pack, unpack
from kernelllm_jupyter.verify.tolerance import Comparison, compare, relative_distance
from kernelllm_jupyter.verify.trials import Trial, plan, varied_state

__all__ = ["Refusal", "judge"]

#: A variation where the reference itself is this far, relative to scale, from the exact result,
#: or moves this far by one rounding of every input, says nothing about a candidate: it is dropped.
ILL_CONDITIONED = {
    torch.float64: 1e-4,
    torch.float32: 1e-3,
    torch.float16: 0.1,
    torch.bfloat16: 0.3,
}

Say = Callable[[str, str], None]


class Refusal(Exception):
    """The verdict is found: ``kind`` with one reason."""

    def __init__(self, kind: str, code: str, message: str, line: int | None = None):
        super().__init__(message)
        self.kind, self.code, self.message, self.line = kind, code, message, line


@dataclass
class Findings:
    """What the check has found so far; becomes the verdict."""

    trials: int = 0
    max_abs_error: float | None = None
    error_budget: float | None = None
    ratio: float = -1.0
    launches: int | None = None
    aten: dict[str, int] = field(default_factory=dict)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    not_made: list[dict[str, Any]] = field(default_factory=list)

    def warn(self, code: str, message: str) -> None:
        if not any(found["code"] == code for found in self.warnings):
            self.warnings.append({"code": code, "message": message})

    def skip(self, code: str, message: str) -> None:
        self.not_made.append({"code": code, "message": message})

    def measure(self, comparison: Comparison) -> None:
        if comparison.error is not None and comparison.ratio > self.ratio:
            self.ratio = comparison.ratio
            self.max_abs_error = comparison.error
            self.error_budget = comparison.budget


@dataclass(frozen=True)
class Result:
    """What one run of the candidate handed back."""

    outputs: Any
    inputs: list[Any]
    state: dict[str, torch.Tensor]
    launches: dict[str, int]
    only_copies: bool
    aten: dict[str, int]
    stale: bool
    notes: tuple[str, ...]
    configuration: str | None
    devices: tuple[str, ...]


def judge(
    wire: socket.socket,
    request: dict[str, Any],
    blobs: list[bytearray],
    folder: Path,
    device: str,
    say: Say,
    seconds_left: Callable[[], float],
) -> dict[str, Any]:
    """The verdict as JSON, or ``{"problem": …}`` where the reference itself fails."""
    findings = Findings()
    try:
        say("reference", "running the reference")
        match = Match(wire, request, blobs, folder, device, say, seconds_left, findings)
        match.play()
        kind, reasons = "correct", []
    except ReferenceFailure as failure:
        return {"problem": {"message": str(failure), "line": failure.line}}
    except Refusal as refusal:
        reason: dict[str, Any] = {"code": refusal.code, "message": refusal.message}
        reason["line"] = refusal.line
        kind, reasons = refusal.kind, [reason]
    return {
        "verdict": kind,
        "reasons": reasons,
        "warnings": findings.warnings,
        "not_made": findings.not_made,
        "trials": findings.trials,
        "max_abs_error": findings.max_abs_error,
        "error_budget": findings.error_budget,
        "launches": findings.launches,
        "aten": findings.aten,
    }


class Match:
    """One candidate against one reference."""

    def __init__(
        self,
        wire: socket.socket,
        request: dict[str, Any],
        blobs: list[bytearray],
        folder: Path,
        device: str,
        say: Say,
        seconds_left: Callable[[], float],
        findings: Findings,
    ):
        self.wire, self.request, self.device, self.say = wire, request, device, say
        self.seconds_left, self.findings = seconds_left, findings
        self.reference = Reference(request, blobs, folder, device)
        self.seed = self.reference.seed
        self.training = self.reference.training
        self.names: dict[str, str] = {}
        self.controls: dict[str, bool] = {}
        self.always_copies = True
        self.previous: tuple[Any, Any] | None = None

    def play(self) -> None:
        self._build()
        self.say("reference", "")
        trials = plan(self.seed)
        first = self.reference.draw(trials[0].seed)
        self._settle_mode(first)
        for trial in trials:
            if not trial.own and self._too_late():
                self.findings.skip("variations", "No time was left for further variations.")
                break
            self._try(trial)
        self._try_without_launches(trials[0])
        self._conclude()

    # --- building -----------------------------------------------------------------------------

    def _build(self) -> None:
        blobs: list[Blob] = []
        args, kwargs = self.reference.init
        try:
            form = pack((args, kwargs), blobs)
        except Foreign as error:
            raise ReferenceFailure(
                f"get_init_inputs() returns a {error}, which cannot be handed to the candidate's "
                "process: return numbers, strings, tensors, lists and dicts of them."
            ) from None
        self.say("candidate", "building the candidate")
        built = self._ask(
            {
                "do": "build",
                "code": self.request["code"],
                "init": form,
                "seed": self.seed,
                "memory_mb": self.request["memory_mb"],
                "allow_tf32": self.request["allow_tf32"],
            },
            blobs,
        )
        added = built.header["added_names"]
        if added:
            self.findings.warn(
                "missing_names",
                f"The code uses {', '.join(added)}, which this torch or triton no longer has; the "
                "check put the names back, your own session does not.",
            )
        state = unpack(built.header["state"], built.blobs)
        self.names = self._matched(state)

    def _matched(self, state: dict[str, torch.Tensor]) -> dict[str, str]:
        """Which of the candidate's tensors stands for which of the reference's.

        By name and shape; what is left over by equal values, since both were built by one seed.
        """
        own = self.reference.state
        names = {
            name: name
            for name, value in own.items()
            if name in state and state[name].shape == value.shape
        }
        free = {name: value for name, value in state.items() if name not in names.values()}
        for name, value in own.items():
            if name in names:
                continue
            for other, there in free.items():
                if there.shape == value.shape and torch.equal(there.to(value.device), value):
                    names[name] = other
                    del free[other]
                    break
        return names

    def _settle_mode(self, inputs: list[Any]) -> None:
        """Leave training mode where the module draws random numbers in it (dropout)."""
        self.say("reference", "")
        once = self.reference.outputs(inputs, self.training, self.seed)
        again = self.reference.outputs(inputs, self.training, self.seed + 1)
        if _identical(once, again):
            return
        if self.training:
            once = self.reference.outputs(inputs, False, self.seed)
            again = self.reference.outputs(inputs, False, self.seed + 1)
            if _identical(once, again):
                self.training = False
                self.findings.warn(
                    "eval_mode",
                    "In training mode the module draws random numbers; it was checked in eval "
                    "mode.",
                )
                return
        raise ReferenceFailure(
            "forward() gives different results for the same inputs (it draws random numbers), so "
            "no candidate can be compared with it: pass the random tensor as an input instead."
        )

    # --- trials -------------------------------------------------------------------------------

    def _try(self, trial: Trial) -> None:
        drawn = self._drawn(trial)
        if drawn is None:
            return
        inputs, state = drawn
        self.say("candidate", f"trying {trial.name}")
        self._start(inputs, state, trial.seed, launch=True)
        expectation = self._expectation(trial, inputs, state)
        result = self._finish(None if expectation is not None else trial)
        if expectation is None or result is None:
            return
        self.findings.trials += 1
        self._watch_launches(trial, result)
        self._compare(trial, inputs, expectation, result)
        self._watch_side_effects(trial, inputs, state, expectation, result)

    def _drawn(self, trial: Trial) -> tuple[list[Any], dict[str, torch.Tensor] | None] | None:
        self.say("reference", "")
        inputs = self.reference.draw(trial.seed)
        if trial.change is not None:
            if not any(
                isinstance(leaf, torch.Tensor) and leaf.is_floating_point()
                for _, leaf in leaves(inputs)
            ):
                return None
            inputs = trial.change(inputs)
        if not trial.weights_varied:
            return inputs, None
        parameters = {name for name, _ in self.reference.model.named_parameters()}
        state = varied_state(self.reference.state, parameters, trial.seed)
        if state is None:
            return None
        if any(name not in self.names for name in state):
            self.findings.skip(
                "weights",
                "The candidate keeps its weights under other names and shapes than the "
                "reference, so they could not be varied.",
            )
            return None
        return inputs, state

    def _expectation(
        self, trial: Trial, inputs: list[Any], state: dict[str, torch.Tensor] | None
    ) -> Expectation | None:
        """What the reference makes of it; None where a variation is none that it can run."""
        self.say("reference", "")
        try:
            expectation = self.reference.expect(inputs, state, self.training, trial.seed)
        except ReferenceFailure:
            if trial.own:
                raise
            return None
        if not trial.own and not _telling(expectation):
            return None
        return expectation

    def _compare(
        self, trial: Trial, inputs: list[Any], expectation: Expectation, result: Result
    ) -> None:
        expected = list(leaves(expectation.outputs))
        got = list(leaves(result.outputs))
        self._compare_structure(expectation.outputs, result.outputs, expected, got)
        self._compare_devices(expected, result)
        exact, shifted = (
            _aligned(expectation.exact, expected),
            _aligned(expectation.shifted, expected),
        )
        for index, ((path, want), (_, have)) in enumerate(zip(expected, got, strict=True)):
            if not isinstance(want, torch.Tensor):
                self._compare_plain(path, want, have)
                continue
            comparison = compare(
                have.to(want.device), want, exact[index], shifted[index], loose=not trial.own
            )
            if trial.own:
                self.findings.measure(comparison)
            if comparison.outcome == "near":
                self.findings.warn(
                    "imprecise",
                    f"On {trial.name} output{path} is less precise than the reference "
                    f"({comparison.ratio:.1f} times the error budget), within the usual "
                    "tolerance.",
                )
            if comparison.outcome == "different":
                self._refuse_cached(expectation, result)
                name = trial.name
                if result.configuration:
                    name += f", with {result.configuration}"
                message = account(f"output{path}", name, comparison, have, want, inputs)
                raise Refusal("incorrect", comparison.code, message)
        self._control(inputs, expected, exact, shifted, trial)
        self.previous = (copied(result.outputs), copied(expectation.outputs))

    def _compare_structure(
        self,
        expected: Any,
        got: Any,
        expected_leaves: list[tuple[str, Any]],
        got_leaves: list[tuple[str, Any]],
    ) -> None:
        want, have = _structure(expected), _structure(got)
        if want != have:
            raise Refusal(
                "incorrect",
                "structure",
                f"forward() returned {have} where the reference returns {want}.",
            )
        assert len(expected_leaves) == len(got_leaves)

    def _compare_devices(self, expected: list[tuple[str, Any]], result: Result) -> None:
        """Outputs must be on the GPU where the reference's are; on a CPU there is one device."""
        wanted = [leaf.device.type for _, leaf in expected if isinstance(leaf, torch.Tensor)]
        if wanted != list(result.devices):
            raise Refusal(
                "incorrect",
                "device",
                f"forward() returned tensors on {', '.join(result.devices)} where the reference's "
                f"are on {', '.join(wanted)}.",
            )

    def _compare_plain(self, path: str, want: Any, have: Any) -> None:
        if isinstance(want, float) and isinstance(have, float):
            a = torch.tensor([have], dtype=torch.float64).float()
            b = torch.tensor([want], dtype=torch.float64).float()
            if compare(a, b, None, None, loose=True).outcome != "different":
                return
        elif want == have:
            return
        raise Refusal(
            "incorrect",
            "wrong_values",
            f"output{path} is {have!r} where the reference has {want!r}.",
        )

    def _refuse_cached(self, expectation: Expectation, result: Result) -> None:
        """A wrong result that is the one before, bit for bit, was kept and not computed."""
        if self.previous is None:
            return
        outputs, expected = self.previous
        if _identical(outputs, result.outputs) and not _identical(expected, expectation.outputs):
            raise Refusal(
                "rejected",
                "cached_result",
                "forward() returned the result of the call before for other inputs: it keeps "
                "results instead of computing them.",
            )

    def _control(
        self,
        inputs: list[Any],
        expected: list[tuple[str, Any]],
        exact: list[torch.Tensor | None],
        shifted: list[torch.Tensor | None],
        trial: Trial,
    ) -> None:
        """Would an answer without any computing have passed this trial too?"""
        wanted = [
            (want, exact[i], shifted[i])
            for i, (_, want) in enumerate(expected)
            if isinstance(want, torch.Tensor)
        ]
        for name in ("zeros", "a constant", "its input"):
            if self.controls.get(name, True) and wanted:
                self.controls[name] = all(
                    _control_passes(name, want, inputs, e, s, trial) for want, e, s in wanted
                )

    def _watch_launches(self, trial: Trial, result: Result) -> None:
        before = self.findings.launches
        self.findings.launches = sum(result.launches.values())
        self.findings.aten = result.aten
        if before and not result.launches:
            raise Refusal(
                "rejected",
                "cached_result",
                f"No Triton kernel ran in a later call ({trial.name}): forward() keeps results "
                "instead of computing them.",
            )
        if not result.launches:
            raise Refusal(
                "rejected",
                "no_launch",
                "No Triton kernel ran: forward() computed everything in PyTorch"
                + (f" ({', '.join(sorted(result.aten))})." if result.aten else "."),
            )
        self.always_copies = self.always_copies and result.only_copies
        if "tf32" in result.notes and not self.request["allow_tf32"]:
            self.findings.warn(
                "tf32",
                "tl.dot multiplies float32 in TF32 on a GPU, which is about 1,000 times less "
                "precise and did not happen here: pass input_precision='ieee' to keep float32.",
            )

    def _watch_side_effects(
        self,
        trial: Trial,
        inputs: list[Any],
        state: dict[str, torch.Tensor] | None,
        expectation: Expectation,
        result: Result,
    ) -> None:
        for (path, before), (_, after), (_, reference) in zip(
            leaves(inputs), leaves(result.inputs), leaves(expectation.inputs_after), strict=True
        ):
            if not isinstance(before, torch.Tensor) or _identical(before, after):
                continue
            if not _identical(before, reference) and _alike(after, reference):
                continue
            raise Refusal(
                "rejected",
                "input_overwritten",
                f"forward() overwrote its input{path}; the reference leaves it as it was. "
                "Allocate the output with torch.empty_like.",
            )
        if result.stale:
            raise Refusal(
                "rejected",
                "output_reused",
                "A result that was returned before changed when forward() was called again: "
                "allocate a new output in every call.",
            )
        self._watch_weights(state or self.reference.state, expectation, result)

    def _watch_weights(
        self, state: dict[str, torch.Tensor], expectation: Expectation, result: Result
    ) -> None:
        for name, other in self.names.items():
            before, reference = state[name], expectation.state_after[name]
            after = result.state[other]
            moved = not _identical(before, after)
            if moved and _identical(before, reference):
                raise Refusal(
                    "rejected",
                    "weights_overwritten",
                    f"forward() overwrote the weight {name!r}; the reference leaves it as it was.",
                )
            if not _identical(before, reference) and not _alike(after, reference):
                self.findings.warn(
                    "state_not_updated",
                    f"The reference updates its buffer {name!r} in forward(), the candidate does "
                    "not do the same.",
                )

    def _try_without_launches(self, trial: Trial) -> None:
        """With its launches disabled the candidate must not give the right answer any more."""
        inputs = self.reference.draw(trial.seed)
        self.say("candidate", "trying without its Triton kernels")
        self._start(inputs, None, trial.seed, launch=False)
        result = self._finish(trial)
        if result is None:
            return
        expectation = self.reference.expect(inputs, None, self.training, trial.seed)
        expected, got = list(leaves(expectation.outputs)), list(leaves(result.outputs))
        if _structure(expectation.outputs) != _structure(result.outputs):
            return
        exact = _aligned(expectation.exact, expected)
        shifted = _aligned(expectation.shifted, expected)
        for index, ((_, want), (_, have)) in enumerate(zip(expected, got, strict=True)):
            if isinstance(want, torch.Tensor) and want.numel():
                outcome = compare(have, want, exact[index], shifted[index], loose=False).outcome
                if outcome == "different":
                    return
        raise Refusal(
            "rejected",
            "decoy_launch",
            "The result does not depend on the Triton kernels that run: with their launches "
            "disabled it is the same.",
        )

    def _conclude(self) -> None:
        aten = ", ".join(sorted(self.findings.aten))
        if self.always_copies and self.findings.aten:
            raise Refusal(
                "rejected",
                "aten_only",
                f"The Triton kernels only copy values; all arithmetic is PyTorch's ({aten}).",
            )
        if aten:
            self.findings.warn("aten", f"PyTorch still does part of the arithmetic: {aten}.")
        passing = [name for name, passes in self.controls.items() if passes]
        if passing:
            self.findings.warn(
                "weak_problem",
                f"An answer of {' or '.join(passing)} would have passed on these inputs too: the "
                "problem's inputs cannot tell right from wrong.",
            )

    # --- talking to the candidate ---------------------------------------------------------------

    def _start(
        self, inputs: list[Any], state: dict[str, torch.Tensor] | None, seed: int, launch: bool
    ) -> None:
        blobs: list[Blob] = []
        try:
            form = pack(inputs, blobs)
        except Foreign as error:
            raise ReferenceFailure(
                f"get_inputs() returns a {error}, which cannot be handed to the candidate's "
                "process: return tensors, numbers, lists and dicts of them."
            ) from None
        state = self.reference.state if state is None else state
        weights = {self.names[name]: value for name, value in state.items() if name in self.names}
        header = {
            "do": "run",
            "inputs": form,
            "state": pack(weights, blobs),
            "seed": seed,
            "launch": launch,
            "training": self.training,
        }
        self._send(header, blobs)

    def _finish(self, tolerated: Trial | None) -> Result | None:
        """The candidate's result; None where it fails in a trial that does not count."""
        self.say("candidate", "")
        message = self._receive()
        failed = message.header.get("failed")
        if failed is not None:
            if tolerated is not None:
                return None
            raise Refusal(failed["kind"], failed["code"], failed["message"], failed.get("line"))
        header = message.header
        try:
            return Result(
                outputs=unpack(header["outputs"], message.blobs),
                inputs=unpack(header["inputs"], message.blobs),
                state=unpack(header["state"], message.blobs),
                launches={str(name): int(count) for name, count in header["launches"].items()},
                only_copies=bool(header["only_copies"]),
                aten={str(name): int(count) for name, count in header["aten"].items()},
                stale=bool(header["stale"]),
                notes=tuple(map(str, header["notes"])),
                configuration=header["configuration"],
                devices=tuple(map(str, header["devices"])),
            )
        except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise _garbled(error) from None

    def _ask(self, header: dict[str, Any], blobs: list[Blob]) -> Message:
        self._send(header, blobs)
        message = self._receive()
        failed = message.header.get("failed")
        if failed is not None:
            raise Refusal(failed["kind"], failed["code"], failed["message"], failed.get("line"))
        return message

    def _send(self, header: dict[str, Any], blobs: list[Blob]) -> None:
        try:
            send(self.wire, header, blobs)
        except Closed:
            raise _gone() from None

    def _receive(self) -> Message:
        try:
            return receive(self.wire)
        except Closed:
            raise _gone() from None
        except BadMessage as error:
            raise _garbled(error) from None

    def _too_late(self) -> bool:
        return self.seconds_left() < 0.5 * float(self.request["timeout_s"])


def _gone() -> Refusal:
    return Refusal("crashed", "gone", "The candidate's process ended.")


def _garbled(error: Exception) -> Refusal:
    return Refusal("crashed", "garbled", f"The candidate's process sent no valid result ({error}).")


def _structure(value: Any) -> str:
    """The shape of a nest in words: ``a tuple of (a tensor, a tensor)``."""
    if isinstance(value, torch.Tensor):
        return "a tensor"
    if isinstance(value, dict):
        return "a dict of {" + ", ".join(f"{k!r}: {_structure(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple | list):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return f"a {kind} of (" + ", ".join(_structure(item) for item in value) + ")"
    return "None" if value is None else f"a {type(value).__name__}"


def _identical(left: Any, right: Any) -> bool:
    """Bit for bit the same tensors in the same places."""
    lefts, rights = list(leaves(left)), list(leaves(right))
    if len(lefts) != len(rights):
        return False
    for (_, a), (_, b) in zip(lefts, rights, strict=True):
        if not isinstance(a, torch.Tensor) or not isinstance(b, torch.Tensor):
            if type(a) is not type(b):
                return False
            continue
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        if a.numel() and not torch.equal(_raw(a), _raw(b.to(a.device))):
            return False
    return True


def _raw(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def _alike(left: torch.Tensor, right: torch.Tensor) -> bool:
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    return compare(left, right, None, None, loose=True).outcome != "different"


def _aligned(value: Any | None, expected: list[tuple[str, Any]]) -> list[torch.Tensor | None]:
    """The float64 leaves beside the expected ones, None where there is none that fits."""
    if value is None:
        return [None] * len(expected)
    found = [leaf for _, leaf in leaves(value)]
    if len(found) != len(expected):
        return [None] * len(expected)
    return [
        leaf
        if isinstance(leaf, torch.Tensor)
        and isinstance(want, torch.Tensor)
        and leaf.shape == want.shape
        else None
        for leaf, (_, want) in zip(found, expected, strict=True)
    ]


def _telling(expectation: Expectation) -> bool:
    """Whether a variation can tell right from wrong: finite, and not ruled by rounding."""
    expected = list(leaves(expectation.outputs))
    exact = _aligned(expectation.exact, expected)
    shifted = _aligned(expectation.shifted, expected)
    for (_, want), true, moved in zip(expected, exact, shifted, strict=True):
        if not isinstance(want, torch.Tensor):
            continue
        if want.is_floating_point() and not torch.isfinite(want).all():
            return False
        if true is None or moved is None:
            continue
        if not want.is_floating_point():
            if not torch.equal(true, moved):
                return False
            continue
        limit = ILL_CONDITIONED.get(want.dtype, 1e-3)
        apart = (relative_distance(true, other, want.dtype) for other in (moved, want))
        if max(apart) > limit:
            return False
    return True


def _control_passes(
    name: str,
    want: torch.Tensor,
    inputs: list[Any],
    exact: torch.Tensor | None,
    shifted: torch.Tensor | None,
    trial: Trial,
) -> bool:
    if not want.numel():
        return True
    if name == "zeros":
        answers = [torch.zeros_like(want)]
    elif name == "a constant":
        answers = [torch.full_like(want, want.reshape(-1)[0].item())] if want.numel() > 1 else []
    else:
        answers = [
            leaf
            for _, leaf in leaves(inputs)
            if isinstance(leaf, torch.Tensor)
            and leaf.shape == want.shape
            and leaf.dtype == want.dtype
        ]
    return any(
        compare(answer, want, exact, shifted, loose=not trial.own).outcome != "different"
        for answer in answers
    )
