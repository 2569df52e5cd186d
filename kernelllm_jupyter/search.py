"""The loops around the line: k candidates side by side, rounds of repair, and which one is kept.

Every candidate goes the way of :mod:`kernelllm_jupyter.translate`; here it is decided how many go
at once, when all of it may stop, and what comes next. A generator of the same events, each with
the candidate's place: whoever consumes one candidate can consume k. Closing it, or an interrupt,
ends every stream and every check; what had arrived stays with the consumer.

Knows no IPython, no widget and no terminal.
"""

from __future__ import annotations

import contextlib
import functools
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from kernelllm_jupyter.asking import Asked, Asking
from kernelllm_jupyter.attempts import Attempt, distinct, translation, verified
from kernelllm_jupyter.checking import Broke, Checks, News
from kernelllm_jupyter.engines import Engine
from kernelllm_jupyter.errors import EngineError, KernelLLMError, WorkerError
from kernelllm_jupyter.fingerprint import fingerprint
from kernelllm_jupyter.mending import mend
from kernelllm_jupyter.prompts import Profile
from kernelllm_jupyter.translate import (
    Checked,
    Checking,
    Event,
    Finished,
    Generated,
    Noted,
    Thought,
    Wrote,
    generate_events,
    in_thread,
    load_events,
    start_warm_up,
    translate,
)
from kernelllm_jupyter.values import (
    Candidate,
    CheckOptions,
    Effort,
    Problem,
    Sampling,
    Timing,
    Verdict,
)

__all__ = ["Began", "Measured", "Measuring", "SearchCancelled", "SearchEvent", "search"]

#: How many streams run at once: as many as the local engine decodes in one batch.
WIDTH = 16
#: How long streams and checks that are no longer wanted may take to end.
ENDING_S = 3.0
SURPLUS = "Stopped: another candidate was verified first."


class SearchCancelled(Exception):
    """Raised out of a search whose ``cancel`` was set."""


@dataclass(frozen=True)
class Began:
    """Candidate ``index`` is being sampled; ``repair_of`` is the failed one it is to mend."""

    index: int
    round: int = 0
    repair_of: int | None = None


@dataclass(frozen=True)
class Measuring:
    """What the timing of a verified candidate does now, in words."""

    message: str
    index: int


@dataclass(frozen=True)
class Measured:
    timing: Timing
    index: int


SearchEvent = Event | Began | Measuring | Measured


def search(
    problem: Problem,
    engine: Engine,
    profile: Profile,
    *,
    effort: Effort | None = None,
    sampling: Sampling | None = None,
    check: CheckOptions | None = None,
    jobs: int | None = None,
    cancel: threading.Event | None = None,
) -> Generator[SearchEvent, None, None]:
    """Translate ``problem`` with up to ``effort.k`` candidates and ``effort.repair`` more rounds.

    Without a check all k are sampled and the first complete one is kept. Raises what
    :func:`~kernelllm_jupyter.translate.translate` does; what only some candidates suffer from (a
    stream that breaks off, say) is their ``note``.

    ``jobs`` checks run at once, by default as many as are good for the device. ``cancel`` ends a
    search in another thread, with ``SearchCancelled``; it is looked at where there are several.
    """
    wanted = effort or Effort()
    if not wanted.several:
        yield from translate(problem, engine, profile, sampling=sampling, check=check)
        return
    profile.prompt(problem)  # Refuses a module before anything is loaded for it.
    if check is not None:
        start_warm_up(check)
    yield from load_events(engine)
    with contextlib.closing(
        _Search(problem, engine, profile, wanted, sampling or Sampling(), check, jobs, cancel)
    ) as run:
        yield from run.events()


class _Search:
    """Streams and checks run in threads and report to one queue; its reader decides."""

    def __init__(
        self,
        problem: Problem,
        engine: Engine,
        profile: Profile,
        effort: Effort,
        sampling: Sampling,
        check: CheckOptions | None,
        jobs: int | None,
        cancel: threading.Event | None,
    ):
        self._cancel = cancel or threading.Event()
        self._problem, self._engine, self._profile = problem, engine, profile
        self._effort, self._options = effort, check
        self._asking = Asking(problem, profile, effort, sampling)
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._attempts: list[Attempt] = []
        self._streaming: set[int] = set()
        self._checks = Checks(problem, check, self._news, jobs)
        #: The first candidate of each code.
        self._known: dict[str, int] = {}
        self._troubles: list[KernelLLMError] = []
        self._noted: list[Noted] = []
        self._winner: int | None = None
        self._times = effort.best == "fastest" and self._checks.on_gpu

    def events(self) -> Iterator[SearchEvent]:
        if self._effort.best == "fastest" and not self._times:
            yield Noted("Without a GPU nothing can be timed: the first verified one is kept.")
        yield from self._rounds()
        if self._times:
            yield from self._measure()
        yield Finished(translation(self._problem, self._attempts, self._winner))

    def close(self) -> None:
        """End everything that runs."""
        for attempt in self._attempts:
            attempt.completion.close()
        until = time.monotonic() + ENDING_S
        self._checks.close(until)
        for attempt in self._attempts:
            if attempt.stream is not None:
                attempt.stream.join(max(0.0, until - time.monotonic()))

    # --- rounds ----------------------------------------------------------------------------------

    def _rounds(self) -> Iterator[SearchEvent]:
        for number in range(self._effort.repair + 1):
            known, troubles = len(self._known), len(self._troubles)
            asked = self._asked_in(number)
            for at in range(0, len(asked), WIDTH):
                yield from self._wave(asked[at : at + WIDTH], number)
                if self._winner is not None:
                    return
            if self._options is None or any(verified(self._attempts)):
                return
            if number and len(self._known) == known:
                if len(self._troubles) > troubles:
                    yield Noted(f"Repair ended in round {number}: {self._troubles[-1]}")
                else:
                    yield Noted(f"Repair ended in round {number}: nothing new came of it.")
                return

    def _asked_in(self, number: int) -> list[Asked]:
        if number == 0:
            return self._asking.first()
        failed = [
            (attempt.index, attempt.candidate, attempt.verdict)
            for attempt in distinct(self._attempts)
            if attempt.round == number - 1 and attempt.candidate is not None
        ]
        return self._asking.repairs(failed, len(self._attempts))

    def _wave(self, asked: Sequence[Asked], number: int) -> Iterator[SearchEvent]:
        """Sample side by side and check what is complete, until all is done or one is verified."""
        begun = []
        for each in asked:
            # All at once, and only then their threads: requests that come together are a batch.
            completion = self._engine.generate(each.prompt, each.sampling)
            attempt = Attempt(len(self._attempts), number, each, completion)
            self._attempts.append(attempt)
            begun.append(attempt)
        for attempt in begun:
            self._streaming.add(attempt.index)
            attempt.stream = threading.Thread(
                target=self._stream, args=(attempt,), name="kernelllm-stream", daemon=True
            )
            attempt.stream.start()
        for attempt in begun:
            yield Began(attempt.index, number, attempt.asked.repair_of)
        while self._streaming or self._checks.busy:
            yield from self._take(self._next())
            if self._winner is not None:
                yield from self._end_the_rest()
                return
        if self._troubles and not self._has_result():
            raise self._troubles[0]

    def _stream(self, attempt: Attempt) -> None:
        try:
            for event in generate_events(
                self._problem,
                attempt.completion,
                self._profile,
                self._engine.model,
                attempt.index,
            ):
                self._news.put(event)
        except BaseException as error:
            self._news.put(Broke(attempt.index, error))

    def _next(self, timeout_s: float | None = None) -> News:
        """What comes next; waits in slices, so that an interrupt gets through at once."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            if self._cancel.is_set():
                raise SearchCancelled
            try:
                return self._news.get(timeout=0.1)
            except queue.Empty:
                if until is not None and time.monotonic() > until:
                    raise

    # --- what arrives ----------------------------------------------------------------------------

    def _take(self, news: News) -> Iterator[SearchEvent]:
        if isinstance(news, Noted):
            if news not in self._noted:  # The same of every stream.
                self._noted.append(news)
                yield news
            return
        attempt = self._attempts[news.index]
        if isinstance(news, Wrote):
            attempt.written.append(news.code)
            yield news
        elif isinstance(news, Generated):
            self._streaming.discard(news.index)
            yield from self._complete(attempt, news.candidate)
        elif isinstance(news, Thought | Checking):
            yield news
        elif isinstance(news, Checked):
            self._checks.done(news.index)
            yield from self._judge(attempt, news.verdict)
        else:
            yield from self._broken(attempt, news.error)

    def _complete(self, attempt: Attempt, candidate: Candidate) -> Iterator[SearchEvent]:
        if self._effort.repair and candidate.finish in ("stop", "repetition"):
            code, mends = mend(candidate.code)
            candidate = replace(candidate, code=code, mends=mends)
        first = self._known.setdefault(fingerprint(candidate.code), attempt.index)
        if first != attempt.index:
            candidate = replace(candidate, duplicate_of=first)
        yield self._keep(attempt, candidate)
        if self._options is None:
            return
        if first == attempt.index:
            self._checks.add(attempt.index, candidate.code)
        elif (verdict := self._attempts[first].verdict) is not None:
            attempt.verdict = verdict
            yield Checked(verdict, attempt.index)

    def _keep(self, attempt: Attempt, candidate: Candidate) -> Generated:
        return Generated(attempt.keep(candidate), attempt.index)

    def _judge(self, attempt: Attempt, verdict: Verdict) -> Iterator[SearchEvent]:
        for each in self._attempts:
            same = each.candidate is not None and each.candidate.duplicate_of == attempt.index
            if each is attempt or same:
                each.verdict = verdict
                yield Checked(verdict, each.index)
        if verdict.correct and self._winner is None and not (self._times or self._effort.every):
            self._winner = attempt.index

    def _broken(self, attempt: Attempt, error: BaseException) -> Iterator[SearchEvent]:
        if attempt.index in self._streaming:
            if not isinstance(error, EngineError):
                raise error
            self._streaming.discard(attempt.index)
            yield self._keep(attempt, attempt.unfinished(self._engine.model, "failed", str(error)))
        else:
            # A reference that does not run fails for every candidate; a worker may fail for one.
            if not isinstance(error, WorkerError):
                raise error
            self._checks.done(attempt.index)
            assert attempt.candidate is not None
            note = f"Could not be checked: {error}"
            attempt.candidate = replace(attempt.candidate, note=note)
        self._troubles.append(error)

    def _end_the_rest(self) -> Iterator[SearchEvent]:
        """Cancel what is still sampled or checked, and keep what it had written."""
        for index in self._streaming:
            self._attempts[index].completion.close()
        self._checks.close(time.monotonic() + ENDING_S)
        until = time.monotonic() + ENDING_S
        while self._streaming:
            try:
                news = self._next(max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if isinstance(news, Noted | Thought):
                continue
            attempt = self._attempts[news.index]
            if isinstance(news, Generated):
                self._streaming.discard(news.index)
                note = news.candidate.note or SURPLUS
                yield self._keep(attempt, replace(news.candidate, note=note))
            elif isinstance(news, Wrote):
                attempt.written.append(news.code)
            elif isinstance(news, Checked) and attempt.verdict is None:
                attempt.verdict = news.verdict
                yield news
            elif isinstance(news, Broke) and news.index in self._streaming:
                self._streaming.discard(news.index)
                yield self._keep(
                    attempt, attempt.unfinished(self._engine.model, "cancelled", SURPLUS)
                )
        for index in sorted(self._streaming):
            attempt = self._attempts[index]
            yield self._keep(attempt, attempt.unfinished(self._engine.model, "cancelled", SURPLUS))
        self._streaming.clear()

    # --- the end ---------------------------------------------------------------------------------

    def _has_result(self) -> bool:
        if self._options is None:
            return any(True for _ in distinct(self._attempts))
        return any(attempt.verdict is not None for attempt in self._attempts)

    def _measure(self) -> Iterator[SearchEvent]:
        """Time the verified candidates one after another, while nothing else runs."""
        correct = list(verified(self._attempts))
        worth_it = len(correct) > 1 or self._effort.every
        for attempt in correct if worth_it else []:
            assert attempt.candidate is not None
            cancel = threading.Event()
            steps = in_thread(functools.partial(self._time, attempt, cancel))
            try:
                while attempt.timing is None:
                    try:
                        yield Measuring(next(steps), attempt.index)
                    except StopIteration as stop:
                        attempt.timing = stop.value
            finally:
                cancel.set()
            yield Measured(attempt.timing, attempt.index)

    def _time(
        self, attempt: Attempt, cancel: threading.Event, report: Callable[[str], None]
    ) -> Timing:
        from kernelllm_jupyter.verify.benchmark import BenchmarkOptions, benchmark

        assert attempt.candidate is not None
        return benchmark(
            self._problem,
            attempt.candidate.code,
            BenchmarkOptions(model=self._engine.model),
            verdict=attempt.verdict,
            progress=report,
            cancel=cancel,
        )
