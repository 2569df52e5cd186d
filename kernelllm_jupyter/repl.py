"""A translator in the terminal: paste a module, read its Triton module as it is written.

Input is collected line by line until ``/go`` (or the end of input); every other line that begins
with ``/`` is a command. Knows terminals only; the line from problem to verdict is
:mod:`kernelllm_jupyter.translate`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from kernelllm_jupyter.engines import Engine
from kernelllm_jupyter.errors import KernelLLMError, UsageError
from kernelllm_jupyter.problem import parse_problem
from kernelllm_jupyter.prompts import Profile
from kernelllm_jupyter.report import rate, verdict_text
from kernelllm_jupyter.translate import (
    Checked,
    Checking,
    Generated,
    Loading,
    Wrote,
    check_events,
    translate,
)
from kernelllm_jupyter.values import CheckOptions, Problem, Sampling

__all__ = ["Repl"]

HELP = """\
Paste a PyTorch module (with get_inputs(), if it is to be checked), then /go.
  /go                translate what was pasted
  /open FILE         translate a file
  /check             check the last answer against its module
  /save FILE         write the last answer to a file
  /temperature T     sampling temperature (0 is greedy); /top-p P and /tokens N likewise
  /clear             forget what was pasted
  /help, /quit
"""


class Repl:
    """One session; ``source`` and ``sink`` default to the terminal."""

    def __init__(
        self,
        engine: Engine,
        profile: Profile,
        *,
        source: TextIO | None = None,
        sink: TextIO | None = None,
    ):
        self._engine = engine
        self._profile = profile
        self._source = source or sys.stdin
        self._sink = sink or sys.stdout
        self._sampling = Sampling()
        self._pasted: list[str] = []
        self._last: tuple[Problem, str] | None = None
        self._commands: dict[str, Callable[[str], None]] = {
            "go": self._go,
            "open": self._open,
            "check": self._check,
            "save": self._save,
            "temperature": lambda text: self._set(temperature=_number(text)),
            "top-p": lambda text: self._set(top_p=_number(text)),
            "tokens": lambda text: self._set(max_new_tokens=int(_number(text))),
            "clear": lambda _: self._pasted.clear(),
            "help": lambda _: self._say(HELP),
        }

    def run(self) -> None:
        """Read and answer until ``/quit`` or the end of input."""
        self._say(f"KernelLLM · {self._engine.model}\n{HELP}")
        while (line := self._read()) is not None:
            if not line.startswith("/"):
                self._pasted.append(line)
                continue
            name, _, rest = line[1:].strip().partition(" ")
            if name == "quit":
                return
            self._carry_out(name, rest.strip())
        if any(line.strip() for line in self._pasted):
            self._carry_out("go", "")

    def _carry_out(self, name: str, rest: str) -> None:
        command = self._commands.get(name)
        try:
            if command is None:
                raise UsageError(f"There is no command /{name}; /help lists them.")
            command(rest)
        except (KernelLLMError, OSError) as error:
            self._say(f"{error}\n")
        except KeyboardInterrupt:
            self._say("\nStopped.\n")

    def _read(self) -> str | None:
        if self._source.isatty():
            self._say("... " if self._pasted else ">>> ")
        try:
            line = self._source.readline()
        except KeyboardInterrupt:
            self._pasted.clear()
            self._say("\n")
            return ""
        return line.rstrip("\n") if line else None

    def _go(self, _: str) -> None:
        source = "\n".join(self._pasted)
        self._pasted.clear()
        self._translate(source)

    def _open(self, name: str) -> None:
        self._translate(Path(name).expanduser().read_text(encoding="utf-8"))

    def _translate(self, source: str) -> None:
        problem = parse_problem(source, require_inputs=False)
        for event in translate(problem, self._engine, self._profile, sampling=self._sampling):
            if isinstance(event, Loading):
                self._say(f"[{event.progress.message}]\n")
            elif isinstance(event, Wrote):
                self._say(event.code)
            elif isinstance(event, Generated):
                candidate = event.candidate
                self._last = (problem, candidate.code)
                self._say(f"\n[{rate(candidate.tokens, candidate.seconds)}]\n")

    def _check(self, _: str) -> None:
        if self._last is None:
            raise UsageError("Nothing to check yet: translate a module first.")
        problem, code = self._last
        if not problem.has_inputs:
            raise UsageError("The module has no get_inputs(), so there is nothing to check it on.")
        for event in check_events(problem, code, CheckOptions()):
            if isinstance(event, Checking):
                self._say(f"[{event.message}]\n")
            elif isinstance(event, Checked):
                self._say(verdict_text(event.verdict, code) + "\n")

    def _save(self, name: str) -> None:
        if self._last is None:
            raise UsageError("Nothing to save yet: translate a module first.")
        Path(name).expanduser().write_text(self._last[1], encoding="utf-8")
        self._say(f"[written to {name}]\n")

    def _set(self, **changes: float | int) -> None:
        self._sampling = replace(self._sampling, **changes)  # type: ignore[arg-type]

    def _say(self, text: str) -> None:
        self._sink.write(text)
        self._sink.flush()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a number.") from None
