"""What a session does with its entries: translates modules, carries out commands.

Everything that has to be decided is decided below; here it is said in a terminal. What had arrived
when the user interrupts is kept, as the last answer.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from kernelllm_jupyter.engines import Engine
from kernelllm_jupyter.errors import EngineError, KernelLLMError, UsageError
from kernelllm_jupyter.grid import Grid, grid_rows, told
from kernelllm_jupyter.options import Request
from kernelllm_jupyter.problem import parse_problem
from kernelllm_jupyter.prompts import Profile
from kernelllm_jupyter.recording import Recorded
from kernelllm_jupyter.records import Recording, Records
from kernelllm_jupyter.repl.entries import Entries, Piped, is_command
from kernelllm_jupyter.report import rate, table, verdict_text
from kernelllm_jupyter.search import SearchEvent, search
from kernelllm_jupyter.translate import (
    Checking,
    Finished,
    Generated,
    Loading,
    Noted,
    Thought,
    Wrote,
    check_events,
)
from kernelllm_jupyter.values import CheckOptions, Effort, Problem, Sampling

__all__ = ["Repl"]

HELP = """\
Paste or type a PyTorch module; a blank line after it sends it. Commands:
  :check             check the last answer against its module
  :k N               sample N candidates from now on, check them, keep the best
  :repair N          where none is correct, up to N rounds of repair (0: none)
  :save FILE         write the last answer to a file
  :open FILE         translate a file
  :show              the last answer again
  :temperature T     sampling temperature (0 is greedy); :top-p P and :tokens N likewise
  :help, :quit       Ctrl-C stops what is running and keeps the text so far; Ctrl-D leaves
"""
#: What a terminal would take for orders: a model's text is only ever shown.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
CANDIDATES_AT_MOST = 1000
ROUNDS_AT_MOST = 100


class Repl:
    """One session; ``source`` and ``sink`` default to the terminal."""

    def __init__(
        self,
        engine: Engine,
        profile: Profile,
        *,
        source: TextIO | None = None,
        sink: TextIO | None = None,
        records: Records | None = None,
    ):
        self._engine = engine
        self._records = records or Records()
        self._profile = profile
        self._source = source or sys.stdin
        self._sink = sink or sys.stdout
        self._sampling = Sampling()
        self._effort = Effort()
        self._last: tuple[Problem, str] | None = None
        #: Of the last answer; its later verdicts go there.
        self._recording: Recording | None = None
        self._commands: dict[str, Callable[[str], None]] = {
            "check": self._check,
            "k": self._set_k,
            "repair": self._set_repair,
            "save": self._save,
            "open": self._open,
            "show": self._show,
            "temperature": lambda text: self._set(temperature=_number(text, 0, 100)),
            "top-p": lambda text: self._set(top_p=_number(text, 1e-9, 1)),
            "tokens": lambda text: self._set(max_new_tokens=_count(text, 1, 10_000_000)),
            "go": lambda _: None,  # Ends a module that is piped in.
            "help": lambda _: self._say(HELP),
        }

    def run(self) -> None:
        """Read and answer until ``:quit`` or the end of input."""
        self._say(f"KernelLLM · {self._engine.model}\n{HELP}")
        entries = self._entries()
        while True:
            try:
                entry = entries.read()
            except KeyboardInterrupt:
                continue  # What was typed is dropped.
            if entry is None or entry.strip() == ":quit":
                return
            self._carry_out(entry)

    def _entries(self) -> Entries:
        if not (self._source.isatty() and self._sink.isatty()):
            return Piped(self._source)
        from kernelllm_jupyter.repl.keyboard import Keyboard

        return Keyboard([*self._commands, "quit"])

    def _carry_out(self, entry: str) -> None:
        try:
            if is_command(entry):
                name, _, rest = entry.strip()[1:].partition(" ")
                command = self._commands.get(name)
                if command is None:
                    raise UsageError(f"There is no command :{name}; :help lists them.")
                command(rest.strip())
            elif entry.strip():
                self._translate(entry)
        except (KernelLLMError, OSError, UnicodeDecodeError) as error:
            self._say(f"{error}\n")
        except KeyboardInterrupt:
            self._say("\n[stopped]\n")

    # --- translating -----------------------------------------------------------------------------

    def _translate(self, source: str) -> None:
        problem = parse_problem(source, require_inputs=False)
        effort = self._effort
        # One answer is checked when the user asks; of several, the check finds the one to keep.
        check = CheckOptions() if effort.several and problem.has_inputs else None
        made = search(
            problem,
            self._engine,
            self._profile,
            effort=effort,
            sampling=self._sampling,
            check=check,
        )
        request = Request(
            self._engine.model, check=check is not None, sampling=self._sampling, effort=effort
        )
        events = Recorded(made, self._records, problem, request, origin="terminal")
        following = _Several(self._say) if effort.several else _Single(self._say)
        try:
            with contextlib.closing(events):
                for event in events:
                    self._recording = events.recording
                    following.take(event)
        except (KeyboardInterrupt, EngineError) as error:
            kept = following.code
            if kept.strip():
                self._last = (problem, kept)
                self._say("\n[stopped; the text so far is kept: :show, :save FILE, :check]\n")
            elif isinstance(error, KeyboardInterrupt):
                self._say("\n[stopped before any code had come]\n")
            if isinstance(error, EngineError):
                raise
            return
        self._last = (problem, following.code)

    def _open(self, name: str) -> None:
        self._translate(_path(name, ":open").read_text(encoding="utf-8"))

    # --- the last answer -------------------------------------------------------------------------

    def _answer(self) -> tuple[Problem, str]:
        if self._last is None:
            raise UsageError("There is no answer yet: translate a module first.")
        return self._last

    def _check(self, _: str) -> None:
        problem, code = self._answer()
        if not problem.has_inputs:
            raise UsageError("The module has no get_inputs(), so there is nothing to check it on.")
        for event in check_events(problem, code, CheckOptions()):
            if isinstance(event, Checking):
                self._say(f"[{event.message}]\n")
            else:
                self._say(verdict_text(event.verdict, code) + "\n")
                if self._recording is not None:
                    self._recording.verdict(code, event.verdict)

    def _show(self, _: str) -> None:
        self._say(self._answer()[1].rstrip("\n") + "\n")

    def _save(self, name: str) -> None:
        _, code = self._answer()
        path = _path(name, ":save")
        path.write_text(code, encoding="utf-8")
        self._say(f"[written to {path}]\n")

    # --- settings --------------------------------------------------------------------------------

    def _set_k(self, text: str) -> None:
        self._effort = replace(self._effort, k=_count(text, 1, CANDIDATES_AT_MOST))
        self._say_effort()

    def _set_repair(self, text: str) -> None:
        self._effort = replace(self._effort, repair=_count(text, 0, ROUNDS_AT_MOST))
        self._say_effort()

    def _say_effort(self) -> None:
        k, repair = self._effort.k, self._effort.repair
        words = "one candidate" if k == 1 else f"up to {k} candidates"
        if repair:
            words += f", up to {repair} round{'' if repair == 1 else 's'} of repair"
        checked = ", checked" if self._effort.several else ""
        self._say(f"[from now on: {words}{checked}]\n")

    def _set(self, **changes: float | int) -> None:
        self._sampling = replace(self._sampling, **changes)  # type: ignore[arg-type]

    def _say(self, text: str) -> None:
        self._sink.write(CONTROL.sub("\N{REPLACEMENT CHARACTER}", text))
        self._sink.flush()


class _Single:
    """Says what happens to one candidate while it happens."""

    def __init__(self, say: Callable[[str], None]):
        self.code = ""
        self._say = say
        self._thinking = False

    def take(self, event: SearchEvent) -> None:
        if isinstance(event, Loading):
            self._say(f"[{event.progress.message}]\n")
        elif isinstance(event, Noted):
            self._say(f"\n[{event.message}]\n")
        elif isinstance(event, Thought):
            if not self._thinking:
                self._say("[thinking]\n")
            self._thinking = True
            self._say(event.text)
        elif isinstance(event, Wrote) and event.code:
            if self._thinking:
                self._say("\n[answering]\n")
            self._thinking = False
            self.code += event.code
            self._say(event.code)
        elif isinstance(event, Generated):
            candidate = event.candidate
            if candidate.code.strip() != self.code.strip() and candidate.code.strip():
                self._say(f"\n[the answer, of what was written]\n{candidate.code}")
            self.code = candidate.code
            figures = rate(candidate.tokens, candidate.seconds)
            self._say(f"\n[{candidate.no_code or figures}]\n")


class _Several:
    """Says what became of each candidate, and shows the one that is kept."""

    def __init__(self, say: Callable[[str], None]):
        self._say = say
        self._grid = Grid()
        self._texts: dict[int, str] = {}
        self._kept: str | None = None

    @property
    def code(self) -> str:
        """What is kept; after an interrupt the verified one, else the longest there is."""
        if self._kept is not None:
            return self._kept
        verified = self._grid.verified
        if verified is not None:
            return verified.code
        return max(self._texts.values(), key=len, default="")

    def take(self, event: SearchEvent) -> None:
        self._grid.take(event)
        if words := told(event, self._grid):
            self._say(f"[{words}]\n")
        if isinstance(event, Wrote):
            self._texts[event.index] = self._texts.get(event.index, "") + event.code
        elif isinstance(event, Generated):
            self._texts[event.index] = event.candidate.code
        elif isinstance(event, Finished):
            self._finish(event)

    def _finish(self, event: Finished) -> None:
        made = event.translation
        self._kept = made.code
        self._say(made.code.rstrip("\n") + "\n")
        self._say(table(grid_rows(self._grid.rows)) + "\n")
        if made.verdict is not None:
            self._say(verdict_text(made.verdict, made.code) + "\n")
        elif made.candidate.no_code:
            self._say(f"[{made.candidate.no_code}]\n")


def _path(name: str, command: str) -> Path:
    if not name:
        raise UsageError(f"{command} takes the name of a file.")
    return Path(name).expanduser()


def _number(text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a number.") from None
    if not least <= value <= most:
        raise UsageError(f"{text} is out of range: from {least:g} to {most:g}.")
    return value


def _count(text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit()) or not least <= int(text) <= most:
        raise UsageError(f"{text!r} is no whole number from {least} to {most:,}.")
    return int(text)
