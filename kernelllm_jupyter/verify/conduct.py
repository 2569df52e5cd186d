"""Points 5 and 6 of "what correct means": Triton does the work, and nothing else is touched.

Runs in the referee's process, on what crossed over from the candidate's.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch

from kernelllm_jupyter.verify.findings import Findings, Refusal
from kernelllm_jupyter.verify.nests import copied, identical, leaves, structure
from kernelllm_jupyter.verify.opponent import Result
from kernelllm_jupyter.verify.reference import Expectation
from kernelllm_jupyter.verify.tolerance import compare
from kernelllm_jupyter.verify.trials import Trial
from kernelllm_jupyter.verify.watching.workload import contains

__all__ = ["Launching", "Memory", "watch_side_effects"]

#: So many numbers may be read out of tensors whatever the size of the inputs.
FEW_NUMBERS = 16


class Launching:
    """Whether Triton kernels run, and whether they compute."""

    def __init__(self) -> None:
        self.only_copies = True
        #: Whether all that the reference returns are values that it was given.
        self.only_moves = True
        #: Whether PyTorch did, in some trial, all that it does for the reference.
        self.all_in_pytorch = False
        #: Whether a product was made in TF32 that should not be.
        self.tf32 = False

    def compare(
        self,
        inputs: list[Any],
        state: dict[str, torch.Tensor],
        expectation: Expectation,
        result: Result,
    ) -> None:
        """Compare the arithmetic that PyTorch does for the reference and for the candidate.

        A transpose or a gather computes nothing, so there copying is all that can be asked.
        """
        if contains(result.work, expectation.work):
            self.all_in_pytorch = True
        _refuse_host_arithmetic(inputs, result)
        if self.only_copies and self.only_moves:
            given = [leaf for _, leaf in leaves([inputs, state]) if isinstance(leaf, torch.Tensor)]
            self.only_moves = all(
                _holds_values_of(leaf, given)
                for _, leaf in leaves(expectation.outputs)
                if isinstance(leaf, torch.Tensor)
            )

    def watch(self, trial: Trial, result: Result, findings: Findings, allow_tf32: bool) -> None:
        """Raise :class:`Refusal` where no Triton kernel ran."""
        before = findings.launches
        findings.launches = sum(result.launches.values())
        findings.aten = result.aten
        findings.compiled = result.compiled
        if before:
            self.expect_launches(trial, result)
        if not result.launches:
            computed = f" ({', '.join(sorted(result.aten))})" if result.aten else ""
            raise Refusal(
                "rejected",
                "no_launch",
                f"No Triton kernel ran: forward() computed everything in PyTorch{computed}.",
            )
        self.only_copies = self.only_copies and result.only_copies
        self.tf32 = self.tf32 or ("tf32" in result.notes and not allow_tf32)

    def expect_launches(self, trial: Trial, result: Result) -> None:
        """Raise :class:`Refusal` where none was even tried in a later call."""
        if not result.launches:
            raise Refusal(
                "rejected",
                "cached_result",
                f"No Triton kernel ran in a later call ({trial.name}): forward() keeps results "
                "instead of computing them.",
            )

    def conclude(self, findings: Findings) -> None:
        """Refuse a candidate whose arithmetic is all PyTorch's; else list what still is."""
        aten = ", ".join(sorted(findings.aten))
        if self.all_in_pytorch:
            raise Refusal(
                "rejected",
                "aten_only",
                f"PyTorch does all of the reference's arithmetic itself ({aten}); what the Triton "
                "kernels compute adds nothing to it.",
            )
        if self.only_copies and aten:
            raise Refusal(
                "rejected",
                "aten_only",
                f"The Triton kernels only copy values; all arithmetic is PyTorch's ({aten}).",
            )
        if self.only_copies and not self.only_moves:
            raise Refusal(
                "rejected",
                "copies_only",
                "The Triton kernels only copy values, and the problem needs arithmetic: it was "
                "done elsewhere, on the host.",
            )
        if self.tf32:
            findings.warn(
                "tf32",
                "tl.dot multiplies float32 in TF32, about 1,000 times less precisely, which does "
                "not show on this problem's inputs: pass input_precision='ieee' to keep float32.",
            )
        if aten:
            findings.warn("aten", f"PyTorch still does part of the arithmetic: {aten}.")


def _refuse_host_arithmetic(inputs: list[Any], result: Result) -> None:
    """Reading a scale or some lengths is common; reading the inputs is computing elsewhere."""
    sizes: Counter[str] = Counter()
    for _, leaf in leaves(inputs):
        if isinstance(leaf, torch.Tensor):
            sizes["float" if leaf.is_floating_point() or leaf.is_complex() else "other"] += (
                leaf.numel()
            )
    kind = "float" if sizes["float"] else "other"
    read = result.read_by_host.get(kind, 0)
    if read >= max(FEW_NUMBERS, sizes[kind] / 2):
        raise Refusal(
            "rejected",
            "host_arithmetic",
            f"forward() reads {read} numbers out of tensors (numpy(), tolist(), item()) to compute "
            "on the host: let a Triton kernel do it.",
        )


def _holds_values_of(output: torch.Tensor, given: list[torch.Tensor]) -> bool:
    """Whether every value of ``output`` is one of the ``given`` tensors' or 0."""
    if output.is_complex():
        return False
    # torch.isin knows neither booleans nor 8-bit floats; float64 holds all that occurs exactly.
    same = [tensor.reshape(-1).double() for tensor in given if tensor.dtype == output.dtype]
    known = torch.cat([*same, torch.zeros(1, dtype=torch.float64, device=output.device)])
    return bool(torch.isin(output.reshape(-1).double(), known).all())


class Memory:
    """What a candidate keeps from one call to the next."""

    def __init__(self) -> None:
        self.previous: tuple[Any, Any] | None = None

    def explain(self, expectation: Expectation, result: Result) -> None:
        """A wrong result that is the one before, bit for bit, was kept and not computed."""
        if self.previous is None:
            return
        outputs, expected = self.previous
        if identical(outputs, result.outputs) and not identical(expected, expectation.outputs):
            raise Refusal(
                "rejected",
                "cached_result",
                "forward() returned the result of the call before for other inputs: it keeps "
                "results instead of computing them.",
            )

    def remember(self, expectation: Expectation, result: Result) -> None:
        """Keep a call that was right; refuse one that wrote into an earlier result."""
        if result.stale:
            raise Refusal(
                "rejected",
                "output_reused",
                "A result that was returned before changed when forward() was called again: "
                "allocate a new output in every call.",
            )
        self.previous = (copied(result.outputs), copied(expectation.outputs))


def watch_side_effects(
    inputs: list[Any],
    state: dict[str, torch.Tensor],
    names: dict[str, str],
    expectation: Expectation,
    result: Result,
    findings: Findings,
) -> None:
    """Inputs and weights are as before, or changed just as the reference changes them."""
    if structure(result.inputs) != structure(expectation.inputs_after):
        raise Refusal(
            "rejected",
            "input_overwritten",
            f"forward() left {structure(result.inputs)} of its inputs, and the reference leaves "
            f"{structure(expectation.inputs_after)}. Do not change lists and dicts that come in.",
        )
    if structure(inputs) != structure(expectation.inputs_after):
        return
    gone = [other for other in names.values() if other not in result.state]
    if gone:
        raise Refusal(
            "rejected",
            "weights_overwritten",
            f"forward() removed the weight {gone[0]!r}; the reference leaves it as it was.",
        )
    for (path, before), (_, after), (_, reference) in zip(
        leaves(inputs), leaves(result.inputs), leaves(expectation.inputs_after), strict=True
    ):
        if not isinstance(before, torch.Tensor):
            continue
        if identical(before, after):
            if not identical(before, reference):
                findings.warn(
                    "input_not_updated",
                    f"The reference overwrites its input{path} in forward(), the candidate leaves "
                    "it as it was.",
                )
            continue
        if not identical(before, reference) and _alike(after, reference):
            continue
        raise Refusal(
            "rejected",
            "input_overwritten",
            f"forward() overwrote its input{path}; the reference leaves it as it was. "
            "Allocate the output with torch.empty_like.",
        )
    for name, other in names.items():
        before, reference = state[name], expectation.state_after[name]
        after = result.state[other]
        if not identical(before, after) and identical(before, reference):
            raise Refusal(
                "rejected",
                "weights_overwritten",
                f"forward() overwrote the weight {name!r}; the reference leaves it as it was.",
            )
        if not identical(before, reference) and not _alike(after, reference):
            findings.warn(
                "state_not_updated",
                f"The reference updates its buffer {name!r} in forward(), the candidate does "
                "not do the same.",
            )


def _alike(left: torch.Tensor, right: torch.Tensor) -> bool:
    return (
        compare(left.to(right.device), right, None, None, leniency="close").outcome != "different"
    )
