"""``kernelllm benchmark``: time a candidate beside eager PyTorch and ``torch.compile``.

The timing goes to standard output, in words or as one JSON object, progress to standard error. The
exit status is 0 where it was measured, 1 where not, 2 for wrong use.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict

from kernelllm_jupyter.commands.terminal import FAILED, OK, print_json, read, read_problem, say
from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.options import SWEEP_OVER_HELP, sizes_named
from kernelllm_jupyter.recording import keep_result
from kernelllm_jupyter.records import Records
from kernelllm_jupyter.timing_report import timing_text

__all__ = ["add_arguments", "run"]


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of ``kernelllm benchmark``."""
    command.add_argument("reference", metavar="REFERENCE.py")
    command.add_argument("candidate", metavar="CANDIDATE.py")
    command.add_argument(
        "--sweep",
        action="store_true",
        help="time it at other sizes too, each size of the problem in turn, in steps of two up to "
        "what memory allows",
    )
    command.add_argument("--sweep-over", metavar="SIZES", help=SWEEP_OVER_HELP)
    command.add_argument(
        "--max-autotune",
        action="store_true",
        help="time torch.compile in its mode max-autotune-no-cudagraphs as well, which takes "
        "minutes to compile",
    )
    command.add_argument(
        "--gpu",
        metavar="NAME",
        help="without a GPU: whose published figures the bound is for ('H100 SXM', L4, …)",
    )
    command.add_argument(
        "--unverified",
        action="store_true",
        help="time it without checking it first; the timing says so",
    )
    command.add_argument(
        "--allow-tf32", action="store_true", help="let float32 products be made in TF32"
    )
    command.add_argument(
        "--timeout", type=float, default=300.0, metavar="S", help="seconds it may take (300)"
    )
    command.add_argument("--name", metavar="CLASS", help="which class of the reference")


def run(arguments: argparse.Namespace) -> int:
    """Time what the arguments name; the exit status."""
    from kernelllm_jupyter.verify.benchmark import BenchmarkOptions, benchmark

    if not arguments.timeout > 0:
        raise UsageError("--timeout takes a number of seconds greater than 0.")
    problem = read_problem(arguments.reference, class_name=arguments.name)
    code = read(arguments.candidate)
    options = BenchmarkOptions(
        timeout_s=arguments.timeout,
        max_autotune=arguments.max_autotune,
        sweep=arguments.sweep,
        sweep_over=sizes_named(arguments.sweep_over),
        gpu=arguments.gpu,
        unverified=arguments.unverified,
        allow_tf32=arguments.allow_tf32,
    )
    timing = benchmark(problem, code, options, progress=lambda message: say(f"[{message}]"))
    if arguments.json:
        print_json(timing.to_json())
    else:
        print(timing_text(timing))
    given = asdict(options)
    trouble = keep_result(Records(), "benchmark", problem, code, timing, given, origin="command")
    if trouble:
        say(f"[{trouble}]")
    return OK if timing.measured else FAILED
