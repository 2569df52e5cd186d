"""A whole benchmark in the referee's process: the measurement, its limits, and the sweep.

What it returns is JSON that ``verify.benchmark`` makes a ``Timing`` of. What there is of it by now
is kept outside of this process at each step, for the case that it is ended before it is through.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from kernelllm_jupyter.timings import Contender, ContenderName, Work
from kernelllm_jupyter.verify.case import Case
from kernelllm_jupyter.verify.findings import Refusal
from kernelllm_jupyter.verify.given import Given
from kernelllm_jupyter.verify.nests import copied
from kernelllm_jupyter.verify.reference import Reference, ReferenceFailure
from kernelllm_jupyter.verify.sizing.scaling import Scaled, Scaling, Size
from kernelllm_jupyter.verify.tensors import Blob
from kernelllm_jupyter.verify.timing.baselines import BASELINES, Baseline
from kernelllm_jupyter.verify.timing.bench import CANDIDATE, ESTIMATED_CALLS, Bench, Measured
from kernelllm_jupyter.verify.timing.clocks import Clock, clock_for
from kernelllm_jupyter.verify.timing.limits import copy_gb_per_s, matrix_tflop_per_s
from kernelllm_jupyter.verify.timing.rounds import Standing
from kernelllm_jupyter.verify.timing.sweep import ENDED, axes_of, labels, points
from kernelllm_jupyter.verify.timing.work import counted, counted_without_memory
from kernelllm_jupyter.verify.watching.settings import set_to_tf32

__all__ = ["known_work", "measure"]

#: How long the profiler may take.
KERNELS_S = 30.0
#: Seconds of turns at each size of a sweep, and what is kept free at its end.
POINT_S, RESERVE_S = 4.0, 20.0


def known_work(request: dict[str, Any], blobs: list[Blob], folder: Path) -> dict[str, Any]:
    """What is known of a problem without a GPU: its bytes and operations."""
    try:
        given = Given.of(request, blobs)
    except Exception:
        return {"work": None}
    path = folder / "counted.py"
    work = counted_without_memory(
        request["source"],
        request["class_name"],
        path,
        int(request["seed"]),
        given.only_inputs,
        given.init,
    )
    return {"work": work.to_json() if work else None}


def measure(case: Case, keep: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """The timing as JSON, or ``{"problem": …}`` where the reference itself fails.

    ``keep`` is handed what there is of it, again and again.
    """
    try:
        return Session(case, keep).run()
    except ReferenceFailure as failure:
        return {"problem": {"message": str(failure), "line": failure.line}}
    except Refusal as refusal:
        return {"verdict": refusal.kind, "reasons": [refusal.to_json()]}
    except (torch.OutOfMemoryError, MemoryError):
        text = "There is not enough memory to measure it beside PyTorch and to compare results."
        return {"verdict": "out_of_memory", "reasons": [{"code": "memory", "message": text}]}


class Session:
    """One candidate, timed at the problem's own size and then at others."""

    def __init__(self, case: Case, keep: Callable[[dict[str, Any]], None]):
        self.opponent, self.request, self.blobs = case.opponent, case.request, case.blobs
        self.folder, self.device = case.folder, case.device
        self.say, self.seconds_left, self.keep = case.say, case.seconds_left, keep
        self.final: dict[str, Any] = {}
        self.clock: Clock = clock_for(self.device)
        self.baselines = [BASELINES[name] for name in self.request["baselines"]]

    def run(self) -> dict[str, Any]:
        """Measure; raises ``Refusal`` and ``ReferenceFailure``."""
        self.say("reference", "reading the reference")
        reference = Reference(self.request, self.blobs, self.folder, self.device)
        if reference.given.keywords:
            names = ", ".join(reference.given.keywords)
            raise ReferenceFailure(
                f"forward() takes {names} by keyword only, which is checked and not timed: let it "
                "be passed by position."
            )
        bench = self._bench(
            reference, again=False, keep=lambda found: self._add(timing=described(found))
        )
        measured = bench.run(self.baselines, float(self.request["budget_s"]))
        self.say("reference", "measuring the limits of this GPU")
        work = self._work(reference)
        self._add(work=work.to_json() if work else None)
        self._add(limits=self._limits(work))
        self._add(kernels=self._kernels())
        del bench, reference
        if self.request["sweep"] and not self.opponent.busy:
            self._sweep(measured)
        return self.final

    def _add(self, **found: Any) -> None:
        self.final.update(found)
        self.keep(self.final)

    def _bench(
        self,
        reference: Reference,
        *,
        again: bool,
        keep: Callable[[Measured], None] = lambda _: None,
    ) -> Bench:
        return Bench(
            self.opponent,
            self.request,
            reference,
            self.clock,
            self.say,
            self.seconds_left,
            again=again,
            keep=keep,
        )

    def _kernels(self) -> list[list[Any]]:
        from kernelllm_jupyter.verify.timing.remote import Remote

        self.say("candidate", "looking at its kernels")
        self.opponent.deadline = time.monotonic() + KERNELS_S
        try:
            return [list(row) for row in Remote(self.opponent).kernels()]
        except Refusal:
            # The figures are there: a profiler that fails takes nothing from them.
            return []
        finally:
            self.opponent.deadline = None

    def _work(self, reference: Reference) -> Work | None:
        try:
            return counted(reference.model, copied(reference.draw(reference.seed)))
        except Exception:
            # It ran before: what fails is counting, and then there is no count.
            return None

    def _limits(self, work: Work | None) -> dict[str, float]:
        """The rates that this GPU reached, those that are known already among them."""
        limits = dict(self.request["limits"])
        if not self.clock.on_gpu:
            return limits
        if "copy" not in limits:
            limits["copy"] = copy_gb_per_s(self.clock, self.device)
        if work is not None and work.products_in is not None:
            dtype = getattr(torch, work.products_in)
            name = rate_name(work.products_in)
            if name not in limits:
                rate = matrix_tflop_per_s(self.clock, self.device, dtype)
                limits.update({} if rate is None else {name: rate})
        torch.cuda.empty_cache()
        return limits

    # --- over sizes -----------------------------------------------------------------------------

    def _sweep(self, first: Measured) -> None:
        """One size after another, each with its share of the time that is left."""
        self.say("reference", "finding sizes")
        given = Given.of(self.request, self.blobs)
        seed = int(self.request["seed"])
        source, class_name = self.request["source"], self.request["class_name"]
        scaling = Scaling(source, class_name, self.folder, seed, given)
        sizes = scaling.sizes
        axes, unknown = axes_of(sizes, self.request["sweep_over"])
        names = labels(sizes)
        sweeps = [_unswept(name, names.values()) for name in unknown]
        if not sizes:
            text = "No integer of get_inputs() could be varied, so there is no sweep."
            sweeps = [{"axis": "", "points": [], "message": text}]
        self._add(sweeps=sweeps)
        baselines = self._affordable(first)
        for number, axis in enumerate(axes):
            # What is kept for those that follow.
            others_s = (self.seconds_left() - RESERVE_S) * (1 - 1 / (len(axes) - number))
            sweep = {"axis": names[axis], "points": [], "message": ""}
            sweeps.append(sweep)
            if self._sweep_over(axis, scaling, baselines, others_s, sweep) == ENDED:
                return

    def _sweep_over(
        self,
        axis: Size,
        scaling: Scaling,
        baselines: Sequence[Baseline],
        others_s: float,
        sweep: dict[str, Any],
    ) -> str:
        """Add the points of one size to ``sweep``; why there are no more of them."""
        own = {"timing": self.final["timing"], "work": self.final["work"]}

        def measure(scaled: Scaled) -> dict[str, Any]:
            return own if scaled.values[axis] == axis.value else self._point(scaled, baselines)

        def time_left() -> float:
            return self.seconds_left() - RESERVE_S - others_s

        why = ""
        for found, why in points(scaling, axis, self.clock.free_bytes(), measure, time_left):
            sweep.update(points=found, message=why)
            self._add()
        return why

    def _affordable(self, first: Measured) -> list[Baseline]:
        """The baselines that compile fast enough to do it at every size."""
        return [
            baseline
            for baseline in self.baselines
            if baseline.name in first.firsts
            and first.firsts[baseline.name].first_s * 10 < self.seconds_left() / 2
        ]

    def _point(self, scaled: Scaled, baselines: Sequence[Baseline]) -> dict[str, Any]:
        own_size = scaled.source == self.request["source"]
        request = {**self.request, "source": scaled.source, "own_size": own_size}
        self.say("reference", f"timing at {', '.join(scaled.footprint.described)}")
        reference = Reference(request, self.blobs, self.folder, self.device)
        measured = self._bench(reference, again=True).run(
            baselines, min(POINT_S, self.request["budget_s"])
        )
        work = self._work(reference)
        return {"timing": described(measured), "work": work.to_json() if work else None}


def _unswept(name: str, known: Iterable[str]) -> dict[str, Any]:
    there = ", ".join(known) or "none"
    message = f"There is no size of that name or number; those that can be varied: {there}."
    return {"axis": name, "points": [], "message": message}


def rate_name(dtype: str) -> str:
    """Under which name the rate of products is kept: float32 with TF32 is another one."""
    if dtype == "float32" and set_to_tf32("products"):
        return "tf32"
    return dtype


def described(measured: Measured) -> dict[str, Any]:
    """A measurement as JSON."""
    standings = measured.rounds.standings()
    names: list[ContenderName] = ["eager", "compile", "max-autotune", "candidate"]
    if not standings and measured.before_ms is not None:
        eager = Contender("eager", median_ms=measured.before_ms, calls=ESTIMATED_CALLS)
        return _described([eager], measured)
    known: Mapping[str, Standing] = standings
    contenders = [
        _contender(name, measured, known.get(name))
        for name in names
        if name in known or name in measured.failed
    ]
    return _described(contenders, measured)


def _described(contenders: Sequence[Contender], measured: Measured) -> dict[str, Any]:
    return {
        "contenders": [contender.to_json() for contender in contenders],
        "rounds": measured.rounds.count,
        "too_few": measured.rounds.too_few,
        "doubts": measured.doubts,
        "wrong": measured.wrong,
    }


def _contender(name: ContenderName, measured: Measured, standing: Standing | None) -> Contender:
    if standing is None:
        return Contender(name, message=measured.failed.get(name, ""))
    first, alone = measured.firsts[name], measured.alone[name]
    tuned = first.autotune_s
    compiled_s = first.first_s - (tuned or 0.0) - standing.median_ms / 1e3
    ratio = standing.ratio
    return Contender(
        name,
        median_ms=standing.median_ms,
        interval_ms=standing.interval,
        wall_ms=median(alone.wall_ms),
        calls=standing.calls,
        compile_s=max(0.0, compiled_s) if name != "eager" else None,
        autotune_s=tuned,
        peak_bytes=first.peak_bytes,
        ratio=ratio.value if ratio else None,
        ratio_interval=ratio.interval if ratio else None,
        conclusion=standing.conclusion if name != CANDIDATE else "not measured",
    )
