"""Run the checker over its corpus, and a plain ``allclose`` beside it.

``python tests/verification/run.py [--jobs N] [--only NAME ...] [--written] [--json FILE]`` prints
how many candidates there are, false accepts and false refusals of both, and what a check takes.
Everything but zero false accepts and refusals of the checker makes its exit status 1.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from entries import Entry, written
from mutations import chosen

from kernelllm_jupyter.errors import KernelLLMError
from kernelllm_jupyter.values import Verdict
from kernelllm_jupyter.verify.check import check
from kernelllm_jupyter.verify.worker import shutdown

NAIVE = Path(__file__).with_name("naive.py")
TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Outcome:
    """What the checker said of one candidate; ``verdict`` is None where there was none."""

    entry: Entry
    verdict: Verdict | None
    objection: str | None
    elapsed_ms: float

    @property
    def false_accept(self) -> bool:
        accepted = self.verdict is not None and self.verdict.correct
        return accepted and not self.entry.expectation.right

    @property
    def false_refusal(self) -> bool:
        return not (self.verdict and self.verdict.correct) and self.entry.expectation.right


def judged(entry: Entry) -> Outcome:
    """Check one candidate."""
    started = time.monotonic()
    verdict = None
    try:
        verdict = check(entry.problem(), entry.source, device="cpu", timeout_s=TIMEOUT_S)
        objection = entry.expectation.objection(verdict)
    except KernelLLMError as error:
        objection = f"no verdict: {type(error).__name__}: {error}"
    return Outcome(entry, verdict, objection, (time.monotonic() - started) * 1e3)


def everything(pairs: Sequence[str], *, mutated: bool) -> list[Entry]:
    """The candidates written by hand and, where asked, the mutants of the right ones."""
    entries = written(pairs)
    if mutated:
        entries += chosen(entry for entry in entries if entry.expectation.right)
    return entries


def said_by_allclose(entries: Sequence[Entry], jobs: int) -> list[str]:
    """``correct``, ``incorrect`` or ``failed`` for each, by the plain harness."""
    with ThreadPoolExecutor(jobs) as pool:
        parts = list(pool.map(_said_by_one, [entries[n::jobs] for n in range(jobs)]))
    answers = [""] * len(entries)
    for n, part in enumerate(parts):
        answers[n::jobs] = part
    return answers


def _said_by_one(entries: Sequence[Entry]) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder) / "asked.json"
        asked.write_text(json.dumps([[entry.reference, entry.source] for entry in entries]))
        answered = subprocess.run(
            [sys.executable, str(NAIVE), str(asked)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return answered.stdout.split()


def report(outcomes: Sequence[Outcome], naive: Sequence[str]) -> Iterator[str]:
    """The figures, line by line."""
    right = [o for o in outcomes if o.entry.expectation.right]
    wrong = [o for o in outcomes if not o.entry.expectation.right]
    by_hand = [o for o in wrong if "~" not in o.entry.name]
    pairs = {o.entry.pair for o in outcomes}
    yield (
        f"{len(pairs)} references, {len(right)} right candidates "
        f"({sum('~' in o.entry.name for o in right)} of them harmless mutants), {len(wrong)} wrong "
        f"({len(by_hand)} written by hand, {len(wrong) - len(by_hand)} mutants)"
    )
    yield f"{'':24}{'checker':>10}{'allclose(1e-2)':>16}"
    plain = dict(zip([o.entry.label for o in outcomes], naive, strict=True)) if naive else {}
    for name, group, ours, theirs in (
        ("false accepts", wrong, sum(o.false_accept for o in wrong), "correct"),
        ("false refusals", right, sum(o.false_refusal for o in right), None),
    ):
        said = [plain.get(o.entry.label) for o in group]
        other = sum(s == "correct" if theirs else s != "correct" for s in said) if plain else "-"
        yield f"{name:24}{ours:>10}{other:>16}"
    off = [o for o in outcomes if o.objection and not o.false_accept and not o.false_refusal]
    yield f"{'other than expected':24}{len(off):>10}"
    for title, group in (("right", right), ("wrong", wrong)):
        if group:
            times = sorted(o.elapsed_ms for o in group)
            worst = max(group, key=lambda o: o.elapsed_ms)
            yield (
                f"a check of a {title} one: median {statistics.median(times):.0f} ms, "
                f"95 % {times[int(0.95 * (len(times) - 1))]:.0f} ms, worst {times[-1]:.0f} ms "
                f"({worst.entry.label})"
            )
    yield from _costs(right)


def _costs(right: Sequence[Outcome]) -> Iterator[str]:
    """What each point of the claim costs, where verdicts say it."""
    costs: dict[str, list[float]] = {}
    for outcome in right:
        for point, cost in (getattr(outcome.verdict, "costs_ms", None) or {}).items():
            costs.setdefault(point, []).append(cost)
    for point, each in sorted(costs.items(), key=lambda item: -statistics.median(item[1])):
        yield f"  {point}: median {statistics.median(each):.1f} ms, worst {max(each):.0f} ms"


def main() -> int:
    arguments = _arguments()
    entries = everything(arguments.only, mutated=not arguments.written)
    outcomes = []
    try:
        with ThreadPoolExecutor(arguments.jobs) as pool:
            for outcome in pool.map(judged, entries):
                outcomes.append(outcome)
                if outcome.objection:
                    print(f"{outcome.entry.label}: {outcome.objection}", flush=True)
    finally:
        shutdown()
    naive = [] if arguments.no_allclose else said_by_allclose(entries, arguments.jobs)
    for line in report(outcomes, naive):
        print(line)
    if arguments.json:
        rows = [
            {
                "candidate": o.entry.label,
                "right": o.entry.expectation.right,
                "objection": o.objection,
                "elapsed_ms": o.elapsed_ms,
                "allclose": naive[n] if naive else None,
                "verdict": o.verdict.to_json() if o.verdict else None,
            }
            for n, o in enumerate(outcomes)
        ]
        arguments.json.write_text(json.dumps(rows, indent=1))
    return int(any(o.false_accept or o.false_refusal for o in outcomes))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=2, help="checks at a time")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="folders of pairs/")
    parser.add_argument("--written", action="store_true", help="without the mutants")
    parser.add_argument("--no-allclose", action="store_true", help="without the plain harness")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep every verdict here")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
