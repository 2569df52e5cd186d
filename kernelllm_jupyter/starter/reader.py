"""Puts the user's own names and numbers back into the model's answer, while it streams."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from kernelllm_jupyter.starter.naming import Names

__all__ = ["SEPARATOR", "AnswerReader"]

#: The line between the body of the Triton kernel and that of ``forward``.
SEPARATOR = "---"

_PLACEHOLDER = re.compile(r"\$(?:[a-z]+\d*|\d+)")
#: What begins a line that is not code: there the model says a step of the prompt again.
_ECHO = "@"
#: A placeholder that the next piece may continue.
_OPEN_END = re.compile(r"\$[a-z]*\d*\Z")


class AnswerReader:
    """A :class:`~kernelllm_jupyter.prompts.Reader` of the starter's answers.

    ``head`` and ``class_head`` make the text before the Triton kernel's body and before the
    body of ``forward``; they are asked once. An answer that is malformed comes out as it stands:
    the check will refuse it.
    """

    #: Such a model answers at once.
    whole: str | None = None
    thoughts: Sequence[str] = ()
    thinking = False

    def __init__(self, names: Names, head: Callable[[], str], class_head: Callable[[], str]):
        self.done = False
        self._names = names
        self._head: Callable[[], str] | None = head
        self._class_head = class_head
        self._in_forward = False
        self._held = ""
        self._line = ""
        self._step: dict[str, str] = {}

    def feed(self, text: str) -> str:
        """The code that is certain after ``text``."""
        code = self._start()
        self._held += text
        while not self.done:
            line, newline, rest = self._held.partition("\n")
            if newline:
                self._held = rest
                code += self._finish_line(line)
                continue
            ready = self._certain(line)
            self._held = line[len(ready) :]
            return code + self._part(ready)
        return code

    def flush(self) -> str:
        """The rest, after the last piece of the reply."""
        code = self._start()
        if self.done:
            return code
        line, self._held = self._held, ""
        if not self._line and line.startswith(_ECHO):
            line = ""
        if not self._in_forward and self._line + line == SEPARATOR:
            return code + self._finish_line(line)
        code += self._part(line)
        if self._line:
            code += "\n"
        self.done = True
        return code

    def _start(self) -> str:
        head, self._head = self._head, None
        return head() if head is not None else ""

    def _certain(self, line: str) -> str:
        """The part of an unfinished line that later text cannot change."""
        if not self._line and (SEPARATOR.startswith(line) or line.startswith(_ECHO)):
            return ""
        found = _OPEN_END.search(line)
        return line[: found.start()] if found is not None else line

    def _finish_line(self, rest: str) -> str:
        if not self._in_forward and (self._line + rest).strip() == SEPARATOR:
            self._in_forward = True
            self._line = ""
            return self._class_head()
        if not self._line and rest.startswith(_ECHO):
            self._begin_step(rest)
            return ""
        code = self._part(rest) + "\n"
        self.done = self._in_forward and self._line.startswith("return")
        self._line = ""
        return code

    def _begin_step(self, echo: str) -> None:
        """From here on placeholders are counted from the step that ``echo`` names."""
        label = re.match(r"@(\d+)", echo)
        index = int(label.group(1)) if label is not None else len(self._names.steps)
        self._step = self._names.steps[index] if index < len(self._names.steps) else {}

    def _part(self, text: str) -> str:
        """``text`` restored, with the line's indentation where it begins one."""
        if not text:
            return ""
        indent = "" if self._line else " " * (8 if self._in_forward else 4)
        names = self._names.forward if self._in_forward else self._names.kernel | self._step
        code, place = "", 0
        for match in _PLACEHOLDER.finditer(text):
            before = text[place : match.start()]
            code += before
            self._line += before
            code += self._restore(match.group(), names)
            self._line += match.group()
            place = match.end()
        self._line += text[place:]
        return indent + code + text[place:]

    def _restore(self, placeholder: str, names: dict[str, str]) -> str:
        text = names.get(placeholder, placeholder)
        if text.startswith("-") and not self._line.endswith(("(", "[", ", ", "= ")):
            return f"({text})"
        return text
