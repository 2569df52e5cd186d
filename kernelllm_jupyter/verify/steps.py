"""How far a check is: which of its steps it is at, of how many that are planned by then.

The number never goes back and never passes the total. The total may change on the way: a variation
turns out to be none for this problem, time is over, or another size has to be tried. Knows nothing
of what the steps are, and imports no torch: :class:`Step` is what a caller is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Step", "Steps"]


class Step(str):
    """What goes on now, in words, for a check's or a benchmark's ``progress``.

    Where it is known how far that is, it is step ``number`` of ``total``, and ``part`` of all is
    over, from 0 to 1, which never shrinks; else these are None.
    """

    number: int | None
    total: int | None
    part: float | None

    def __new__(
        cls,
        doing: str,
        number: int | None = None,
        total: int | None = None,
        part: float | None = None,
        what: str = "Checking",
    ) -> Step:
        words = doing[:1].upper() + doing[1:]
        if number is not None:
            words = f"{what} {number} of {total}: {doing}"
        step = super().__new__(cls, words)
        step.number, step.total, step.part = number, total, part
        return step

    @classmethod
    def told(cls, header: dict[str, Any]) -> Step:
        """A step as :meth:`Steps.to_json` and ``doing`` tell of it."""
        if "number" not in header:
            return cls(header["doing"])
        return cls(**{name: header[name] for name in ("doing", "number", "total", "part", "what")})


class Steps:
    """Counts steps as they begin."""

    def __init__(self, what: str = "Checking") -> None:
        self._what = what
        #: Steps begun.
        self.number = 0
        self._ahead = 0
        self._part = 0.0

    @contextmanager
    def planned(self, count: int) -> Iterator[None]:
        """So many more steps inside; those that were not begun at its end are not made."""
        before = self._ahead
        self._ahead += count
        try:
            yield
        finally:
            self._ahead = before

    def expect(self, count: int) -> None:
        """So many steps are ahead, whatever was planned before."""
        self._ahead = count

    def drop(self, count: int = 1) -> None:
        """So many of the planned steps are not made."""
        self._ahead = max(0, self._ahead - count)

    def begin(self) -> None:
        """The next step begins, planned or not."""
        self.number += 1
        self.drop()

    @property
    def total(self) -> int:
        """Steps begun and planned."""
        return self.number + self._ahead

    def to_json(self) -> dict[str, Any]:
        """Where the check is; empty before its first step. ``part`` of it is over, and grows."""
        if not self.number:
            return {}
        self._part = max(self._part, (self.number - 1) / self.total)
        counted = {"number": self.number, "total": self.total, "part": self._part}
        return {**counted, "what": self._what}
