"""Many checks: a folder of references and candidates, checked several at a time.

Imports no torch. The checks run beside each other in the one server of their device; a pair that
cannot be checked is reported with its error and ends nothing else.
"""

from __future__ import annotations

import os
import queue
import re
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from kernelllm_jupyter.errors import (
    CheckCancelled,
    DeviceUnusable,
    KernelLLMError,
    UsageError,
    WorkerError,
)
from kernelllm_jupyter.problem import problem_of_file
from kernelllm_jupyter.values import CheckOptions, Problem, Verdict
from kernelllm_jupyter.verify.check import check
from kernelllm_jupyter.verify.gpu import gpu_present
from kernelllm_jupyter.verify.isolation.sandbox import available_memory_mb

__all__ = [
    "CheckedPair",
    "SourcePair",
    "check_pairs",
    "default_jobs",
    "find_pairs",
    "read_source",
    "refuse_unreadable",
    "source_text",
]

#: The reference in a folder of its own; all other modules there are its candidates.
REFERENCE = "reference.py"
#: A candidate beside ``NAME.py``.
CANDIDATE = re.compile(r"(?P<name>.+?)_candidate(?:_.*|\d*)\.py")
#: Checks at once on a CPU, at most: each may use much memory.
JOBS = 4
#: A file with more is none that a person or a model wrote.
LARGEST_BYTES = 10_000_000
#: How long the checks that run are waited for when the iteration is given up.
PATIENCE_S = 10.0


@dataclass(frozen=True)
class SourcePair:
    """The files of a reference and of one candidate for it."""

    reference: Path
    candidate: Path


@dataclass(frozen=True)
class CheckedPair:
    """A pair with its verdict, or with the error for which it has none."""

    pair: SourcePair
    verdict: Verdict | None = None
    error: KernelLLMError | None = None
    #: What the verdict is on, as the files had it.
    problem: Problem | None = None
    code: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "reference": str(self.pair.reference),
            "candidate": str(self.pair.candidate),
            "verdict": self.verdict.to_json() if self.verdict else None,
            "error": self.error.to_json() if self.error else None,
        }


def find_pairs(folder: Path) -> list[SourcePair]:
    """All pairs under ``folder``, sorted by their paths.

    A folder with a ``reference.py`` is one problem: every other module in it is a candidate.
    Elsewhere a candidate for ``NAME.py`` is called ``NAME_candidate.py``, or
    ``NAME_candidate_ANYTHING.py``, or ``NAME_candidate2.py``. Names that begin with a dot or an
    underscore are left out.

    Raises ``UsageError`` where there is no pair, where a candidate has no reference, and where a
    folder could be read in both ways.
    """
    found: list[SourcePair] = []
    for place, folders, files in os.walk(folder, onerror=refuse_unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
        names = sorted(
            name for name in files if name.endswith(".py") and not name.startswith((".", "_"))
        )
        found += _pairs_in(Path(place), names)
    if not found:
        raise UsageError(
            f"There are no pairs in {folder}: give each problem a folder with reference.py and "
            "its candidates, or put NAME_candidate.py beside NAME.py."
        )
    return found


def _pairs_in(place: Path, names: list[str]) -> list[SourcePair]:
    beside = {}
    for name in names:
        match = CANDIDATE.fullmatch(name)
        if match is not None:
            beside[name] = f"{match['name']}.py"
    if REFERENCE in names:
        for candidate, reference in beside.items():
            if reference in names and reference != REFERENCE:
                raise UsageError(
                    f"{place / candidate} could be a candidate for {reference} or for {REFERENCE} "
                    "beside it: give each problem a folder of its own."
                )
        return [SourcePair(place / REFERENCE, place / name) for name in names if name != REFERENCE]
    for candidate, reference in beside.items():
        if reference not in names:
            raise UsageError(f"{place / candidate} has no reference: there is no {reference}.")
    return [SourcePair(place / reference, place / name) for name, reference in beside.items()]


def default_jobs(device: str) -> int:
    """How many checks run at once: one on a GPU, where they would disturb each other."""
    if device == "cuda" or (device == "auto" and gpu_present()):
        return 1
    return min(JOBS, os.cpu_count() or 1)


def check_pairs(
    pairs: Sequence[SourcePair],
    options: CheckOptions | None = None,
    *,
    jobs: int | None = None,
    class_name: str | None = None,
) -> Generator[CheckedPair, None, None]:
    """Check every pair, ``jobs`` at a time, and yield each one as soon as it is done.

    ``class_name`` names the class of every reference. What one pair raises, a reference that does
    not run say, is its ``error``; a check whose server ended is made once more. Closing the
    iterator, or an interrupt, ends the checks that run. Raises ``UsageError`` for fewer than one
    job.
    """
    chosen = options or CheckOptions()
    count = default_jobs(chosen.device) if jobs is None else jobs
    if count < 1:
        raise UsageError("--jobs takes a number of at least 1.")
    return _checked(list(pairs), chosen, count, class_name)


def _checked(
    pairs: list[SourcePair], options: CheckOptions, jobs: int, class_name: str | None
) -> Generator[CheckedPair, None, None]:
    waiting: queue.SimpleQueue[SourcePair] = queue.SimpleQueue()
    done: queue.SimpleQueue[CheckedPair | BaseException] = queue.SimpleQueue()
    cancel = threading.Event()
    memory_mb = max(1024, available_memory_mb() * 6 // 10 // jobs)
    for pair in pairs:
        waiting.put(pair)

    def work() -> None:
        while not cancel.is_set():
            try:
                pair = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done.put(_check_one(pair, options, class_name, memory_mb, cancel))
            except BaseException as error:
                done.put(error)

    threads = [
        threading.Thread(target=work, name=f"kernelllm-check-{number}", daemon=True)
        for number in range(min(jobs, len(pairs)))
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in pairs:
            found = _next(done)
            if isinstance(found, BaseException):
                raise found
            yield found
    finally:
        cancel.set()
        for thread in threads:
            thread.join(PATIENCE_S)


def _next(done: queue.SimpleQueue[Any]) -> Any:
    """Wait in slices, so that an interrupt reaches the main thread at once."""
    while True:
        try:
            return done.get(timeout=0.1)
        except queue.Empty:
            continue


def _check_one(
    pair: SourcePair,
    options: CheckOptions,
    class_name: str | None,
    memory_mb: int,
    cancel: threading.Event,
) -> CheckedPair:
    for last in (False, True):
        try:
            source = read_source(pair.reference)
            problem = problem_of_file(source, str(pair.reference), class_name=class_name)
            code = read_source(pair.candidate)
            verdict = check(
                problem,
                code,
                device=options.device,
                timeout_s=options.timeout_s,
                memory_mb=memory_mb,
                seed=options.seed,
                allow_tf32=options.allow_tf32,
                compile_for=options.target,
                cancel=cancel,
            )
            return CheckedPair(pair, verdict, problem=problem, code=code)
        except (CheckCancelled, DeviceUnusable) as error:
            return CheckedPair(pair, error=error)
        except WorkerError as error:
            # Another check, or the system, may have ended the server under this one.
            if last:
                return CheckedPair(pair, error=error)
        except KernelLLMError as error:
            return CheckedPair(pair, error=error)
    raise AssertionError("unreachable")


def read_source(path: Path) -> str:
    """The text of a source file; raises ``UsageError`` where it cannot be read."""
    try:
        with path.open("rb") as file:
            return source_text(file, str(path))
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from None


def source_text(file: BinaryIO, called: str) -> str:
    """The text of a source that is read from ``file``, in Python's encoding."""
    found = file.read(LARGEST_BYTES + 1)
    if len(found) > LARGEST_BYTES:
        size = f"{LARGEST_BYTES / 1e6:.0f} MB"
        raise UsageError(f"Cannot read {called}: it has more than {size}, so it is no source.")
    try:
        return found.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise UsageError(f"Cannot read {called}: it is not UTF-8 text.") from None


def refuse_unreadable(error: OSError) -> None:
    """For ``os.walk``, which passes over folders that cannot be read."""
    raise UsageError(f"Cannot read {error.filename}: {error.strerror}.") from None
