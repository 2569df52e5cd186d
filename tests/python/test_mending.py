"""Mends are right wherever they are made, and code that needs none stays as it is."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from kernelllm_jupyter.mending import mend
from kernelllm_jupyter.problem import parse_problem
from kernelllm_jupyter.verify.check import check

sys.path.append(str(Path(__file__).resolve().parents[1] / "verification"))

from entries import written

CODE = """\
import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def scaled_relu(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(out_ptr + at, tl.maximum(x, 0.0) * 2.5, mask=at < n)


class ModelNew(nn.Module):
    def __init__(self):
        super(ModelNew, self).__init__()

    def forward(self, x):
        out = torch.empty_like(x)
        scaled_relu[(triton.cdiv(x.numel(), 256),)](x, out, x.numel(), BLOCK=256)
        return out
"""
WITHOUT_IMPORTS = CODE.split("\n\n\n", 1)[1]


def test_no_right_candidate_of_the_corpus_is_touched() -> None:
    entries = [entry for entry in written() if entry.expectation.right]
    assert len(entries) > 50
    for entry in entries:
        assert mend(entry.source) == (entry.source, ()), entry.label


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (WITHOUT_IMPORTS, "added: import triton.language as tl"),
        (CODE.replace("import triton\n", ""), "added: import triton"),
        (CODE.replace("ModelNew", "ModelNEW"), "ModelNEW is now called ModelNew"),
        (CODE.replace("ModelNew", "TritonModel"), "TritonModel is now called ModelNew"),
        (CODE.replace("ModelNew", "Model"), "Model is now called ModelNew"),
        (f"```python\n{CODE}```\n", "removed code fences"),
        (f"{CODE}\nThis kernel loads a block, clamps it and stores it.\n", "after the code"),
        (f"Here is the Triton module that you asked for:\n\n{CODE}", "before the code"),
    ],
)
def test_what_is_mended_is_proved_right(broken: str, said: str, small_module: str) -> None:
    code, mends = mend(broken)
    assert any(said in each for each in mends), mends
    verdict = check(parse_problem(small_module), code)
    assert verdict.correct, verdict.reasons


def test_imports_come_after_a_docstring_and_future_imports() -> None:
    code, mends = mend(f'"""A module."""\n\nfrom __future__ import annotations\n{WITHOUT_IMPORTS}')
    assert len(mends) == 4
    assert ast.get_docstring(ast.parse(code)) == "A module."
    compile(code, "candidate.py", "exec")


@pytest.mark.parametrize(
    "code",
    [
        "",
        "class Layer(nn.Module): ...\nclass Net(nn.Module): ...\nimport torch.nn as nn\n",
        "import torch.nn as nn\nclass Base(nn.Module): ...\nclass Net(Base): ...\n",
        "import torch.nn as nn\nclass Net(nn.Module): ...\nx = dict(Net=1)\n",
        "import torch.nn as nn\nclass Net(nn.Module): ...\nModelNew = Net\n",
        "def f(x):\n    return y + unknown\n",
        "def f(tl):\n    return tl.load\n",
        "def f(:\n    pass\nclass ModelNew: pass\n",
        f"{CODE}\nAnother way to write it is this:\n\n{CODE}",
    ],
    ids=range(9),
)
def test_what_could_be_meant_in_two_ways_is_left_alone(code: str) -> None:
    assert mend(code) == (code, ())


def test_a_mend_needs_no_second_one() -> None:
    for broken in (WITHOUT_IMPORTS, CODE.replace("ModelNew", "Net"), f"```\n{CODE}```"):
        mended, _ = mend(broken)
        assert mend(mended) == (mended, ())
