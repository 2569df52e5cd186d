"""How fast is a candidate? Medians of eager PyTorch, ``torch.compile`` and the candidate.

Imports no torch: all is measured in a worker process, on a GPU only. Where there is none the
answer says so at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Literal

from kernelllm_jupyter.values import Interval, Problem, Timing
from kernelllm_jupyter.verify.check import check, chosen_worker, make_request, problem_error
from kernelllm_jupyter.verify.gpu import NO_GPU, gpu_present
from kernelllm_jupyter.verify.worker import DeviceUnusable

__all__ = ["benchmark", "timing_of"]


def benchmark(
    problem: Problem,
    code: str,
    *,
    timeout_s: float = 300.0,
    progress: Callable[[str], None] | None = None,
    cancel: threading.Event | None = None,
) -> Timing:
    """Time ``code`` against the reference, in milliseconds of one call.

    Raises as :func:`kernelllm_jupyter.verify.check.check` does; a candidate that fails gives a
    ``Timing`` that was not measured and says why.
    """
    if not gpu_present():
        return Timing("not measured", f"{NO_GPU} Times of Triton's interpreter would mean nothing.")
    try:
        chosen = chosen_worker("cuda", cancel)
    except DeviceUnusable as error:
        return Timing("not measured", str(error))
    verdict = check(
        problem, code, device="cuda", timeout_s=timeout_s, progress=progress, cancel=cancel
    )
    if not verdict.correct:
        why = verdict.reasons[0].message if verdict.reasons else ""
        return Timing(
            "not measured",
            f"The candidate is not correct ({verdict.verdict}), so its time says nothing. {why}",
            device=verdict.device,
            verified=False,
            versions=verdict.versions,
        )
    request, blobs = make_request("benchmark", problem, code, timeout_s)
    answer = chosen.ask(request, blobs, progress, cancel)
    if "problem" in answer["final"]:
        raise problem_error(answer["final"]["problem"], problem)
    return timing_of(answer["final"], chosen.versions)


def timing_of(final: dict[str, Any], versions: dict[str, str]) -> Timing:
    """The worker's answer as a value."""
    if not {"eager", "candidate"} <= final.get("timing", {}).keys():
        reasons = final.get("reasons") or [{"message": "no result"}]
        text = f"The measurement failed: {reasons[0]['message']}"
        return Timing("not measured", text, device="cuda", verified=True, versions=versions)
    eager, candidate = final["timing"]["eager"], final["timing"]["candidate"]
    compiled = final["timing"].get("compile")
    message = "" if compiled else "torch.compile could not compile the reference."
    return Timing(
        conclusion=_conclusion(eager, candidate),
        message=message,
        device=versions.get("gpu", "cuda"),
        eager_ms=eager["median"],
        compile_ms=compiled["median"] if compiled else None,
        candidate_ms=candidate["median"],
        eager_interval_ms=_spread(eager),
        compile_interval_ms=_spread(compiled) if compiled else None,
        candidate_interval_ms=_spread(candidate),
        speedup=eager["median"] / candidate["median"],
        speedup_over_compile=compiled["median"] / candidate["median"] if compiled else None,
        verified=True,
        versions=versions,
    )


def _conclusion(
    eager: dict[str, float], candidate: dict[str, float]
) -> Literal["faster", "slower", "no difference"]:
    """Faster or slower only where the spreads do not overlap."""
    if candidate["high"] < eager["low"]:
        return "faster"
    if candidate["low"] > eager["high"]:
        return "slower"
    return "no difference"


def _spread(times: dict[str, float]) -> Interval:
    return Interval(times["low"], times["high"])
