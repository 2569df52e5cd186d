"""What a check costs beyond running the candidate: ``python benchmarks/check.py [--rounds N]``.

Prints one JSON object. Everything is measured in one run, so that ratios hold on a busy machine:
the interpreter's own time is that of the same number of forward passes in a plain process.
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
from pathlib import Path

from kernelllm_jupyter.values import Problem
from kernelllm_jupyter.verify.check import check
from kernelllm_jupyter.verify.worker import shutdown

REFERENCE = """
import torch
import torch.nn as nn

class Model(nn.Module):
    def forward(self, x, y):
        return torch.relu(x + y)

def get_inputs():
    return [torch.randn(16, 128), torch.randn(16, 128)]

def get_init_inputs():
    return []
"""

CANDIDATE = """
import torch
import torch.nn as nn
import triton
import triton.language as tl

@triton.jit
def add_relu_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask)
    y = tl.load(y_ptr + offsets, mask=mask)
    tl.store(out_ptr + offsets, tl.maximum(x + y, 0.0), mask=mask)

class ModelNew(nn.Module):
    def forward(self, x, y):
        out = torch.empty_like(x)
        n = out.numel()
        add_relu_kernel[(triton.cdiv(n, 256),)](x, y, out, n, BLOCK=256)
        return out
"""

#: Refused after its first run: what remains is the check itself.
NO_OP = """
import torch

class ModelNew(torch.nn.Module):
    def forward(self, x, y):
        return x
"""

PLAIN = """
import sys, time, torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
import bare_candidate
model = bare_candidate.ModelNew()
x, y = torch.randn(16, 128), torch.randn(16, 128)
times = []
with torch.no_grad():
    for _ in range(3 + int(sys.argv[2])):
        started = time.perf_counter()
        model(x, y)
        times.append(time.perf_counter() - started)
print(sorted(times[3:])[len(times[3:]) // 2] * 1e3)
"""


def forward_ms(rounds: int, folder: Path) -> float:
    """The median of one forward pass in a plain interpreter process."""
    (folder / "bare_candidate.py").write_text(CANDIDATE)
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    found = subprocess.run(
        [sys.executable, "-c", PLAIN, str(folder), str(rounds)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(found.stdout)


def medians_ms(code: str, rounds: int, expected: str) -> tuple[float, int]:
    """The median check, and how many runs of the candidate it made."""
    times, runs = [], 0
    for _ in range(rounds):
        started = time.perf_counter()
        verdict = check(Problem(REFERENCE, "Model"), code, device="cpu")
        times.append((time.perf_counter() - started) * 1e3)
        assert verdict.verdict == expected, verdict
        runs = verdict.trials or 0
    return statistics.median(times), runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    started = time.perf_counter()
    check(Problem(REFERENCE, "Model"), CANDIDATE, device="cpu")
    first_ms = (time.perf_counter() - started) * 1e3
    with tempfile.TemporaryDirectory() as folder:
        one_ms = forward_ms(rounds, Path(folder))
    check_ms, runs = medians_ms(CANDIDATE, rounds, "correct")
    no_op_ms, _ = medians_ms(NO_OP, rounds, "rejected")
    shutdown()
    interpreter_ms = one_ms * runs
    print(
        json.dumps(
            {
                "first_check_ms": round(first_ms, 1),
                "warm_check_ms": round(check_ms, 1),
                "interpreter_ms": round(interpreter_ms, 1),
                "runs_of_the_candidate": runs,
                "overhead_ms": round(check_ms - interpreter_ms, 1),
                "overhead_wanted_ms": 150,
                "no_op_check_ms": round(no_op_ms, 1),
                "no_op_wanted_ms": 50,
                "warm_check_over_interpreter": round(check_ms / interpreter_ms, 2),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
