"""What a check finds as it goes, and how it ends early."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kernelllm_jupyter.verify.tolerance import Comparison

__all__ = ["Findings", "Refusal", "Say"]

#: Reports the phase (``reference`` or ``candidate``: whose code runs) and what is being done.
Say = Callable[[str, str], None]


#: What a candidate returned may be part of a message, and of any length.
MESSAGE_LIMIT = 8000


class Refusal(Exception):
    """The verdict is found: ``kind`` with one reason."""

    def __init__(self, kind: str, code: str, message: str, line: int | None = None):
        super().__init__(message)
        self.kind, self.code, self.message, self.line = kind, code, message, line

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message[:MESSAGE_LIMIT], "line": self.line}


@dataclass
class Findings:
    """Becomes the verdict: figures of the worst output element, warnings, what was left out."""

    trials: int = 0
    max_abs_error: float | None = None
    error_budget: float | None = None
    worst_ratio: float = -1.0
    launches: int | None = None
    aten: dict[str, int] = field(default_factory=dict)
    #: The kernels that ran on a GPU, as the candidate's process tells of them.
    compiled: dict[str, Any] = field(default_factory=dict)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    not_made: list[dict[str, Any]] = field(default_factory=list)
    #: At which sizes the verdict was made (see ``Verdict.sizes``).
    sizes: dict[str, Any] | None = None
    #: Milliseconds spent on each point of the check.
    costs_ms: dict[str, float] = field(default_factory=dict)

    def warn(self, code: str, message: str) -> None:
        """Add a warning; the first of each code is kept."""
        if not self.warned(code):
            self.warnings.append({"code": code, "message": message})

    def warned(self, code: str) -> bool:
        """Whether there is a warning of this code."""
        return any(found["code"] == code for found in self.warnings)

    def unwarn(self, code: str) -> None:
        """Take a warning back that turned out not to hold."""
        self.warnings = [found for found in self.warnings if found["code"] != code]

    def skip(self, code: str, message: str) -> None:
        """Note a check that was not made."""
        if not any(found["code"] == code for found in self.not_made):
            self.not_made.append({"code": code, "message": message})

    def unskip(self, code: str) -> None:
        """Take a check back that was made after all."""
        self.not_made = [found for found in self.not_made if found["code"] != code]

    def measure(self, comparison: Comparison) -> None:
        """Keep the error and budget of the worst element so far."""
        if comparison.error is not None and comparison.ratio > self.worst_ratio:
            self.worst_ratio = comparison.ratio
            self.max_abs_error = comparison.error
            self.error_budget = comparison.budget

    @contextmanager
    def timed(self, point: str) -> Iterator[None]:
        """Add the time that passes to what ``point`` cost."""
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = (time.perf_counter() - started) * 1e3
            self.costs_ms[point] = self.costs_ms.get(point, 0.0) + spent

    def forget_errors(self) -> None:
        """Start anew, after a trial that turned out not to count."""
        self.trials = 0
        self.worst_ratio, self.max_abs_error, self.error_budget = -1.0, None, None

    def to_json(self) -> dict[str, Any]:
        return {
            "warnings": self.warnings,
            "not_made": self.not_made,
            "trials": self.trials,
            "max_abs_error": self.max_abs_error,
            "error_budget": self.error_budget,
            "launches": self.launches,
            "aten": self.aten,
            "sizes": self.sizes,
            "costs_ms": {name: round(spent, 3) for name, spent in self.costs_ms.items()},
            "compiled": self.compiled,
        }
