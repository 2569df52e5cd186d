"""Accesses out of bounds and races between programs: found, named, and not imagined."""

from __future__ import annotations

import pytest
from verify_candidates import HEAD, TRITON, elementwise, model

from kernelllm_jupyter.values import Finding, Problem, Verdict
from kernelllm_jupyter.verify.check import check

VECTOR = "torch.rand(300) + 0.5"
DOUBLE = model("x * 2", VECTOR)
SUM = model("x.sum().reshape(1)", VECTOR)


def kernel(body: str, host: str, *, extra: str = "") -> str:
    """A candidate with one Triton kernel of 64 elements a program, and its launch."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    calls = "\n".join(f"        {line}" for line in host.strip().splitlines())
    return f"""{TRITON}
{extra}
@triton.jit
def work(x_ptr, o_ptr, n, BLOCK: tl.constexpr):
    pid = tl.program_id(0)
    i = pid * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
{lines}

class ModelNew(nn.Module):
    def forward(self, x):
        n = x.numel()
        grid = (triton.cdiv(n, 64),)
{calls}
"""


PLAIN = "o = torch.empty_like(x)\nwork[grid](x, o, n, BLOCK=64)\nreturn o"
TOTAL = "o = torch.zeros(1)\nwork[grid](x, o, n, BLOCK=64)\nreturn o"
IN_PLACE = "o = x.clone()\nwork[grid](o, o, n, BLOCK=64)\nreturn o"


def verdict_of(reference: str, source: str) -> Verdict:
    return check(Problem(HEAD + reference, "Model"), source, device="cpu")


def reason_of(reference: str, source: str) -> Finding:
    verdict = verdict_of(reference, source)
    assert not verdict.correct
    return verdict.reasons[0]


# --- out of bounds -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("tl.store(o_ptr + i, tl.load(x_ptr + i) * 2, mask=inside)", "reads element 300 of x_ptr"),
        (
            "tl.store(o_ptr + i, tl.load(x_ptr + i, mask=inside) * 2)",
            "writes element 300 of o_ptr, which has 300",
        ),
        (
            "tl.store(o_ptr + i, tl.load(x_ptr + i - 1, mask=inside) * 2, mask=inside)",
            "reads element -1 of x_ptr",
        ),
        (
            "tl.store(o_ptr + i, tl.load(x_ptr + i + n, mask=i < 1, other=0.0) * 2, mask=inside)",
            "reads element 300 of x_ptr",
        ),
        ("tl.atomic_add(o_ptr + i * 2, tl.load(x_ptr + i, mask=inside), mask=inside)", "updates"),
    ],
)
def test_an_access_out_of_bounds_is_named_with_its_element_and_line(body: str, said: str) -> None:
    source = kernel(body, PLAIN.replace("empty_like", "zeros_like"))
    reason = reason_of(DOUBLE, source)
    assert reason.code == "out_of_bounds"
    assert said in reason.message
    assert "program (" in reason.message
    assert reason.line == 1 + source.splitlines().index(f"    {body}")


def test_lanes_that_are_masked_off_may_point_anywhere() -> None:
    body = "far = tl.where(inside, i, -(1 << 30))\n"
    body += "tl.store(o_ptr + far, tl.load(x_ptr + far, mask=inside) * 2, mask=inside)"
    assert verdict_of(DOUBLE, kernel(body, PLAIN)).correct


def test_a_nested_function_is_named_by_its_own_line() -> None:
    extra = "@triton.jit\ndef fetch(p, i):\n    return tl.load(p + i)\n"
    source = kernel("tl.store(o_ptr + i, fetch(x_ptr, i) * 2, mask=inside)", PLAIN, extra=extra)
    reason = reason_of(DOUBLE, source)
    assert reason.code == "out_of_bounds"
    assert reason.line == 1 + source.splitlines().index("    return tl.load(p + i)")


def test_a_view_is_counted_from_its_own_beginning() -> None:
    host = "o = torch.empty_like(x)\nwork[grid](x[10:], o, n, BLOCK=64)\nreturn o"
    body = "tl.store(o_ptr + i, tl.load(x_ptr + i, mask=inside) * 2, mask=inside)"
    reason = reason_of(DOUBLE, kernel(body, host))
    assert (
        "element 290 of x_ptr, which has 290 (a view: its storage goes from element -10 to 289)"
        in reason.message
    )


def test_a_view_may_reach_the_rest_of_its_storage() -> None:
    host = "o = torch.empty_like(x)\nwork[grid](x[10:], o[10:], n, BLOCK=64)\nreturn o"
    body = "tl.store(o_ptr + i - 10, tl.load(x_ptr + i - 10, mask=inside) * 2, mask=inside)"
    assert verdict_of(DOUBLE, kernel(body, host)).correct


@pytest.mark.parametrize(("rows", "right"), [("n // 20", True), ("n // 20 + 1", False)])
def test_a_descriptor_guards_what_its_shape_says(rows: str, right: bool) -> None:
    body = f"""
d = tl.make_tensor_descriptor(x_ptr, shape=[{rows}, 20], strides=[20, 1], block_shape=[16, 32])
e = tl.make_tensor_descriptor(o_ptr, shape=[n // 20, 20], strides=[20, 1], block_shape=[16, 32])
e.store([0, 0], d.load([0, 0]) * 2)
"""
    import triton.language as tl

    if not hasattr(tl, "make_tensor_descriptor"):
        return
    host = "o = torch.empty_like(x)\nwork[(1,)](x, o, n, BLOCK=64)\nreturn o"
    verdict = verdict_of(DOUBLE, kernel(body, host))
    assert verdict.correct is right, verdict.reasons
    if not right:
        assert verdict.reasons[0].code == "out_of_bounds"
        assert "x_ptr" in verdict.reasons[0].message


# --- races -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "body", "host"),
    [
        pytest.param(
            SUM,
            "tl.store(o_ptr, tl.load(o_ptr) + tl.sum(tl.load(x_ptr + i, mask=inside, other=0.0)))",
            TOTAL,
            id="load, add, store",
        ),
        pytest.param(
            DOUBLE,
            "tl.store(o_ptr + i // 2 * 2, tl.load(x_ptr + i, mask=inside) * 2 + pid, mask=inside)\n"
            "tl.store(o_ptr + 7, pid * 1.0)",
            PLAIN,
            id="two values for one element",
        ),
        pytest.param(
            DOUBLE,
            "x = tl.load(x_ptr + i, mask=inside) * 2\n"
            "tl.store(o_ptr + i + 1, x * pid, mask=i + 1 < n)\n"
            "tl.store(o_ptr + i, x, mask=inside)",
            PLAIN,
            id="tiles that overlap",
        ),
        pytest.param(
            model("torch.cat([x[:1], x[:-1]]) * 2", VECTOR),
            "j = tl.where(i > 0, i - 1, 0)\n"
            "tl.store(o_ptr + i, tl.load(x_ptr + j, mask=inside) * 2, mask=inside)",
            IN_PLACE,
            id="in place, the reader runs later here",
        ),
        pytest.param(
            model("torch.cat([x[1:], x[-1:]]) * 2", VECTOR),
            "j = tl.where(i < n - 1, i + 1, i)\n"
            "tl.store(o_ptr + i, tl.load(x_ptr + j, mask=inside) * 2, mask=inside)",
            IN_PLACE,
            id="in place, the reader runs earlier here",
        ),
        pytest.param(
            model("x / x.sum()", VECTOR),
            "x = tl.load(x_ptr + i, mask=inside, other=0.0)\n"
            "tl.atomic_add(o_ptr + n, tl.sum(x))\n"
            "if pid == tl.num_programs(0) - 1:\n"
            "    total = tl.load(o_ptr + n)\n"
            "    for k in range(0, n, BLOCK):\n"
            "        j = k + tl.arange(0, BLOCK)\n"
            "        y = tl.load(x_ptr + j, mask=j < n) / total\n"
            "        tl.store(o_ptr + j, y, mask=j < n)",
            "o = torch.zeros(n + 1)\nwork[grid](x, o, n, BLOCK=64)\nreturn o[:n].clone()",
            id="a total that is read before all have added to it",
        ),
        pytest.param(
            SUM,
            "if pid == 0:\n    tl.store(o_ptr, 0.0)\n"
            "tl.atomic_add(o_ptr, tl.sum(tl.load(x_ptr + i, mask=inside, other=0.0)))",
            "o = torch.empty(1)\nwork[grid](x, o, n, BLOCK=64)\nreturn o",
            id="one program clears what others add to",
        ),
        pytest.param(
            model("torch.bincount((x * 4).int(), minlength=8)", VECTOR),
            "b = (tl.load(x_ptr + i, mask=inside) * 4).to(tl.int32)\n"
            "one = tl.full([BLOCK], 1, tl.int64)\n"
            "tl.atomic_add(o_ptr + b, one, mask=inside)\n"
            "if pid == tl.num_programs(0) - 1:\n"
            "    at = o_ptr + tl.arange(0, 8)\n"
            "    tl.store(at + 8, tl.load(at))",
            "o = torch.zeros(16, dtype=torch.int64)\nwork[grid](x, o, n, BLOCK=64)\n"
            "return o[8:].clone()",
            id="counts that are read before all have counted",
        ),
    ],
)
def test_a_race_is_refused_even_where_programs_in_order_are_right(
    reference: str, body: str, host: str
) -> None:
    reason = reason_of(reference, kernel(body, host))
    assert reason.code == "data_race", reason.message
    assert "program (" in reason.message
    assert reason.line is not None


@pytest.mark.parametrize(
    ("reference", "body", "host"),
    [
        pytest.param(
            SUM,
            "tl.atomic_add(o_ptr, tl.sum(tl.load(x_ptr + i, mask=inside, other=0.0)))",
            TOTAL,
            id="atomics",
        ),
        pytest.param(
            model("x * 2 + x.numel()", VECTOR),
            "tl.store(o_ptr + n, n * 1.0)\n"
            "tl.store(o_ptr + i, tl.load(x_ptr + i, mask=inside) * 2 + n, mask=inside)",
            "o = torch.empty(n + 1)\nwork[grid](x, o, n, BLOCK=64)\nreturn o[:n].clone()",
            id="the same value by everyone",
        ),
        pytest.param(
            DOUBLE,
            "tl.store(o_ptr + i, tl.load(x_ptr + i, mask=inside) * 2, mask=inside)",
            IN_PLACE,
            id="in place, each its own",
        ),
        pytest.param(
            model("x.max().reshape(1)", VECTOR),
            "m = tl.max(tl.load(x_ptr + i, mask=inside, other=-1e30))\n"
            "if m > tl.load(o_ptr):\n    tl.atomic_max(o_ptr, m)",
            "o = torch.full((1,), -1e30)\nwork[grid](x, o, n, BLOCK=64)\nreturn o",
            id="a maximum that is looked at first",
        ),
        pytest.param(
            model("x / x.sum()", VECTOR),
            "x = tl.load(x_ptr + i, mask=inside, other=0.0)\n"
            "tl.atomic_add(o_ptr + n, tl.sum(x))\n"
            "arrived = tl.atomic_add((o_ptr + n + 1).to(tl.pointer_type(tl.int32)), 1)\n"
            "if arrived == tl.num_programs(0) - 1:\n"
            "    total = tl.load(o_ptr + n)\n"
            "    for k in range(0, n, BLOCK):\n"
            "        j = k + tl.arange(0, BLOCK)\n"
            "        y = tl.load(x_ptr + j, mask=j < n) / total\n"
            "        tl.store(o_ptr + j, y, mask=j < n)",
            "o = torch.zeros(n + 2)\nwork[grid](x, o, n, BLOCK=64)\nreturn o[:n].clone()",
            id="the last to arrive finishes",
        ),
        pytest.param(
            DOUBLE,
            "for k in range(2):\n"
            "    tl.store(o_ptr + i, tl.load(x_ptr + i, mask=inside) * (k + 1), mask=inside)",
            PLAIN,
            id="a program overwrites what it wrote itself",
        ),
    ],
)
def test_what_is_no_race_is_not_refused(reference: str, body: str, host: str) -> None:
    verdict = verdict_of(reference, kernel(body, host))
    assert verdict.correct, verdict.reasons


# --- masked lanes ------------------------------------------------------------------------------

ROW_SUM = """
@triton.jit
def sum_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * n + i, mask=i < n{other})
    tl.store(out_ptr + row, tl.sum(x.to(tl.{wide}), axis=0))

class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        out = torch.empty(x.shape[0], device=x.device, dtype=x.dtype)
        sum_kernel[(x.shape[0],)](x, out, x.shape[1], BLOCK=triton.next_power_of_2(x.shape[1]))
        return out
"""


@pytest.mark.parametrize(
    ("dtype", "wide"), [("float32", "float32"), ("bfloat16", "float32"), ("int32", "int32")]
)
def test_a_result_that_needs_zeros_in_masked_lanes_is_right_and_told(dtype: str, wide: str) -> None:
    reference = model("torch.sum(x, dim=1).to(x.dtype)", "(10 * torch.randn(6, 70)).to(DTYPE)")
    problem = Problem(HEAD + reference.replace("DTYPE", f"torch.{dtype}"), "Model")
    for other, told in (("", True), (", other=0", False)):
        source = TRITON + ROW_SUM.replace("{other}", other).replace("{wide}", wide)
        verdict = check(problem, source, device="cpu")
        assert verdict.verdict == "correct", verdict.reasons
        assert ("undefined_padding" in {w.code for w in verdict.warnings}) is told


def test_masked_lanes_that_no_result_depends_on_are_nobodys_business() -> None:
    problem = Problem(HEAD + model("x * 2", "torch.randn(6, 70)"), "Model")
    verdict = check(problem, TRITON + elementwise("x * 2"), device="cpu")
    assert "undefined_padding" not in {warning.code for warning in verdict.warnings}
