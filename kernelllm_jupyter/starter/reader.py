"""Puts the user's own names and numbers back into the model's answer, while it streams."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Protocol

from kernelllm_jupyter.starter.naming import Names

__all__ = ["SEPARATOR", "AnswerReader", "Parts"]

#: The line between the bodies of the Triton kernels and that of ``forward``, and at the end.
SEPARATOR = "---"

_PLACEHOLDER = re.compile(r"\$(?:[a-z]+\d*|\d+)")
#: What begins a line that is not code: a step, or a stage, of the prompt said again.
_ECHO = ("@", "%")
#: A placeholder that the next piece may continue.
_OPEN_END = re.compile(r"\$[a-z]*\d*\Z")


class Parts(Protocol):
    """What is not the model's to write; see :mod:`.skeleton`."""

    def head(self) -> str: ...

    def kernel_head(self, stage: int) -> str: ...

    def class_head(self) -> str: ...

    def before(self, stage: int) -> str: ...

    def tail(self) -> str: ...

    def place(self, label: int, stage: int) -> int:
        """The place in ``stage`` of the step with ``label``."""


class AnswerReader:
    """A :class:`~kernelllm_jupyter.prompts.Reader` of the starter's answers.

    ``head`` makes the text before the first Triton kernel, ``kernel_head`` that of a stage's,
    ``class_head`` what stands before the body of ``forward``, ``before`` the lines of ``forward``
    before a stage and ``tail`` those after the last. An answer that is malformed comes out as it
    stands: the check will refuse it.
    """

    #: Such a model answers at once.
    whole: str | None = None
    thoughts: Sequence[str] = ()
    thinking = False

    def __init__(self, names: Sequence[Names], parts: Parts):
        self.done = False
        self._names = names
        self._head: Callable[[], str] | None = parts.head
        self._parts = parts
        self._stage = 0
        self._depth = 0
        self._opening = False
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
        if self._line + line == SEPARATOR:
            return code + self._finish_line(line)
        code += self._part(line)
        if self._line:
            code += "\n"
        self.done = True
        return code

    def _start(self) -> str:
        head, self._head = self._head, None
        return head() + self._parts.kernel_head(0) if head is not None else ""

    def _certain(self, line: str) -> str:
        """The part of an unfinished line that later text cannot change."""
        if not self._line and (SEPARATOR.startswith(line) or line.startswith(_ECHO)):
            return ""
        found = _OPEN_END.search(line)
        return line[: found.start()] if found is not None else line

    def _finish_line(self, rest: str) -> str:
        if (self._line + rest).strip() == SEPARATOR:
            self._line, self._depth = "", 0
            if self._in_forward:
                self.done = True
                return self._parts.tail()
            self._in_forward = True
            return self._parts.class_head()
        if not self._line and rest.startswith("%"):
            return self._begin_stage(rest)
        if not self._line and rest.startswith("@"):
            self._begin_step(rest)
            return ""
        code = self._part(rest) + "\n"
        if self._opening:
            self._depth, self._opening = self._depth + 1, False
        self._line = ""
        return code

    def _begin_stage(self, echo: str) -> str:
        """From here on placeholders are those of the stage that ``echo`` names."""
        label = re.match(r"%(\d+)", echo)
        index = int(label.group(1)) if label is not None else len(self._names)
        self._step, self._depth, self._opening = {}, 0, False
        if index >= len(self._names):
            return ""
        self._stage = index
        if self._in_forward:
            return self._parts.before(index)
        return self._parts.kernel_head(index) if index else ""  # The first one's stands already.

    def _begin_step(self, echo: str) -> None:
        """From here on placeholders are those of the step that ``echo`` names."""
        found = re.match(r"@(\d+) ?(\w*)", echo)
        index = self._parts.place(int(found.group(1)), self._stage) if found is not None else -1
        steps = self._names[self._stage].steps
        self._step = steps[index] if 0 <= index < len(steps) else {}
        operation = found.group(2) if found is not None else ""
        self._opening = operation == "loop"
        if operation == "end":
            self._depth = max(0, self._depth - 1)

    def _part(self, text: str) -> str:
        """``text`` restored, with the line's indentation where it begins one."""
        if not text:
            return ""
        indent = "" if self._line else " " * (8 if self._in_forward else 4 + 4 * self._depth)
        own = self._names[self._stage]
        names = own.forward if self._in_forward else own.kernel | self._step
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
