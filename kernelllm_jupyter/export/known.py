"""What the verdicts on exported code say: where it may stand in for the original, and its story."""

from __future__ import annotations

import ast
import re
from datetime import datetime

from kernelllm_jupyter.export.chosen import Exported, kind_of
from kernelllm_jupyter.syntax import parse
from kernelllm_jupyter.values import Verdict

__all__ = ["is_raw", "is_reduced", "specs", "story", "verified_on"]

EVAL_ONLY = frozenset({"eval_mode", "eval_mode_only", "state_not_updated"})
#: What makes a module another one in training mode.
MODES = re.compile(
    r"\.training\b|[bB]atch_?[nN]orm|[dD]ropout|RReLU|rrelu|InstanceNorm|instance_norm"
)
#: Formats that numpy lacks: Triton's interpreter, without the check's additions, computes on their
#: bits as if they were integers.
RAW = re.compile(r"bfloat16|bf16|float8|fp8")
SPEC = re.compile(r"(\w+)\[([\d, ]*)\]")


def verified_on(what: Exported) -> dict[str, str]:
    """The template's constants: where the kernel was verified.

    On a further kind of device where that verdict sets the same limits: there is one set of them.
    """
    limits = _limits(what, what.verdict)
    verified = [v for v in (what.verdict, *what.elsewhere) if v is not None and v.correct]
    kinds = [kind_of(v) for v in verified if v.sizes is not None and _limits(what, v) == limits]
    devices = [kind for kind in dict.fromkeys(kinds) if not (kind == "cpu" and is_raw(what))]
    return {**limits, "VERIFIED_DEVICES": repr(tuple(devices))}


def _limits(what: Exported, verdict: Verdict | None) -> dict[str, str]:
    """The template's constants that a verdict sets, but for the device."""
    if verdict is None or not verdict.correct or verdict.sizes is None:
        return {
            "IS_VERIFIED": "False",
            "VERIFIED_INPUTS": "()",
            "ONLY_THESE_SHAPES": "True",
            "ONLY_CONTIGUOUS": "True",
            "ONLY_IN_TRAINING_MODE": "None",
        }
    warnings = {finding.code for finding in verdict.warnings}
    not_made = {finding.code for finding in verdict.not_made}
    tied = bool(warnings & {"single_shape", "wrong_at_other_sizes"}) or "sizes" in not_made
    # Right at the reduced size, and bound to none: so it is at the problem's own.
    full = verdict.sizes.reduced_from
    inputs = verdict.sizes.inputs if tied or full is None else full
    only = None
    if what.training is False:
        only = False
    elif MODES.search(what.problem.source):
        only = not (warnings & EVAL_ONLY) and ".eval()" not in what.problem.source
    elif warnings & EVAL_ONLY:
        only = False
    return {
        "IS_VERIFIED": str("missing_names" not in warnings and "input_not_updated" not in warnings),
        "VERIFIED_INPUTS": repr(tuple(specs(inputs))),
        "ONLY_THESE_SHAPES": str(tied),
        "ONLY_CONTIGUOUS": str("contiguous_only" in warnings),
        "ONLY_IN_TRAINING_MODE": repr(only),
    }


def specs(inputs: tuple[str, ...]) -> list[tuple[str, tuple[int, ...]]]:
    """``float32[64, 128]`` as dtype and shape."""
    found = []
    for text in inputs:
        if match := SPEC.fullmatch(text):
            found.append(
                (match[1], tuple(int(size) for size in match[2].split(",") if size.strip()))
            )
    return found


def is_raw(what: Exported) -> bool:
    """Whether the kernel meets a format that the plain interpreter computes wrongly."""
    inputs = what.verdict.sizes.inputs if what.verdict and what.verdict.sizes else ()
    return any(RAW.search(text) for text in (_used(what.code), what.weights_dtype or "", *inputs))


def _used(code: str) -> str:
    """Code without its comparisons: asking which format something has is not meeting it."""
    return ast.unparse(WithoutComparisons().visit(parse(code)))


class WithoutComparisons(ast.NodeTransformer):
    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        return ast.copy_location(ast.Constant(True), node)


def is_reduced(verdict: Verdict) -> bool:
    """Whether it was made at smaller sizes than the problem's own."""
    return verdict.sizes is not None and verdict.sizes.reduced_from is not None


def story(what: Exported) -> str:
    """Who made it, when, and what was found of it, in sentences."""
    made = f"Made by {what.model}" if what.model else "Made"
    if what.made_at_s is not None:
        made += f" on {datetime.fromtimestamp(what.made_at_s):%Y-%m-%d}"
    if what.record:
        made += f" (record {what.record} of kernelllm-jupyter)"
    verdict = what.verdict
    if verdict is None:
        return f"{made}. NOT VERIFIED: it was not checked."
    if not verdict.correct:
        return f"{made}. NOT VERIFIED: the check found {verdict.verdict.replace('_', ' ')}."
    versions = ", ".join(f"{name} {number}" for name, number in verdict.versions.items())
    words = f"{made}. Found correct in {verdict.trials} trials on {verdict.device} ({versions})."
    for other in what.elsewhere:
        words += f" On {other.device}: {other.verdict.replace('_', ' ')}."
    noted = [finding.message for finding in verdict.warnings]
    return " ".join([words, *(f"Warning: {text}" for text in noted)])
