"""How fast is a candidate? It, eager PyTorch and ``torch.compile``, timed in turns on a GPU.

Imports no torch: all is measured in worker processes. Where there is no GPU nothing is measured;
what is known of the problem without one (its bytes and operations, and the bound that follows for
a GPU by its maker's figures) is said, and that it is a bound.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from kernelllm_jupyter.errors import CheckCancelled, DeviceUnusable, WorkerError
from kernelllm_jupyter.timings import (
    BenchmarkOptions,
    Bound,
    Contender,
    Interval,
    KernelTime,
    Sweep,
    SweepPoint,
    Timing,
    Work,
)
from kernelllm_jupyter.values import DEFAULT_TARGET, Finding, Problem, Verdict
from kernelllm_jupyter.verify.check import check, chosen_worker, make_request, problem_error
from kernelllm_jupyter.verify.gpu import NO_GPU, gpu_present
from kernelllm_jupyter.verify.timing.aside import Aside, models_aside, server_note
from kernelllm_jupyter.verify.timing.gpus import (
    bound_of,
    gpu_for_target,
    gpu_named,
    published_bound,
)
from kernelllm_jupyter.verify.timing.neighbours import descendants, watching
from kernelllm_jupyter.verify.worker import Worker, worker

__all__ = ["BenchmarkOptions", "benchmark", "measured_by", "timing_of"]

#: Seconds of turns, unless the figures are narrow before; and how often a spoilt one is taken.
BUDGET_S, ATTEMPTS = 20.0, 2
#: How much longer than its timeout a measurement may take: what it runs in has to be started.
STARTING_S = 180.0
#: Codes that make a candidate's figure no figure.
UNTRUSTED = frozenset(("clock_disagrees", "outside_stream"))


def benchmark(
    problem: Problem,
    code: str,
    options: BenchmarkOptions | None = None,
    *,
    verdict: Verdict | None = None,
    progress: Callable[[str], None] | None = None,
    cancel: threading.Event | None = None,
) -> Timing:
    """Time ``code`` against the reference, in milliseconds of one call.

    ``verdict`` is what a check of this code found already; without one that counts here it is
    checked first. Raises as :func:`kernelllm_jupyter.verify.check.check` does, and ``UsageError``
    for an unknown ``options.gpu``; a candidate that fails gives a ``Timing`` that was not measured
    and says why.
    """
    options = options or BenchmarkOptions()
    chosen, why = _gpu_worker(cancel)
    if options.gpu is not None:
        gpu_named(options.gpu)
    if not options.unverified and (
        verdict is None or (chosen is not None and verdict.device != "cuda")
    ):
        device = "cpu" if chosen is None else "cuda"
        limit_s = min(options.timeout_s, 60.0) if chosen is None else options.timeout_s
        verdict = check(
            problem,
            code,
            device=device,
            timeout_s=limit_s,
            allow_tf32=options.allow_tf32,
            progress=progress,
            cancel=cancel,
            compile_for="auto",
        )
    known = _from_verdict(None if options.unverified else verdict)
    if chosen is None:
        return _without_gpu(problem, why, known, options, cancel)
    if known.verified is False:
        return known
    timing = measured_by(chosen, problem, code, options, known, progress, cancel)
    return replace(timing, verified=known.verified or False)


def _gpu_worker(cancel: threading.Event | None) -> tuple[Worker | None, str]:
    """The worker on the GPU; or None, and why there is none."""
    if not gpu_present():
        return None, f"{NO_GPU} Times of Triton's interpreter would mean nothing."
    try:
        return chosen_worker("cuda", cancel), ""
    except DeviceUnusable as error:
        return None, str(error)


def _from_verdict(verdict: Verdict | None) -> Timing:
    """What a verdict tells about a timing: of one that is not correct, that it says nothing."""
    if verdict is None:
        return Timing("not measured")
    message = ""
    if not verdict.correct:
        why = verdict.reasons[0].message if verdict.reasons else ""
        message = (
            f"The candidate is not correct ({verdict.verdict}), so its time says nothing. {why}"
        )
    eval_mode = any(found.code in ("eval_mode", "eval_mode_only") for found in verdict.warnings)
    return Timing(
        "not measured",
        message.strip(),
        device=verdict.device,
        verified=verdict.correct,
        versions={**verdict.versions, **({"mode": "eval"} if eval_mode else {})},
        launches=verdict.launches,
        compilation=verdict.compilation,
    )


# --- without a GPU -------------------------------------------------------------------------------


def _without_gpu(
    problem: Problem,
    why: str,
    known: Timing,
    options: BenchmarkOptions,
    cancel: threading.Event | None,
) -> Timing:
    """What can be known: the problem's work, and the least time that it takes a named GPU."""
    work = _work(problem, cancel)
    target = known.compilation.target if known.compilation else DEFAULT_TARGET
    gpu = gpu_named(options.gpu) if options.gpu else gpu_for_target(target)
    bound = published_bound(work, gpu, tf32=options.allow_tf32) if work and gpu else None
    message = f"{why} {known.message}".strip()
    return replace(known, message=message, device=None, work=work, bound=bound)


def _work(problem: Problem, cancel: threading.Event | None) -> Work | None:
    """The problem's bytes and operations, counted in a worker; None where that cannot be."""
    request, blobs = make_request("work", problem, "", 30.0)
    try:
        found = worker("cpu").ask(request, blobs, None, cancel)["final"].get("work")
    except CheckCancelled:
        raise
    except WorkerError:
        return None
    return _work_from(found)


# --- on a GPU ------------------------------------------------------------------------------------


def measured_by(
    chosen: Worker,
    problem: Problem,
    code: str,
    options: BenchmarkOptions,
    known: Timing,
    progress: Callable[[str], None] | None = None,
    cancel: threading.Event | None = None,
    budget_s: float = BUDGET_S,
) -> Timing:
    """The measurement itself, taken again once where something else disturbed it."""
    request, blobs = make_request(
        "benchmark", problem, code, options.timeout_s, allow_tf32=options.allow_tf32
    )
    request.update(
        baselines=options.baselines,
        sweep=options.sweeps,
        sweep_over=options.sweep_over,
        budget_s=budget_s,
        limits=chosen.limits,
        eval_mode=known.versions.get("mode") == "eval",
    )
    timing = known
    for attempt in range(ATTEMPTS):
        watch = watching(lambda: _of_worker(chosen)) if chosen.device == "cuda" else None
        with _aside(chosen, problem, options, progress, cancel) as aside:
            with watch or nullcontext():
                answer = chosen.ask(request, blobs, progress, cancel)
            # Before our models go on, which would be seen.
            seen = watch.found() if watch else ()
        final = answer["final"]
        if "problem" in final and "kept" not in final:
            raise problem_error(final["problem"], problem)
        disturbed = (*aside.disturbed, *seen)
        chosen.limits.update(final.get("limits", final.get("kept", {}).get("limits", {})))
        versions = {n: v for n, v in known.versions.items() if n != "mode"} or chosen.versions
        last = timing
        timing = timing_of(final, {**versions, **chosen.versions}, disturbed)
        if last.measured and timing.partial:
            timing = last
        if not disturbed or timing.partial:
            break
        if progress is not None and attempt + 1 < ATTEMPTS:
            progress(f"{disturbed[0].message} It is taken again.")
    notes = list(aside.notes)
    if chosen.device == "cuda":
        notes.append(server_note(options.model))
        if watch is None:
            notes.append(
                "Whether other processes used the GPU is not known: `pip install nvidia-ml-py`."
            )
    timing = replace(timing, message=" ".join(filter(None, (timing.message, *notes))))
    return replace(timing, launches=known.launches, compilation=known.compilation)


def _aside(
    chosen: Worker,
    problem: Problem,
    options: BenchmarkOptions,
    progress: Callable[[str], None] | None,
    cancel: threading.Event | None,
) -> AbstractContextManager[Aside]:
    """Our models out of the way, where they could be in it."""
    if chosen.device != "cuda":
        return nullcontext(Aside())
    return models_aside(
        lambda: _work(problem, cancel),
        sweep=options.sweeps,
        at_most_s=options.timeout_s + STARTING_S,
        progress=progress,
        cancel=cancel,
    )


def _of_worker(chosen: Worker) -> set[int]:
    return descendants(chosen.server.pid) if chosen.server is not None else set()


def timing_of(
    final: dict[str, Any], versions: dict[str, str], disturbed: Sequence[Finding] = ()
) -> Timing:
    """The worker's answer as a value; where it was ended, what was kept of it until then."""
    device = versions.get("gpu", "cuda")
    if "timing" not in final:
        reason = (final.get("reasons") or [final.get("problem", {"message": "no result"})])[0]
        kept = final.get("kept", {})
        if "timing" not in kept:
            text = f"The measurement failed: {reason['message']}"
            return Timing("not measured", text, device=device, versions=versions)
        timing = timing_of(kept, versions, disturbed)
        text = f"This timing is partial: it was ended before it was through. {reason['message']}"
        return replace(timing, partial=True, message=f"{text} {timing.message}".strip())
    found = final["timing"]
    work = _work_from(final.get("work"))
    figures = _figures(found, disturbed)
    limits = final.get("limits", {})
    return replace(
        figures,
        device=device,
        versions=versions,
        work=work,
        bound=_measured_bound(work, limits, device),
        kernels=tuple(KernelTime(*row) for row in final.get("kernels", ())),
        sweeps=tuple(_sweep_from(sweep, limits, device) for sweep in final.get("sweeps", ())),
    )


def _figures(found: dict[str, Any], disturbed: Sequence[Finding] = ()) -> Timing:
    """The times of one size; a figure that cannot be trusted, or of wrong results, is none."""
    contenders = tuple(map(_contender_from, found["contenders"]))
    by_name = {contender.name: contender for contender in contenders}
    doubts = tuple(Finding(each["code"], each["message"]) for each in found["doubts"])
    eager, compiled = by_name.get("eager"), by_name.get("compile")
    candidate = by_name.get("candidate")
    untrusted = [doubt.message for doubt in doubts if doubt.code in UNTRUSTED]
    if found["wrong"] is not None:
        wrong = f"While it was timed the candidate gave a wrong result. {found['wrong']}"
        untrusted = [wrong]
        doubts = (*doubts, Finding("results_differ", wrong))
    messages = [
        f"{contender.name} has no figure: {contender.message}"
        for contender in contenders
        if contender.message
    ]
    if found["too_few"] and candidate is not None:
        messages.append(
            f"{found['rounds']} rounds are too few to say which is faster: calls take too long "
            "for the time that was given."
        )
    timing = Timing(
        "not measured",
        eager_ms=eager.median_ms if eager else None,
        eager_interval_ms=eager.interval_ms if eager else None,
        compile_ms=compiled.median_ms if compiled else None,
        compile_interval_ms=compiled.interval_ms if compiled else None,
        contenders=tuple(c for c in contenders if c is not candidate),
        rounds=found["rounds"],
        contamination=(*disturbed, *doubts),
        message=" ".join((*untrusted, *messages)),
    )
    if untrusted or candidate is None:
        bare = tuple(
            replace(c, ratio=None, ratio_interval=None, conclusion="not measured")
            for c in timing.contenders
        )
        return replace(timing, contenders=bare)
    return replace(
        timing,
        conclusion=eager.conclusion if eager else "not measured",
        candidate_ms=candidate.median_ms,
        candidate_interval_ms=candidate.interval_ms,
        speedup=eager.ratio if eager else None,
        speedup_interval=eager.ratio_interval if eager else None,
        speedup_over_compile=compiled.ratio if compiled else None,
        speedup_over_compile_interval=compiled.ratio_interval if compiled else None,
        contenders=contenders,
    )


def _measured_bound(work: Work | None, limits: dict[str, float], device: str) -> Bound | None:
    if work is None or "copy" not in limits:
        return None
    name = work.products_in or ""
    rate = limits.get("tf32", limits.get(name)) if name == "float32" else limits.get(name)
    return bound_of(work, device, "measured", limits["copy"], rate)


def _sweep_from(found: dict[str, Any], limits: dict[str, float], device: str) -> Sweep:
    points = tuple(_point_from(point, limits, device) for point in found["points"])
    return Sweep(found["axis"], points, found["message"])


def _point_from(point: dict[str, Any], limits: dict[str, float], device: str) -> SweepPoint:
    inputs, value = tuple(point["inputs"]), point["value"]
    if "timing" not in point:
        return SweepPoint(inputs, value, message=point.get("message", ""))
    timing, work = _figures(point["timing"]), _work_from(point["work"])
    bound = _measured_bound(work, limits, device)
    return SweepPoint(
        inputs,
        value,
        bytes=work.bytes if work else None,
        flops=work.flops if work else None,
        eager_ms=timing.eager_ms,
        compile_ms=timing.compile_ms,
        candidate_ms=timing.candidate_ms,
        eager_interval_ms=timing.eager_interval_ms,
        compile_interval_ms=timing.compile_interval_ms,
        candidate_interval_ms=timing.candidate_interval_ms,
        speedup=timing.speedup,
        speedup_interval=timing.speedup_interval,
        conclusion=timing.conclusion,
        bound_ms=bound.bound_ms if bound else None,
        message=timing.message,
    )


def _work_from(found: dict[str, Any] | None) -> Work | None:
    if found is None:
        return None
    names = ("read_bytes", "written_bytes", "flops", "products_in")
    return Work(**{name: found[name] for name in names})


def _contender_from(found: dict[str, Any]) -> Contender:
    def interval(value: dict[str, float] | None) -> Interval | None:
        return Interval(**value) if value is not None else None

    return Contender(
        **{
            **found,
            "interval_ms": interval(found["interval_ms"]),
            "ratio_interval": interval(found["ratio_interval"]),
        }
    )
