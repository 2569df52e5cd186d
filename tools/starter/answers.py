"""The teacher: how each operation of a graph is written in Triton.

These lines are what the starter model is trained to write, and they exist only here, outside the
package: at run time nothing but the model's tokens stands between prompt and Triton kernel.

In an answer, ``$d`` is the value that a step defines, ``$a``, ``$b``, ``$c`` are its operands and
``$t``, ``$u``, ``$q`` names of its own; the reader puts the module's names in. Values are float32
inside the Triton kernel. The formulas keep their accuracy where a textbook form would lose it
(``tanh`` and ``expm1`` near 0, ``log1p``), let NaN through as PyTorch does (``tl.where`` instead of
``tl.maximum``), and assign ``$d`` last, so that a name may be used again.
"""

from __future__ import annotations

import random

from kernelllm_jupyter.starter.graph import Graph, Plan

__all__ = ["HEADS", "OPERATIONS", "answer"]

#: Taylor terms of tanh and expm1 near 0, in Horner's form.
_TANH = "(1.0 - $t * (0.33333333 - $t * (0.13333333 - $t * 0.05396825)))"
_EXPM1 = (
    "$u = 0.041666667 + $t * (0.0083333333 + $t * 0.0013888889)",
    "$u = $t * (1.0 + $t * (0.5 + $t * (0.16666667 + $t * $u)))",
)
_NAN = ", propagate_nan=tl.PropagateNan.ALL)"

#: Operation -> lines, for values of any extent.
POINTWISE: dict[str, tuple[str, ...]] = {
    "abs": ("$d = tl.abs($a)",),
    "add": ("$d = $a + $b",),
    "and": ("$d = $a & $b",),
    "ceil": ("$d = tl.ceil($a)",),
    "celu": (
        "$t = tl.where($a > 0.0, 0.0, $a) / $b",
        *_EXPM1,
        "$d = tl.where($a > 0.0, $a, $b * tl.where($t > -0.25, $u, tl.exp($t) - 1.0))",
    ),
    "clamp": ("$t = tl.where($a < $b, $b, $a)", "$d = tl.where($t > $c, $c, $t)"),
    "clamp_max": ("$d = tl.where($a > $b, $b, $a)",),
    "clamp_min": ("$d = tl.where($a < $b, $b, $a)",),
    "cos": ("$d = tl.cos($a)",),
    "cosh": ("$d = 0.5 * (tl.exp($a) + tl.exp(-$a))",),
    "cube": ("$d = $a * $a * $a",),
    "div": ("$d = $a / $b",),
    "elu": (
        "$t = tl.where($a > 0.0, 0.0, $a)",
        *_EXPM1,
        "$d = tl.where($a > 0.0, $a, $b * tl.where($t > -0.25, $u, tl.exp($t) - 1.0))",
    ),
    "eq": ("$d = $a == $b",),
    "erf": ("$d = tl.erf($a)",),
    "exp": ("$d = tl.exp($a)",),
    "exp2": ("$d = tl.exp2($a)",),
    "expm1": (
        "$t = $a",
        *_EXPM1,
        "$d = tl.where(tl.abs($t) < 0.25, $u, tl.exp($t) - 1.0)",
    ),
    "float": ("$d = $a.to(tl.float32)",),
    "floor": ("$d = tl.floor($a)",),
    "ge": ("$d = $a >= $b",),
    "gelu": ("$d = 0.5 * $a * (1.0 + tl.erf($a * 0.7071067811865476))",),
    "gelu_tanh": (
        "$t = 0.7978845608028654 * ($a + 0.044715 * $a * $a * $a)",
        "$d = $a * tl.sigmoid(2.0 * $t)",
    ),
    "gt": ("$d = $a > $b",),
    "hardshrink": ("$d = tl.where(tl.abs($a) <= $b, 0.0, $a)",),
    "hardsigmoid": (
        "$t = tl.where($a < -3.0, -3.0, $a)",
        "$d = tl.where($t > 3.0, 1.0, ($t + 3.0) / 6.0)",
    ),
    "hardswish": ("$d = $a * tl.minimum(tl.maximum($a + 3.0, 0.0), 6.0) / 6.0",),
    "huber": (
        "$t = tl.abs($a)",
        "$d = tl.where($t < $b, 0.5 * $t * $t, $b * ($t - 0.5 * $b))",
    ),
    "le": ("$d = $a <= $b",),
    "leaky_relu": ("$d = tl.where($a > 0.0, $a, $a * $b)",),
    "lerp": ("$d = $a + $c * ($b - $a)",),
    "log": ("$d = tl.log($a)",),
    "log1p": (
        "$t = 1.0 + $a",
        "$u = ($a - ($t - 1.0)) / $t",
        "$d = tl.log($t) + tl.where(tl.abs($a) < 0.5, $u, 0.0)",
    ),
    "log2": ("$d = tl.log2($a)",),
    "logaddexp": (
        "$q = tl.maximum($a, $b" + _NAN,
        "$d = $q + tl.log(tl.exp($a - $q) + tl.exp($b - $q))",
    ),
    "logsigmoid": ("$d = tl.where($a < 0.0, $a, 0.0) - tl.log(1.0 + tl.exp(-tl.abs($a)))",),
    "lt": ("$d = $a < $b",),
    "maximum": ("$d = tl.maximum($a, $b" + _NAN,),
    "minimum": ("$d = tl.minimum($a, $b" + _NAN,),
    "mish": (
        "$t = tl.exp(tl.minimum($a, 20.0))",
        "$d = $a * ($t * ($t + 2.0)) / ($t * ($t + 2.0) + 2.0)",
    ),
    "mul": ("$d = $a * $b",),
    "ne": ("$d = $a != $b",),
    "neg": ("$d = -$a",),
    "not": ("$d = $a == 0",),
    "or": ("$d = $a | $b",),
    "pow": ("$d = tl.exp($b * tl.log($a))",),
    "prelu": ("$d = tl.where($a > 0.0, $a, $a * $b)",),
    "reciprocal": ("$d = 1.0 / $a",),
    "relu": ("$d = tl.where($a < 0.0, 0.0, $a)",),
    "rsqrt": ("$d = 1.0 / tl.sqrt($a)",),
    "selu": (
        "$t = tl.where($a > 0.0, 0.0, $a)",
        *_EXPM1,
        "$t = 1.6732632423543772 * tl.where($t > -0.25, $u, tl.exp($t) - 1.0)",
        "$d = 1.0507009873554805 * tl.where($a > 0.0, $a, $t)",
    ),
    "sigmoid": ("$d = tl.sigmoid($a)",),
    "sign": ("$d = tl.where($a > 0.0, 1.0, tl.where($a < 0.0, -1.0, 0.0))",),
    "silu": ("$d = $a * tl.sigmoid($a)",),
    "sin": ("$d = tl.sin($a)",),
    "sinh": ("$d = 0.5 * (tl.exp($a) - tl.exp(-$a))",),
    "smooth_l1": (
        "$t = tl.abs($a)",
        "$d = tl.where($t < $b, 0.5 * $t * $t / $b, $t - 0.5 * $b)",
    ),
    "softplus": ("$d = tl.where($a > 20.0, $a, tl.log(1.0 + tl.exp($a)))",),
    "softplus_beta": (
        "$t = $a * $b",
        "$d = tl.where($t > $c, $a, tl.log(1.0 + tl.exp($t)) / $b)",
    ),
    "softshrink": ("$d = tl.where($a > $b, $a - $b, tl.where($a < -$b, $a + $b, 0.0 * $a))",),
    "softsign": ("$d = $a / (1.0 + tl.abs($a))",),
    "sqrt": ("$d = tl.sqrt($a)",),
    "square": ("$d = $a * $a",),
    "sub": ("$d = $a - $b",),
    "tan": ("$d = tl.sin($a) / tl.cos($a)",),
    "tanh": (
        "$t = $a * $a",
        "$u = $a * " + _TANH,
        "$d = tl.where($t < 0.04, $u, 2.0 * tl.sigmoid(2.0 * $a) - 1.0)",
    ),
    "tanhshrink": (
        "$t = $a * $a",
        "$u = $a * " + _TANH,
        "$d = $a - tl.where($t < 0.04, $u, 2.0 * tl.sigmoid(2.0 * $a) - 1.0)",
    ),
    "threshold": ("$d = tl.where($a <= $b, $c, $a)",),
    "trunc": ("$d = tl.where($a < 0.0, tl.ceil($a), tl.floor($a))",),
    "where": ("$d = tl.where($a, $b, $c)",),
    "xlogx": ("$d = tl.where($a == 0.0, 0.0, $a * tl.log($a))",),
    "tril": ("$d = tl.where(offsets % tri_cols - offsets // tri_cols % tri_rows <= $b, $a, 0.0)",),
    "triu": ("$d = tl.where(offsets % tri_cols - offsets // tri_cols % tri_rows >= $b, $a, 0.0)",),
    "causal": (
        "$t = offsets % tri_cols - offsets // tri_cols % tri_rows",
        '$d = tl.where($t <= $b, $a, -float("inf"))',
    ),
}

#: Reductions of a row to one number.
REDUCING: dict[str, tuple[str, ...]] = {
    "argmax": ('$d = tl.argmax(tl.where(mask, $a, -float("inf")), axis=0)',),
    "argmin": ('$d = tl.argmin(tl.where(mask, $a, float("inf")), axis=0)',),
    "logsumexp": (
        '$q = tl.max(tl.where(mask, $a, -float("inf")), axis=0)',
        "$t = tl.where(mask, tl.exp($a - $q), 0.0)",
        "$d = $q + tl.log(tl.sum($t, axis=0))",
    ),
    "max": ('$d = tl.max(tl.where(mask, $a, -float("inf")), axis=0)',),
    "mean": ("$d = tl.sum(tl.where(mask, $a, 0.0), axis=0) / n_cols",),
    "min": ('$d = tl.min(tl.where(mask, $a, float("inf")), axis=0)',),
    "norm1": ("$d = tl.sum(tl.where(mask, tl.abs($a), 0.0), axis=0)",),
    "norm2": ("$d = tl.sqrt(tl.sum(tl.where(mask, $a * $a, 0.0), axis=0))",),
    "prod": (
        "$t = tl.cumprod(tl.where(mask, $a, 1.0), axis=0)",
        "$d = tl.sum(tl.where(cols == BLOCK - 1, $t, 0.0), axis=0)",
    ),
    "pick": ("$d = tl.sum(tl.where(cols == $b, $a, 0.0), axis=0)",),
    "std0": (
        "$t = tl.sum(tl.where(mask, $a, 0.0), axis=0) / n_cols",
        "$u = tl.where(mask, $a - $t, 0.0)",
        "$d = tl.sqrt(tl.sum($u * $u, axis=0) / n_cols)",
    ),
    "std1": (
        "$t = tl.sum(tl.where(mask, $a, 0.0), axis=0) / n_cols",
        "$u = tl.where(mask, $a - $t, 0.0)",
        "$d = tl.sqrt(tl.sum($u * $u, axis=0) / (n_cols - 1))",
    ),
    "sum": ("$d = tl.sum(tl.where(mask, $a, 0.0), axis=0)",),
    "var0": (
        "$t = tl.sum(tl.where(mask, $a, 0.0), axis=0) / n_cols",
        "$u = tl.where(mask, $a - $t, 0.0)",
        "$d = tl.sum($u * $u, axis=0) / n_cols",
    ),
    "var1": (
        "$t = tl.sum(tl.where(mask, $a, 0.0), axis=0) / n_cols",
        "$u = tl.where(mask, $a - $t, 0.0)",
        "$d = tl.sum($u * $u, axis=0) / (n_cols - 1)",
    ),
}

#: Operations on a row that keep its shape.
ROWWISE: dict[str, tuple[str, ...]] = {
    "cumprod": ("$d = tl.cumprod($a, axis=0)",),
    "cumsum": ("$d = tl.cumsum($a, axis=0)",),
    "layer_norm": (
        "$t = tl.sum(tl.where(mask, $a, 0.0), axis=0) / n_cols",
        "$u = tl.where(mask, $a - $t, 0.0)",
        "$t = tl.sum($u * $u, axis=0) / n_cols",
        "$d = $u / tl.sqrt($t + $b)",
    ),
    "log_softmax": (
        '$q = tl.max(tl.where(mask, $a, -float("inf")), axis=0)',
        "$t = tl.where(mask, tl.exp($a - $q), 0.0)",
        "$d = $a - $q - tl.log(tl.sum($t, axis=0))",
    ),
    "normalize": (
        "$t = tl.sqrt(tl.sum(tl.where(mask, $a * $a, 0.0), axis=0))",
        "$d = $a / tl.where($t < $b, $b, $t)",
    ),
    "rms_norm": (
        "$t = tl.sum(tl.where(mask, $a * $a, 0.0), axis=0) / n_cols",
        "$d = $a / tl.sqrt($t + $b)",
    ),
    "softmax": (
        '$q = tl.max(tl.where(mask, $a, -float("inf")), axis=0)',
        "$t = tl.where(mask, tl.exp($a - $q), 0.0)",
        "$d = $t / tl.sum($t, axis=0)",
    ),
}


#: Row operations block by block: what starts them, what a block adds, and what ends them.
PASSES: dict[str, tuple[str, ...]] = {
    "sum_start": ("$d = zeros",),
    "sum_on": ("$a = $a + tl.where(mask, $b, 0.0)",),
    "sum_end": ("$d = tl.sum($a, axis=0)",),
    "mean_end": ("$d = tl.sum($a, axis=0) / n_cols",),
    "mean1_end": ("$d = tl.sum($a, axis=0) / (n_cols - 1)",),
    "max_start": ('$d = zeros - float("inf")',),
    "max_on": ('$a = tl.maximum($a, tl.where(mask, $b, -float("inf")))',),
    "max_end": ("$d = tl.max($a, axis=0)",),
    "min_start": ('$d = zeros + float("inf")',),
    "min_on": ('$a = tl.minimum($a, tl.where(mask, $b, float("inf")))',),
    "min_end": ("$d = tl.min($a, axis=0)",),
    "prod_start": ("$d = zeros + 1.0",),
    "prod_on": ("$a = $a * tl.where(mask, $b, 1.0)",),
    "prod_end": (
        "$t = tl.cumprod($a, axis=0)",
        "$d = tl.sum(tl.where(inner == BLOCK - 1, $t, 0.0), axis=0)",
    ),
    "place_start": ("$d = zeros.to(tl.int32)",),
    "argmax_start": ('$d = zeros - float("inf")',),
    "argmax_on": (
        '$t = tl.where(mask, $c, -float("inf"))',
        "$b = tl.where($t > $a, cols, $b)",
        "$a = tl.maximum($a, $t)",
    ),
    "argmax_end": (
        "$t = tl.max($a, axis=0)",
        "$d = tl.min(tl.where($a == $t, $b, n_cols), axis=0)",
    ),
    "argmin_start": ('$d = zeros + float("inf")',),
    "argmin_on": (
        '$t = tl.where(mask, $c, float("inf"))',
        "$b = tl.where($t < $a, cols, $b)",
        "$a = tl.minimum($a, $t)",
    ),
    "argmin_end": (
        "$t = tl.min($a, axis=0)",
        "$d = tl.min(tl.where($a == $t, $b, n_cols), axis=0)",
    ),
    "pick_on": ("$a = $a + tl.where(cols == $c, $b, 0.0)",),
    "sum_carry": ("$d = tl.sum(zeros, axis=0)",),
    "prod_carry": ("$d = tl.sum(zeros, axis=0) + 1.0",),
    "cumsum_on": (
        "$d = tl.cumsum($a, axis=0) + $b",
        "$b = $b + tl.sum(tl.where(mask, $a, 0.0), axis=0)",
    ),
    "cumprod_on": (
        "$t = tl.cumprod(tl.where(mask, $a, 1.0), axis=0)",
        "$d = $t * $b",
        "$b = $b * tl.sum(tl.where(inner == BLOCK - 1, $t, 0.0), axis=0)",
    ),
    "end": (),
}

_INSIDE = "mask=mask & (td >= 0) & (td < in_d) & (th >= 0) & (th < in_h) & (tw >= 0) & (tw < in_w)"
_WINDOW = (
    "for tap in range(0, taps_d * taps_h * taps_w):",
    "    td = d + tap // (taps_h * taps_w) * gap_d",
    "    th = h + tap // taps_w % taps_h * gap_h",
    "    tw = w + tap % taps_w * gap_w",
)
_AT = "((plane * in_d + td) * in_h + th) * in_w + tw"
_CONV = (
    "for start in range(0, n_inner * taps, BLOCK_K):",
    "    inner = start + tl.arange(0, BLOCK_K)",
    "    channel = group * n_inner + inner // taps",
    "    tap = inner % taps",
    "    inside = (inner < n_inner * taps)[None, :] & (image < n_images)",
)
_GATHER = (
    "    inside = inside & (td >= 0) & (td < in_d) & (th >= 0) & (th < in_h)",
    "    inside = inside & (tw >= 0) & (tw < in_w)",
    "    place = ((image * n_groups * n_inner + channel[None, :]) * in_d + td) * in_h + th",
    "    left = tl.load($a + place * in_w + tw, mask=inside, other=0.0)",
)
_MULTIPLY = (
    '    acc = tl.dot(left, right, acc, input_precision="ieee")',
    "$d = acc",
)
_DEPTH = (
    "for start in range(0, n_inner, BLOCK_K):",
    "    inner = start + tl.arange(0, BLOCK_K)",
)

#: What begins a stage that is a product, a convolution or a window.
HEAVY: dict[str, tuple[str, ...]] = {
    "matmul": (
        *_DEPTH,
        "    inside = (rows < n_rows) & (inner < n_inner)[None, :]",
        "    left = tl.load($a + rows * a_row + inner[None, :] * a_inner, mask=inside, other=0.0)",
        "    inside = (inner < n_inner)[:, None] & (cols < n_cols)",
        "    right = tl.load($b + inner[:, None] * b_inner + cols * b_col, mask=inside, other=0.0)",
        *_MULTIPLY,
    ),
    "bmm": (
        *_DEPTH,
        "    inside = (rows < n_rows) & (inner < n_inner)[None, :]",
        "    place = batch * a_batch + rows * a_row + inner[None, :] * a_inner",
        "    left = tl.load($a + place, mask=inside, other=0.0)",
        "    inside = (inner < n_inner)[:, None] & (cols < n_cols)",
        "    place = batch * b_batch + inner[:, None] * b_inner + cols * b_col",
        "    right = tl.load($b + place, mask=inside, other=0.0)",
        *_MULTIPLY,
    ),
    "conv": (
        *_CONV,
        "    td = d * step_d - pad_d + (tap // (taps_h * taps_w) * gap_d)[None, :]",
        "    th = h * step_h - pad_h + (tap // taps_w % taps_h * gap_h)[None, :]",
        "    tw = w * step_w - pad_w + (tap % taps_w * gap_w)[None, :]",
        *_GATHER,
        "    inside = (inner < n_inner * taps)[:, None] & (lane < per_group)",
        "    place = cols * n_inner * taps + inner[:, None]",
        "    right = tl.load($b + place, mask=inside, other=0.0)",
        *_MULTIPLY,
    ),
    "convt": (
        *_CONV,
        "    td = d + pad_d - (tap // (taps_h * taps_w) * gap_d)[None, :]",
        "    th = h + pad_h - (tap // taps_w % taps_h * gap_h)[None, :]",
        "    tw = w + pad_w - (tap % taps_w * gap_w)[None, :]",
        "    inside = inside & (td % step_d == 0) & (th % step_h == 0) & (tw % step_w == 0)",
        "    inside = inside & (td >= 0) & (th >= 0) & (tw >= 0)",
        "    td = td // step_d",
        "    th = th // step_h",
        "    tw = tw // step_w",
        *_GATHER,
        "    inside = (inner < n_inner * taps)[:, None] & (lane < per_group)",
        "    place = (channel[:, None] * per_group + lane) * taps + tap[:, None]",
        "    right = tl.load($b + place, mask=inside, other=0.0)",
        *_MULTIPLY,
    ),
    "depthwise": (
        "channel = plane % n_channels",
        "plane = plane // n_channels * in_channels + channel // (n_channels // in_channels)",
        "acc = tl.zeros([BLOCK], tl.float32)",
        *_WINDOW,
        f"    inside = {_INSIDE[5:]}",
        f"    near = tl.load($a + {_AT}, mask=inside, other=0.0).to(tl.float32)",
        "    place = channel * taps_d * taps_h * taps_w + tap",
        "    acc += near * tl.load($b + place, mask=mask, other=0.0).to(tl.float32)",
        "$d = acc",
    ),
    "max_pool": (
        'acc = tl.zeros([BLOCK], tl.float32) - float("inf")',
        *_WINDOW,
        f"    inside = {_INSIDE[5:]}",
        f'    near = tl.load($a + {_AT}, mask=inside, other=-float("inf")).to(tl.float32)',
        "    acc = tl.maximum(acc, near, propagate_nan=tl.PropagateNan.ALL)",
        "$d = acc",
    ),
    "avg_pool": (
        "acc = tl.zeros([BLOCK], tl.float32)",
        *_WINDOW,
        f"    inside = {_INSIDE[5:]}",
        f"    acc += tl.load($a + {_AT}, mask=inside, other=0.0).to(tl.float32)",
        "$d = acc / (taps_d * taps_h * taps_w)",
    ),
    "avg_pool_inside": (
        "acc = tl.zeros([BLOCK], tl.float32)",
        "count = tl.zeros([BLOCK], tl.float32)",
        *_WINDOW,
        f"    inside = {_INSIDE[5:]}",
        f"    acc += tl.load($a + {_AT}, mask=inside, other=0.0).to(tl.float32)",
        "    count += inside.to(tl.float32)",
        "$d = acc / count",
    ),
}

LOADS: dict[str, tuple[str, ...]] = {
    "load": ("$d = tl.load($a + offsets, mask=mask, other=0.0).to(tl.float32)",),
    "vec": ("$d = tl.load($a + offsets % $z, mask=mask, other=0.0).to(tl.float32)",),
    "chan": ("$d = tl.load($a + offsets // $y % $z, mask=mask, other=0.0).to(tl.float32)",),
    "one": ("$d = tl.load($a).to(tl.float32)",),
    "row": ("$d = tl.load($a + row)",),
}
_LINE_LOADS = {"row": ("$d = tl.load($a + outer * stride + lane, mask=lane < stride, other=0)",)}

OPERATIONS = POINTWISE | REDUCING | ROWWISE | PASSES | HEAVY | LOADS

_ROW = ("row = tl.program_id(0).to(tl.int64)",)
_LANES = (
    "share = tl.cdiv(stride, LANES)",
    "pid = tl.program_id(0).to(tl.int64)",
    "outer = pid // share",
    "lane = pid % share * LANES + tl.arange(0, LANES)",
)
_ACROSS = "offsets = (cols // stride * n_channels + row) * stride + cols % stride"
_LINED = "mask = (cols < n_cols) & (lane < stride)[None, :]"
_ALONG = "offsets = (outer * n_cols + cols) * stride + lane[None, :]"
_TILE = (
    "acc = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)",
    "mask = (rows < n_rows) & (cols < n_cols)",
)
_SPOT = (
    "d = spot // (out_h * out_w)",
    "h = spot // out_w % out_h",
    "w = spot % out_w",
)
_IMAGE = (
    "taps = taps_d * taps_h * taps_w",
    "space = out_d * out_h * out_w",
    "per_group = n_channels // n_groups",
    "tiles = tl.cdiv(per_group, BLOCK_N)",
    "pid = tl.program_id(0)",
    "group = pid // tiles % n_groups",
    "rows = (pid // (tiles * n_groups)).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]",
    "lane = pid % tiles * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]",
    "cols = group * per_group + lane",
    "image = rows // space",
    "spot = (rows % space).to(tl.int32)",
    *_SPOT,
    "acc = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)",
    "mask = (image < n_images) & (lane < per_group)",
    "offsets = (image * n_channels + cols) * space + spot",
)
_FLAT = (
    "offsets = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)",
    "mask = offsets < n_elements",
)

#: How each layout places its programs.
HEADS: dict[str, tuple[str, ...]] = {
    "flat": _FLAT,
    "total": _FLAT,
    "rows": (
        *_ROW,
        "cols = tl.arange(0, BLOCK)",
        "mask = cols < n_cols",
        "offsets = row * n_cols + cols",
    ),
    "channel": (*_ROW, "cols = tl.arange(0, BLOCK)", "mask = cols < n_cols", _ACROSS),
    "lines": (*_LANES, "cols = tl.arange(0, BLOCK)[:, None]", _LINED, _ALONG),
    "long_rows": (*_ROW, "inner = tl.arange(0, BLOCK)", "zeros = tl.zeros([BLOCK], tl.float32)"),
    "long_lines": (
        *_LANES,
        "inner = tl.arange(0, BLOCK)[:, None]",
        "zeros = tl.zeros([BLOCK, LANES], tl.float32)",
    ),
    "matmul": (
        "tiles = tl.cdiv(n_cols, BLOCK_N)",
        "pid = tl.program_id(0)",
        "rows = (pid // tiles).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]",
        "cols = pid % tiles * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]",
        *_TILE,
        "offsets = rows * n_cols + cols",
    ),
    "bmm": (
        "tiles = tl.cdiv(n_cols, BLOCK_N)",
        "pid = tl.program_id(0)",
        "rows = pid // tiles % tl.cdiv(n_rows, BLOCK_M) * BLOCK_M",
        "rows = rows.to(tl.int64) + tl.arange(0, BLOCK_M)[:, None]",
        "cols = pid % tiles * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]",
        "batch = (pid // tiles // tl.cdiv(n_rows, BLOCK_M)).to(tl.int64)",
        *_TILE,
        "offsets = (batch * n_rows + rows) * n_cols + cols",
    ),
    "conv": _IMAGE,
    "convt": _IMAGE,
    "window": (
        *_FLAT,
        "space = out_d * out_h * out_w",
        "plane = offsets // space",
        "spot = (offsets % space).to(tl.int32)",
        "d = spot // (out_h * out_w) * step_d - pad_d",
        "h = spot // out_w % out_h * step_h - pad_h",
        "w = spot % out_w * step_w - pad_w",
    ),
}
HEADS["long_channel"] = HEADS["long_rows"]

_BLOCKS = ("for start in range(0, n_cols, BLOCK):", "cols = start + inner")
LOOPS: dict[str, tuple[str, ...]] = {
    "long_rows": (*_BLOCKS, "mask = cols < n_cols", "offsets = row * n_cols + cols"),
    "long_channel": (*_BLOCKS, "mask = cols < n_cols", _ACROSS),
    "long_lines": (*_BLOCKS, _LINED, _ALONG),
}

#: Sizes of blocks and numbers of warps, the usual one first: candidates of one problem differ here.
_SIZES = {
    "flat": ((1024, 4), (2048, 8), (512, 4), (4096, 8)),
    "total": ((4096, 8), (2048, 4), (8192, 8), (1024, 4)),
    "window": ((256, 4), (512, 4), (128, 4), (1024, 8)),
    "rows": ((256, 16), (512, 8), (128, 16)),
    "channel": ((256, 16), (512, 8), (128, 16)),
    "lines": ((16, 8), (32, 8), (16, 4)),
    "long_rows": ((4096, 8), (2048, 8), (8192, 16), (1024, 4)),
    "long_channel": ((2048, 8), (4096, 8), (1024, 4)),
}
_LINE_TILES = ((32, 64, 4), (64, 32, 4), (16, 128, 4), (64, 64, 8))
_CONV_TILES = ((64, 32, 16, 8), (32, 32, 16, 4), (32, 64, 16, 8), (64, 64, 16, 8))
_TILES = ((64, 64, 16, 4), (32, 64, 32, 4), (128, 64, 16, 8), (64, 32, 32, 4), (32, 32, 32, 4))


def answer(plan: Plan, choice: random.Random | None = None) -> str:
    """The answer that the model is to learn for ``plan``, with placeholders.

    Each step is named again before it is written in Triton: copying and translating are easier
    to learn one after the other, and the reader drops the copy. ``choice`` draws the sizes of
    blocks, the usual ones most often; without it they are the usual ones.
    """
    lines: list[str] = []
    for label, (graph, first) in enumerate(zip(plan.graphs, plan.firsts(), strict=True)):
        lines += [graph.head(label), *HEADS[graph.layout]]
        for index, step in enumerate(graph.steps):
            lines.append(f"@{first + index} {step.operation}")
            lines += _written(step.operation, graph.layout)
        lines += _stored(graph)
    lines.append("---")
    for label, graph in enumerate(plan.graphs):
        lines += [graph.head(label), *_forward(graph, choice)]
    return "\n".join([*lines, "---"]) + "\n"


def _written(operation: str, layout: str) -> tuple[str, ...]:
    if operation == "loop":
        return LOOPS[layout]
    if layout.endswith("lines") and operation in _LINE_LOADS:
        return _LINE_LOADS[operation]
    return OPERATIONS[operation]


def _stored(graph: Graph) -> tuple[str, ...]:
    if graph.layout == "total":
        if graph.stored in ("max", "min"):
            edge = '-float("inf")' if graph.stored == "max" else 'float("inf")'
            kept = f"$d = tl.where(mask, $d, {edge})"
        else:
            kept = "$d = tl.where(mask, $d, 0.0)"
        fold = graph.stored if graph.stored in ("max", "min") else "sum"
        return (kept, f"tl.store(out_ptr + tl.program_id(0), tl.{fold}($d, axis=0))")
    if graph.stored == "block":
        return ("tl.store(out_ptr + offsets, $d, mask=mask)",)
    if graph.layout.endswith("lines"):
        return ("tl.store(out_ptr + outer * stride + lane, $d, mask=lane < stride)",)
    return ("tl.store(out_ptr + row, $d)",)


def _drawn(options: tuple[tuple[int, ...], ...], choice: random.Random | None) -> tuple[int, ...]:
    if choice is None or choice.random() < 0.6:
        return options[0]
    return choice.choice(options)


def _forward(graph: Graph, choice: random.Random | None) -> list[str]:
    """Allocation, sizes, launch and what follows it."""
    base = graph.layout.removeprefix("long_")
    if base in ("matmul", "bmm", "conv", "convt"):
        return _product(graph, choice)
    if base == "window":
        return _window(graph, choice)
    if base in ("flat", "total"):
        size, warps = _drawn(_SIZES[base], choice)
        lines = ["$out = torch.empty_like($in0)", "$n = $out.numel()"]
        if base == "total":
            lines = ["$n = $in0.numel()"]
            lines += [f"$out = $in0.new_empty(triton.cdiv($n, {size}), dtype=torch.float32)"]
        lines += _launch(f"triton.cdiv($n, {size})", f"BLOCK={size}", warps)
        folds = {
            "sum": "$out.sum()",
            "mean": "($out.sum() / $n)",
            "max": "$out.max()",
            "min": "$out.min()",
        }
        return lines + ([f"$out = {folds[graph.stored]}.to($in0.dtype)"] if base == "total" else [])
    return _rows(graph, base, choice)


def _launch(grid: str, blocks: str, warps: int | str) -> list[str]:
    return [f"$k[({grid},)](", "    $args,", f"    {blocks},", f"    num_warps={warps},", ")"]


def _rows(graph: Graph, base: str, choice: random.Random | None) -> list[str]:
    made = {
        "block": "torch.empty_like($in0)",
        "one": "$in0.new_empty($shape)",
        "index": "$in0.new_empty($shape, dtype=torch.int64)",
    }
    lines = [f"$out = {made.get(graph.stored, '$in0.new_empty($shape, dtype=torch.float32)')}"]
    lines.append("$n = $size")
    is_long = graph.layout != base
    if base == "lines":
        lines.append("$s = $stride")
        if is_long:
            block, lanes, warps = _drawn(_LINE_TILES, choice)
            blocks = f"BLOCK={block}, LANES={lanes}"
        else:
            lanes, warps = _drawn(_SIZES[base], choice)
            lines.append("$b = triton.next_power_of_2($n)")
            blocks = f"BLOCK=$b, LANES={lanes}"
        lines += _launch(f"$in0.numel() // ($n * $s) * triton.cdiv($s, {lanes})", blocks, warps)
    else:
        if base == "channel":
            lines += ["$m = $in0.shape[1]", "$s = $stride"]
        grid = "$in0.shape[1]" if base == "channel" else "$in0.numel() // $n"
        if is_long:
            block, warps = _drawn(_SIZES[graph.layout], choice)
            lines += _launch(grid, f"BLOCK={block}", warps)
        else:
            share, most = _drawn(_SIZES[base], choice)
            lines.append("$b = triton.next_power_of_2($n)")
            lines += _launch(grid, "BLOCK=$b", f"min(max($b // {share}, 1), {most})")
    over = {"rowsum": "sum", "rowmean": "mean"}
    if graph.stored in over:
        lines.append(f"$out = $out.{over[graph.stored]}().to($in0.dtype)")
    return lines


def _product(graph: Graph, choice: random.Random | None) -> list[str]:
    is_conv = graph.layout in ("conv", "convt")
    m, n, k, warps = _drawn(_CONV_TILES if is_conv else _TILES, choice)
    grid = f"triton.cdiv($m, {m}) * triton.cdiv($n, {n})"
    if graph.layout == "matmul":
        lines = ["$out = $in0.new_empty($shape)", "$m, $r = $in0.shape", "$n = $in1.shape[1]"]
    elif graph.layout == "bmm":
        lines = ["$out = $in0.new_empty($shape)", "_, $m, $r = $in0.shape", "$n = $in1.shape[2]"]
        grid = f"$in0.shape[0] * {grid}"
    else:
        size = "(size + 2 * pad - gap * (tap - 1) - 1) // step + 1"
        names = "size, tap, step, pad, gap"
        given = "$in0.shape[2:], $in1.shape[2:], $step, $pad, $gap"
        channels = "$in1.shape[0]"
        if graph.layout == "convt":
            size = "(size - 1) * step - 2 * pad + gap * (tap - 1) + more + 1"
            names, given = f"{names}, more", f"{given}, $more"
            channels = "$in1.shape[1] * $groups"
        lines = [
            f"$h = [{size} for {names} in zip({given})]",
            f"$out = $in0.new_empty(($in0.shape[0], {channels}, *$h))",
            "$m = $in0.shape[0] * $out.shape[2:].numel()",
            "$n = $out.shape[1] // $groups",
        ]
        grid = f"$groups * {grid}"
    return lines + _launch(grid, f"BLOCK_M={m}, BLOCK_N={n}, BLOCK_K={k}", warps)


def _window(graph: Graph, choice: random.Random | None) -> list[str]:
    size, warps = _drawn(_SIZES["window"], choice)
    is_conv = any(step.operation == "depthwise" for step in graph.steps)
    channels = "$in1.shape[0]" if is_conv else "$in0.shape[1]"
    names = "size, tap, step, pad, gap"
    return [
        f"$h = [(size + 2 * pad - gap * (tap - 1) - 1) // step + 1 for {names} in "
        "zip($in0.shape[2:], $reach, $step, $pad, $gap)]",
        f"$out = $in0.new_empty(($in0.shape[0], {channels}, *$h))",
        "$n = $out.numel()",
        *_launch(f"triton.cdiv($n, {size})", f"BLOCK={size}", warps),
    ]
