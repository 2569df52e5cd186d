"""``kernelllm evaluate``: what a model is worth on a suite of problems.

The table goes to standard output, in words or as one JSON object, progress to standard error. The
exit status is 0 where every problem was evaluated, 1 where not, 130 after an interrupt; the same
command goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from contextlib import closing, suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kernelllm_jupyter.address import destination, server_address
from kernelllm_jupyter.commands.terminal import FAILED, INTERRUPTED, OK, print_json, say
from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.evaluate import Plan, ProblemFile, evaluate, find_problems
from kernelllm_jupyter.ledger import Ledger
from kernelllm_jupyter.options import Request, add_options, request_from
from kernelllm_jupyter.report import table
from kernelllm_jupyter.scores import Outcome, fast_p, pass_at, reported_ks

__all__ = ["add_arguments", "run"]

#: The options that a translation has, too.
SHARED = (
    *("--model", "--temperature", "--top-p", "--max-new-tokens", "--seed", "--quantization"),
    *("--device", "--target", "--allow-tf32", "--timeout"),
)
#: The speedups over eager that fast_p is reported for.
PS = (1.0, 1.5, 2.0)
REASON_CHARACTERS = 90


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of ``kernelllm evaluate``."""
    command.add_argument(
        "places",
        metavar="DIR",
        nargs="+",
        type=Path,
        help="folders (with those below them) or files of problems: each file a PyTorch module "
        "with get_inputs(), as KernelBench has them",
    )
    command.add_argument(
        "-k",
        type=int,
        default=1,
        metavar="N",
        help="candidates for each problem; all are sampled and checked (default: 1)",
    )
    add_options(command, *SHARED)
    command.add_argument(
        "--benchmark",
        action="store_true",
        help="time the correct ones, for fast_p, where a GPU is",
    )
    command.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="problems worked on at once (default: the cores, at most 4; 1 on a GPU)",
    )
    command.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="where the candidates and verdicts are kept, one JSON object a line (default: a file "
        "of the user's, for these settings)",
    )
    command.add_argument(
        "--fresh", action="store_true", help="evaluate anew what was evaluated before"
    )


def run(arguments: argparse.Namespace) -> int:
    """Evaluate what the arguments name; the exit status."""
    from kernelllm_jupyter.engines import get_engine
    from kernelllm_jupyter.prompts import profile_for

    names = ("model", "k", *(flag[2:].replace("-", "_") for flag in SHARED if flag != "--model"))
    request = request_from(argparse.Namespace(**{name: getattr(arguments, name) for name in names}))
    assert request.check_options is not None
    plan = Plan(
        request.effort.k, request.sampling, request.check_options, timed=arguments.benchmark
    )
    files = find_problems(arguments.places)
    settings = _settings(request, plan)
    path = arguments.out or _default_path(settings, arguments.places)
    if told := destination(request.model):
        say(told)
    outcomes: dict[str, Outcome] = {}
    interrupted = False
    with Ledger(path, settings, fresh=arguments.fresh) as ledger:
        known = sum(ledger.entry(file.name) is not None for file in files)
        if known:
            say(f"[{known} of {len(files)} were evaluated before: {path}; --fresh does it anew]")
        results = evaluate(
            files,
            get_engine(request.model, quantization=request.quantization),
            profile_for(request.model, target=request.target),
            plan,
            ledger,
            jobs=arguments.jobs,
            progress=lambda words: say(f"[{words}]"),
        )
        try:
            with closing(results):
                for outcome in results:
                    outcomes[outcome.problem] = outcome
                    say(f"[{len(outcomes)}/{len(files)}] {outcome.problem}: {_words(outcome)}")
        except KeyboardInterrupt:
            interrupted = True
            say("Stopped. The same command goes on from here.")
    if arguments.json:
        print_json(_json(files, outcomes, plan, settings, path))
    else:
        print(_text(files, outcomes, plan, path))
    if interrupted:
        return INTERRUPTED
    return OK if all(outcome.counted for outcome in outcomes.values()) else FAILED


# --- what makes two evaluations the same ---------------------------------------------------------


def _settings(request: Request, plan: Plan) -> dict[str, Any]:
    """All that an outcome depends on, the problem aside; in JSON's types."""
    settings = {
        "model": request.model,
        "checkpoint": _checkpoint(request.model),
        "quantization": request.quantization,
        "k": plan.k,
        "sampling": asdict(plan.sampling),
        "check": asdict(plan.check),
        "timed": plan.timed,
        "version": version("kernelllm-jupyter"),
    }
    found: dict[str, Any] = json.loads(json.dumps(settings))
    return found


def _checkpoint(model: str) -> str:
    """What tells a local checkpoint from a newer one in its place."""
    from kernelllm_jupyter.engines.local import checkpoint_stamp
    from kernelllm_jupyter.prompts import resolve_model

    if server_address(model) is not None:
        return ""
    path = str(Path(resolve_model(model)).expanduser())
    return hashlib.sha256(checkpoint_stamp(path).encode()).hexdigest()[:16]


def _default_path(settings: dict[str, Any], places: list[Path]) -> Path:
    from platformdirs import user_state_path

    identity = json.dumps([settings, sorted(str(place.resolve()) for place in places)])
    name = hashlib.sha256(identity.encode()).hexdigest()[:16]
    try:
        folder = user_state_path("kernelllm", appauthor=False) / "evaluations"
    except RuntimeError:
        raise UsageError(
            "This user has no home folder to keep candidates and verdicts in: name a file in --out."
        ) from None
    # Like records, for this user only. What cannot be made is told when the file is opened.
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder / f"{name}.jsonl"


# --- what is said --------------------------------------------------------------------------------


def _words(outcome: Outcome) -> str:
    """One line on a problem that is done."""
    if outcome.trouble:
        return f"not evaluated: {_short(outcome.trouble)}"
    if outcome.refused:
        return f"refused: {_short(outcome.refused)}"
    words = f"{outcome.correct} of {len(outcome.samples)} correct"
    if outcome.best_speedup is not None:
        words += f", up to {outcome.best_speedup:.2f} times as fast as eager"
    return words


def _short(text: str) -> str:
    line = text.split("\n", 1)[0]
    return line if len(line) <= REASON_CHARACTERS else line[: REASON_CHARACTERS - 2] + " …"


def _others(outcome: Outcome) -> str:
    """What became of the candidates that are not correct."""
    if outcome.refused or outcome.trouble:
        return _short(outcome.trouble or f"refused: {outcome.refused}")
    counts = outcome.to_json()["verdicts"]
    return ", ".join(
        f"{count} {verdict.replace('_', ' ')}"
        for verdict, count in sorted(counts.items(), key=lambda each: -each[1])
        if verdict != "correct"
    )


def _text(files: list[ProblemFile], outcomes: dict[str, Outcome], plan: Plan, path: Path) -> str:
    rows = [("Problem", "Correct", "Speedup", "Others")]
    for file in files:
        outcome = outcomes.get(file.name) or Outcome(file.name, trouble="not reached")
        speedup = outcome.best_speedup
        correct = f"{outcome.correct} of {plan.k}" if outcome.counted else "–"
        faster = "" if speedup is None else f"{speedup:.2f}"
        rows.append((file.name, correct, faster, _others(outcome)))
    found = list(outcomes.values())
    lines = [table(rows), ""]
    lines += [f"pass@{k}: {_percent(pass_at(found, k))}" for k in reported_ks(plan.k)]
    lines += [
        f"fast_{p:g} over {k}: {_percent(fast_p(found, p, k))}"
        for p in PS
        for k in reported_ks(plan.k)
        if fast_p(found, p, k) is not None
    ]
    if plan.timed and fast_p(found, PS[0], plan.k) is None:
        lines.append("fast_p: nothing was timed; that takes a GPU and a correct candidate.")
    counted = sum(outcome.counted for outcome in found)
    lines.append(f"Over {counted} of {len(files)} problems. Candidates and verdicts: {path}")
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _json(
    files: list[ProblemFile],
    outcomes: dict[str, Outcome],
    plan: Plan,
    settings: dict[str, Any],
    path: Path,
) -> dict[str, Any]:
    found = [outcomes[file.name] for file in files if file.name in outcomes]
    ks = reported_ks(plan.k)
    fast = {f"{p:g}": {str(k): fast_p(found, p, k) for k in ks} for p in PS}
    timed = any(outcome.best_speedup is not None for outcome in found)
    return {
        "settings": settings,
        "problems": [
            {**one.to_json(), "pass_at": {str(k): one.pass_at(k) for k in ks}}
            if one.counted
            else {**one.to_json(), "pass_at": None}
            for one in found
        ],
        "counted": sum(outcome.counted for outcome in found),
        "not_counted": len(files) - sum(outcome.counted for outcome in found),
        "pass_at": {str(k): pass_at(found, k) for k in ks},
        "fast_p": fast if timed else None,
        "results": str(path),
    }
