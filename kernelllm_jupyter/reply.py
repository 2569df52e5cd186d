"""A reply in its parts: what the model thought, its answer, and where that is cut off.

Reasoning stands between marks (``<think>`` … ``</think>``) before the answer, sometimes again
between its parts. It is shown to people and never taken for code, whatever it holds. Knows no
model; the answer's code is found by the reader that is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from kernelllm_jupyter.extract import CodeReader, begins_code

__all__ = ["ReplyReader"]

MARKS = ("<think>", "</think>")


class ReplyReader:
    """An incremental :class:`~kernelllm_jupyter.prompts.Reader` that sets reasoning apart.

    With ``begins_inside`` a reply that opens neither with a mark nor with code begins in the midst
    of its reasoning: the chat template had opened it, in the prompt. Where a closing mark comes
    that nothing had opened, all before it was reasoning as well. ``stop`` ends the answer.
    """

    def __init__(
        self,
        code: Callable[[], CodeReader],
        *,
        marks: tuple[str, str] = MARKS,
        begins_inside: bool = False,
        stop: Sequence[str] = (),
    ):
        self.done = False
        self.thoughts: list[str] = []
        self.thinking = False
        self._new_reader = code
        self._code = code()
        self._open, self._close = marks
        self._undecided = begins_inside
        self._stop = _StopAt(stop)
        self._held = ""  # What has come and is not known to be one thing or the other.
        self._answer: list[str] = []  # What was passed on, should it turn out to be reasoning.
        self._at_line_start = True
        self._retracted = False
        self._written: list[str] = []  # What the present reader of code gave.

    @property
    def whole(self) -> str | None:
        """See :class:`~kernelllm_jupyter.prompts.Reader`."""
        found = self._code.whole
        if found is None and self._retracted:
            return "".join(self._written)
        return found

    def feed(self, text: str) -> str:
        """The code that is certain after this piece of the reply."""
        self._held += text
        out: list[str] = []
        while not self.done and self._held:
            before = len(self._held), self.thinking, self._undecided
            if self.thinking:
                self._think()
            elif self._undecided:
                self._decide()
            else:
                self._take_line(out)
            if before == (len(self._held), self.thinking, self._undecided):
                break  # More has to come before anything can be said.
        return "".join(out)

    def flush(self) -> str:
        """The rest, when the reply is over."""
        if self.done:
            return ""
        held, self._held = self._held, ""
        out: list[str] = []
        if self._undecided and held.strip():
            self.thinking = not begins_code(held)
        if self.thinking:
            self._add_thought(held)
        elif held.strip() and self._open.startswith(held.strip()):
            pass  # The beginning of a mark.
        else:
            self._pass(held, out)
        self._keep(out, self._code.feed(self._stop.flush()))
        self._keep(out, self._code.flush())
        return "".join(out)

    # --- the parts -----------------------------------------------------------------------------

    def _think(self) -> None:
        end = self._held.find(self._close)
        if end >= 0:
            self._add_thought(self._held[:end])
            self._held = self._held[end + len(self._close) :]
            self.thinking = False
            self._at_line_start = True
            return
        kept = _overlap(self._held, self._close)
        cut = len(self._held) - kept
        self._add_thought(self._held[:cut])
        self._held = self._held[cut:]

    def _decide(self) -> None:
        """How a reply begins that may begin inside its reasoning."""
        start = self._held.lstrip()
        if start.startswith(self._open):
            self._undecided = False
        elif "\n" in start:
            self._undecided = False
            self.thinking = not begins_code(start)

    def _take_line(self, out: list[str]) -> None:
        """Pass on what has come of the present line, unless it is a mark or may become one."""
        newline = self._held.find("\n")
        line = self._held if newline < 0 else self._held[: newline + 1]
        start = line.lstrip()
        if self._at_line_start and not self._code.in_code and start.startswith(self._open):
            self.thinking = True
            self._held = self._held[self._held.index(self._open) + len(self._open) :]
            return
        closing = line.find(self._close)
        alone = self._at_line_start and not line[:closing].strip()
        if closing >= 0 and (alone or not self._code.in_code):
            self._retract(line[:closing])
            self._held = self._held[closing + len(self._close) :]
            self._at_line_start = True
            return
        # Talk gives no code, so that a line of it can wait until it is whole.
        doubtful = self._at_line_start and (
            self._open.startswith(start) or self._close.startswith(start)
        )
        if newline < 0 and (not self._code.in_code or doubtful):
            return
        self._held = self._held[len(line) :]
        self._at_line_start = newline >= 0
        self._pass(line, out)

    def _retract(self, last: str) -> None:
        """Take what was answered so far for reasoning."""
        self._add_thought("".join(self._answer) + last)
        self._answer.clear()
        self._written.clear()
        self._code = self._new_reader()
        self._retracted = True

    def _pass(self, text: str, out: list[str]) -> None:
        self._answer.append(text)
        self._keep(out, self._code.feed(self._stop.feed(text)))
        if self._stop.reached:
            self._keep(out, self._code.flush())
        self.done = self._code.done or self._stop.reached

    def _keep(self, out: list[str], code: str) -> None:
        if code:
            out.append(code)
            self._written.append(code)

    def _add_thought(self, text: str) -> None:
        if text:
            self.thoughts.append(text)


class _StopAt:
    """Passes text on until one of the strings comes, whichever pieces it comes in."""

    def __init__(self, strings: Sequence[str]):
        self.reached = False
        self._strings = strings
        self._pattern = re.compile("|".join(map(re.escape, strings))) if strings else None
        self._held = ""

    def feed(self, text: str) -> str:
        if self._pattern is None or self.reached:
            return "" if self.reached else text
        self._held += text
        found = self._pattern.search(self._held)
        if found:
            self.reached = True
            cut = found.start()
        else:
            cut = len(self._held) - max(_overlap(self._held, stop) for stop in self._strings)
        passed, self._held = self._held[:cut], self._held[cut:]
        return passed

    def flush(self) -> str:
        rest, self._held = "" if self.reached else self._held, ""
        return rest


def _overlap(text: str, mark: str) -> int:
    """How many characters at the end of ``text`` may be the beginning of ``mark``."""
    for length in range(min(len(text), len(mark) - 1), 0, -1):
        if text.endswith(mark[:length]):
            return length
    return 0
