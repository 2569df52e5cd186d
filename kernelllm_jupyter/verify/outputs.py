"""Points 2 to 4 of "what correct means": every output against the reference, and controls.

Runs in the referee's process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from kernelllm_jupyter.verify.explaining.explain import account
from kernelllm_jupyter.verify.findings import Findings, Refusal
from kernelllm_jupyter.verify.nests import aligned, leaves, ordered, structure, wide
from kernelllm_jupyter.verify.opponent import Result
from kernelllm_jupyter.verify.reference import Expectation
from kernelllm_jupyter.verify.tolerance import Comparison, compare, relative_distance
from kernelllm_jupyter.verify.trials import Trial

__all__ = ["Controls", "compare_outputs", "passes", "telling"]

#: A variation where the reference itself is this far, relative to scale, from the exact result,
#: or moves this far by one rounding of every input, says nothing about a candidate: it is dropped.
ILL_CONDITIONED = {
    torch.float64: 1e-4,
    torch.float32: 1e-3,
    torch.float16: 0.1,
    torch.bfloat16: 0.3,
}


def compare_outputs(
    trial: Trial,
    inputs: list[Any],
    expectation: Expectation,
    result: Result,
    findings: Findings,
    *,
    on_gpu: bool,
) -> None:
    """Raise :class:`Refusal` unless every output is the reference's; note errors and warnings."""
    for path, have, want, comparison in _comparisons(
        trial, expectation, result, findings, on_gpu=on_gpu
    ):
        if trial.own:
            findings.measure(comparison)
        if comparison.outcome == "near" and trial.leniency == "close":
            findings.warn(
                "imprecise",
                f"On {trial.name} output{path} is less precise than the reference "
                f"({comparison.ratio:.1f} times the error budget), within the usual tolerance.",
            )
        elif comparison.outcome == "different":
            name = trial.name
            if result.configuration:
                name += f", with {result.configuration}"
            message = account(f"output{path}", name, comparison, wide(have), wide(want), inputs)
            if comparison.message and comparison.message not in message:
                message += f" {comparison.message}"
            if comparison.code == "tf32":
                message += (
                    " It is what tl.dot in TF32 gives, its default for float32: pass "
                    "input_precision='ieee', or check with --allow-tf32."
                )
            raise Refusal("incorrect", comparison.code, message)


def _comparisons(
    trial: Trial,
    expectation: Expectation,
    result: Result,
    findings: Findings,
    *,
    on_gpu: bool,
) -> Iterator[tuple[str, torch.Tensor, torch.Tensor, Comparison]]:
    """Each output tensor: its path, the candidate's, the reference's, and how they compare.

    Raises :class:`Refusal` where something else than a tensor's values is wrong.
    """
    outputs = ordered(result.outputs, expectation.outputs)
    _compare_structure(expectation.outputs, outputs)
    expected = [leaf for _, leaf in leaves(expectation.outputs)]
    if on_gpu:
        _compare_devices(expected, result)
    exact, shifted = aligned(expectation.exact, expected), aligned(expectation.shifted, expected)
    got = list(leaves(outputs))
    for number, ((path, have), want, true, moved) in enumerate(
        zip(got, expected, exact, shifted, strict=True)
    ):
        if not isinstance(want, torch.Tensor):
            _compare_plain(path, want, have)
            continue
        have = have.to(want.device)
        comparison = compare(have, want, true, moved, leniency=trial.leniency)
        if comparison.outcome != "same" and "tf32" in result.notes:
            comparison = _in_tf32(number, trial, expectation, comparison, have, want, findings)
        yield path, have, want, comparison


def _in_tf32(
    number: int,
    trial: Trial,
    expectation: Expectation,
    found: Comparison,
    have: torch.Tensor,
    want: torch.Tensor,
    findings: Findings,
) -> Comparison:
    """The comparison where the candidate multiplied in TF32: allowed, named, or wrong anyway."""
    expected = [leaf for _, leaf in leaves(expectation.outputs)]
    true, moved = (
        aligned(value, expected)[number] for value in (expectation.exact, expectation.shifted)
    )
    for every in (False, True):
        rounded = aligned(expectation.tf32(every), expected)[number]
        if rounded is None:
            continue
        wider = compare(have, want, true, moved, leniency=trial.leniency, tf32=rounded)
        if wider.outcome != "same":
            continue
        if every:
            return replace(found, code="tf32")
        findings.warn("tf32", "Products are in TF32, as PyTorch's settings or the user allow.")
        return wider
    return found


def _compare_structure(expected: Any, got: Any) -> None:
    want, have = structure(expected), structure(got)
    if want != have:
        raise Refusal(
            "incorrect",
            "structure",
            f"forward() returned {have} where the reference returns {want}.",
        )


def _compare_devices(expected: list[Any], result: Result) -> None:
    """Outputs must be where the reference's are; on a CPU there is only one place."""
    wanted = [leaf.device.type for leaf in expected if isinstance(leaf, torch.Tensor)]
    if wanted != list(result.devices):
        raise Refusal(
            "incorrect",
            "device",
            f"forward() returned tensors on {', '.join(result.devices)} where the reference's "
            f"are on {', '.join(wanted)}.",
        )


def _compare_plain(path: str, want: Any, have: Any) -> None:
    if isinstance(want, float) and isinstance(have, float):
        one, other = (torch.tensor([value], dtype=torch.float32) for value in (have, want))
        if compare(one, other, None, None, leniency="close").outcome != "different":
            return
    elif want == have:
        return
    raise Refusal(
        "incorrect", "wrong_values", f"output{path} is {have!r} where the reference has {want!r}."
    )


def passes(trial: Trial, expectation: Expectation, result: Result) -> bool:
    """Whether a result is right, by the terms of its trial."""
    found = _comparisons(trial, expectation, result, Findings(), on_gpu=False)
    try:
        return all(comparison.outcome != "different" for *_, comparison in found)
    except Refusal:
        return False


def telling(expectation: Expectation) -> bool:
    """Whether a variation can tell right from wrong: finite, and not ruled by rounding.

    Where the reference itself passes through an overflow, another honest order of operations may
    overflow elsewhere.
    """
    if expectation.overflowed:
        return False
    expected = [leaf for _, leaf in leaves(expectation.outputs)]
    exact, shifted = aligned(expectation.exact, expected), aligned(expectation.shifted, expected)
    for want, true, moved in zip(expected, exact, shifted, strict=True):
        if not isinstance(want, torch.Tensor):
            continue
        if want.is_floating_point() and not torch.isfinite(wide(want)).all():
            return False
        if true is None:
            continue
        others = [want] if moved is None else [moved, want]
        if not want.is_floating_point():
            if not all(torch.equal(true, other) for other in others):
                return False
            continue
        limit = ILL_CONDITIONED.get(want.dtype, 1e-3)
        if max(relative_distance(true, other, want.dtype) for other in others) > limit:
            return False
    return True


class Controls:
    """Answers that compute nothing; a problem that accepts one cannot tell right from wrong."""

    NAMES = ("zeros", "a constant", "its input")

    def __init__(self) -> None:
        self.passing = list(self.NAMES)

    def try_all(self, trial: Trial, inputs: list[Any], expectation: Expectation) -> None:
        """Strike out the answers that fail this trial."""
        expected = [leaf for _, leaf in leaves(expectation.outputs)]
        exact = aligned(expectation.exact, expected)
        shifted = aligned(expectation.shifted, expected)
        self.passing = [
            name
            for name in self.passing
            if all(
                _control_passes(name, want, inputs, true, moved, trial)
                for want, true, moved in zip(expected, exact, shifted, strict=True)
                if isinstance(want, torch.Tensor)
            )
        ]

    def conclude(self, findings: Findings) -> None:
        """Warn where one has passed every trial."""
        if self.passing:
            findings.warn(
                "weak_problem",
                f"An answer of {' or '.join(self.passing)} would have passed on these inputs too: "
                "the problem's inputs cannot tell right from wrong.",
            )


def _control_passes(
    name: str,
    want: torch.Tensor,
    inputs: list[Any],
    exact: torch.Tensor | None,
    shifted: torch.Tensor | None,
    trial: Trial,
) -> bool:
    if not want.numel():
        return True
    if name == "zeros":
        answers = [torch.zeros_like(want)]
    elif name == "a constant":
        answers = [torch.full_like(want, want.reshape(-1)[0].item())] if want.numel() > 1 else []
    else:
        answers = [
            leaf
            for _, leaf in leaves(inputs)
            if isinstance(leaf, torch.Tensor)
            and leaf.shape == want.shape
            and leaf.dtype == want.dtype
        ]
    return any(
        compare(answer, want, exact, shifted, leniency=trial.leniency).outcome != "different"
        for answer in answers
    )
