"""Measures a starter checkpoint with the project's own check.

    python tools/starter/evaluate.py CHECKPOINT --held-out 300 --samples 10 --sampled 100
    python tools/starter/evaluate.py CHECKPOINT --families 40
    python tools/starter/evaluate.py CHECKPOINT --handwritten
    python tools/starter/evaluate.py --corpus 3000

``--held-out`` translates problems that each have a pair of operations never trained on, greedily;
``--sampled`` of them again, ``--samples`` times each, for pass@k. ``--families`` is that many of
every family, each family from seed ``--first`` on, so that the weakest one shows; ``--only`` names
the families that it tries. ``--handwritten`` translates ``handwritten/``. ``--corpus`` needs no
checkpoint: it checks the teacher's own answers. Only a verdict of ``correct`` counts. One JSON
object is printed at the end, and a table by family on standard error.
"""

from __future__ import annotations

import argparse
import ast
import collections
import itertools
import json
import os
import pathlib
import sys
from collections.abc import Iterable, Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import torch
from kernelllm_jupyter.errors import KernelLLMError
from kernelllm_jupyter.starter import StarterProfile
from kernelllm_jupyter.values import Problem
from kernelllm_jupyter.verify.check import check
from transformers import AutoModelForCausalLM, AutoTokenizer

from corpus import FAMILIES, draw

PROFILE = StarterProfile()


class Translator:
    """A checkpoint, generating one answer at a time or several of one prompt."""

    def __init__(self, folder: pathlib.Path):
        torch.set_num_threads(1)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    @torch.no_grad()
    def answers(self, prompt: str, count: int = 1) -> list[str]:
        """One greedy answer, or ``count`` drawn as the profile draws several."""
        ids = self.tokenizer(prompt, add_special_tokens=False, split_special_tokens=True).input_ids
        inputs = torch.tensor([[self.tokenizer.bos_token_id, *ids]])
        several = PROFILE.several
        drawn = {"do_sample": True, "temperature": several.temperature, "top_k": 0, "top_p": 1.0}
        settings = drawn | {"num_return_sequences": count} if count > 1 else {"do_sample": False}
        outputs = self.model.generate(
            inputs,
            attention_mask=torch.ones_like(inputs),
            max_new_tokens=PROFILE.single.max_new_tokens,
            **settings,
        )
        new = outputs[:, inputs.shape[1] :]
        return self.tokenizer.batch_decode(new, skip_special_tokens=True)


def code_of(problem: Problem, answer: str) -> str:
    reader = PROFILE.reader(problem)
    return reader.feed(answer) + reader.flush()


def verdict_of(problem: Problem, answer: str) -> tuple[str, str]:
    """The check's verdict and its first reason."""
    try:
        verdict = check(problem, code_of(problem, answer), device="cpu")
    except KernelLLMError as error:
        return type(error).__name__, str(error)
    return verdict.verdict, verdict.reasons[0].message if verdict.reasons else ""


def held_out(
    count: int, families: tuple[str, ...] = FAMILIES, first: int = 0
) -> Iterator[tuple[str, Problem, str]]:
    """Family, problem and the teacher's answer, ``families`` in turn, from seed ``first`` on.

    Problems that cannot tell right from wrong are left out: those whose own reference fails the
    check against the teacher's answer because its numbers are not finite or do not vary. Each is
    named on standard error.
    """
    seed = first
    found = 0
    while found < count:
        example = draw(seed, "test", families[seed % len(families)])
        seed += 1
        problem = Problem(example.source, "Model")
        kind, reason = verdict_of(problem, example.answer)
        if kind != "correct":
            print(f"left out: {example.family}, {kind}: {reason}", file=sys.stderr)
            continue
        found += 1
        yield example.family, problem, example.answer


def greedy(
    translator: Translator, problems: Iterable[tuple[str, Problem, str]]
) -> dict[str, object]:
    """Verified share by family, with the failures."""
    right: collections.Counter[str] = collections.Counter()
    total: collections.Counter[str] = collections.Counter()
    failures = []
    for family, problem, expected in problems:
        total[family] += 1
        answer = translator.answers(PROFILE.prompt(problem))[0]
        kind, reason = ("correct", "") if answer == expected else verdict_of(problem, answer)
        right[family] += kind == "correct"
        if kind != "correct":
            failures.append(
                {
                    "family": family,
                    "prompt": PROFILE.prompt(problem),
                    "verdict": kind,
                    "reason": reason,
                }
            )
    return {
        "verified": sum(right.values()) / max(1, sum(total.values())),
        "families": {family: f"{right[family]}/{total[family]}" for family in total},
        "failures": failures,
    }


def sampled(translator: Translator, count: int, samples: int) -> dict[str, object]:
    """Verified share of single samples, and of problems with at least one among ``samples``."""
    torch.manual_seed(0)
    solved: collections.Counter[str] = collections.Counter()
    total: collections.Counter[str] = collections.Counter()
    hits = 0
    for family, problem, expected in held_out(count):
        answers = collections.Counter(translator.answers(PROFILE.prompt(problem), samples))
        right = sum(
            times
            for answer, times in answers.items()
            if answer == expected or verdict_of(problem, answer)[0] == "correct"
        )
        total[family] += 1
        solved[family] += right > 0
        hits += right
    problems = sum(total.values())
    return {
        "pass@1": hits / (problems * samples),
        f"pass@{samples}": sum(solved.values()) / problems,
        "families": {family: f"{solved[family]}/{total[family]}" for family in total},
    }


def class_of(source: str) -> str:
    """``Model``, else the last class: the handwritten files follow no other rule."""
    names = [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    return "Model" if "Model" in names else names[-1]


def handwritten(translator: Translator) -> dict[str, object]:
    """The modules written by hand, outside the generator."""
    failures = {}
    paths = sorted((HERE / "handwritten").glob("*.py"))
    for path in paths:
        source = path.read_text()
        problem = Problem(source, class_of(source))
        try:
            answer = translator.answers(PROFILE.prompt(problem))[0]
        except KernelLLMError as error:
            failures[path.stem] = str(error)
            continue
        kind, reason = verdict_of(problem, answer)
        if kind != "correct":
            failures[path.stem] = f"{kind}: {reason}"
    return {"verified": 1 - len(failures) / len(paths), "of": len(paths), "failures": failures}


def corpus(count: int) -> dict[str, object]:
    """Verdicts of the teacher's own answers over ``count`` pairs, half of them held out."""
    verdicts: collections.Counter[str] = collections.Counter()
    examples: dict[str, str] = {}
    for seed in range(count):
        example = draw(20_000_000 + seed, "test" if seed % 2 else "train")
        kind, reason = verdict_of(Problem(example.source, "Model"), example.answer)
        verdicts[kind] += 1
        if kind != "correct":
            examples.setdefault(f"{kind}: {reason[:120]}", example.source)
    return {"verdicts": dict(verdicts), "examples": examples}


def table(found: dict[str, object]) -> list[str]:
    """The families of a report as a Markdown table."""
    families = found["families"]
    assert isinstance(families, dict)
    return ["| family | verified |", "|---|---|", *(f"| {k} | {v} |" for k, v in families.items())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=pathlib.Path, nargs="?")
    parser.add_argument("--held-out", type=int, default=0)
    parser.add_argument("--sampled", type=int, default=0)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--families", type=int, default=0, metavar="N", help="N of every family")
    parser.add_argument("--first", type=int, default=500, help="first seed of --families")
    parser.add_argument("--only", nargs="+", choices=FAMILIES, help="families of --families")
    parser.add_argument("--handwritten", action="store_true")
    parser.add_argument("--corpus", type=int, default=0)
    options = parser.parse_args()
    report: dict[str, object] = {}
    if options.corpus:
        report["corpus"] = corpus(options.corpus)
    if options.held_out or options.sampled or options.families or options.handwritten:
        if options.checkpoint is None:
            parser.error("a checkpoint is needed to translate")
        translator = Translator(options.checkpoint)
        if options.held_out:
            report["held_out"] = greedy(translator, held_out(options.held_out))
        if options.families:
            every = (
                held_out(options.families, (family,), options.first)
                for family in options.only or FAMILIES
            )
            report["families"] = greedy(translator, itertools.chain.from_iterable(every))
        if options.sampled:
            report["sampled"] = sampled(translator, options.sampled, options.samples)
        if options.handwritten:
            report["handwritten"] = handwritten(translator)
    print(json.dumps(report, indent=1))
    for name in ("held_out", "families", "sampled"):
        found = report.get(name)
        if isinstance(found, dict):
            print(f"\n{name}", *table(found), sep="\n", file=sys.stderr)


if __name__ == "__main__":
    main()
