"""A whole check of our own small problem inside the server, before its first fork.

torch and triton set a great deal up on first use (0.9 s for a first forward pass and launch); a
child that is forked afterwards finds it done. Only our own source runs here.
"""

from __future__ import annotations

import socket
import sys
import tempfile
import threading
from pathlib import Path

import torch

from kernelllm_jupyter.verify import candidate, course
from kernelllm_jupyter.verify.case import Case
from kernelllm_jupyter.verify.child import execute
from kernelllm_jupyter.verify.opponent import Opponent
from kernelllm_jupyter.verify.steps import Steps
from kernelllm_jupyter.verify.surroundings import surroundings
from kernelllm_jupyter.verify.watching.audit import Launches

__all__ = ["compile_sample", "rehearse", "rehearse_compiling"]

REFERENCE = """
import torch
import torch.nn as nn
import torch.nn.functional as F

class Model(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.linear = nn.Linear(features, features)
        self.norm = nn.LayerNorm(features)

    def forward(self, x):
        return torch.softmax(F.gelu(self.norm(self.linear(x))), dim=-1).half().float() + x.sum()

def get_inputs():
    return [torch.randn(4, 8)]

def get_init_inputs():
    return [8]
"""

CANDIDATE = """
import torch
import torch.nn as nn
import torch.nn.functional as F
import triton
import triton.language as tl

@triton.jit
def copy_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n, other=0.0)
    row = tl.exp(x - tl.max(x, axis=0)) / tl.sum(tl.sqrt(x * x), axis=0)
    tl.store(out_ptr + offsets, tl.where(row > 2.0, x, x + 0.0 * row), mask=offsets < n)

class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.linear = nn.Linear(features, features)
        self.norm = nn.LayerNorm(features)

    def forward(self, x):
        y = torch.softmax(F.gelu(self.norm(self.linear(x))), dim=-1).half().float() + x.sum()
        out = torch.empty_like(y)
        copy_kernel[(triton.cdiv(y.numel(), 16),)](y, out, y.numel(), BLOCK=16)
        return out
"""


def rehearse(launches: Launches) -> None:
    """Play both roles at once, in two threads of this process."""
    request = {
        "source": REFERENCE,
        "kind": "check",
        "class_name": "Model",
        "code": CANDIDATE,
        "timeout_s": 60.0,
        "seed": 0,
        "allow_tf32": False,
        "memory_mb": None,
    }
    left, right = socket.socketpair()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "candidate").mkdir()
        other = threading.Thread(
            target=candidate.serve,
            args=(right, folder / "candidate", "cpu", launches),
            kwargs={"watch": False},
        )
        other.start()
        try:
            opponent = Opponent(left)
            case = Case(opponent, request, [], folder, "cpu", lambda *_: None, lambda: 60.0)
            course.judge(case, Steps())
        finally:
            left.close()
            other.join()
            right.close()
    for name in ("reference", "candidate"):
        sys.modules.pop(name, None)


def rehearse_compiling() -> None:
    """Compile our own sample, which sets the compiler up (a second on first use)."""
    with tempfile.TemporaryDirectory() as name:
        compile_sample(Path(name) / "sample.py")


def compile_sample(path: Path) -> None:
    """Run our own sample, which is written to ``path``; raises what its launch raises."""
    with surroundings("cpu"):
        module = execute(CANDIDATE, path)
        module.ModelNew(8)(torch.randn(4, 8))
    sys.modules.pop(path.stem, None)
