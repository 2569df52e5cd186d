"""The ``kernelllm`` command. Options come from :mod:`~kernelllm_jupyter.options`; results go to
standard output, everything said along the way to standard error."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from typing import Any

from kernelllm_jupyter import __version__
from kernelllm_jupyter.address import destination
from kernelllm_jupyter.commands import benchmark, check, evaluate, history, serve
from kernelllm_jupyter.commands.terminal import (
    FAILED,
    INTERRUPTED,
    OK,
    fail,
    give_up_output,
    print_json,
    read_problem,
    say,
    settle_streams,
)
from kernelllm_jupyter.errors import KernelLLMError
from kernelllm_jupyter.grid import Grid, grid_rows, told
from kernelllm_jupyter.options import (
    OPTIONS,
    STARTER_HINT,
    Request,
    add_options,
    request_from,
)
from kernelllm_jupyter.recording import Recorded
from kernelllm_jupyter.records import Records
from kernelllm_jupyter.report import rate, table, verdict_text
from kernelllm_jupyter.search import SearchEvent, search
from kernelllm_jupyter.timing_report import timing_text
from kernelllm_jupyter.translate import (
    Checked,
    Checking,
    Finished,
    Generated,
    Loading,
    Noted,
    Thought,
    Wrote,
)
from kernelllm_jupyter.values import Translation

__all__ = ["command_line", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    settle_streams()
    arguments = command_line().parse_args(argv)
    try:
        status = _run(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader left (`kernelllm … | head`).
        give_up_output()
        return FAILED
    except OSError as error:
        # A full disk behind standard output: files have had a message of their own.
        give_up_output()
        with suppress(OSError):
            say(f"kernelllm: {error.strerror or error}.")
        return FAILED


def _run(arguments: argparse.Namespace) -> int:
    try:
        status: int = arguments.run(arguments)
        return status
    except KernelLLMError as error:
        return fail(error, as_json=getattr(arguments, "json", False))
    except KeyboardInterrupt:
        say("Stopped.")
        return INTERRUPTED


def command_line() -> argparse.ArgumentParser:
    """The parser of every command; the docs read their reference from it."""
    parser = argparse.ArgumentParser(
        prog="kernelllm", description="PyTorch module in, proven Triton kernel out."
    )
    parser.add_argument("--version", action="version", version=f"kernelllm {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = _command(commands, "translate", _translate, "translate a file's PyTorch module")
    command.add_argument("file", metavar="FILE", help="the module; '-' reads standard input")
    for option in OPTIONS:
        if not option.notebook_only:
            command.add_argument(*option.flags, **option.keywords)

    command = _command(commands, "check", check.run, "check a candidate, or a folder of pairs")
    check.add_arguments(command)

    text = "time a candidate on the GPU, beside PyTorch"
    benchmark.add_arguments(_command(commands, "benchmark", benchmark.run, text))

    text = "what a model is worth on a suite of problems: pass@k, fast_p"
    evaluate.add_arguments(_command(commands, "evaluate", evaluate.run, text))

    command = _command(commands, "repl", _repl, "an interactive session", as_json=False)
    command.add_argument("-m", "--model", default="starter", metavar="NAME")
    add_options(command, "--quantization")

    text = "serve a model to a team, over OpenAI's protocol"
    serve.add_arguments(_command(commands, "serve", serve.run, text, as_json=False))

    command = _command(commands, "history", history.history, "what was made: the latest records")
    history.add_history_arguments(command)
    text = "one record: its code, verdict and timing"
    history.add_show_arguments(_command(commands, "show", history.show, text))
    text = "a verified kernel as a module of its own, with a test"
    history.add_export_arguments(_command(commands, "export", history.export, text))

    text = "what is installed, what is missing, and the remedy"
    command = _command(commands, "doctor", _doctor, text)
    command.add_argument("-m", "--model", default="", metavar="NAME", help="ask this server, too")
    return parser


def _command(commands: Any, name: str, run: Any, text: str, *, as_json: bool = True) -> Any:
    command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    command.set_defaults(run=run)
    if as_json:
        command.add_argument(
            "--json", action="store_true", help="print one JSON object on standard output"
        )
    return command


# --- commands ------------------------------------------------------------------------------------


def _translate(arguments: argparse.Namespace) -> int:
    from kernelllm_jupyter.engines import get_engine
    from kernelllm_jupyter.prompts import profile_for

    request = request_from(arguments)
    problem = read_problem(
        arguments.file,
        class_name=request.class_name,
        inputs=request.inputs,
        init=request.init,
        require_inputs=request.check,
    )
    if arguments.model is None:
        say(STARTER_HINT)
    if told := destination(request.model):
        say(told)
    made = search(
        problem,
        get_engine(request.model, quantization=request.quantization),
        profile_for(request.model, target=request.target),
        effort=request.effort,
        sampling=request.sampling,
        check=request.check_options,
    )
    events = Recorded(made, Records(), problem, request, origin="command")
    follow = _follow_several if request.effort.several else _follow
    with closing(events):
        translation = follow(events, echo=not arguments.json)
    translation = _timed(translation, request)
    if translation.timing is not None and events.recording is not None:
        events.recording.timing(translation.code, translation.timing, translation.chosen)
        events.recording.is_kept()  # Waits: the process ends next.
    if arguments.json:
        print_json(translation.to_json())
    failed = request.check and not (translation.verdict and translation.verdict.correct)
    return FAILED if failed or not translation.code else OK


def _follow(events: Iterator[SearchEvent], *, echo: bool) -> Translation:
    """Carry events to the terminal: code to standard output, the rest to standard error.

    A reply may turn out to hold its code in its last block: a file or a pipe gets it once it is
    whole, a person sees it as it is written.
    """
    code = ""
    written: list[str] = []
    streamed = echo and sys.stdout.isatty()
    try:
        for event in events:
            if isinstance(event, Loading):
                say(f"[{event.progress.message}]")
            elif isinstance(event, Thought) and echo:
                print(event.text, end="", flush=True, file=sys.stderr)
            elif isinstance(event, Wrote):
                written.append(event.code)
                if streamed:
                    print(event.code, end="", flush=True)
            elif isinstance(event, Generated):
                code, written = event.candidate.code, []
                if echo and not streamed:
                    print(code, end="", flush=True)
                say(f"[{rate(event.candidate.tokens, event.candidate.seconds)}]")
                if event.candidate.no_code:
                    say(event.candidate.no_code)
            elif isinstance(event, Checking | Noted):
                say(f"[{event.message}]")
            elif isinstance(event, Checked):
                say(verdict_text(event.verdict, code))
            elif isinstance(event, Finished):
                return event.translation
    finally:
        # After an interrupt or a failure: what had come is kept.
        if echo and not streamed and written:
            print("".join(written), end="", flush=True)
    raise AssertionError("a translation ends with Finished")


def _follow_several(events: Iterator[SearchEvent], *, echo: bool) -> Translation:
    """The same for candidates side by side: the chosen one's code comes whole, at the end."""
    grid = Grid()
    for event in events:
        grid.take(event)
        if words := told(event, grid):
            say(f"[{words}]")
        if isinstance(event, Finished):
            translation = event.translation
            say(table(grid_rows(grid.rows)))
            if translation.verdict is not None:
                say(verdict_text(translation.verdict, translation.code))
            if echo:
                print(translation.code, end="", flush=True)
            return translation
    raise AssertionError("a translation ends with Finished")


def _timed(translation: Translation, request: Request) -> Translation:
    from dataclasses import replace

    if not request.benchmark:
        return translation
    from kernelllm_jupyter.verify.benchmark import benchmark as timed

    timing = timed(
        translation.problem,
        translation.code,
        request.benchmark_options,
        verdict=translation.verdict,
        progress=lambda message: say(f"[{message}]"),
    )
    say(timing_text(timing))
    return replace(translation, timing=timing)


def _repl(arguments: argparse.Namespace) -> int:
    from kernelllm_jupyter.api import KernelLLM

    model = KernelLLM(arguments.model, quantization=arguments.quantization)
    if told := destination(arguments.model):
        say(told)
    model.repl()
    return OK


def _doctor(arguments: argparse.Namespace) -> int:
    from kernelllm_jupyter.doctor import examine, findings_text

    findings = examine(arguments.model)
    if arguments.json:
        print_json({"findings": [finding.to_json() for finding in findings]})
    else:
        print(findings_text(findings))
    return FAILED if any(finding.state == "missing" for finding in findings) else OK
