"""A search's events on their way through, and its record kept up with them.

The record is begun with the first event and written to as candidates come, so that whatever ends
the process leaves what there was. A search behaves the same whether it is recorded or not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator, Mapping
from typing import Any, Literal

from kernelllm_jupyter.errors import KernelLLMError
from kernelllm_jupyter.options import Request
from kernelllm_jupyter.records import Recording, Records
from kernelllm_jupyter.search import Measured, SearchEvent
from kernelllm_jupyter.translate import Checked, Finished, Generated, Noted, Wrote
from kernelllm_jupyter.values import Candidate, FinishReason, Problem, Timing, Translation, Verdict

__all__ = ["Recorded", "keep_result"]


class Recorded:
    """Iterates over ``events`` and keeps the record of them in ``records``.

    ``Finished`` gets the record's ID, or None where nothing could be kept; the reason comes once,
    as ``Noted``. Closing this closes ``events``, and the record is then one that was stopped.
    """

    def __init__(
        self,
        events: Generator[SearchEvent, None, None],
        records: Records,
        problem: Problem,
        request: Request,
        *,
        origin: str,
    ):
        self.recording: Recording | None = None
        self._records = records
        self._begun = (problem, request, origin)
        self._written: dict[int, list[str]] = {}
        self._codes: dict[int, str] = {}
        self._verified: int | None = None
        self._events = self._run(events)

    def __iter__(self) -> Iterator[SearchEvent]:
        return self._events

    def __next__(self) -> SearchEvent:
        return next(self._events)

    def close(self) -> None:
        self._events.close()

    @property
    def id(self) -> str | None:
        """The record's ID, once the first event has come."""
        return self.recording.id if self.recording else None

    def _run(
        self, events: Generator[SearchEvent, None, None]
    ) -> Generator[SearchEvent, None, None]:
        problem, request, origin = self._begun
        options = _options(request)
        self.recording = self._records.begin(
            "translate", problem, request.model, origin=origin, options=options
        )
        made: Translation | None = None
        try:
            for event in events:
                if isinstance(event, Finished):
                    made = event.translation
                    break
                self._take(event)
                yield event
        except GeneratorExit:
            self._end("stopped", "Stopped.")
            raise
        except KernelLLMError as error:
            self._end("failed", str(error))
            raise
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt)
            self._end(*(("stopped", "Stopped.") if stopped else ("failed", repr(error))))
            raise
        finally:
            events.close()
        if made is not None:
            # Out here, because many a consumer leaves with the last event: it is done all the same.
            yield from self._finish(made)

    def _take(self, event: SearchEvent) -> None:
        record = self.recording
        if record is None:
            return
        if isinstance(event, Wrote):
            written = self._written.setdefault(event.index, [])
            written.append(event.code)
            record.writing(event.index, written, self._begun[1].model)
        elif isinstance(event, Generated):
            self._written.pop(event.index, None)
            self._codes[event.index] = event.candidate.code
            record.candidate(event.index, event.candidate)
        elif isinstance(event, Checked) and event.index in self._codes:
            record.verdict(self._codes[event.index], event.verdict, event.index)
            if event.verdict.correct and self._verified is None:
                self._verified = event.index
        elif isinstance(event, Measured) and event.index in self._codes:
            record.timing(self._codes[event.index], event.timing, event.index)

    def _finish(self, made: Translation) -> Iterator[SearchEvent]:
        """The last event, with the record's ID, and before it what kept the record from being."""
        is_kept = False
        if self.recording is not None:
            for index, candidate in enumerate(made.candidates):
                if self._codes.get(index) != candidate.code or candidate.note:
                    self.recording.candidate(index, candidate)  # Put right since, or noted on.
            is_kept = self.recording.end("done", chosen=made.chosen)
        trouble = self._records.take_trouble()
        if trouble is not None:
            yield Noted(trouble)
        kept_as = self.id if is_kept else None
        yield Finished(dataclasses.replace(made, record=kept_as))

    def _end(self, state: Any, message: str) -> None:
        """Of a search that did not get to its end: with all that had been written."""
        record = self.recording
        if record is None:
            return
        for index, written in self._written.items():
            finish: FinishReason = "cancelled" if state == "stopped" else "failed"
            record.unfinished(index, "".join(written), self._begun[1].model, finish)
        record.end(state, chosen=self._verified, message=message)


def _options(request: Request) -> dict[str, Any]:
    """What was asked for, less what the record has elsewhere or what has nothing to do with it."""
    plain = dataclasses.asdict(request)
    for name in ("model", "into", "idle_s", "strict"):
        plain.pop(name)
    return plain


def keep_result(
    records: Records,
    kind: Literal["check", "benchmark"],
    problem: Problem,
    code: str,
    result: Verdict | Timing,
    options: Mapping[str, Any],
    *,
    origin: str,
) -> str | None:
    """Keep the record of a check or a timing of code that no translation here has made.

    What keeps it from being kept is returned, in words, the first time that it happens to
    ``records``.
    """
    recording = records.begin(kind, problem, "", origin=origin, options=options)
    if recording is None:
        return None
    recording.candidate(0, Candidate(code, "", "", "stop"))
    if isinstance(result, Verdict):
        recording.verdict(code, result, 0)
    else:
        recording.timing(code, result, 0)
    recording.end("done", chosen=0)
    return records.take_trouble()
