"""A record as it is read: values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Literal

from kernelllm_jupyter.values import Candidate, Problem, Timing, Verdict

__all__ = ["KeptCandidate", "KeptResult", "Kind", "Record", "State", "Summary", "iso"]

#: ``check`` and ``benchmark`` are of a candidate that was there already.
Kind = Literal["translate", "check", "benchmark"]
#: ``unfinished``: the process that wrote it ended in the midst of it.
State = Literal["running", "done", "stopped", "failed", "unfinished"]


def iso(at_s: float | None) -> str | None:
    """A moment, in seconds since the epoch, as UTC text."""
    if at_s is None:
        return None
    return datetime.fromtimestamp(at_s, timezone.utc).isoformat(timespec="seconds")


@dataclass(frozen=True)
class KeptCandidate:
    """``whole`` is false where the process ended while it was written."""

    place: int
    whole: bool
    code_hash: str
    candidate: Candidate

    def to_json(self) -> dict[str, Any]:
        candidate = self.candidate
        return {
            "code": candidate.code,
            "code_hash": self.code_hash,
            "whole": self.whole,
            "finish": candidate.finish if self.whole else None,
            "tokens": candidate.tokens,
            "seconds": candidate.seconds,
            "seed": candidate.seed,
            "round": candidate.round,
            "repair_of": candidate.repair_of,
            "duplicate_of": candidate.duplicate_of,
            "mends": list(candidate.mends),
            "note": candidate.note,
        }


@dataclass(frozen=True)
class KeptResult:
    """A verdict or a timing, of ``code``; ``place`` is the candidate's, None for edited code.

    ``value`` is None where this version cannot read what another one wrote; ``plain`` has it all.
    """

    at_s: float
    place: int | None
    code_hash: str
    code: str
    device: str | None
    versions: dict[str, str]
    value: Verdict | Timing | None
    plain: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The value's own object, and what it is bound to."""
        value = self.plain if self.value is None else self.value.to_json()
        bound = {"at": iso(self.at_s), "candidate": self.place, "code_hash": self.code_hash}
        return {**bound, **value}


@dataclass(frozen=True)
class Record:
    """All that is kept of one translation (or one check of code that was there already)."""

    id: str
    kind: Kind
    origin: str
    state: State
    started_at_s: float
    ended_at_s: float | None
    model: str
    problem: Problem
    options: dict[str, Any]
    versions: dict[str, str]
    candidates: tuple[KeptCandidate, ...]
    verdicts: tuple[KeptResult, ...]
    timings: tuple[KeptResult, ...]
    chosen: int | None = None
    message: str = ""
    #: What was too large to be kept, in words.
    left_out: tuple[str, ...] = field(default=())
    #: Of the live module: the one dtype of its weights, and whether it was in training mode.
    weights_dtype: str | None = None
    training: bool | None = None

    @property
    def kept(self) -> KeptCandidate | None:
        """The chosen candidate; where it did not get so far, the one that has most code."""
        for each in self.candidates:
            if each.place == self.chosen:
                return each
        return max(self.candidates, key=lambda one: len(one.candidate.code), default=None)

    @property
    def code(self) -> str:
        """The chosen candidate's code, as the model wrote it."""
        return self.kept.candidate.code if self.kept else ""

    @property
    def verdict(self) -> Verdict | None:
        """The latest on :attr:`code`."""
        found = self._latest(self.verdicts)
        return found if isinstance(found, Verdict) else None

    @property
    def timing(self) -> Timing | None:
        """The latest of :attr:`code`."""
        found = self._latest(self.timings)
        return found if isinstance(found, Timing) else None

    def _latest(self, results: tuple[KeptResult, ...]) -> Verdict | Timing | None:
        code_hash = self.kept.code_hash if self.kept else None
        of_it = [one for one in results if one.code_hash == code_hash]
        return of_it[-1].value if of_it else None

    def to_json(self) -> dict[str, Any]:
        """The object of ``kernelllm show ID --json``."""
        return {
            "record": self.id,
            "kind": self.kind,
            "origin": self.origin,
            "state": self.state,
            "started_at": iso(self.started_at_s),
            "ended_at": iso(self.ended_at_s),
            "model": self.model,
            "message": self.message,
            "class_name": self.problem.class_name,
            "source": self.problem.source,
            "options": self.options,
            "versions": self.versions,
            "code": self.code,
            "verdict": self.verdict.to_json() if self.verdict else None,
            "timing": self.timing.to_json() if self.timing else None,
            "chosen": self.chosen,
            "candidates": [each.to_json() for each in self.candidates],
            "verdicts": [each.to_json() for each in self.verdicts],
            "timings": [each.to_json() for each in self.timings],
            "left_out": list(self.left_out),
        }


@dataclass(frozen=True)
class Summary:
    """One line of the history; ``verdict`` and ``speedup`` are the chosen candidate's latest."""

    id: str
    kind: Kind
    origin: str
    state: State
    started_at_s: float
    model: str
    class_name: str
    candidates: int
    verdict: str | None
    device: str | None
    speedup: float | None

    def to_json(self) -> dict[str, Any]:
        return {
            "record": self.id,
            "kind": self.kind,
            "origin": self.origin,
            "state": self.state,
            "started_at": iso(self.started_at_s),
            "model": self.model,
            "class_name": self.class_name,
            "candidates": self.candidates,
            "verdict": self.verdict,
            "device": self.device,
            "speedup": self.speedup,
        }
