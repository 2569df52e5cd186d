"""Entries from a terminal: several lines, history, completion of commands, through prompt_toolkit.

Enter on a blank line sends a module that is complete, Escape then Enter sends whatever there is. A
paste is taken whole, also where the terminal does not mark it as one: then more keys are waiting.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.keys import Keys

from kernelllm_jupyter.repl.entries import ends_here, is_command

__all__ = ["Keyboard", "history_file"]

#: How long the next key of a paste may take to arrive.
PASTE_GAP_S = 0.05
TOOLBAR = "A blank line after the module sends it · Esc Enter sends at once · :help"


class Keyboard:
    """An :class:`~kernelllm_jupyter.repl.entries.Entries` for the terminal of this process."""

    def __init__(self, commands: Sequence[str]):
        self._pasted = False
        self._session: PromptSession[str] = PromptSession(
            message="kernelllm> ",
            multiline=True,
            prompt_continuation=lambda width, *_: "...".rjust(width - 1) + " ",
            history=_history(),
            key_bindings=self._keys(),
            completer=_Commands(commands),
            complete_while_typing=False,
            bottom_toolbar=TOOLBAR,
            enable_open_in_editor=True,
        )

    def read(self) -> str | None:
        self._pasted = False
        try:
            return self._session.prompt(in_thread=_in_a_loop())
        except EOFError:
            return None

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("enter")
        def _(event: Any) -> None:
            buffer = event.current_buffer
            if _more_is_coming(event):
                self._pasted = True
                buffer.insert_text("\n")
            elif is_command(buffer.text) or not buffer.text.strip():
                buffer.validate_and_handle()
            else:
                at_end = buffer.document.is_cursor_at_the_end
                if at_end and ends_here(buffer.text, pasted=self._pasted):
                    buffer.validate_and_handle()
                else:
                    buffer.insert_text("\n")

        @keys.add("escape", "enter")
        def _(event: Any) -> None:
            event.current_buffer.validate_and_handle()

        @keys.add(Keys.BracketedPaste)
        def _(event: Any) -> None:
            buffer = event.current_buffer
            text = event.data.replace("\r\n", "\n").replace("\r", "\n")
            buffer.insert_text(text)
            self._pasted = "\n" in text
            if self._pasted and text.endswith("\n\n") and ends_here(buffer.text, pasted=True):
                buffer.validate_and_handle()

        @keys.add("tab", filter=Condition(lambda: not is_command(get_app().current_buffer.text)))
        def _(event: Any) -> None:
            event.current_buffer.insert_text("    ")

        return keys


class _Commands(Completer):
    def __init__(self, names: Sequence[str]):
        self._names = names

    def get_completions(self, document: Any, complete_event: Any) -> Any:
        text = document.text
        if is_command(text) and " " not in text:
            for name in self._names:
                if name.startswith(text[1:]):
                    yield Completion(name, start_position=1 - len(text))


def _more_is_coming(event: Any) -> bool:
    """Whether keys follow this one faster than anybody types."""
    if event.app.key_processor.input_queue:
        return True
    try:
        ready, _, _ = select.select([event.app.input.fileno()], [], [], PASTE_GAP_S)
    except (OSError, ValueError, NotImplementedError):
        return False  # Where a console is no file, terminals mark what is pasted.
    return bool(ready)


def _in_a_loop() -> bool:
    """Whether an event loop runs in this thread: IPython's, say."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def history_file() -> Path:
    """Where entries are remembered; only its owner can read it."""
    from platformdirs import user_state_path

    return user_state_path("kernelllm", appauthor=False) / "repl_history"


def _history() -> History:
    try:
        path = history_file()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
    except (OSError, RuntimeError):  # The latter where this user has no home folder.
        return InMemoryHistory()
    return FileHistory(str(path))
