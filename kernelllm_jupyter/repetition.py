"""Notices that a model says the same again and again, while its text streams.

A model that has lost its way rarely says so: it repeats a line, a block of lines or a whole
definition until its tokens are used up. Exact repetition only, and only where it is long: code
that was unrolled by hand differs from copy to copy, and layers that are listed one by one soon end.

Knows lines of text, not models and hardly any Python.
"""

from __future__ import annotations

import re

__all__ = ["RepetitionGuard"]

#: A block counts as repeated without end when it was said so often ...
TIMES = 4
#: ... and all of that is so many lines: eight times (Linear, BatchNorm, ReLU) is an honest module.
LINES = 32
LONGEST_BLOCK = 64
#: A module defines a name once, perhaps anew for a fallback; models that go round in circles
#: define it once a round.
DEFINITIONS = 3
#: A line that does not end: so long, and periodic in so much of its end.
LINE_LENGTH = 3000
PERIODIC = 2000
LONGEST_PERIOD = 250

_DEFINITION = re.compile(r"(?:async\s+)?(?:def|class)\s+([A-Za-z]\w*)")


class RepetitionGuard:
    """Feed it text in pieces of any size; ``found`` says what repeats, once something does.

    ``cut`` is then how many characters of the text come before the first repetition: the block
    that is repeated stays in the text once. With ``definitions`` a name that is defined anew time
    after time counts as well: in code, that is, since talk about code may hold several drafts.

    All bounds are ``patience`` times as large: who thinks aloud goes over the same lines again.
    """

    def __init__(self, *, definitions: bool = True, patience: int = 1) -> None:
        self._by_definitions = definitions
        self._patience = patience
        self.found: str | None = None
        self.cut: int | None = None
        self._line = ""
        self._lines: list[str] = []
        self._starts: list[int] = []
        self._length = 0
        #: For each length of a block, how many of the last lines equal those one block before.
        self._same = [0] * (LONGEST_BLOCK + 1)
        self._definitions: dict[str, list[int]] = {}

    def feed(self, text: str) -> bool:
        """Whether the text repeats itself by now."""
        pieces = re.split(r"(?<=\n)", text)
        for piece in pieces:
            if self.found is not None:
                break
            self._line += piece
            if self._line.endswith("\n"):
                self._take(self._line)
                self._length += len(self._line)
                self._line = ""
            elif len(self._line) >= self._patience * LINE_LENGTH:
                self._look_along_the_line()
        return self.found is not None

    def _take(self, line: str) -> None:
        self._starts.append(self._length)
        bare = line.rstrip()
        self._lines.append(bare)
        last = len(self._lines) - 1
        for size in range(1, min(LONGEST_BLOCK, last) + 1):
            same = self._same[size] + 1 if self._lines[last - size] == bare else 0
            self._same[size] = same
            if same + size >= self._patience * max(TIMES * size, LINES):
                # The lines that were compared, and the block before them.
                first = last - same - size + 1
                self._report(_block_words(size), self._starts[first + size])
                return
        found = _DEFINITION.match(bare) if self._by_definitions else None
        if found is not None:
            places = self._definitions.setdefault(found[1], [])
            places.append(last)
            if len(places) >= DEFINITIONS:
                self._report(f"{found[1]} is defined again and again", self._head_of(places[1]))

    def _head_of(self, line: int) -> int:
        """Where a definition begins, with the decorators and comments that stand on it."""
        while line > 0 and self._lines[line - 1].startswith(("@", "#")):
            line -= 1
        return self._starts[line]

    def _look_along_the_line(self) -> None:
        end = self._line[-PERIODIC * self._patience :]
        for period in range(1, LONGEST_PERIOD + 1):
            if end[period:] == end[:-period]:
                self._report("a line goes on and on", self._length)
                return

    def _report(self, what: str, cut: int) -> None:
        self.found = what
        self.cut = cut


def _block_words(size: int) -> str:
    return (
        "the same line comes again and again" if size == 1 else f"{size} lines come over and over"
    )
