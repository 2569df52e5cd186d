"""What is typed, pasted or piped into a session, as entries: a module's source, or a command.

Knows no terminal; whether a module is complete is decided by reading it, never by running it.
"""

from __future__ import annotations

import ast
import warnings
from typing import Protocol, TextIO

from kernelllm_jupyter.errors import ProblemError
from kernelllm_jupyter.problem import parse_problem

__all__ = ["Entries", "Piped", "ends_here", "is_command"]

#: Blank lines that end code which may lack something: PEP 8 asks for two between definitions.
BLANK_LINES_THAT_END = 3


class Entries(Protocol):
    """Where entries come from."""

    def read(self) -> str | None:
        """The next one, None at the end; raises ``KeyboardInterrupt`` where one is dropped."""


def is_command(text: str) -> bool:
    """At the margin, that is: inside brackets a line of code may begin with a colon."""
    return text.startswith(":")


def ends_here(text: str, *, pasted: bool) -> bool:
    """Whether the blank line at the end of ``text`` ends the module.

    It does after a module that can be translated. One that is being typed may still get its
    ``get_inputs()``, so without it more blank lines have to follow.
    """
    lines = text.split("\n")
    if lines[-1].strip():
        return False
    try:
        problem = parse_problem(text, require_inputs=False)
    except ProblemError:
        problem = None
    if problem is not None and (pasted or problem.has_inputs):
        return True
    last = lines[-BLANK_LINES_THAT_END:]
    blank = len(last) == BLANK_LINES_THAT_END and not any(line.strip() for line in last)
    return blank and bool(text.strip()) and _parses(text)


def _parses(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


class Piped:
    """Entries of a stream without a keyboard: a module goes on to the next command or the end."""

    def __init__(self, source: TextIO):
        self._source = source
        self._next: str | None = None

    def read(self) -> str | None:
        lines: list[str] = []
        while True:
            line = self._line()
            if line is None:
                break
            if is_command(line):
                if any(kept.strip() for kept in lines):
                    self._next = line
                    break
                return line.strip()
            lines.append(line)
        source = "\n".join(lines)
        return source if source.strip() else None

    def _line(self) -> str | None:
        if self._next is not None:
            line, self._next = self._next, None
            return line
        read = self._source.readline()
        return read.rstrip("\n") if read else None
