"""``kernelllm check``: two files, or a folder of pairs.

The verdict goes to standard output, in words or as one JSON object (``schemas/verdict.schema.json``
describes it), progress to standard error. The exit status is 0 where everything is correct, 1
where not, 2 for wrong use.
"""

from __future__ import annotations

import argparse
from collections import Counter
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from kernelllm_jupyter.commands.terminal import (
    FAILED,
    INTERRUPTED,
    OK,
    print_json,
    read,
    read_problem,
    say,
)
from kernelllm_jupyter.errors import CheckCancelled, UsageError
from kernelllm_jupyter.options import request_from
from kernelllm_jupyter.recording import keep_result
from kernelllm_jupyter.records import Records
from kernelllm_jupyter.report import table, verdict_text
from kernelllm_jupyter.translate import Checking, check_events
from kernelllm_jupyter.values import CheckOptions, Problem, Verdict
from kernelllm_jupyter.verify.suite import CheckedPair, SourcePair, check_pairs, find_pairs

__all__ = ["add_arguments", "run"]


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of ``kernelllm check``."""
    command.add_argument(
        "reference",
        metavar="REFERENCE.py",
        help="the PyTorch module; or a folder of pairs: NAME/reference.py with its candidates "
        "beside it, or NAME.py with NAME_candidate.py",
    )
    command.add_argument("candidate", metavar="CANDIDATE.py", nargs="?")
    command.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="where it runs (default: the best device there is)",
    )
    command.add_argument("--target", metavar="NAME", help="compile for this GPU: sm_90, gfx942, …")
    command.add_argument(
        "--timeout", type=float, default=60.0, metavar="S", help="seconds for each check (60)"
    )
    command.add_argument("--name", metavar="CLASS", help="which class of the reference")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of the trials (0)")
    command.add_argument(
        "--allow-tf32", action="store_true", help="let float32 products be made in TF32"
    )
    command.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="checks at once, for a folder (default: the cores, at most 4; 1 on a GPU)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Check what the arguments name; the exit status."""
    options = _options(arguments)
    if Path(arguments.reference).is_dir():
        return _folder(arguments, options)
    if arguments.candidate is None:
        raise UsageError("Name a reference and a candidate, or a folder of pairs.")
    if arguments.jobs is not None:
        raise UsageError("--jobs is for a folder of pairs.")
    return _two_files(arguments, options)


def _options(arguments: argparse.Namespace) -> CheckOptions:
    names = ("device", "timeout", "target", "allow_tf32")
    request = request_from(argparse.Namespace(**{name: getattr(arguments, name) for name in names}))
    options = request.check_options
    assert options is not None
    if not 0 <= arguments.seed < 2**63:
        raise UsageError("--seed takes a number of at least 0 and below 2^63.")
    return CheckOptions(
        options.device,
        options.timeout_s,
        allow_tf32=options.allow_tf32,
        target=options.target,
        seed=arguments.seed,
    )


def _two_files(arguments: argparse.Namespace, options: CheckOptions) -> int:
    problem = read_problem(arguments.reference, class_name=arguments.name)
    code = read(arguments.candidate)
    for event in check_events(problem, code, options):
        if isinstance(event, Checking):
            say(f"[{event.message}]")
            continue
        if arguments.json:
            print_json(event.verdict.to_json())
        else:
            print(verdict_text(event.verdict, code))
        _keep(Records(), problem, code, event.verdict, options)
        return OK if event.verdict.correct else FAILED
    raise AssertionError("a check ends with its verdict")


def _keep(
    records: Records, problem: Problem, code: str, verdict: Verdict, options: CheckOptions
) -> None:
    given = asdict(options)
    trouble = keep_result(records, "check", problem, code, verdict, given, origin="command")
    if trouble:
        say(f"[{trouble}]")


# --- a folder ------------------------------------------------------------------------------------


def _folder(arguments: argparse.Namespace, options: CheckOptions) -> int:
    if arguments.candidate is not None:
        raise UsageError("A folder of pairs takes no candidate beside it.")
    pairs = find_pairs(Path(arguments.reference))
    results = check_pairs(pairs, options, jobs=arguments.jobs, class_name=arguments.name)
    done: dict[SourcePair, CheckedPair] = {}
    interrupted = False
    records = Records()
    try:
        with closing(results):
            for result in results:
                done[result.pair] = result
                say(f"[{len(done)}/{len(pairs)}] {result.pair.candidate}: {_outcome(result)}")
                if result.verdict is not None and result.problem is not None:
                    _keep(records, result.problem, result.code, result.verdict, options)
    except KeyboardInterrupt:
        interrupted = True
        say("Stopped.")
    left_out = CheckCancelled("Not checked: interrupted before its turn was over.")
    checked = [done.get(pair, CheckedPair(pair, error=left_out)) for pair in pairs]
    summary = Counter(map(_counted, checked))
    if arguments.json:
        print_json({"pairs": [result.to_json() for result in checked], "summary": summary})
    else:
        print(_words(checked, summary))
    if interrupted:
        return INTERRUPTED
    return OK if summary["correct"] == len(pairs) else FAILED


def _outcome(result: CheckedPair) -> str:
    """One line on a pair that is done."""
    verdict = result.verdict
    if verdict is None:
        return f"{_counted(result).replace('_', ' ')}: {result.error}"
    seconds = "" if verdict.elapsed_ms is None else f" ({verdict.elapsed_ms / 1000:.1f} s)"
    return f"{verdict.verdict}{seconds}"


def _counted(result: CheckedPair) -> str:
    """Under what the summary counts a pair."""
    if result.verdict is not None:
        return result.verdict.verdict
    return "not_checked" if isinstance(result.error, CheckCancelled) else "error"


def _words(checked: list[CheckedPair], summary: Counter[str]) -> str:
    rows = [
        (_counted(result).replace("_", " "), str(result.pair.candidate), _why(result))
        for result in checked
    ]
    totals = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in summary.most_common())
    return table(rows) + f"\n\n{len(checked)} checked: {totals}."


def _why(result: CheckedPair) -> str:
    if result.verdict is None:
        return str(result.error).split("\n", 1)[0]
    codes = [finding.code for finding in result.verdict.reasons]
    warnings = [f"warning {finding.code}" for finding in result.verdict.warnings]
    return ", ".join([*codes, *warnings])
