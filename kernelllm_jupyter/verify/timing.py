"""Times on a GPU: eager, ``torch.compile`` and the candidate, in turns, with a cold L2 cache.

Runs in the candidate's process. What measures is taken hold of before the candidate's code runs,
so that code which patches timers measures nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import triton.testing

from kernelllm_jupyter.verify.child import execute
from kernelllm_jupyter.verify.nests import copied, identical, leaves
from kernelllm_jupyter.verify.reference import Reference
from kernelllm_jupyter.verify.trials import sow
from kernelllm_jupyter.verify.watching.vigilance import Dishonest

__all__ = ["measure"]

#: How often the contenders take turns, and the milliseconds that each gets in a turn.
ROUNDS = 5
WARM_UP_MS = 25
TURN_MS = 40
#: Results may differ by this much between calls, relative to their norm: atomics reorder sums.
SAME = 0.02

Call = Callable[[], Any]
Bench = Callable[..., list[float]]


def measure(request: dict[str, Any], blobs: list[bytearray], folder: Path) -> dict[str, Any]:
    """Medians and quantiles in milliseconds of one call, by contender; None where one fails."""
    bench: Bench = triton.testing.do_bench
    reference = Reference(request, blobs, folder, "cuda:0")
    module = execute(request["code"], folder / "candidate.py")
    args, kwargs = copied(reference.init)
    sow(reference.seed)
    model = module.ModelNew(*args, **kwargs).to("cuda:0")
    inputs = reference.draw(reference.seed)
    if not reference.training:
        model.eval()
    timed = Timed(model, inputs)
    with torch.no_grad():
        contenders: dict[str, Call] = {
            "eager": lambda: reference.model(*inputs),
            "candidate": timed.call,
        }
        compiled = _compiled(reference.model, inputs)
        if compiled is not None:
            contenders["compile"] = compiled
        for call in contenders.values():
            call()
        times = _in_turns(bench, contenders)
        timed.check()
        return times


class Timed:
    """A candidate whose timed calls must give what a call before gave."""

    def __init__(self, model: torch.nn.Module, inputs: list[Any]):
        self.model, self.inputs, self.given = model, inputs, copied(inputs)
        with torch.no_grad():
            self.expected = copied(model(*copied(inputs)))
        self.last: Any = None

    def call(self) -> Any:
        """Run it; what it returns is kept."""
        self.last = self.model(*self.inputs)
        return self.last

    def check(self) -> None:
        """Raise :class:`Dishonest` where the last call gave something else."""
        torch.cuda.synchronize()
        if not identical(self.inputs, self.given):
            # It works in place: every call has other inputs.
            return
        for (_, want), (_, got) in zip(leaves(self.expected), leaves(self.last), strict=True):
            if not isinstance(want, torch.Tensor) or not want.is_floating_point():
                continue
            want, got = want.double().nan_to_num(), got.double().nan_to_num()
            if bool((got - want).norm() > SAME * want.norm()):
                message = "While it is timed, forward() gives another result than before."
                raise Dishonest("cached_result", message)


def _compiled(model: torch.nn.Module, inputs: list[Any]) -> Call | None:
    """The reference through ``torch.compile``; None where it does not compile."""
    try:
        compiled = torch.compile(model)
        compiled(*inputs)
    except Exception:
        return None
    return lambda: compiled(*inputs)


def _in_turns(bench: Bench, contenders: dict[str, Call]) -> dict[str, Any]:
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, call in contenders.items():
            times[name] += bench(call, warmup=WARM_UP_MS, rep=TURN_MS, return_mode="all")
    return {name: _summary(values) for name, values in times.items()}


def _summary(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    last = len(ordered) - 1
    return {
        "median": statistics.median(ordered),
        "low": ordered[round(0.2 * last)],
        "high": ordered[round(0.8 * last)],
    }
