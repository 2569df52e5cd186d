"""``%%kernelllm`` and ``%kernelllm``: read the options, hand over. No logic lives here."""

from __future__ import annotations

import argparse
import re
from typing import Any

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring
from IPython.utils.process import arg_split

from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.notebook.live import LivePanels
from kernelllm_jupyter.notebook.settings import configured
from kernelllm_jupyter.options import OPTIONS, request_from, unquoted
from kernelllm_jupyter.records import Records
from kernelllm_jupyter.values import Translation

__all__ = ["COMMANDS", "KernelLLMMagics", "complete_options", "with_empty_body"]

COMMANDS = {
    "load": "load the model into its process now, instead of at the first translation",
    "unload": "end the model's process and free its memory",
    "status": "what is loaded, and where",
    "stop": "end every model process and every worker of this user",
    "history": "the latest records: translations, their verdicts and timings",
    "show": "one record again, by its ID",
    "export": "the verified kernel as a module of its own, with its test",
    "doctor": "what is installed and what is missing, with the remedy for each",
}


def with_options(function: Any) -> Any:
    """``function`` with the translation's options as its magic arguments."""
    for option in reversed(OPTIONS):
        function = argument(*option.flags, **option.keywords)(function)
    return magic_arguments("kernelllm")(function)


@magics_class
class KernelLLMMagics(Magics):
    """The magics; their settings are ``c.KernelLLM``."""

    def __init__(self, shell: Any):
        super().__init__(shell)
        self.settings = configured(shell)
        self._records = Records()
        self._last: Translation | None = None
        self._panels = LivePanels()
        # `%config KernelLLM` finds a configurable through this list.
        shell.configurables.append(self.settings)
        if hasattr(shell, "kernel"):
            self._panels.outcomes.listen()

    def preload(self) -> None:
        """Start loading the model, where the settings ask for it."""
        try:
            settings = self.settings.in_force()
        except UsageError:
            return  # The next translation says what is wrong; without the magic none could.
        if settings["preload"]:
            from kernelllm_jupyter.notebook.commands import load_in_background

            load_in_background(settings["model"], settings["quantization"])

    @with_options
    @cell_magic("kernelllm")
    def kernelllm_cell(self, line: str, cell: str) -> None:
        """Translate the cell's PyTorch module to Triton, in a new cell below, and check it."""
        self._translate(parse_argstring(self.kernelllm_cell, line), cell)

    def _translate(self, arguments: argparse.Namespace, cell: str) -> None:
        from kernelllm_jupyter.notebook.run import translate_in_notebook

        settings = self.settings.in_force()
        request = request_from(arguments, settings)
        self._records.switch(settings["records"])
        self._last = translate_in_notebook(self.shell, request, cell, self._records, self._panels)

    @line_magic("kernelllm")
    def kernelllm_line(self, line: str) -> None:
        """%kernelllm load | unload | status | stop | history | show | export | doctor

        %kernelllm --from NAME translates a live module of the notebook, as %%kernelllm does.
        """
        from kernelllm_jupyter.notebook import commands

        if line.split()[:1] == ["--from"] or line.startswith("--from="):
            self._translate(parse_argstring(self.kernelllm_cell, line), "")
            return
        settings = self._settings_for(line)
        parser = _CommandParser(prog="%kernelllm", add_help=False)
        parser.add_argument("command", choices=COMMANDS)
        parser.add_argument("words", nargs="*")
        parser.add_argument("-m", "--model", default=settings["model"])
        parser.add_argument("--quantization", default=settings["quantization"])
        parser.add_argument("--limit", type=int, default=20)
        parser.add_argument("--unverified", action="store_true")
        parser.add_argument("--with-weights", action="store_true")
        commands.carry_out(parser.parse_args(_words(line) or ["status"]), self._last)

    def _settings_for(self, line: str) -> dict[str, Any]:
        try:
            return self.settings.in_force()
        except UsageError:
            if line.split()[:1] == ["doctor"]:
                return self.settings.configured()  # It tells what is wrong with them itself.
            raise


def _words(line: str) -> list[str]:
    """As a cell's options are taken apart: what is in quotes, such as a path, is one word."""
    try:
        return [unquoted(word) for word in arg_split(line)]
    except ValueError as error:
        raise UsageError(f"%kernelllm: {error}.") from None


class _CommandParser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        commands = "\n".join(f"  {name:8} {what}" for name, what in COMMANDS.items())
        raise UsageError(f"%kernelllm: {message}\n{commands}")


def complete_options(shell: Any, event: Any) -> list[str]:
    """Completions for both magics, as IPython's ``complete_command`` hook asks for them."""
    if not event.line.startswith("%%"):
        return list(COMMANDS)
    return [flag for option in OPTIONS for flag in option.flags if flag.startswith("--")]


def with_empty_body(lines: list[str]) -> list[str]:
    """Give a lone ``%%kernelllm --from NAME`` the empty body that IPython refuses to be without."""
    if len(lines) == 1 and re.match(r"%%kernelllm\s.*--from\b", lines[0]):
        return [lines[0].rstrip("\n") + "\n", "\n"]
    return lines
