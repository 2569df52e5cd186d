"""What the doctor says of one thing, and how that reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["Examined", "findings_text"]

MARKS = {"ok": "✓", "note": "·", "missing": "✗"}


@dataclass(frozen=True)
class Examined:
    """One thing looked at: ``note`` is worth knowing, ``missing`` keeps something from working."""

    name: str
    state: Literal["ok", "note", "missing"]
    found: str
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def findings_text(findings: Sequence[Examined]) -> str:
    """The findings, one a line, each remedy under its own."""
    lines = []
    for finding in findings:
        lines.append(f"{MARKS[finding.state]} {finding.name:18} {finding.found}")
        if finding.remedy:
            lines.append(f"  {'':18} → {finding.remedy}")
    return "\n".join(lines)
