"""What is to be exported: a problem, its code and the verdicts on it."""

from __future__ import annotations

from dataclasses import dataclass

from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.records import Record
from kernelllm_jupyter.values import Live, Problem, Translation, Verdict

__all__ = ["Exported", "choose", "kind_of"]

#: Verdicts that hold wherever the kernel runs; others may be for want of memory or time.
WRONG = frozenset({"incorrect", "rejected"})


@dataclass(frozen=True)
class Exported:
    """What is to be exported; ``verdict`` is on ``code``, and None where it was not checked.

    ``weights_dtype`` and ``training`` are those of a live module that the problem was made of.
    ``values`` are the session's, ``had_values`` says that there were some, known or not.
    ``elsewhere`` are the latest verdicts on the same code on other kinds of devices.
    """

    problem: Problem
    code: str
    verdict: Verdict | None
    model: str = ""
    record: str = ""
    made_at_s: float | None = None
    weights_dtype: str | None = None
    training: bool | None = None
    values: Live | None = None
    had_values: bool = False
    elsewhere: tuple[Verdict, ...] = ()

    @classmethod
    def of(cls, made: Translation) -> Exported:
        """What a translation has chosen, with the session's values."""
        live = made.problem.live
        return cls(
            made.problem,
            made.code,
            made.verdict,
            made.candidate.model,
            weights_dtype=live.dtype if live else None,
            training=live.training if live else None,
            values=live,
            had_values=live is not None,
        )


def choose(record: Record) -> Exported:
    """What of a record is exported: the latest code that was found correct, a person's edits
    included; without any the chosen candidate's."""
    code, code_hash = record.code, record.kept.code_hash if record.kept else ""
    correct = [
        kept
        for kept in record.verdicts
        if isinstance(kept.value, Verdict)
        and kept.value.correct
        and not _refuted(record, kept.code_hash)
    ]
    edited = [kept for kept in correct if kept.place is None]
    is_right = any(kept.code_hash == code_hash for kept in correct)
    if (edited and edited[-1] is correct[-1]) or (correct and not is_right):
        code, code_hash = correct[-1].code, correct[-1].code_hash
    by_device = _by_device(record, code_hash)
    verdict = _refuted(record, code_hash) or next(iter(by_device), None)
    if not code:
        raise UsageError(f"Record {record.id} holds no code.")
    return Exported(
        record.problem,
        code,
        verdict,
        record.model,
        record.id,
        record.started_at_s,
        record.weights_dtype,
        record.training,
        had_values=bool(record.left_out),
        elsewhere=tuple(found for found in by_device if found is not verdict),
    )


def _by_device(record: Record, code_hash: str) -> list[Verdict]:
    """What was found of a code last on each kind of device, the latest first."""
    found: dict[str, Verdict] = {}
    for kept in reversed(record.verdicts):
        if kept.code_hash == code_hash and isinstance(kept.value, Verdict):
            found.setdefault(kind_of(kept.value), kept.value)
    return list(found.values())


def _refuted(record: Record, code_hash: str) -> Verdict | None:
    """The verdict of a device on which a code is wrong, whatever others say of it."""
    return next((v for v in _by_device(record, code_hash) if v.verdict in WRONG), None)


def kind_of(verdict: Verdict) -> str:
    """The kind of device of a verdict, in PyTorch's word."""
    return (verdict.device or "cpu").partition("-")[0]
