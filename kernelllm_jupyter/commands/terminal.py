"""What every command does alike: exit statuses, reading files, words and JSON on the terminal."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

from kernelllm_jupyter.errors import KernelLLMError, UsageError
from kernelllm_jupyter.problem import problem_of_file
from kernelllm_jupyter.values import Problem
from kernelllm_jupyter.verify.suite import read_source, source_text

__all__ = [
    "FAILED",
    "INTERRUPTED",
    "OK",
    "USAGE",
    "fail",
    "give_up_output",
    "print_json",
    "read",
    "read_problem",
    "say",
    "settle_streams",
]

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
STANDARD_INPUT = "standard input"


def read(name: str) -> str:
    """The text of a file; ``-`` is standard input."""
    if name != "-":
        return read_source(Path(name))
    try:
        return source_text(sys.stdin.buffer, STANDARD_INPUT)
    except OSError as error:
        raise UsageError(f"Cannot read {STANDARD_INPUT}: {error.strerror}.") from None


def read_problem(name: str, **options: Any) -> Problem:
    """The problem in a file, as messages are to call it; the options of ``parse_problem``."""
    return problem_of_file(read(name), STANDARD_INPUT if name == "-" else name, **options)


def settle_streams() -> None:
    """Give the process the three streams that every program counts on.

    One that was closed is opened on nothing: the next file would take its place, and what is
    printed would go there. What the terminal's encoding cannot show is escaped.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            # At this very number, as those before it are taken.
            nothing = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(nothing, True)
            mode = "w" if number else "r"
            setattr(sys, name, open(nothing, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
        elif number and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def give_up_output() -> None:
    """Let nothing more be written to a standard output that takes nothing, at the exit either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """Something along the way, on standard error."""
    print(text, file=sys.stderr, flush=True)


def print_json(value: dict[str, Any]) -> None:
    """The one object that goes to standard output."""
    print(json.dumps(value))


def fail(error: KernelLLMError, *, as_json: bool) -> int:
    """Report an error that ended a command; its exit status."""
    if as_json:
        print_json({"error": error.to_json()})
    say(f"kernelllm: {error}")
    return USAGE if isinstance(error, UsageError) else FAILED
