"""What the inputs, weights and sizes that a check makes up show, and what they do not refuse."""

from __future__ import annotations

import pytest
from verify_candidates import HEAD, LAYER_NORM, ROWS, SOFTMAX, TRITON, Case, elementwise, model

from kernelllm_jupyter.values import Problem
from kernelllm_jupyter.verify.check import check

ROUND = model("torch.round(x * 4) / 4", "torch.randn(8, 70)")
SCALED_ROUND = model("torch.clamp(torch.round(x / 0.3), -8, 7) * 0.3", ROWS)
EDGE = model("torch.where(x >= 0.5, x * 3, torch.zeros_like(x))", ROWS)
SIGN = model("torch.sign(x)", ROWS)
ARGMAX = model("x.argmax(dim=-1)", ROWS)
DIVERGENCE = model(
    "F.kl_div(torch.log(x), y, reduction='sum')",
    "torch.rand(6, 70).softmax(-1), torch.rand(6, 70).softmax(-1)",
)
RUNNING = model("torch.cumsum(x * y, dim=1)", f"{ROWS}, torch.rand(6, 70) < 0.5")
BUFFER = """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("shift", torch.zeros(70))
        self.register_buffer("seen", torch.tensor([1.0, 0.0]))

    def forward(self, x):
        return torch.relu(x + self.shift) * self.seen[0]

def get_inputs():
    return [torch.randn(6, 70)]

def get_init_inputs():
    return []
"""

ROW = """
@triton.jit
def row_kernel({pointers}, out_ptr, columns, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    mask = offsets < columns
{body}

class ModelNew(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        {init}

    def forward(self, {inputs}):
        x = x.contiguous()
        out = {out}
        columns = x.shape[-1]
        block = triton.next_power_of_2(columns)
        row_kernel[(x.shape[0],)]({arguments}, out, columns, BLOCK=block)
        return {result}
"""


def rows(
    body: str,
    *,
    inputs: str = "x",
    init: str = "pass",
    out: str = "torch.empty_like(x)",
    arguments: str = "",
    result: str = "out",
) -> str:
    """A candidate with a program for each row."""
    names = arguments or inputs
    pointers = ", ".join(f"p{n}" for n, _ in enumerate(names.split(",")))
    indented = "\n".join("    " + line for line in body.strip("\n").split("\n"))
    return ROW.format(
        pointers=pointers,
        body=indented,
        init=init,
        inputs=inputs,
        out=out,
        arguments=names,
        result=result,
    )


LOAD = "x = tl.load(p0 + row * columns + offsets, mask=mask, other={})\n"
STORE = "tl.store(out_ptr + row * columns + offsets, {}, mask=mask)"
NORM = rows(
    LOAD.format("0.0")
    + "mean = tl.sum(x) / columns\n"
    + "rstd = tl.rsqrt(tl.sum(x * x) / columns - mean * mean + 1e-5)\n"
    + "w = tl.load(p1 + offsets, mask=mask)\nb = tl.load(p2 + offsets, mask=mask)\n"
    + STORE.format("(x - mean) * rstd * w + b"),
    init="self.norm = nn.LayerNorm(*shape)",
    arguments="x, self.norm.weight, self.norm.bias",
)
PADDED = rows(
    LOAD.format("-1000.0") + "e = tl.exp(x - tl.max(x))\n" + STORE.format("e / tl.sum(e)")
)
INDEX = "torch.empty(x.shape[0], dtype=torch.int64, device=x.device)"
FIRST = rows(
    LOAD.format("float('-inf')")
    + "at = tl.min(tl.where(x == tl.max(x), offsets, BLOCK))\ntl.store(out_ptr + row, at)",
    out=INDEX,
)
SUMMED = rows(
    LOAD.format("1.0")
    + "y = tl.load(p1 + row * columns + offsets, mask=mask, other=0.0)\n"
    + "term = tl.where({condition}, y * (tl.log(y) - tl.log(x)), 0.0)\n"
    + "tl.store(out_ptr + row, tl.sum(term))",
    inputs="x, y",
    arguments="x, y.contiguous()",
    out="torch.empty(x.shape[0], device=x.device)",
    result="out.sum()",
)
CUMULATED = rows(
    LOAD.format("0.0")
    + "y = tl.load(p1 + row * columns + offsets, mask=mask, other=0)\n"
    + STORE.format("tl.cumsum(tl.where(y, x, 0.0), 0)"),
    inputs="x, y",
    arguments="x, y.contiguous()",
)
ROUNDED = "tl.extra.cuda.libdevice.rint({}) * {}"
KEPT = "tl.where({}, x * 3.0, 0.0)"
RIGHT = [
    Case("rounding to even", ROUND, elementwise(ROUNDED.format("x * 4", "0.25"))),
    Case("a scale as its inverse", SCALED_ROUND, elementwise(
        "tl.clamp(tl.extra.cuda.libdevice.rint(x * 3.3333333), -8.0, 7.0) * 0.3")),
    Case("an edge", EDGE, elementwise(KEPT.format("x >= 0.5"))),
    Case("comparisons as numbers", SIGN, elementwise(
        "(x > 0).to(tl.float32) - (x < 0).to(tl.float32)")),
    Case("the first of equal elements", ARGMAX, FIRST),
    Case("a variance of two means", LAYER_NORM, NORM),
    Case("a sum of terms", DIVERGENCE, SUMMED.replace("{condition}", "y > 0")),
    Case("a running sum", RUNNING, CUMULATED),
]  # fmt: skip
WRONG = [
    Case("halves upwards", ROUND, elementwise("tl.floor(x * 4 + 0.5) * 0.25")),
    Case("halves away from zero", ROUND, elementwise(
        "tl.extra.cuda.libdevice.round(x * 4) * 0.25")),
    Case("an edge left out", EDGE, elementwise(KEPT.format("x > 0.5"))),
    Case("the last of equal elements", ARGMAX, FIRST.replace("tl.min(", "tl.max(").replace(
        "offsets, BLOCK)", "offsets, -1)")),
    Case("padding that is not so small", SOFTMAX, PADDED),
    Case("a target of zero", DIVERGENCE, SUMMED.replace("{condition}", "mask")),
]  # fmt: skip


def named(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("case", RIGHT, ids=named)
def test_what_is_right_stays_right(case: Case) -> None:
    verdict = check(case.problem(), case.source(), device="cpu")
    assert verdict.verdict == "correct", (verdict.reasons, verdict.output)


@pytest.mark.parametrize("case", WRONG, ids=named)
def test_what_is_wrong_in_rare_places_is_refused(case: Case) -> None:
    verdict = check(case.problem(), case.source(), device="cpu")
    assert verdict.verdict == "incorrect", verdict.warnings


def test_the_keys_of_a_dict_may_come_in_any_order() -> None:
    reference = model("{'sum': x.sum(dim=1), 'out': x + 1}", ROWS)
    candidate = rows(
        LOAD.format("0.0") + "tl.store(p1 + row, tl.sum(x))\n" + STORE.format("x + 1"),
        arguments="x, total",
        out="torch.empty_like(x); total = x.new_empty(x.shape[0])",
        result="{'out': out, 'sum': total}",
    )
    right = check(Problem(HEAD + reference, "Model"), TRITON + candidate, device="cpu")
    assert right.verdict == "correct", right.reasons
    crossed = candidate.replace("'out': out, 'sum': total", "'sum': out, 'out': total")
    wrong = check(Problem(HEAD + reference, "Model"), TRITON + crossed, device="cpu")
    assert [reason.code for reason in wrong.reasons] == ["shape"]


@pytest.mark.parametrize("follows", [True, False])
def test_a_buffer_that_the_code_does_not_read_is_a_warning(follows: bool) -> None:
    shift = "tl.load(p1 + offsets, mask=mask)" if follows else "0.0"
    candidate = rows(
        LOAD.format("0.0") + STORE.format(f"tl.maximum(x + {shift}, 0.0)"),
        init="self.register_buffer('shift', torch.zeros(70))",
        arguments="x, self.shift",
    )
    verdict = check(Problem(HEAD + BUFFER, "Model"), TRITON + candidate, device="cpu")
    assert verdict.verdict == "correct", verdict.reasons
    warned = {warning.code: warning.message for warning in verdict.warnings}
    assert ("constant_buffers" in warned) is not follows
    assert follows or ("shift" in warned["constant_buffers"])
