"""What a model is told about its failed candidate: the verdict's own explanation, with the line.

For profiles of models that follow instructions; each puts it into its own form of prompt. Says
nothing that the check did not find, and keeps it short enough to be read.
"""

from __future__ import annotations

from kernelllm_jupyter.values import Candidate, Finding, Verdict, VerdictKind

__all__ = ["feedback"]

OPENINGS: dict[VerdictKind, str] = {
    "correct": "The code is correct.",
    "incorrect": "The code runs, but its results differ from those of the PyTorch module.",
    "compile_error": "The code does not compile.",
    "runtime_error": "The code fails when it runs.",
    "timeout": "The code did not finish in time.",
    "out_of_memory": "The code ran out of memory.",
    "crashed": "The code crashed the process that it ran in.",
    "rejected": "The code runs, but it is not accepted as Triton code that does the work.",
}
#: Reasons beyond these seldom tell more, and each is bounded.
REASONS = 3
REASON_CHARACTERS = 1500
AROUND = 2


def feedback(candidate: Candidate, verdict: Verdict | None) -> str:
    """The verdict in words for the model that wrote the candidate, failing lines quoted."""
    if candidate.finish == "repetition":
        return "The answer began to repeat itself and was stopped. Give the complete code once."
    if not candidate.code.strip():
        return "The answer held no code. Give the complete code in one code block."
    parts = []
    if candidate.finish == "length":
        parts.append("The answer broke off before it was complete: make it shorter.")
    if verdict is not None:
        parts.append(OPENINGS[verdict.verdict])
        parts += [_reason(found, candidate.code) for found in verdict.reasons[:REASONS]]
    return "\n".join(parts)


def _reason(found: Finding, code: str) -> str:
    message = found.message
    if len(message) > REASON_CHARACTERS:
        message = message[:REASON_CHARACTERS] + " …"
    lines = code.splitlines()
    if found.line is None or not 1 <= found.line <= len(lines):
        return message
    first, last = max(1, found.line - AROUND), min(len(lines), found.line + AROUND)
    quoted = "\n".join(
        f"{'>' if number == found.line else ' '} {lines[number - 1]}"
        for number in range(first, last + 1)
    )
    return f"Line {found.line} (marked with >): {message}\n{quoted}"
