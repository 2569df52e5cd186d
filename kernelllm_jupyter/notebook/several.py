"""What the panel says while candidates are sampled side by side, and which of them streams.

One candidate streams into the cell, the first that has something to say; which one it holds in the
end is the search's decision. Renders nothing.
"""

from __future__ import annotations

from typing import Any

from kernelllm_jupyter.grid import Grid, Row
from kernelllm_jupyter.search import Began, SearchEvent
from kernelllm_jupyter.translate import Wrote
from kernelllm_jupyter.values import Candidate, Effort, Translation

__all__ = ["Several"]


class Several:
    """Keeps up with the events of one search and turns them into a report's fields."""

    def __init__(self, effort: Effort):
        self._effort = effort
        self._grid = Grid()
        self._live: int | None = None
        self._round = 0

    @property
    def verified(self) -> Candidate | None:
        return self._grid.verified

    def stop(self) -> tuple[Row, ...]:
        """The rows, now that nothing runs any more."""
        self._grid.stop()
        return self._grid.rows

    def streams(self, event: Wrote) -> bool:
        """Whether this text belongs into the cell."""
        if self._live is None and event.code:
            self._live = event.index
        return event.index == self._live

    def take(self, event: SearchEvent) -> dict[str, Any]:
        """The report's fields after ``event``."""
        self._grid.take(event)
        if isinstance(event, Began):
            self._round = event.round
        sampling = self._grid.sampling
        return {
            "stage": "generating" if sampling else "checking",
            "message": self._words(sampling),
            "tokens": self._grid.tokens,
            "seconds": None,
            "rows": self._grid.rows,
        }

    def _words(self, sampling: bool) -> str:
        what = "Writing" if sampling else "Checking"
        return f"Repair, round {self._round}: {what} …" if self._round else f"{what} …"

    def outcome(self, made: Translation) -> str:
        """What came of it, in words."""
        count = len(made.candidates)
        number = made.chosen + 1
        words = f"Candidate {number} of {count} is kept"
        if made.verdict is None:
            words = f"Not checked: candidate {number} of {count} is the first whole one"
        elif not made.verdict.correct:
            words = "The candidate is not correct"
            if count > 1:
                words = (
                    f"None of the {count} candidates is correct; the nearest one, candidate "
                    f"{number}, is kept as failed"
                )
        return words
