"""How often and after what wait a request is made again. Knows no HTTP library.

Only what may pass by itself is tried again, and only before any text of a reply has come.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

__all__ = ["RETRIED_STATUSES", "Retries", "retry_after_s"]

RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Retries:
    """``count`` tries after the first, with waits that double from ``first_wait_s``.

    A server that asks to wait longer than ``longest_wait_s`` is not waited for.
    """

    count: int = 3
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0

    def waits(self) -> Iterator[float]:
        for number in range(self.count):
            yield min(self.first_wait_s * 2**number, self.longest_wait_s)


def retry_after_s(value: str | None, now: datetime | None = None) -> float | None:
    """A ``Retry-After`` header in seconds (RFC 9110, 10.2.3: a number or a date), if it is one."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=timezone.utc)
    return max(0.0, (when - (now or datetime.now(timezone.utc))).total_seconds())
