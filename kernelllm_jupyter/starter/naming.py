"""The user's own names and numbers for every placeholder of a graph.

Two scopes: inside the Triton kernel an input ``x`` is the pointer ``x_ptr``, and its loaded block
is ``x``; inside ``forward`` it is the tensor ``x``. A value is called what the source calls it
where that is safe, else after its operation.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kernelllm_jupyter.starter.graph import Graph, Operand, Plan, Stage, Weight

__all__ = ["Names", "kernel_name", "names_for"]

#: Names that answers use themselves.
_RESERVED = frozenset(
    (  # noqa: SIM905
        "tl triton torch nn self math offsets mask row cols lane block out float tensor zeros "
        "start acc pid tile tiles outer rows inner batch left right group image spot plane "
        "channel tap taps space per_group inside d h w td th tw out_ptr n_elements n_cols n_rows "
        "n_inner n_channels n_groups n_images stride lanes peak near t share a_batch a_row "
        "a_inner b_batch b_inner b_col in_channels in_d in_h in_w out_d out_h out_w taps_d taps_h "
        "taps_w step_d step_h step_w pad_d pad_h pad_w gap_d gap_h gap_w tri_rows tri_cols BLOCK "
        "LANES BLOCK_M BLOCK_N BLOCK_K count grid place"
    ).split()
)
_SPACE = (
    "in_d in_h in_w out_d out_h out_w taps_d taps_h taps_w step_d step_h step_w pad_d pad_h pad_w "
    "gap_d gap_h gap_w"
)
#: The integers that a layout's Triton kernel takes after its tensors and numbers, and what
#: ``forward`` passes for them.
_OWN = {
    "flat": ("n_elements", "$n"),
    "total": ("n_elements", "$n"),
    "rows": ("n_cols", "$n"),
    "lines": ("n_cols stride", "$n, $s"),
    "channel": ("n_cols n_channels stride", "$n, $m, $s"),
    "matmul": (
        "n_rows n_cols n_inner a_row a_inner b_inner b_col",
        "$m, $n, $r, *$in0.stride(), *$in1.stride()",
    ),
    "bmm": (
        "n_rows n_cols n_inner a_batch a_row a_inner b_batch b_inner b_col",
        "$m, $n, $r, *$in0.stride(), *$in1.stride()",
    ),
    "conv": (
        f"n_images n_channels n_groups n_inner {_SPACE}",
        "$in0.shape[0], $in1.shape[0], $groups, $in1.shape[1], *$in0.shape[2:], *$out.shape[2:], "
        "*$in1.shape[2:], *$step, *$pad, *$gap",
    ),
    "convt": (
        f"n_images n_channels n_groups n_inner {_SPACE}",
        "$in0.shape[0], $out.shape[1], $groups, $in1.shape[0] // $groups, *$in0.shape[2:], "
        "*$out.shape[2:], *$in1.shape[2:], *$step, *$pad, *$gap",
    ),
    "window": (
        f"n_elements in_channels n_channels {_SPACE}",
        "$n, $in0.shape[1], $out.shape[1], *$in0.shape[2:], *$out.shape[2:], *$reach, *$step, "
        "*$pad, *$gap",
    ),
}
_NOUNS = {
    "add": "added",
    "sub": "difference",
    "mul": "product",
    "div": "quotient",
    "square": "squared",
    "cube": "cubed",
    "neg": "negated",
    "abs": "magnitude",
    "float": "flag",
    "clamp": "clamped",
    "clamp_min": "clamped",
    "clamp_max": "clamped",
    "where": "chosen",
    "sum": "row_sum",
    "mean": "row_mean",
    "max": "row_max",
    "min": "row_min",
    "norm1": "row_norm",
    "norm2": "row_norm",
    "var0": "variance",
    "var1": "variance",
    "std0": "deviation",
    "std1": "deviation",
    "lerp": "mixed",
    "gt": "is_greater",
    "ge": "is_greater",
    "lt": "is_less",
    "le": "is_less",
    "eq": "is_equal",
    "ne": "is_different",
    "and": "both",
    "or": "either",
    "not": "opposite",
    "exp": "exponential",
    "log": "logarithm",
    "normalize": "normalized",
    "layer_norm": "normalized",
    "rms_norm": "normalized",
    "matmul": "product",
    "bmm": "product",
    "conv": "convolved",
    "convt": "convolved",
    "depthwise": "convolved",
    "max_pool": "largest",
    "avg_pool": "average",
    "cumsum": "running",
    "cumprod": "running",
    "pick": "picked",
    "row": "target",
    "row_load": "target",
    "prod": "row_product",
    "argmax": "place",
    "argmin": "place",
    "mean1": "variance",
    "loop": "_loop",
    "end": "_end",
}
_GENERIC = frozenset({"model", "net", "module", "my_model", "my_module", "network", "simple_model"})


@dataclass(frozen=True)
class Names:
    """What stands for each placeholder in one stage's Triton kernel and in ``forward``."""

    kernel: dict[str, str]
    forward: dict[str, str]
    #: The arguments of the Triton kernel, in the order in which they are passed.
    signature: tuple[str, ...]
    kernel_name: str
    #: Inside the Triton kernel, by step: its value, its operands and its constants.
    steps: tuple[dict[str, str], ...]


def names_for(plan: Plan, class_name: str, arguments: tuple[str, ...]) -> tuple[Names, ...]:
    """Names for every stage of ``plan``; ``arguments`` are those of ``forward``."""
    titles: set[str] = {*arguments}
    found = []
    for stage in plan.stages:
        alone = len(plan.stages) == 1
        title = kernel_name(stage.graph, class_name if alone else "Model")
        title = _fresh(title, titles)
        found.append(_stage_names(stage, title, arguments))
    return tuple(found)


def _stage_names(stage: Stage, title: str, arguments: tuple[str, ...]) -> Names:
    graph = stage.graph
    kernel: dict[str, str] = {"$out": "out_ptr"}
    forward: dict[str, str] = {"$out": stage.out, "$k": title}
    taken = set(_RESERVED)
    local = {*arguments, "self", "torch", "triton", "tl", "nn", "tensor", stage.out}
    signature: list[str] = []
    passed: list[str] = []
    tensors: dict[str, Sequence[Operand | Weight]] = {"in": graph.inputs, "w": graph.weights}
    for kind, items in tensors.items():
        for index, item in enumerate(items):
            kernel[f"${kind}{index}"] = _fresh(f"{item.name}_ptr", taken)
            forward[f"${kind}{index}"] = item.text
            signature.append(kernel[f"${kind}{index}"])
            passed.append(item.text)
    for index, number in enumerate(graph.numbers):
        kernel[f"$p{index}"] = _fresh(number.name, taken)
        forward[f"$p{index}"] = number.text if number.is_float else f"float({number.text})"
        signature.append(kernel[f"$p{index}"])
        passed.append(forward[f"$p{index}"])
    signature.append("out_ptr")
    passed.append(stage.out)
    sizes = _sizes(graph, taken, signature, passed)
    texts = dict(graph.texts)
    base = graph.layout.removeprefix("long_")
    own, given = _OWN[base]
    signature += own.split()
    passed.append(given)
    if "needs_columns" in texts:
        signature += ["tri_rows", "tri_cols"]
        passed.append("$out.shape[-2], $out.shape[-1]")
    for key, text in texts.items():
        forward[f"${key}"] = text
    if "reach" not in texts and base == "window":
        forward["$reach"] = f"{graph.inputs[1].text}.shape[2:]"
    counted = "n_elements" if base in ("flat", "total", "window") else "n_cols"
    for placeholder, name in (
        ("$n", counted),
        ("$s", "stride"),
        ("$m", "n_channels" if base == "channel" else "n_rows"),
        ("$r", "n_inner"),
        ("$b", "block"),
        ("$h", "sizes"),
    ):
        forward[placeholder] = _fresh(name, local)
    joined = ", ".join(passed)
    forward["$args"] = re.sub(
        r"\$[a-z]+\d*", lambda match: forward.get(match.group(), match.group()), joined
    )
    for index, value in enumerate(graph.constants):
        kernel[f"$c{index}"] = _literal(value)
    is_long = graph.layout.startswith("long_")
    for index, name in enumerate(_values(graph, taken, is_long)):
        kernel[f"$v{index}"] = name
    steps = tuple(_step_names(graph, kernel, sizes, is_long))
    return Names(kernel, forward, tuple(signature), title, steps)


def _sizes(
    graph: Graph, taken: set[str], signature: list[str], passed: list[str]
) -> dict[str, tuple[str, str]]:
    """The names of how long weights are that repeat along a row, and how far their elements are
    apart there; both become arguments of the kernel."""
    found: dict[str, tuple[str, str]] = {}
    for index, weight in enumerate(graph.weights):
        if weight.load not in ("vec", "chan"):
            continue
        size, inner = _fresh(f"{weight.name}_size", taken), ""
        signature.append(size)
        passed.append(f"{weight.text}.numel()")
        if weight.load == "chan":
            inner = _fresh(f"{weight.name}_inner", taken)
            signature.append(inner)
            passed.append(weight.inner)
        found[f"$w{index}"] = (size, inner)
    return found


def _step_names(
    graph: Graph, kernel: dict[str, str], sizes: dict[str, tuple[str, str]], is_long: bool
) -> Iterator[dict[str, str]]:
    """For each step what its own placeholders stand for."""
    for index, step in enumerate(graph.steps):
        names = {f"${letter}": kernel[o] for letter, o in zip("abc", step.operands, strict=False)}
        names["$d"] = kernel[f"$v{index}"]
        for letter, name in (("t", "t"), ("u", "near"), ("q", "peak")):
            names[f"${letter}"] = f"{name}_{index}" if is_long else name
        if step.operands and step.operands[0] in sizes:
            names["$z"], names["$y"] = sizes[step.operands[0]]
        yield names


def kernel_name(graph: Graph, class_name: str) -> str:
    """After the class where its name says something, else after the operations."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", class_name).lower()
    snake = re.sub(r"_?(model|module|layer|new)$", "", snake) or "model"
    if snake not in _GENERIC and not re.fullmatch(r"model_?\w?\d*", snake):
        return f"{snake}_kernel"
    operations = [step.operation for step in graph.steps if step.operation not in _LOADS]
    operations = [name for name in operations if not name.endswith(("_on", "_start", "_carry"))]
    if graph.layout == "total":
        operations.append(graph.stored)
    operations = [name.removesuffix("_end") for name in operations]
    distinct = list(dict.fromkeys(re.sub(r"\d$", "", name) for name in operations))
    return "_".join([*distinct[:4], "kernel"])


_LOADS = frozenset({"load", "row", "vec", "chan", "one", "float", "loop", "end"})


def _values(graph: Graph, taken: set[str], is_long: bool) -> list[str]:
    """One name per value; where nothing loops, one is used again once its value is not needed."""
    last_use = [
        len(graph.steps) if i == len(graph.steps) - 1 else i for i in range(len(graph.steps))
    ]
    for index, step in enumerate(graph.steps):
        for operand in step.operands:
            if operand.startswith("$v"):
                last_use[int(operand[2:])] = max(last_use[int(operand[2:])], index)
    free_from: dict[str, int] = {}
    names: list[str] = []
    for index, step in enumerate(graph.steps):
        given = graph.names[index] if index < len(graph.names) else None
        operation = step.operation.removesuffix("_end")
        wanted = given or _NOUNS.get(operation, operation)
        if index == len(graph.steps) - 1 and given is None:
            wanted = "result"
        is_free = wanted in free_from and free_from[wanted] <= index
        name = wanted if is_free and given is not None and not is_long else _fresh(wanted, taken)
        free_from[name] = last_use[index]
        names.append(name)
    return names


def _fresh(name: str, taken: set[str]) -> str:
    if keyword.iskeyword(name):
        name += "_"
    found, count = name, 2
    while found in taken:
        found = f"{name}_{count}"
        count += 1
    taken.add(found)
    return found


def _literal(value: float) -> str:
    if value != value:
        return 'float("nan")'
    if value in (float("inf"), float("-inf")):
        return 'float("inf")' if value > 0 else '-float("inf")'
    return repr(float(value))
