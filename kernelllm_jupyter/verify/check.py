"""Is a candidate the same function as the reference? One call, one verdict.

Imports no torch: all that runs the user's or the generated code happens in worker processes.
"""

from __future__ import annotations

import ast
import contextlib
import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kernelllm_jupyter.carried import Carried
from kernelllm_jupyter.errors import DeviceUnusable, KernelLLMError, ProblemError, UsageError
from kernelllm_jupyter.syntax import parse
from kernelllm_jupyter.values import Finding, Problem, Sizes, Verdict
from kernelllm_jupyter.verify.compiling.compilation import (
    CompileRun,
    chosen_target,
    compilation_of_run,
    joined,
)
from kernelllm_jupyter.verify.gpu import NO_GPU, gpu_present
from kernelllm_jupyter.verify.isolation.sandbox import available_memory_mb
from kernelllm_jupyter.verify.watching.source_rules import forbidden_name, unusual_imports
from kernelllm_jupyter.verify.worker import Worker, worker

__all__ = ["check", "chosen_worker", "make_request", "problem_error", "warm_up"]


def check(
    problem: Problem,
    code: str,
    *,
    device: str = "auto",
    timeout_s: float = 60.0,
    memory_mb: int | None = None,
    seed: int = 0,
    allow_tf32: bool = False,
    progress: Callable[[str], None] | None = None,
    cancel: threading.Event | None = None,
    compile_for: str | None = None,
) -> Verdict:
    """Prove ``code`` against ``problem``, in worker processes of its own.

    ``device`` is ``auto``, ``cpu`` (Triton's interpreter) or ``cuda``; ``timeout_s`` bounds the
    whole check and ``memory_mb`` what each of its processes may allocate (CPU only). ``progress``
    is called with what the check does now, in words, which know how far it is where they are a
    :class:`~kernelllm_jupyter.verify.steps.Step`; setting ``cancel`` ends it. With
    ``compile_for`` (``sm_90``, ``gfx942``, …) every Triton kernel is compiled for that target as
    well, at the problem's full size, beside the trials and in a process of its own; ``auto`` is
    the GPU that the check runs on, where compiling is part of running, and ``sm_90`` without one.

    Raises :class:`~kernelllm_jupyter.errors.ProblemError` where the reference itself fails,
    ``WorkerError`` where no worker can be started, ``CheckCancelled`` after ``cancel``. An
    interrupt ends the worker at once and is raised again.
    """
    started = time.monotonic()
    if not timeout_s > 0:
        raise UsageError("The timeout must be more than 0 seconds.")
    unread = _unreadable(code)
    if unread is not None:
        return replace(unread, elapsed_ms=(time.monotonic() - started) * 1e3)
    warned = _warned_imports(code)
    if progress is not None:
        for finding in warned:
            progress(finding.message)
    chosen = chosen_worker(device, cancel, progress)
    request, blobs = make_request(
        "check", problem, code, timeout_s, memory_mb=memory_mb, seed=seed, allow_tf32=allow_tf32
    )
    on_gpu = chosen.device == "cuda"
    target = chosen_target(compile_for, on_gpu=on_gpu)
    compiling = None
    if target is not None:
        dry = make_request("compile", problem, code, timeout_s, memory_mb=memory_mb, target=target)
        compiling = CompileRun(target, *dry)
    try:
        answer = chosen.ask(request, blobs, progress, cancel)
        if "problem" in answer["final"]:
            raise problem_error(answer["final"]["problem"], problem)
        label = "cuda" if on_gpu else "cpu-interpreter"
        verdict = _verdict(answer, label, chosen.versions, started)
        verdict = replace(verdict, warnings=(*warned, *verdict.warnings))
        if compiling is not None:
            verdict = joined(verdict, compiling, started + timeout_s, cancel, progress)
        return replace(verdict, elapsed_ms=(time.monotonic() - started) * 1e3)
    finally:
        if compiling is not None:
            compiling.stop()


def chosen_worker(
    device: str,
    cancel: threading.Event | None,
    progress: Callable[[str], None] | None = None,
) -> Worker:
    """The worker for a device by the name that a user gives it; its server is running.

    Raises ``UsageError`` for a device that is not there.
    """
    if device not in ("auto", "cpu", "cuda", "spawned-cpu"):
        raise UsageError(f"There is no device {device!r}: choose auto, cpu or cuda.")
    if device == "cuda" and not gpu_present():
        raise UsageError(f"{NO_GPU} Use --device cpu: Triton's interpreter runs the code there.")
    if device == "cuda" or (device == "auto" and gpu_present()):
        on_gpu = worker("cuda")
        try:
            on_gpu.start(cancel, progress)
            return on_gpu
        except DeviceUnusable:
            if device == "cuda":
                raise
    found = worker("spawned-cpu" if device == "spawned-cpu" else "cpu")
    found.start(cancel, progress)
    return found


def warm_up(device: str, compile_for: str | None) -> None:
    """Start, in the background, the processes that a check will need; it takes them seconds.

    A failure is left for the check to report.
    """

    def run() -> None:
        with contextlib.suppress(KernelLLMError):
            on_gpu = chosen_worker(device, None).device == "cuda"
            if chosen_target(compile_for, on_gpu=on_gpu) is not None:
                worker("compile").start()

    threading.Thread(target=run, name="kernelllm-warm-up", daemon=True).start()


def _unreadable(code: str) -> Verdict | None:
    """The verdict on code that cannot be the candidate, found without running anything."""
    try:
        tree = parse(code)
    except SyntaxError as error:
        finding = Finding("syntax", f"The code is not valid Python: {error.msg}.", error.lineno)
        return Verdict("compile_error", (finding,))
    except (ValueError, RecursionError, MemoryError) as error:
        # NUL characters; or brackets in brackets by the thousand.
        why = str(error) or type(error).__name__
        finding = Finding("syntax", f"The code is not valid Python: {why}.")
        return Verdict("compile_error", (finding,))
    mentioned = any(
        (isinstance(node, ast.ClassDef) and node.name == "ModelNew")
        or (isinstance(node, ast.Name) and node.id == "ModelNew")
        or (isinstance(node, ast.alias) and "ModelNew" in (node.name, node.asname))
        for node in ast.walk(tree)
    )
    if not mentioned:
        classes = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        there = f"; its classes are {', '.join(classes[:5])}" if classes else ""
        finding = Finding("no_model_new", f"The code defines no class ModelNew{there}.")
        return Verdict("compile_error", (finding,))
    forbidden = forbidden_name(tree)
    if forbidden is not None:
        name, line = forbidden
        message = f"The code names {name}, a way into what checks it that no kernel needs."
        return Verdict("rejected", (Finding("tampering", message, line),))
    return None


def _warned_imports(code: str) -> tuple[Finding, ...]:
    """A warning for each package that no Triton kernel needs."""
    return tuple(
        Finding("unusual_import", f"The code imports {name}, which no Triton kernel needs.", line)
        for name, line in unusual_imports(parse(code))
    )


def make_request(
    kind: str,
    problem: Problem,
    code: str,
    timeout_s: float,
    *,
    memory_mb: int | None = None,
    seed: int = 0,
    allow_tf32: bool = False,
    target: str | None = None,
) -> tuple[dict[str, Any], Carried | tuple[()]]:
    """What the worker is asked, and the bytes of live values that go with it."""
    live = problem.live
    request = {
        "kind": kind,
        "source": problem.source,
        "class_name": problem.class_name,
        "has_inputs": problem.has_inputs,
        "live": live.to_json() if live is not None else None,
        "code": code,
        "timeout_s": timeout_s,
        "memory_mb": memory_mb or max(1024, available_memory_mb() * 6 // 10),
        "seed": seed,
        "allow_tf32": allow_tf32,
        "target": target,
    }
    return request, live.carried if live is not None else ()


def problem_error(found: dict[str, Any], problem: Problem) -> ProblemError:
    """The reference's own failure, with the line in the text that the user gave."""

    def named(match: re.Match[str]) -> str:
        own = problem.own_line(int(match[1]))
        return problem.called if own is None else f"line {own} of {problem.called}"

    message = re.sub(r"line (\d+) of the cell", named, found["message"])
    line = found["line"]
    if line is None:
        return ProblemError(message)
    own = problem.own_line(line)
    if own is not None:
        return ProblemError(f"{message} (line {own})", own)
    above = problem.source.splitlines()[line - 2 : line - 1]
    for function, option in (("get_inputs", "--inputs"), ("get_init_inputs", "--init")):
        if above == [f"def {function}():"]:
            return ProblemError(f"{message} (in {option})")
    return ProblemError(message)


def _verdict(
    answer: dict[str, Any], device: str, versions: dict[str, str], started: float
) -> Verdict:
    final = answer["final"]
    return Verdict(
        verdict=final["verdict"],
        reasons=_findings(final.get("reasons", ())),
        warnings=_findings(final.get("warnings", ())),
        device=device,
        trials=final.get("trials"),
        max_abs_error=final.get("max_abs_error"),
        error_budget=final.get("error_budget"),
        launches=final.get("launches"),
        elapsed_ms=(time.monotonic() - started) * 1e3,
        versions=dict(versions),
        not_made=_findings(final.get("not_made", ())),
        aten=final.get("aten", {}),
        output=answer["output"],
        sandbox=tuple(answer["sandbox"]),
        sizes=_sizes(final.get("sizes")),
        costs_ms=final.get("costs_ms", {}),
        compilation=compilation_of_run(final.get("compiled")),
    )


def _sizes(found: dict[str, Any] | None) -> Sizes | None:
    if found is None:
        return None
    reduced = found["reduced_from"]
    return Sizes(tuple(found["inputs"]), tuple(reduced) if reduced is not None else None)


def _findings(found: Any) -> tuple[Finding, ...]:
    return tuple(Finding(item["code"], item["message"], item.get("line")) for item in found)
