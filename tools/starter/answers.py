"""The teacher: how each operation of a graph is written in Triton.

These lines are what the starter model is trained to write, and they exist only here, outside the
package: at run time nothing but the model's tokens stands between prompt and Triton kernel.

In a template, ``{d}`` is the value that the step defines and ``{a}``, ``{b}``, ``{c}`` are its
operands. Values are float32 inside the Triton kernel. The formulas keep their accuracy where a
textbook form would lose it (``tanh`` and ``expm1`` near 0, ``log1p``), let NaN through as PyTorch
does (``tl.where`` instead of ``tl.maximum``), and assign ``{d}`` last, so that a name may be used
again.
"""

from __future__ import annotations

import re

from kernelllm_jupyter.starter.graph import Graph

__all__ = ["POINTWISE", "REDUCING", "ROWWISE", "answer"]

#: Taylor terms of tanh and expm1 near 0, in Horner's form.
_TANH = "(1.0 - t * (0.33333333 - t * (0.13333333 - t * 0.05396825)))"
_EXPM1 = (
    "near = 0.041666667 + t * (0.0083333333 + t * 0.0013888889)",
    "near = t * (1.0 + t * (0.5 + t * (0.16666667 + t * near)))",
)
_NAN = ", propagate_nan=tl.PropagateNan.ALL)"

#: Operation -> lines, for values of any extent.
POINTWISE: dict[str, tuple[str, ...]] = {
    "abs": ("{d} = tl.abs({a})",),
    "add": ("{d} = {a} + {b}",),
    "and": ("{d} = {a} & {b}",),
    "ceil": ("{d} = tl.ceil({a})",),
    "celu": (
        "t = tl.where({a} > 0.0, 0.0, {a}) / {b}",
        *_EXPM1,
        "{d} = tl.where({a} > 0.0, {a}, {b} * tl.where(t > -0.25, near, tl.exp(t) - 1.0))",
    ),
    "clamp": ("t = tl.where({a} < {b}, {b}, {a})", "{d} = tl.where(t > {c}, {c}, t)"),
    "clamp_max": ("{d} = tl.where({a} > {b}, {b}, {a})",),
    "clamp_min": ("{d} = tl.where({a} < {b}, {b}, {a})",),
    "cos": ("{d} = tl.cos({a})",),
    "cosh": ("{d} = 0.5 * (tl.exp({a}) + tl.exp(-{a}))",),
    "cube": ("{d} = {a} * {a} * {a}",),
    "div": ("{d} = {a} / {b}",),
    "elu": (
        "t = tl.where({a} > 0.0, 0.0, {a})",
        *_EXPM1,
        "{d} = tl.where({a} > 0.0, {a}, {b} * tl.where(t > -0.25, near, tl.exp(t) - 1.0))",
    ),
    "eq": ("{d} = {a} == {b}",),
    "erf": ("{d} = tl.erf({a})",),
    "exp": ("{d} = tl.exp({a})",),
    "exp2": ("{d} = tl.exp2({a})",),
    "expm1": (
        "t = {a}",
        *_EXPM1,
        "{d} = tl.where(tl.abs(t) < 0.25, near, tl.exp(t) - 1.0)",
    ),
    "float": ("{d} = {a}.to(tl.float32)",),
    "floor": ("{d} = tl.floor({a})",),
    "ge": ("{d} = {a} >= {b}",),
    "gelu": ("{d} = 0.5 * {a} * (1.0 + tl.erf({a} * 0.7071067811865476))",),
    "gelu_tanh": (
        "t = 0.7978845608028654 * ({a} + 0.044715 * {a} * {a} * {a})",
        "{d} = {a} * tl.sigmoid(2.0 * t)",
    ),
    "gt": ("{d} = {a} > {b}",),
    "hardshrink": ("{d} = tl.where(tl.abs({a}) <= {b}, 0.0, {a})",),
    "hardsigmoid": (
        "t = tl.where({a} < -3.0, -3.0, {a})",
        "{d} = tl.where(t > 3.0, 1.0, (t + 3.0) / 6.0)",
    ),
    "hardswish": ("{d} = {a} * tl.minimum(tl.maximum({a} + 3.0, 0.0), 6.0) / 6.0",),
    "huber": (
        "t = tl.abs({a})",
        "{d} = tl.where(t < {b}, 0.5 * t * t, {b} * (t - 0.5 * {b}))",
    ),
    "le": ("{d} = {a} <= {b}",),
    "leaky_relu": ("{d} = tl.where({a} > 0.0, {a}, {a} * {b})",),
    "lerp": ("{d} = {a} + {c} * ({b} - {a})",),
    "log": ("{d} = tl.log({a})",),
    "log1p": (
        "t = 1.0 + {a}",
        "near = ({a} - (t - 1.0)) / t",
        "{d} = tl.log(t) + tl.where(tl.abs({a}) < 0.5, near, 0.0)",
    ),
    "log2": ("{d} = tl.log2({a})",),
    "logaddexp": (
        "peak = tl.maximum({a}, {b}" + _NAN,
        "{d} = peak + tl.log(tl.exp({a} - peak) + tl.exp({b} - peak))",
    ),
    "logsigmoid": ("{d} = tl.where({a} < 0.0, {a}, 0.0) - tl.log(1.0 + tl.exp(-tl.abs({a})))",),
    "lt": ("{d} = {a} < {b}",),
    "maximum": ("{d} = tl.maximum({a}, {b}" + _NAN,),
    "minimum": ("{d} = tl.minimum({a}, {b}" + _NAN,),
    "mish": (
        "t = tl.exp(tl.minimum({a}, 20.0))",
        "{d} = {a} * (t * (t + 2.0)) / (t * (t + 2.0) + 2.0)",
    ),
    "mul": ("{d} = {a} * {b}",),
    "ne": ("{d} = {a} != {b}",),
    "neg": ("{d} = -{a}",),
    "not": ("{d} = {a} == 0",),
    "or": ("{d} = {a} | {b}",),
    "pow": ("{d} = tl.exp({b} * tl.log({a}))",),
    "prelu": ("{d} = tl.where({a} > 0.0, {a}, {a} * {b})",),
    "reciprocal": ("{d} = 1.0 / {a}",),
    "relu": ("{d} = tl.where({a} < 0.0, 0.0, {a})",),
    "rsqrt": ("{d} = 1.0 / tl.sqrt({a})",),
    "selu": (
        "t = tl.where({a} > 0.0, 0.0, {a})",
        *_EXPM1,
        "t = 1.6732632423543772 * tl.where(t > -0.25, near, tl.exp(t) - 1.0)",
        "{d} = 1.0507009873554805 * tl.where({a} > 0.0, {a}, t)",
    ),
    "sigmoid": ("{d} = tl.sigmoid({a})",),
    "sign": ("{d} = tl.where({a} > 0.0, 1.0, tl.where({a} < 0.0, -1.0, 0.0))",),
    "silu": ("{d} = {a} * tl.sigmoid({a})",),
    "sin": ("{d} = tl.sin({a})",),
    "sinh": ("{d} = 0.5 * (tl.exp({a}) - tl.exp(-{a}))",),
    "smooth_l1": (
        "t = tl.abs({a})",
        "{d} = tl.where(t < {b}, 0.5 * t * t / {b}, t - 0.5 * {b})",
    ),
    "softplus": ("{d} = tl.where({a} > 20.0, {a}, tl.log(1.0 + tl.exp({a})))",),
    "softplus_beta": (
        "t = {a} * {b}",
        "{d} = tl.where(t > {c}, {a}, tl.log(1.0 + tl.exp(t)) / {b})",
    ),
    "softshrink": (
        "{d} = tl.where({a} > {b}, {a} - {b}, tl.where({a} < -{b}, {a} + {b}, 0.0 * {a}))",
    ),
    "softsign": ("{d} = {a} / (1.0 + tl.abs({a}))",),
    "sqrt": ("{d} = tl.sqrt({a})",),
    "square": ("{d} = {a} * {a}",),
    "sub": ("{d} = {a} - {b}",),
    "tan": ("{d} = tl.sin({a}) / tl.cos({a})",),
    "tanh": (
        "t = {a} * {a}",
        f"near = {{a}} * {_TANH}",
        "{d} = tl.where(t < 0.04, near, 2.0 * tl.sigmoid(2.0 * {a}) - 1.0)",
    ),
    "tanhshrink": (
        "t = {a} * {a}",
        f"near = {{a}} * {_TANH}",
        "{d} = {a} - tl.where(t < 0.04, near, 2.0 * tl.sigmoid(2.0 * {a}) - 1.0)",
    ),
    "threshold": ("{d} = tl.where({a} <= {b}, {c}, {a})",),
    "trunc": ("{d} = tl.where({a} < 0.0, tl.ceil({a}), tl.floor({a}))",),
    "where": ("{d} = tl.where({a}, {b}, {c})",),
}

#: Reductions of a row to one number.
REDUCING: dict[str, tuple[str, ...]] = {
    "logsumexp": (
        'peak = tl.max(tl.where(mask, {a}, -float("inf")), axis=0)',
        "t = tl.where(mask, tl.exp({a} - peak), 0.0)",
        "{d} = peak + tl.log(tl.sum(t, axis=0))",
    ),
    "max": ('{d} = tl.max(tl.where(mask, {a}, -float("inf")), axis=0)',),
    "mean": ("{d} = tl.sum(tl.where(mask, {a}, 0.0), axis=0) / $n",),
    "min": ('{d} = tl.min(tl.where(mask, {a}, float("inf")), axis=0)',),
    "norm1": ("{d} = tl.sum(tl.where(mask, tl.abs({a}), 0.0), axis=0)",),
    "norm2": ("{d} = tl.sqrt(tl.sum(tl.where(mask, {a} * {a}, 0.0), axis=0))",),
    "std0": (
        "t = tl.sum(tl.where(mask, {a}, 0.0), axis=0) / $n",
        "near = tl.where(mask, {a} - t, 0.0)",
        "{d} = tl.sqrt(tl.sum(near * near, axis=0) / $n)",
    ),
    "std1": (
        "t = tl.sum(tl.where(mask, {a}, 0.0), axis=0) / $n",
        "near = tl.where(mask, {a} - t, 0.0)",
        "{d} = tl.sqrt(tl.sum(near * near, axis=0) / ($n - 1))",
    ),
    "sum": ("{d} = tl.sum(tl.where(mask, {a}, 0.0), axis=0)",),
    "var0": (
        "t = tl.sum(tl.where(mask, {a}, 0.0), axis=0) / $n",
        "near = tl.where(mask, {a} - t, 0.0)",
        "{d} = tl.sum(near * near, axis=0) / $n",
    ),
    "var1": (
        "t = tl.sum(tl.where(mask, {a}, 0.0), axis=0) / $n",
        "near = tl.where(mask, {a} - t, 0.0)",
        "{d} = tl.sum(near * near, axis=0) / ($n - 1)",
    ),
}

#: Operations on a row that keep its shape.
ROWWISE: dict[str, tuple[str, ...]] = {
    "cumsum": ("{d} = tl.cumsum({a}, axis=0)",),
    "layer_norm": (
        "t = tl.sum(tl.where(mask, {a}, 0.0), axis=0) / $n",
        "near = tl.where(mask, {a} - t, 0.0)",
        "t = tl.sum(near * near, axis=0) / $n",
        "{d} = near / tl.sqrt(t + {b})",
    ),
    "log_softmax": (
        'peak = tl.max(tl.where(mask, {a}, -float("inf")), axis=0)',
        "t = tl.where(mask, tl.exp({a} - peak), 0.0)",
        "{d} = {a} - peak - tl.log(tl.sum(t, axis=0))",
    ),
    "normalize": (
        "t = tl.sqrt(tl.sum(tl.where(mask, {a} * {a}, 0.0), axis=0))",
        "{d} = {a} / tl.where(t < {b}, {b}, t)",
    ),
    "rms_norm": (
        "t = tl.sum(tl.where(mask, {a} * {a}, 0.0), axis=0) / $n",
        "{d} = {a} / tl.sqrt(t + {b})",
    ),
    "softmax": (
        'peak = tl.max(tl.where(mask, {a}, -float("inf")), axis=0)',
        "t = tl.where(mask, tl.exp({a} - peak), 0.0)",
        "{d} = t / tl.sum(t, axis=0)",
    ),
}

_LOADS = {
    "load": "{d} = tl.load({a} + offsets, mask=mask, other=0.0).to(tl.float32)",
    "first": "{d} = tl.load({a} + offsets + row * $h, mask=mask, other=0.0).to(tl.float32)",
    "second": "{d} = tl.load({a} + offsets + row * $h + $h, mask=mask, other=0.0).to(tl.float32)",
    "one": "{d} = tl.load({a}).to(tl.float32)",
}
_VEC = {
    True: "{d} = tl.load({a} + offsets % $m, mask=mask, other=0.0).to(tl.float32)",
    False: "{d} = tl.load({a} + cols, mask=mask, other=0.0).to(tl.float32)",
}
_PLACE = {
    "flat": (
        "offsets = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)",
        "mask = offsets < $n",
    ),
    "last": (
        "row = tl.program_id(0).to(tl.int64)",
        "cols = tl.arange(0, BLOCK)",
        "mask = cols < $n",
        "offsets = row * $n + cols",
    ),
    "dim": (
        "row = tl.program_id(0).to(tl.int64)",
        "cols = tl.arange(0, BLOCK)",
        "mask = cols < $n",
        "offsets = (row // $s) * $n * $s + cols * $s + row % $s",
    ),
}
_PLACE["half"] = (*_PLACE["flat"], "row = offsets // $h")
_PLACE["total"] = _PLACE["flat"]
_PLACE["tail"] = _PLACE["last"]


def answer(graph: Graph) -> str:
    """The answer that the model is to learn for ``graph``, with placeholders.

    Each step is said again before it is written in Triton: copying and translating are easier
    to learn one after the other, and the reader drops the copy.
    """
    flat = graph.layout in ("flat", "half", "total")
    lines = list(_PLACE[graph.layout])
    for index, step in enumerate(graph.steps):
        echo = graph.line(index)
        operands = re.findall(r"\$[a-z]*\d+", echo)
        names = dict(zip("abc", operands, strict=False), d="$0")
        lines.append(echo)
        lines += [line.format(**names) for line in _template(step.operation, flat)]
    lines += _stored(graph, "$0")
    return "\n".join([*lines, "---", *_forward(graph)]) + "\n"


def _template(operation: str, flat: bool) -> tuple[str, ...]:
    if operation == "vec":
        return (_VEC[flat],)
    if operation in _LOADS:
        return (_LOADS[operation],)
    for table in (POINTWISE, REDUCING, ROWWISE):
        if operation in table:
            return table[operation]
    raise KeyError(operation)


def _stored(graph: Graph, result: str) -> list[str]:
    if graph.layout == "total":
        return [
            f"{result} = tl.where(mask, {result}, 0.0)",
            f"tl.store($out + tl.program_id(0), tl.sum({result}, axis=0))",
        ]
    if graph.stored == "block":
        return [f"tl.store($out + offsets, {result}, mask=mask)"]
    return [f"tl.store($out + row, {result})"]


def _forward(graph: Graph) -> list[str]:
    """Allocation, sizes, launch and result."""
    arguments = [f"$in{i}" for i in range(len(graph.inputs))]
    arguments += [f"$w{i}" for i in range(len(graph.weights))]
    arguments += [f"$p{i}" for i in range(len(graph.numbers))]
    arguments += ["$out", "$n"]
    if graph.layout in ("dim", "half"):
        arguments.append("$s" if graph.layout == "dim" else "$h")
    if graph.has_columns:
        arguments.append("$m")
    passed = ", ".join(arguments)
    if graph.layout in ("flat", "half", "total"):
        columns = ["$m = $in0.shape[-1]"] if graph.has_columns else []
        launch = f"$k[(triton.cdiv($n, 1024),)](\n    {passed},\n    BLOCK=1024,\n)"
        if graph.layout == "flat":
            head = ["$out = torch.empty_like($in0)", "$n = $out.numel()"]
            return [*head, *columns, launch, "return $out"]
        if graph.layout == "half":
            shape = "(*$in0.shape[:-1], $in0.shape[-1] // 2)"
            head = [f"$out = $in0.new_empty({shape})", "$n = $out.numel()", "$h = $out.shape[-1]"]
            return [*head, launch, "return $out"]
        head = [
            "$n = $in0.numel()",
            "$out = $in0.new_empty(triton.cdiv($n, 1024), dtype=torch.float32)",
        ]
        whole = "$out.sum()" if graph.stored == "sum" else "($out.sum() / $n)"
        return [*head, *columns, launch, f"return {whole}.to($in0.dtype)"]
    launch = f"$k[($in0.numel() // $n,)](\n    {passed},{_BLOCK})"
    over_rows = {"rowsum": ".sum().to($in0.dtype)", "rowmean": ".mean().to($in0.dtype)"}
    return [*_row_sizes(graph), launch, f"return $out{over_rows.get(graph.stored, '')}"]


_BLOCK = "\n    BLOCK=$b,\n    num_warps=min(max($b // 256, 1), 16),\n"


def _row_sizes(graph: Graph) -> list[str]:
    shapes = {
        ("last", "one"): "$in0.shape[:-1]",
        ("last", "keep"): "(*$in0.shape[:-1], 1)",
        ("dim", "one"): "$in0.select($dim, 0).shape",
        ("dim", "keep"): "$in0.narrow($dim, 0, 1).shape",
        ("tail", "one"): "$in0.shape[:$dim]",
        ("tail", "keep"): "$in0.shape[:$dim] + (1,) * $count",
    }
    counts = {
        "last": "$in0.shape[-1]",
        "dim": "$in0.shape[$dim]",
        "tail": "$in0.shape[$dim:].numel()",
    }
    if graph.stored == "block":
        lines = ["$out = torch.empty_like($in0)"]
    elif graph.stored in ("rowsum", "rowmean"):
        shape = shapes[graph.layout, "one"]
        lines = [f"$out = $in0.new_empty({shape}, dtype=torch.float32)"]
    else:
        lines = [f"$out = $in0.new_empty({shapes[graph.layout, graph.stored]})"]
    lines.append(f"$n = {counts[graph.layout]}")
    if graph.layout == "dim":
        lines.append("$s = $in0.shape[$dim:][1:].numel()")
    return [*lines, "$b = triton.next_power_of_2($n)"]
