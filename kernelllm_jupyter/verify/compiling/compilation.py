"""Compiling a candidate for a GPU that is not there, beside its trials. Imports no torch.

It can refuse a candidate that is right in the interpreter, and nothing else: what ends it without
an answer (a timeout, a crash, a triton that cannot compile) is listed as not made.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import replace
from typing import Any

from kernelllm_jupyter.carried import Carried
from kernelllm_jupyter.errors import CheckCancelled, UsageError, WorkerError
from kernelllm_jupyter.values import (
    DEFAULT_TARGET,
    TARGET_PATTERN,
    Compilation,
    CompiledKernel,
    Finding,
    Verdict,
)
from kernelllm_jupyter.verify.compiling.resources import shared_limit_bytes
from kernelllm_jupyter.verify.steps import Step
from kernelllm_jupyter.verify.worker import worker

__all__ = [
    "CompileRun",
    "chosen_target",
    "compilation_from",
    "compilation_of_run",
    "joined",
]

#: What a worker's answer may hold at most; a candidate's process had a hand in it.
KERNELS_LIMIT, TEXT_LIMIT = 200, 300
#: Seconds of waiting after which it is told what is waited for.
TOLD_FROM_S = 1.0
#: Why nothing was compiled, where the time for it was over.
TOO_LONG = "it took too long"


def chosen_target(target: str | None, *, on_gpu: bool) -> str | None:
    """What ``auto`` means: on a GPU nothing, because there the kernels themselves run.

    Raises ``UsageError`` for what is no target.
    """
    if target == "auto":
        return None if on_gpu else DEFAULT_TARGET
    if target is not None and not _is_target(target):
        raise UsageError(f"There is no target {target!r}: name one such as sm_90 or gfx942.")
    return target


class CompileRun:
    """A dry run of the candidate in a process of its own, from now until its answer or stop."""

    def __init__(self, target: str, request: dict[str, Any], blobs: Carried | tuple[()]):
        self.target = target
        self._cancel = threading.Event()
        self._answer: Future[dict[str, Any]] = Future()
        #: What it does now.
        self._step = ""

        def note(step: str) -> None:
            if isinstance(step, Step) and step.number:
                self._step = step

        def run() -> None:
            try:
                self._answer.set_result(worker("compile").ask(request, blobs, note, self._cancel))
            except BaseException as error:
                self._answer.set_exception(error)

        threading.Thread(target=run, name="kernelllm-compile", daemon=True).start()

    def answer(
        self,
        cancel: threading.Event | None,
        deadline: float,
        progress: Callable[[str], None] | None = None,
    ) -> dict[str, Any] | None:
        """The compiling worker's answer, or None after ``deadline``; raises as the check does.

        ``progress`` is told which kernel is compiled, where that takes longer.
        """
        told_from, told = time.monotonic() + TOLD_FROM_S, ""
        while not self._answer.done():
            if progress is not None and self._step != told and time.monotonic() >= told_from:
                told = self._step
                progress(told)
            if cancel is not None and cancel.is_set():
                raise CheckCancelled("The check was cancelled.")
            if time.monotonic() >= deadline:
                return None
            wait([self._answer], timeout=0.05)
        return self._answer.result()

    def stop(self) -> None:
        """End what still runs; its result is not wanted any more."""
        self._cancel.set()


def joined(
    verdict: Verdict,
    run: CompileRun,
    deadline: float,
    cancel: threading.Event | None,
    progress: Callable[[str], None] | None,
) -> Verdict:
    """The verdict with what was compiled. Only for one that is correct so far is it waited."""
    if not verdict.correct:
        deadline = 0.0
    elif progress is not None:
        progress(Step(f"compiling for {run.target}"))
    try:
        answer = run.answer(cancel, deadline, progress if verdict.correct else None)
    except CheckCancelled:
        raise
    except WorkerError as error:
        # A machine whose triton cannot compile (no ptxas, say) has checked all the rest.
        return _not_made(verdict, run.target, str(error))
    if answer is None:
        return _not_made(verdict, run.target, TOO_LONG) if verdict.correct else verdict
    final = answer["final"]
    compilation = compilation_from(final, run.target)
    found = replace(verdict, compilation=compilation)
    if not verdict.correct:
        return found
    why = _why_not(final)
    if why is None and not compilation.kernels and final["verdict"] == "correct":
        why = "its host code launched nothing there"
    if why is not None:
        return _not_made(found if compilation.kernels else verdict, run.target, why)
    made = tuple(finding for finding in verdict.not_made if finding.code != "compilation")
    warnings = (*verdict.warnings, *_host_tensors(final))
    if final["verdict"] != "compile_error":
        return replace(found, not_made=made, warnings=warnings)
    reasons = tuple(_reason(item, answer.get("output", "")) for item in final["reasons"])
    return replace(found, verdict="compile_error", reasons=reasons, not_made=made)


def _why_not(final: dict[str, Any]) -> str | None:
    """Why an answer says nothing about the candidate; None where it does."""
    if "problem" in final:
        return str(final["problem"]["message"])
    if "not_made" in final:
        return str(final["not_made"])
    if final["verdict"] in ("correct", "compile_error"):
        return None
    # The compiling worker's own limit and the one of who waits for it end at the same moment.
    if final["verdict"] == "timeout":
        return TOO_LONG
    return str(final["reasons"][0]["message"])


def _not_made(verdict: Verdict, target: str, why: str) -> Verdict:
    rest = tuple(finding for finding in verdict.not_made if finding.code != "compilation")
    message = f"Nothing could be compiled for {target}: {why.rstrip('.')}."
    return replace(verdict, not_made=(*rest, Finding("compilation", message)))


def _host_tensors(final: dict[str, Any]) -> tuple[Finding, ...]:
    names = ", ".join(_text(name) for name in _items(final, "on_host"))
    if not names:
        return ()
    text = f"{names} is given a tensor in the host's memory, where a GPU's launch fails: name "
    return (Finding("host_tensor", text + "its device (device=x.device) where it is made."),)


def _reason(item: dict[str, Any], output: str) -> Finding:
    """A refusal; where the compiler only printed what it minds, its own words and line."""
    line, message = item.get("line"), str(item["message"])
    printed = re.search(r"candidate\.py:(\d+):\d+: error: (.*)", output)
    if "PassManager::run failed" in message and printed is not None:
        line, message = int(printed[1]), f"The compiler says: {printed[2]}"
    return Finding(str(item["code"]), message, line)


def compilation_from(final: dict[str, Any], target: str) -> Compilation:
    """The kernels that an answer tells of; what is no figure there is None."""
    limit = shared_limit_bytes(target)
    kernels = tuple(_kernel(item, limit) for item in _items(final, "kernels"))
    left_out = tuple(_text(item) for item in _items(final, "left_out"))
    return Compilation(target, kernels, left_out)


def compilation_of_run(compiled: Any) -> Compilation | None:
    """The kernels that ran on a GPU; None where none did."""
    if not isinstance(compiled, dict) or not compiled.get("kernels"):
        return None
    target = compiled.get("target")
    return compilation_from(compiled, str(target)) if _is_target(target) else None


def _is_target(name: Any) -> bool:
    return isinstance(name, str) and re.fullmatch(TARGET_PATTERN, name) is not None


def _text(value: Any) -> str:
    """A candidate's word, bounded and without what makes a terminal do something."""
    return "".join(c for c in str(value)[:TEXT_LIMIT] if c.isprintable())


def _items(final: dict[str, Any], name: str) -> list[Any]:
    found = final.get(name)
    return found[:KERNELS_LIMIT] if isinstance(found, list) else []


def _kernel(item: Any, limit: int | None) -> CompiledKernel:
    item = item if isinstance(item, dict) else {}
    grid = item.get("grid")
    whole = [_count(size) for size in grid] if isinstance(grid, list) else []
    configuration = item.get("configuration")
    return CompiledKernel(
        name=_text(item.get("name")),
        line=_count(item.get("line")),
        configuration=None if configuration is None else _text(configuration),
        launches=_count(item.get("launches")) or 0,
        grid=(whole[0] or 0, whole[1] or 0, whole[2] or 0) if len(whole) == 3 else None,
        num_warps=_count(item.get("num_warps")),
        registers=_count(item.get("registers")),
        stack_bytes=_count(item.get("stack_bytes")),
        spill_bytes=_count(item.get("spill_bytes")),
        shared_bytes=_count(item.get("shared_bytes")),
        shared_limit_bytes=limit,
    )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
