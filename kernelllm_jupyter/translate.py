"""The line from a problem to a verdict, as a generator of events.

problem -> prompt -> text -> candidate -> verdict. Knows no IPython, no widget and no terminal: the
magic, the command line and the Python API all consume the same events. Closing the generator, or
an interrupt that reaches it, cancels what is running; what had arrived stays with the consumer.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from kernelllm_jupyter.engines import Completion, Engine, LoadProgress
from kernelllm_jupyter.errors import EngineError
from kernelllm_jupyter.prompts import Profile, Reader
from kernelllm_jupyter.repetition import RepetitionGuard
from kernelllm_jupyter.values import (
    Candidate,
    CheckOptions,
    FinishReason,
    Problem,
    Sampling,
    Translation,
    Verdict,
)

__all__ = [
    "Checked",
    "Checking",
    "Event",
    "Finished",
    "Generated",
    "Loading",
    "Noted",
    "Thought",
    "Wrote",
    "check_events",
    "generate_events",
    "in_thread",
    "load_events",
    "run_check",
    "start_warm_up",
    "translate",
]


#: Reasoning writes a draft, goes over it line by line, and writes it again.
THINKING_PATIENCE = 4

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Loading:
    """The model is being made ready."""

    progress: LoadProgress


@dataclass(frozen=True)
class Wrote:
    """``code`` is the candidate's next piece; ``tokens`` and ``seconds`` count from the start.

    ``index``, here and below, is the candidate's place among several.
    """

    code: str
    tokens: int
    seconds: float
    index: int = 0


@dataclass(frozen=True)
class Noted:
    """Something worth knowing about how the candidate came about, in words."""

    message: str


@dataclass(frozen=True)
class Thought:
    """``text`` is the next piece of the model's reasoning, which is no part of the candidate."""

    text: str
    tokens: int
    seconds: float
    index: int = 0


@dataclass(frozen=True)
class Generated:
    """The candidate is complete."""

    candidate: Candidate
    index: int = 0


@dataclass(frozen=True)
class Checking:
    """What the check is doing now, in words."""

    message: str
    index: int = 0


@dataclass(frozen=True)
class Checked:
    verdict: Verdict
    index: int = 0


@dataclass(frozen=True)
class Finished:
    """The last event."""

    translation: Translation


Event = Loading | Thought | Wrote | Noted | Generated | Checking | Checked | Finished


def translate(
    problem: Problem,
    engine: Engine,
    profile: Profile,
    *,
    sampling: Sampling | None = None,
    check: CheckOptions | None = None,
) -> Generator[Event, None, None]:
    """Translate ``problem`` with one candidate; check it unless ``check`` is None.

    Raises ``UnsupportedModule`` before anything is loaded where the profile refuses the module,
    ``EngineError`` where the model cannot be loaded or fails, ``ProblemError`` where the check
    finds that the reference itself does not run.
    """
    profile.prompt(problem)  # Refuses a module before anything is loaded for it.
    drawn = (sampling or Sampling()).over(profile.single)
    if check is not None:
        start_warm_up(check)
    yield from load_events(engine)
    # Anew, since a checkpoint may bring its own template, and it may only now be on this machine.
    prompt = profile.prompt(problem)
    candidate: Candidate | None = None
    completion = engine.generate(prompt, drawn)
    for event in generate_events(problem, completion, profile, engine.model):
        if isinstance(event, Generated):
            candidate = event.candidate
        yield event
    assert candidate is not None
    verdict: Verdict | None = None
    if check is not None:
        for checked in check_events(problem, candidate.code, check):
            if isinstance(checked, Checked):
                verdict = checked.verdict
            yield checked
    yield Finished(Translation(problem, (candidate,), 0, (verdict,)))


def start_warm_up(check: CheckOptions) -> None:
    """Start what a check needs in the background, while the model writes."""
    from kernelllm_jupyter.verify.check import warm_up

    warm_up(check.device, check.target)


def load_events(engine: Engine) -> Iterator[Loading]:
    """Make the model ready; raises ``EngineError`` where it never will be.

    Closing the generator ends the waiting; nobody else waiting, a download ends with it.
    """
    left = threading.Event()

    def load(report: Callable[[LoadProgress], None]) -> None:
        def tell(step: LoadProgress) -> None:
            if left.is_set():
                raise EngineError(f"Nobody waits for {engine.model} any more.")
            report(step)

        engine.load(tell)

    try:
        for step in in_thread(load):
            yield Loading(step)
    finally:
        left.set()


def in_thread(work: Callable[[Callable[[T], None]], R]) -> Generator[T, None, R]:
    """Run ``work`` in a thread, yield what it reports, return what it returns, raise its error.

    The main thread waits in slices: an interrupt reaches it at once while ``work`` blocks.
    """
    steps: queue.SimpleQueue[Any] = queue.SimpleQueue()
    future: Future[R] = Future()
    ended = object()

    def run() -> None:
        try:
            future.set_result(work(steps.put))
        except BaseException as error:
            future.set_exception(error)
        steps.put(ended)

    threading.Thread(target=run, name="kernelllm", daemon=True).start()
    while True:
        try:
            step = steps.get(timeout=0.1)
        except queue.Empty:
            continue
        if step is ended:
            return future.result()
        yield step


def generate_events(
    problem: Problem, completion: Completion, profile: Profile, model: str, index: int = 0
) -> Iterator[Thought | Wrote | Noted | Generated]:
    """Read candidate ``index`` out of a reply as it comes; closing the generator cancels it.

    A reply that repeats itself without end is stopped, and its code ends before the repetition.
    """
    started = time.monotonic()
    reading = _Reading(profile.reader(problem), started, index)
    try:
        for piece in completion:
            yield from reading.take(piece, completion)
            if reading.reader.done or reading.repeated:
                break
    finally:
        completion.close()
    yield from reading.end(completion)
    for note in completion.notes:
        yield Noted(note)
    reader = reading.reader
    yield Generated(
        Candidate(
            code=reading.whole_code(),
            text="".join(reading.text),
            model=model,
            finish="repetition" if reading.repeated else _finish(completion, reader.done),
            tokens=completion.tokens,
            seconds=time.monotonic() - started,
            thought="".join(reader.thoughts).strip(),
            thinking=reader.thinking,
            note=f"Stopped early: {reading.repeated}." if reading.repeated else "",
        ),
        index,
    )


class _Reading:
    """One reply as it is read: what has come of it, and the events that this makes."""

    def __init__(self, reader: Reader, started_s: float, index: int):
        self.reader = reader
        self.text: list[str] = []
        self.code: list[str] = []
        #: What the reply says again and again, in words.
        self.repeated: str | None = None
        self._in_code, self._in_text = RepetitionGuard(), RepetitionGuard(definitions=False)
        self._in_thoughts = RepetitionGuard(definitions=False, patience=THINKING_PATIENCE)
        self._started_s = started_s
        self._index = index
        self._told = 0

    def take(self, piece: str, completion: Completion) -> Iterator[Thought | Wrote]:
        self.text.append(piece)
        code = self.reader.feed(piece)
        thought = "".join(self.reader.thoughts[self._told :])
        yield from self._events(code, completion)
        self._in_code.feed(code)
        if thought or self.reader.thinking:
            self._in_thoughts.feed(thought)
        else:
            self._in_text.feed(piece)
        self.repeated = self._in_code.found or self._in_text.found or self._in_thoughts.found

    def whole_code(self) -> str:
        """The candidate's code, once the reply is over."""
        whole = self.reader.whole
        code = "".join(self.code) if whole is None else whole
        if self.repeated is None:
            return code
        guard = RepetitionGuard()
        guard.feed(code)
        return code[: guard.cut]

    def end(self, completion: Completion) -> Iterator[Thought | Wrote]:
        last = self.reader.flush()
        if last or len(self.reader.thoughts) > self._told:
            yield from self._events(last, completion)

    def _events(self, code: str, completion: Completion) -> Iterator[Thought | Wrote]:
        seconds = time.monotonic() - self._started_s
        new = "".join(self.reader.thoughts[self._told :])
        self._told = len(self.reader.thoughts)
        if new:
            yield Thought(new, completion.tokens, seconds, self._index)
        if code:
            self.code.append(code)
        if code or not new:  # Also without text: the consumer shows that tokens come.
            yield Wrote(code, completion.tokens, seconds, self._index)


def _finish(completion: Completion, code_complete: bool) -> FinishReason:
    """How the candidate ended; a stream closed because its code was complete has stopped."""
    if code_complete:
        return "stop"
    if completion.finish == "failed":
        raise EngineError("The model failed without saying why; see `kernelllm doctor`.")
    return completion.finish or "stop"


def run_check(
    problem: Problem,
    code: str,
    options: CheckOptions,
    report: Callable[[str], None],
    cancel: threading.Event,
    memory_mb: int | None = None,
) -> Verdict:
    """Check ``code`` with these options; setting ``cancel`` ends it with ``CheckCancelled``."""
    from kernelllm_jupyter.verify.check import check

    return check(
        problem,
        code,
        device=options.device,
        timeout_s=options.timeout_s,
        memory_mb=memory_mb,
        seed=options.seed,
        allow_tf32=options.allow_tf32,
        compile_for=options.target,
        progress=report,
        cancel=cancel,
    )


def check_events(
    problem: Problem, code: str, options: CheckOptions
) -> Iterator[Checking | Checked]:
    """Check ``code`` against ``problem``; the check's progress first, then its verdict.

    Closing the generator cancels the check and ends its worker.
    """
    cancel = threading.Event()

    def run(report: Callable[[str], None]) -> Verdict:
        return run_check(problem, code, options, report, cancel)

    steps = in_thread(run)
    try:
        while True:
            try:
                message = next(steps)
            except StopIteration as stop:
                yield Checked(stop.value)
                return
            yield Checking(message)
    finally:
        cancel.set()
