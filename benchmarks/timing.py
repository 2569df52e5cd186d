"""How far a timing can be trusted: ``python benchmarks/timing.py [--runs N]``, on a GPU.

Prints one JSON object: agreement with ``triton.testing.do_bench`` on ten functions, how often two
copies of one function are called different, in one process and in the two of a benchmark, and what
a benchmark costs. Without a GPU it says so and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from kernelllm_jupyter.errors import DeviceUnusable
from kernelllm_jupyter.timings import Timing
from kernelllm_jupyter.values import Problem
from kernelllm_jupyter.verify.benchmark import BenchmarkOptions, measured_by
from kernelllm_jupyter.verify.check import chosen_worker
from kernelllm_jupyter.verify.gpu import NO_GPU, gpu_present
from kernelllm_jupyter.verify.worker import shutdown

REFERENCE = """
import torch
import torch.nn as nn

class Model(nn.Module):
    def forward(self, x, y):
        return torch.relu(x + y)

def get_inputs():
    return [torch.randn(4096, 4096), torch.randn(4096, 4096)]

def get_init_inputs():
    return []
"""
TWIN = REFERENCE.replace("class Model(", "class ModelNew(")
#: Benchmarks of a twin in two processes: each takes seconds.
WHOLE_RUNS = 10


def functions() -> dict[str, Callable[[], Any]]:
    """Ten functions from a few microseconds to milliseconds, bound by memory and by arithmetic."""
    import torch
    import torch.nn.functional as F

    def made(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.randn(*shape, device="cuda", dtype=dtype)

    half = torch.float16
    small, large, wide = made(256, 256), made(4096, 4096), made(8192, 8192)
    left, right = (made(4096, 4096, dtype=half) for _ in range(2))
    image, weight = made(16, 64, 56, 56), made(64, 64, 3, 3)
    return {
        "relu, 0.3 MB": lambda: torch.relu(small),
        "relu, 67 MB": lambda: torch.relu(large),
        "add, 268 MB": lambda: wide + wide,
        "gelu": lambda: F.gelu(large),
        "softmax": lambda: torch.softmax(large, -1),
        "layer norm": lambda: F.layer_norm(large, (4096,)),
        "sum": lambda: large.sum(-1),
        "transposed copy": lambda: large.t().contiguous(),
        "product in float16": lambda: left @ right,
        "convolution": lambda: F.conv2d(image, weight, padding=1),
    }


def agreement() -> dict[str, float]:
    """Our median divided by do_bench's, by function; both by turns."""
    import triton.testing

    from kernelllm_jupyter.verify.timing.clocks import CudaClock
    from kernelllm_jupyter.verify.timing.stand import Stand

    clock, found = CudaClock(), {}
    for name, call in functions().items():
        stand = Stand(clock, call, [[]])
        stand.first()
        ours, theirs = [], []
        for _ in range(7):
            stand.warm()
            ours.append(median(stand.turn(100)))
            theirs.append(triton.testing.do_bench(call, warmup=25, rep=50, return_mode="median"))
        found[name] = round(median(ours) / median(theirs), 4)
    return found


def called_different(runs: int) -> int:
    """How many of ``runs`` measurements of a function beside itself find a difference."""
    import torch

    from kernelllm_jupyter.verify.timing.clocks import CudaClock
    from kernelllm_jupyter.verify.timing.rounds import Rounds, turn_order
    from kernelllm_jupyter.verify.timing.stand import Stand

    clock, wrong = CudaClock(), 0
    sets = [[torch.randn(1024, 1024, device="cuda")] for _ in range(3)]
    for run in range(runs):
        stands = {name: Stand(clock, torch.relu, sets) for name in ("eager", "candidate")}
        rounds = Rounds(tuple(stands))
        while not rounds.enough():
            turns = {}
            for name in turn_order(rounds.names, rounds.count, run):
                stands[name].warm()
                turns[name] = stands[name].turn(50)
            rounds.add(turns)
        wrong += rounds.standings()["eager"].conclusion != "no difference"
    return wrong


def whole(runs: int) -> dict[str, Any]:
    """Benchmarks of the reference's twin through both processes."""
    chosen, problem = chosen_worker("cuda", None), Problem(REFERENCE, "Model")
    options = BenchmarkOptions(unverified=True)
    timings, seconds = [], []
    for _ in range(runs):
        started = time.perf_counter()
        timings.append(measured_by(chosen, problem, TWIN, options, Timing("not measured")))
        seconds.append(time.perf_counter() - started)
    return {
        "runs": runs,
        "called_different": sum(each.conclusion in ("faster", "slower") for each in timings),
        "not_measured": sum(not each.measured for each in timings),
        "codes": sorted({found.code for each in timings for found in each.contamination}),
        "ratios": [round(each.speedup, 4) for each in timings if each.speedup],
        "median_s": round(median(seconds), 1),
        "rounds": [each.rounds for each in timings],
        "fraction_of_bound": [
            round(each.bound.fraction(each.candidate_ms) or 0.0, 3)
            for each in timings
            if each.bound and each.candidate_ms
        ],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    runs = parser.parse_args().runs
    if not gpu_present():
        print(json.dumps({"measured": False, "why": NO_GPU}))
        return 1
    try:
        gpu = chosen_worker("cuda", None).versions.get("gpu")
    except DeviceUnusable as error:
        print(json.dumps({"measured": False, "why": str(error)}))
        return 1
    ratios = agreement()
    found = {
        "measured": True,
        "gpu": gpu,
        "ours_over_do_bench": ratios,
        "largest_disagreement": round(max(abs(ratio - 1) for ratio in ratios.values()), 4),
        "disagreement_wanted": 0.03,
        "runs": runs,
        "called_different": called_different(runs),
        "called_different_wanted": "below 5 of 100",
        "in_two_processes": whole(WHOLE_RUNS),
    }
    shutdown()
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
