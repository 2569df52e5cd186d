"""The ``kernelllm`` command. Options come from :mod:`~kernelllm_jupyter.options`; results go to
standard output, everything said along the way to standard error."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kernelllm_jupyter.errors import KernelLLMError, UsageError
from kernelllm_jupyter.options import OPTIONS, STARTER_HINT, Request, request_from
from kernelllm_jupyter.problem import parse_problem
from kernelllm_jupyter.report import rate, timing_text, verdict_text
from kernelllm_jupyter.translate import (
    Checked,
    Checking,
    Event,
    Finished,
    Generated,
    Loading,
    Wrote,
    check_events,
    translate,
)
from kernelllm_jupyter.values import Problem, Translation

__all__ = ["main"]

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except KernelLLMError as error:
        return _fail(error, as_json=getattr(arguments, "json", False))
    except KeyboardInterrupt:
        _say("Stopped.")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader left (`kernelllm … | head`); keep the interpreter's own flush from failing too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kernelllm", description="PyTorch module in, proven Triton kernel out."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = _command(commands, "translate", _translate, "translate a file's PyTorch module")
    command.add_argument("file", metavar="FILE", help="the module; '-' reads standard input")
    for option in OPTIONS:
        if not option.notebook_only:
            command.add_argument(*option.flags, **option.keywords)

    command = _command(commands, "check", _check, "check a candidate against its reference")
    _add_pair(command)
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    command.add_argument("--target", metavar="NAME", help="compile for this GPU: sm_90, gfx942, …")
    command.add_argument("--timeout", type=float, default=60.0, metavar="S")
    command.add_argument("--name", metavar="CLASS", help="which class of the reference")

    command = _command(commands, "benchmark", _benchmark, "time a candidate on the GPU")
    _add_pair(command)
    command.add_argument("--timeout", type=float, default=300.0, metavar="S")
    command.add_argument("--name", metavar="CLASS", help="which class of the reference")

    command = _command(commands, "repl", _repl, "an interactive session", as_json=False)
    command.add_argument("-m", "--model", default="starter", metavar="NAME")

    _command(commands, "doctor", _doctor, "what is installed, what is missing, and the remedy")
    return parser


def _command(commands: Any, name: str, run: Any, text: str, *, as_json: bool = True) -> Any:
    command = commands.add_parser(name, help=text, description=text.capitalize() + ".")
    command.set_defaults(run=run)
    if as_json:
        command.add_argument(
            "--json", action="store_true", help="print one JSON object on standard output"
        )
    return command


def _add_pair(command: argparse.ArgumentParser) -> None:
    command.add_argument("reference", metavar="REFERENCE.py")
    command.add_argument("candidate", metavar="CANDIDATE.py")


# --- commands ------------------------------------------------------------------------------------


def _translate(arguments: argparse.Namespace) -> int:
    from kernelllm_jupyter.engines import get_engine
    from kernelllm_jupyter.prompts import profile_for

    request = request_from(arguments)
    problem = parse_problem(
        _read(arguments.file),
        class_name=request.class_name,
        inputs=request.inputs,
        init=request.init,
        require_inputs=request.check,
    )
    if arguments.model is None:
        _say(STARTER_HINT)
    events = translate(
        problem,
        get_engine(request.model),
        profile_for(request.model),
        sampling=request.sampling,
        check=request.check_options,
    )
    translation = _follow(events, echo=not arguments.json)
    translation = _timed(translation, request)
    if arguments.json:
        _print_json(translation.to_json())
    failed = request.check and not (translation.verdict and translation.verdict.correct)
    return FAILED if failed or not translation.code else OK


def _follow(events: Iterator[Event], *, echo: bool) -> Translation:
    """Carry events to the terminal: code to standard output, the rest to standard error."""
    code = ""
    for event in events:
        if isinstance(event, Loading):
            _say(f"[{event.progress.message}]")
        elif isinstance(event, Wrote) and echo:
            print(event.code, end="", flush=True)
        elif isinstance(event, Generated):
            code = event.candidate.code
            _say(f"[{rate(event.candidate.tokens, event.candidate.seconds)}]")
        elif isinstance(event, Checking):
            _say(f"[{event.message}]")
        elif isinstance(event, Checked):
            _say(verdict_text(event.verdict, code))
        elif isinstance(event, Finished):
            return event.translation
    raise AssertionError("a translation ends with Finished")


def _timed(translation: Translation, request: Request) -> Translation:
    from dataclasses import replace

    if not request.benchmark:
        return translation
    from kernelllm_jupyter.verify.benchmark import benchmark

    timing = benchmark(translation.problem, translation.code)
    _say(timing_text(timing))
    return replace(translation, timing=timing)


def _check(arguments: argparse.Namespace) -> int:
    chosen = {name: getattr(arguments, name) for name in ("device", "timeout", "target")}
    request = request_from(argparse.Namespace(**chosen))
    problem = _reference(arguments)
    code = _read(arguments.candidate)
    options = request.check_options
    assert options is not None
    for event in check_events(problem, code, options):
        if isinstance(event, Checking):
            _say(f"[{event.message}]")
            continue
        if arguments.json:
            _print_json(event.verdict.to_json())
        else:
            print(verdict_text(event.verdict, code))
        return OK if event.verdict.correct else FAILED
    raise AssertionError("a check ends with its verdict")


def _benchmark(arguments: argparse.Namespace) -> int:
    from kernelllm_jupyter.verify.benchmark import benchmark

    timing = benchmark(
        _reference(arguments),
        _read(arguments.candidate),
        timeout_s=arguments.timeout,
        progress=lambda message: _say(f"[{message}]"),
    )
    if arguments.json:
        _print_json(timing.to_json())
    else:
        print(timing_text(timing))
    return FAILED if timing.conclusion == "not measured" else OK


def _repl(arguments: argparse.Namespace) -> int:
    from kernelllm_jupyter.api import KernelLLM

    KernelLLM(arguments.model).repl()
    return OK


def _doctor(arguments: argparse.Namespace) -> int:
    from kernelllm_jupyter.doctor import examine, findings_text

    findings = examine()
    if arguments.json:
        _print_json({"findings": [finding.to_json() for finding in findings]})
    else:
        print(findings_text(findings))
    return FAILED if any(finding.state == "missing" for finding in findings) else OK


# --- in and out ----------------------------------------------------------------------------------


def _reference(arguments: argparse.Namespace) -> Problem:
    return parse_problem(_read(arguments.reference), class_name=arguments.name)


def _read(name: str) -> str:
    if name == "-":
        return sys.stdin.read()
    try:
        return Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"Cannot read {name}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UsageError(f"Cannot read {name}: it is not UTF-8 text.") from None


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value))


def _fail(error: KernelLLMError, *, as_json: bool) -> int:
    if as_json:
        _print_json({"error": {"type": type(error).__name__, "message": str(error)}})
    _say(f"kernelllm: {error}")
    return USAGE if isinstance(error, UsageError) else FAILED
