"""A suite of problems, k candidates each: what a model is worth, problem by problem.

A problem is a file in KernelBench's form. Its candidates go the way of every translation; all of
them are sampled and checked, none is repaired. A few problems are worked on at once, each with one
check at a time. What is done is kept in a :class:`~kernelllm_jupyter.ledger.Ledger`, so that an
evaluation that was interrupted goes on where it was.

Runs on this machine only, with whatever engine it is given; a server may spread the sampling.
"""

from __future__ import annotations

import hashlib
import os
import queue
import random
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kernelllm_jupyter.engines import Engine
from kernelllm_jupyter.errors import (
    DeviceUnusable,
    EngineError,
    KernelLLMError,
    ProblemError,
    PromptTooLong,
    UnsupportedModule,
    UsageError,
    WorkerError,
)
from kernelllm_jupyter.ledger import Ledger
from kernelllm_jupyter.problem import problem_of_file
from kernelllm_jupyter.prompts import Profile
from kernelllm_jupyter.scores import Outcome, Sample, samples_of
from kernelllm_jupyter.search import search
from kernelllm_jupyter.translate import Finished, load_events
from kernelllm_jupyter.values import CheckOptions, Effort, Problem, Sampling, Translation
from kernelllm_jupyter.verify.gpu import gpu_present
from kernelllm_jupyter.verify.suite import default_jobs, read_source, refuse_unreadable

__all__ = ["Plan", "ProblemFile", "evaluate", "find_problems"]

#: So many problems in a row for which the engine fails are no accident.
FAILURES_IN_A_ROW = 3
#: How long problems in progress are waited for when the evaluation is given up.
ENDING_S = 10.0


@dataclass(frozen=True)
class ProblemFile:
    """``name`` is the file's path below the folder that was given, and tells it from all others."""

    name: str
    path: Path


@dataclass(frozen=True)
class Plan:
    """How each problem is done: ``k`` candidates, timed where ``timed`` and a GPU is there."""

    k: int = 1
    sampling: Sampling = field(default_factory=Sampling)
    check: CheckOptions = field(default_factory=CheckOptions)
    timed: bool = False


def find_problems(places: Sequence[Path]) -> list[ProblemFile]:
    """The problem files in folders (and those below them) and files, numbers in their order.

    Names that begin with a dot or an underscore are left out. Raises ``UsageError`` where there
    are none, or two that would have the same name.
    """
    found: dict[str, ProblemFile] = {}
    for place in places:
        for path in _files(place):
            name = str(path.resolve().relative_to(place.resolve().parent))
            if name in found and found[name].path.resolve() != path.resolve():
                raise UsageError(f"{path} and {found[name].path} would both be called {name}.")
            found[name] = ProblemFile(name, path)
    if not found:
        named = ", ".join(map(str, places))
        raise UsageError(f"There are no problem files (*.py) in {named}.")
    return sorted(found.values(), key=lambda file: _natural(file.name))


def _files(place: Path) -> Iterator[Path]:
    if not place.exists():
        raise UsageError(f"There is no {place}.")
    if not place.is_dir():
        yield place
        return
    for folder, folders, files in os.walk(place, onerror=refuse_unreadable):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        for name in files:
            if name.endswith(".py") and not name.startswith((".", "_")):
                yield Path(folder) / name


def _natural(name: str) -> list[tuple[int, str]]:
    """``10_x`` after ``2_x``."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def evaluate(
    files: Sequence[ProblemFile],
    engine: Engine,
    profile: Profile,
    plan: Plan,
    ledger: Ledger,
    *,
    jobs: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Generator[Outcome, None, None]:
    """Yield the outcome of each problem as it is known, those first that the ledger holds.

    Problems that were in trouble are tried again. ``jobs`` problems at most are worked on at once
    (default: as many as checks run side by side on the device). Closing the generator, or an
    interrupt, ends what is in progress; what is done is in the ledger. Raises ``UsageError`` for
    fewer than one candidate or job, ``EngineError`` where the model cannot be loaded or fails time
    after time, ``DeviceUnusable`` where the device of the checks does.
    """
    count = default_jobs(plan.check.device) if jobs is None else jobs
    if count < 1:
        raise UsageError("--jobs takes a number of at least 1.")
    if plan.timed and count > 1 and plan.check.device != "cpu" and gpu_present():
        raise UsageError(
            "--benchmark times on an idle GPU, one problem at a time: leave out --jobs."
        )
    if plan.k < 1:
        raise UsageError("-k takes a number of candidates of at least 1.")
    waiting: list[tuple[ProblemFile, str]] = []
    for file in files:
        source = read_source(file.path)
        kept = ledger.entry(file.name)
        if kept is not None and kept.get("source") == _digest(source):
            yield _outcome_of(kept)
        else:
            waiting.append((file, source))
    if waiting:
        for step in load_events(engine):
            progress(step.progress.message)
        with closing(_Crew(engine, profile, plan, ledger, waiting, count)) as crew:
            yield from crew.outcomes()


class _Crew:
    """Threads that work on problems, and report to one queue."""

    def __init__(
        self,
        engine: Engine,
        profile: Profile,
        plan: Plan,
        ledger: Ledger,
        waiting: Sequence[tuple[ProblemFile, str]],
        count: int,
    ):
        self._engine, self._profile, self._plan, self._ledger = engine, profile, plan, ledger
        self._waiting: queue.SimpleQueue[tuple[ProblemFile, str]] = queue.SimpleQueue()
        for each in waiting:
            self._waiting.put(each)
        self._number = len(waiting)
        self._done: queue.SimpleQueue[_Done | BaseException] = queue.SimpleQueue()
        self._cancel = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name=f"kernelllm-problem-{number}", daemon=True)
            for number in range(min(count, len(waiting)))
        ]

    def outcomes(self) -> Iterator[Outcome]:
        for thread in self._threads:
            thread.start()
        failures = 0
        for _ in range(self._number):
            done = self._next()
            if isinstance(done, BaseException):
                raise done
            failures = failures + 1 if isinstance(done.error, EngineError) else 0
            if done.error is not None and failures >= FAILURES_IN_A_ROW:
                raise done.error
            if done.entry is not None:
                self._ledger.add(done.outcome.problem, done.entry)
            yield done.outcome

    def close(self) -> None:
        self._cancel.set()
        until = time.monotonic() + ENDING_S
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))

    def _next(self) -> _Done | BaseException:
        """Waits in slices, so that an interrupt gets through at once."""
        while True:
            try:
                return self._done.get(timeout=0.1)
            except queue.Empty:
                continue

    def _work(self) -> None:
        while not self._cancel.is_set():
            try:
                file, source = self._waiting.get_nowait()
            except queue.Empty:
                return
            try:
                self._done.put(self._one(file, source))
            except BaseException as error:
                self._done.put(error)

    def _one(self, file: ProblemFile, source: str) -> _Done:
        started = time.monotonic()
        try:
            made = self._translate(file, problem_of_file(source, file.name))
        except (UnsupportedModule, PromptTooLong) as error:
            return _done(Outcome(file.name, refused=str(error)), started, source)
        except ProblemError as error:
            return _Done(Outcome(file.name, trouble=str(error)))
        except DeviceUnusable:
            raise  # For every problem alike.
        except (EngineError, WorkerError) as error:
            return _Done(Outcome(file.name, trouble=str(error)), error=error)
        missing = next(_missing(made), None)
        if missing is not None:
            return _Done(Outcome(file.name, trouble=missing))
        return _done(Outcome(file.name, samples_of(made)), started, source, made)

    def _translate(self, file: ProblemFile, problem: Problem) -> Translation:
        plan = self._plan
        effort = Effort(plan.k, best="fastest" if plan.timed else "first", every=True)
        events = search(
            problem,
            self._engine,
            self._profile,
            effort=effort,
            sampling=_seeded(plan.sampling, file.name),
            check=plan.check,
            jobs=1,
            cancel=self._cancel,
        )
        with closing(events):
            for event in events:
                if isinstance(event, Finished):
                    return event.translation
        raise AssertionError("a search ends with Finished")


@dataclass(frozen=True)
class _Done:
    """``entry`` is what the ledger keeps, None where the problem is to be tried again."""

    outcome: Outcome
    entry: dict[str, Any] | None = None
    error: KernelLLMError | None = None


def _done(
    outcome: Outcome, started_s: float, source: str, made: Translation | None = None
) -> _Done:
    whole = replace(outcome, seconds=round(time.monotonic() - started_s, 3))
    entry = {
        "source": _digest(source),
        "samples": [{"verdict": s.verdict, "speedup": s.speedup} for s in whole.samples],
        "refused": whole.refused,
        "seconds": whole.seconds,
        "candidates": made.to_json()["candidates"] if made else [],
    }
    return _Done(whole, entry)


def _outcome_of(entry: dict[str, Any]) -> Outcome:
    """The outcome that an entry was made of."""
    samples = tuple(Sample(each["verdict"], each["speedup"]) for each in entry["samples"])
    return Outcome(entry["problem"], samples, entry["refused"], seconds=entry["seconds"])


def _missing(made: Translation) -> Iterator[str]:
    """Why candidates have no verdict: a stream that broke off, a check that could not be made."""
    for candidate, verdict in zip(made.candidates, made.verdicts, strict=True):
        if candidate.finish == "failed" or verdict is None:
            yield candidate.note or "A candidate was not checked."


def _seeded(sampling: Sampling, name: str) -> Sampling:
    """Another seed for each problem, the same one whenever it is done."""
    if sampling.seed is None:
        return sampling
    seed = random.Random(f"{sampling.seed}/{name}").getrandbits(31)
    return replace(sampling, seed=seed)


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()
