"""The referee: at which sizes a candidate is checked, and what the answers there add up to.

Runs in the referee's process. Where a problem is too large for the interpreter it is reduced; a
candidate that fails there may be written for the one size that was given, so it is tried at that
size before it is refused. One that passes is tried at other sizes too, where a wrong result is
something to be told and not a refusal.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

from kernelllm_jupyter.verify.case import Case
from kernelllm_jupyter.verify.explaining.explain import only_store
from kernelllm_jupyter.verify.findings import Findings, Refusal
from kernelllm_jupyter.verify.given import Given
from kernelllm_jupyter.verify.referee import Match
from kernelllm_jupyter.verify.reference import Reference, ReferenceFailure
from kernelllm_jupyter.verify.sizing.footprint import Footprint, described
from kernelllm_jupyter.verify.sizing.scaling import AFFORDABLE, REDUCED, Scaled, Scaling, Values
from kernelllm_jupyter.verify.sizing.sizes import integers
from kernelllm_jupyter.verify.steps import Steps

__all__ = ["judge"]

#: A run at the given size is worth this long a wait, once reduced ones have passed.
FULL_SIZE_S = 5.0
#: Sizes of which one is as large as given are tried for so many seconds.
STRETCHED_S = 15.0
#: Other sizes are tried for this part of the timeout, and no longer than so many seconds.
OTHER_SIZES_PART = 0.2
OTHER_SIZES_S = 10.0
#: So many of them are reckoned with until it is known which there are.
OTHER_SIZES = 5
#: What the reference's own runs are taken to cost a busy core, and how many there are of them.
ELEMENTS_PER_S = 5e7
MACS_PER_S = 2e9
RUNS = 6
#: Bytes that a check holds for each element: three precisions of it, in two processes.
BYTES_PER_ELEMENT = 40
#: Integers below this are no sizes that a source is written for.
SMALLEST_BLOCK = 64
#: Codes of refusals that have nothing to do with the size of the inputs.
ANY_SIZE = frozenset(
    (
        "no_launch",
        "aten_only",
        "copies_only",
        "decoy_launch",
        "cached_result",
        "output_reused",
        "input_overwritten",
        "weights_overwritten",
        "foreign_output",
        "foreign_code",
        "host_arithmetic",
        "background_work",
        "settings_changed",
        "tampering",
        "unsynchronised",
        "structure",
        "dtype",
        "device",
        "tf32",
        "syntax",
        "no_model_new",
    )
)
#: Codes of refusals that come with an error, instead of with a wrong result.
LOUD = frozenset(("runtime_error", "compile_error", "out_of_memory", "crashed"))


def judge(case: Case, steps: Steps) -> dict[str, Any]:
    """The verdict as JSON, or ``{"problem": …}`` where the reference itself fails."""
    reasons: list[dict[str, Any]] = []
    kind = "correct"
    course = Course(case, steps)
    try:
        course.run()
    except ReferenceFailure as failure:
        return {"problem": {"message": str(failure), "line": failure.line}}
    except Refusal as refusal:
        if refusal.kind == "incorrect" and refusal.line is None:
            refusal.line = only_store(case.request["code"])
        kind, reasons = refusal.kind, [refusal.to_json()]
    return {"verdict": kind, "reasons": reasons, **course.findings.to_json()}


class Course:
    """All matches of one check."""

    def __init__(self, case: Case, steps: Steps):
        self.opponent, self.request, self.blobs = case.opponent, case.request, case.blobs
        self.folder, self.device = case.folder, case.device
        self.say, self.seconds_left, self.steps = case.say, case.seconds_left, steps
        #: Those of the match that decides.
        self.findings = Findings()
        self.built = False
        #: Integers of the candidate's code that could be sizes.
        self.named = {n for n in integers(self.request["code"]) if n >= SMALLEST_BLOCK}
        #: What went wrong at other sizes, with an error and without one.
        self.loud: list[str] = []
        self.silent: list[str] = []

    def run(self) -> None:
        """Raise :class:`Refusal` or :class:`ReferenceFailure`, or return: then it is correct."""
        self.say("reference", "running the reference")
        with self.findings.timed("sizes"):
            given = Given.of(self.request, self.blobs)
            self.scaling = Scaling(
                self.request["source"],
                self.request["class_name"],
                self.folder,
                int(self.request["seed"]),
                given,
            )
            reductions = self._reductions()
        with self.steps.planned(OTHER_SIZES):
            if reductions:
                match, base = self._play_reduced(reductions)
            else:
                match, base = self._match(self.request["source"]), {}
                match.play()
                self._note_sizes(match)
        with self.findings.timed("other_sizes"):
            self._try_other_sizes(match, base)

    def _reductions(self) -> list[Scaled]:
        """Smaller problems to check instead of one that the interpreter cannot afford."""
        given = self.scaling.given
        if self.device != "cpu" or given is None or AFFORDABLE.holds(given):
            return []
        return list(self.scaling.reduced(REDUCED, self.named))

    def _match(self, source: str, *, patient: bool = False) -> Match:
        """A match at some size, with findings of its own that become the verdict's."""
        costs = self.findings.costs_ms
        self.findings = Findings(costs_ms=costs)
        return self._match_with(source, self.findings, patient=patient)

    def _match_with(self, source: str, findings: Findings, *, patient: bool = False) -> Match:
        with self.findings.timed("reference"):
            own_size = source == self.request["source"]
            request = {**self.request, "source": source, "own_size": own_size}
            reference = Reference(request, self.blobs, self.folder, self.device)
        built, self.built = self.built, True
        say = self._say_candidate if patient else self.say
        return Match(
            self.opponent,
            request,
            reference,
            say,
            self.seconds_left,
            findings,
            built,
            self.steps,
        )

    # --- a problem that is too large ------------------------------------------------------------

    def _play_reduced(self, reductions: list[Scaled]) -> tuple[Match, Values]:
        refusals: list[Refusal] = []
        for scaled in reductions:
            match = self._match(scaled.source)
            started = time.monotonic()
            try:
                match.play()
            except Refusal as refusal:
                if refusal.code in ANY_SIZE or refusal.kind == "crashed":
                    raise _at(refusal, match) from None
                refusals.append(_at(refusal, match))
                continue
            per_run = (time.monotonic() - started) / max(1, self.findings.trials)
            assert self.scaling.given is not None
            self._note_sizes(match, self.scaling.given.described)
            if not self._try_full_size(scaled, per_run):
                with self.findings.timed("stretched_sizes"):
                    self._try_stretched(match, scaled.values)
            return match, scaled.values
        return self._play_full_size(refusals, reductions), {}

    def _note_sizes(self, match: Match, reduced_from: tuple[str, ...] | None = None) -> None:
        inputs = described(match.inputs)
        self.findings.sizes = {"inputs": inputs, "reduced_from": reduced_from}
        if reduced_from is not None:
            self.findings.warn(
                "reduced_size",
                f"The problem's own inputs ({', '.join(reduced_from)}) are too large for the "
                f"interpreter: this was checked at {', '.join(inputs)}.",
            )
            if match.reference.given.inputs or match.reference.given.state:
                self._note_made_up(match.reference.lives)

    def _note_made_up(self, has_weights: bool) -> None:
        """Say that live values are of one size only."""
        what = "inputs" if has_weights else "inputs and weights"
        self.findings.skip(
            "live_values",
            f"The live module's {what} have the given size: at the reduced one, others of their "
            "kind were made.",
        )

    def _try_full_size(self, scaled: Scaled, per_run_s: float) -> bool:
        """One run at the given size, where it is affordable; what it shows counts.

        Returns whether it was made.
        """
        given = self.scaling.given
        assert given is not None
        growth = max(
            (given.made or given.elements) / max(1, scaled.footprint.made or 1),
            (given.macs or 0) / max(1, scaled.footprint.macs or 0),
        )
        if per_run_s * growth > FULL_SIZE_S or not self._reference_affordable(given, FULL_SIZE_S):
            return False
        self.say("candidate", "the problem's own size")
        match = self._match_with(self.request["source"], Findings(), patient=True)
        limit_s = min(4 * FULL_SIZE_S, self.seconds_left() - 1)
        self.opponent.deadline = time.monotonic() + limit_s
        try:
            with self.findings.timed("full_size"):
                made = match.glance("the problem's own size")
        except Refusal as refusal:
            if refusal.kind in ("timeout", "out_of_memory"):
                return False
            raise
        finally:
            self.opponent.deadline = None
        if made:
            self.findings.trials += 1
            self._note_sizes(match)
            self.findings.unwarn("reduced_size")
            self.findings.unskip("live_values")
        return made

    def _try_stretched(self, match: Match, base: Values) -> None:
        """Sizes of which one is as given: where only that makes it wrong, it is wrong."""
        until = time.monotonic() + min(STRETCHED_S, self.seconds_left() - 2)
        for long, short in self.scaling.stretched(base):
            made, refusal = self._glance(long, match.training, until)
            self.findings.trials += made
            if refusal is None or refusal.kind in LOUD:
                continue
            if refusal.kind == "timeout":
                self.findings.skip("sizes", "Runs take too long for larger sizes.")
                return
            right, _ = self._glance(short, match.training, until)
            if right:
                refusal.message += (
                    f" (checked at {_shapes(long)}; it is right where these are smaller)"
                )
                raise refusal

    def _glance(self, scaled: Scaled, training: bool, until: float) -> tuple[bool, Refusal | None]:
        """One run at some size: whether it was made and is right, and what it shows otherwise."""
        if self.opponent.busy or time.monotonic() >= until:
            return False, Refusal("timeout", "timeout", "There is no time left.")
        self.opponent.deadline = until
        try:
            other = self._match_with(scaled.source, Findings(), patient=True)
            return other.glance(scaled.what, training=training), None
        except ReferenceFailure:
            return False, None
        except Refusal as refusal:
            return False, refusal
        finally:
            self.opponent.deadline = None

    def _play_full_size(self, refusals: list[Refusal], reductions: list[Scaled]) -> Match:
        """What fails at smaller sizes may be right at the one it was written for."""
        given, reduced = self.scaling.given, refusals[0]
        assert given is not None
        if not all(self._written_for(given, scaled.footprint) for scaled in reductions):
            # One of them kept all that the code could depend on.
            raise reduced
        limit_s = self.seconds_left() - 2
        if not self._reference_affordable(given, limit_s / 3):
            raise _undecided(reduced)
        self.say("candidate", "the problem's own size")
        match = self._match(self.request["source"], patient=True)
        self.opponent.deadline = time.monotonic() + limit_s
        try:
            match.play(brief=True)
        except Refusal as refusal:
            raise _undecided(reduced) if refusal.kind == "timeout" else refusal from None
        finally:
            self.opponent.deadline = None
        self._note_sizes(match)
        for smaller in refusals:
            self._note_other_size(smaller)
        return match

    def _reference_affordable(self, given: Footprint, seconds: float) -> bool:
        """Whether the reference's own runs at the given size are, and their memory."""
        made = given.elements + (given.made or 0)
        spent = RUNS * (made / ELEMENTS_PER_S + (given.macs or 0) / MACS_PER_S)
        return spent < seconds and made * BYTES_PER_ELEMENT < self.request["memory_mb"] << 20

    def _say_candidate(self, phase: str, doing: str) -> None:
        """What takes too long at the given size is the check's doing, not the user's."""
        self.say("candidate", doing)

    def _written_for(self, given: Footprint, reduced: Footprint) -> bool:
        """Whether the candidate's source holds an integer that fits the given size only.

        It may be one of the sizes, or the size of a block that divides them without a rest.
        """
        pairs = list(zip(_counts(given), _counts(reduced), strict=False))
        for number in self.named:
            fits = [(full, small) for full, small in pairs if full % number == 0 and full]
            if any(number == full != small for full, small in fits):
                return True
            if fits and not any(small % number == 0 for _, small in fits):
                return True
        return False

    # --- other sizes ----------------------------------------------------------------------------

    def _try_other_sizes(self, match: Match, base: Values) -> None:
        """Sizes that nobody promised: a candidate that refuses them is tied to its own."""
        limit_s = min(OTHER_SIZES_S, OTHER_SIZES_PART * float(self.request["timeout_s"]))
        until = time.monotonic() + min(limit_s, self.seconds_left() - 1)
        tried = 0
        for scaled in self._other_sizes(base):
            made, refusal = self._glance(scaled, match.training, until)
            if refusal is not None and refusal.kind == "timeout":
                # Slow or hanging: nothing that a verdict could be built on.
                self.findings.skip("sizes", "Runs take too long for further sizes.")
                break
            tried += made or refusal is not None
            if refusal is not None:
                refusal.message = f"at {_shapes(scaled)}: {refusal.message}"
                self._note_other_size(refusal)
                if refusal.kind == "crashed":
                    break
        if not tried:
            self.findings.skip("sizes", "Other sizes were not tried: " + self._why_not())
        self._conclude()

    def _other_sizes(self, base: Values) -> Iterator[Scaled]:
        """Several sizes changed at once; one by one where only errors came of that."""
        if self.scaling.given:
            self.steps.expect(self.scaling.most_others)
            yield from self.scaling.others(REDUCED, base)
            if self.loud and not self.silent:
                self.steps.expect(len(self.scaling.sizes))
                yield from self.scaling.one_at_a_time(REDUCED, base)

    def _why_not(self) -> str:
        if self.scaling.given_inputs is not None:
            return "the inputs are given as values."
        if self.scaling.given is None or not self.scaling.sizes:
            return "no integer of get_inputs() or get_init_inputs() could be varied."
        return "none ran within the time that they may take."

    def _note_other_size(self, refusal: Refusal) -> None:
        (self.loud if refusal.kind in LOUD else self.silent).append(refusal.message)

    def _conclude(self) -> None:
        if self.silent:
            self.findings.warn(
                "wrong_at_other_sizes",
                "Right at the checked size, and wrong without an error at others: "
                f"{self.silent[0]}",
            )
        if self.loud or self.silent:
            how = f": {self.loud[0]}" if self.loud and not self.silent else "."
            self.findings.warn("single_shape", f"This code is tied to the problem's own shape{how}")


def _counts(footprint: Footprint) -> list[int]:
    """The sizes of all axes, and of every axis with those after it together."""
    shapes = [*footprint.inputs, *(shape for _, shape in footprint.state)]
    axes = [size for shape in shapes for size in shape]
    return axes + [math.prod(shape[n:]) for shape in shapes for n in range(len(shape))]


def _shapes(scaled: Scaled) -> str:
    return ", ".join(str(list(shape)) for shape in scaled.footprint.inputs)


def _undecided(reduced: Refusal) -> Refusal:
    """The verdict on code for one size, which takes too long or too much memory here."""
    return Refusal(
        "timeout",
        "too_large_here",
        "The code seems to be written for the problem's own size, which is too large for Triton's "
        f"interpreter; at a smaller one: {reduced.message} Check it on a GPU.",
        reduced.line,
    )


def _at(refusal: Refusal, match: Match) -> Refusal:
    """The refusal, with the size at which it was found."""
    refusal.message += f" (checked at a reduced size, {', '.join(described(match.inputs))})"
    return refusal
