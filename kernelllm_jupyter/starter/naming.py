"""The user's own names and numbers for every placeholder of a graph.

Two scopes: inside the Triton kernel an input ``x`` is the pointer ``x_ptr``, and its loaded block
is ``x``; inside ``forward`` it is the tensor ``x``. A value is called what the source calls it
where that is safe, else after its operation.
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass

from kernelllm_jupyter.starter.graph import Graph

__all__ = ["Names", "kernel_name", "names_for"]

_RESERVED = frozenset(
    {"tl", "triton", "torch", "nn", "self", "offsets", "mask", "row", "cols", "BLOCK", "t", "near"}
    | {"out_ptr", "n_elements", "n_cols", "stride", "half", "block", "out", "float", "tensor"}
    | {"peak"}
)
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
}
_GENERIC = frozenset({"model", "net", "module", "my_model", "my_module", "network", "simple_model"})


@dataclass(frozen=True)
class Names:
    """What stands for each placeholder in the Triton kernel and in ``forward``."""

    kernel: dict[str, str]
    forward: dict[str, str]
    #: The arguments of the Triton kernel, in the order in which they are passed.
    signature: tuple[str, ...]
    kernel_name: str
    #: Inside the Triton kernel, by step: the values counted back from it, and its constants.
    steps: tuple[dict[str, str], ...]


def names_for(graph: Graph, class_name: str, arguments: tuple[str, ...]) -> Names:
    """Names for ``graph``; ``arguments`` are those of ``forward``."""
    kernel: dict[str, str] = {}
    forward: dict[str, str] = {}
    taken = set(_RESERVED)
    local = set(arguments) | {"self", "torch", "triton", "tl", "nn", "tensor"}
    signature: list[str] = []
    for index, name in enumerate(graph.inputs):
        kernel[f"$in{index}"] = _fresh(f"{name}_ptr", taken)
        forward[f"$in{index}"] = name
        signature.append(kernel[f"$in{index}"])
    for index, weight in enumerate(graph.weights):
        kernel[f"$w{index}"] = _fresh(f"{weight.name}_ptr", taken)
        full = weight.load == "full"
        forward[f"$w{index}"] = _fresh(weight.name, local) if full else weight.text
        signature.append(kernel[f"$w{index}"])
    for index, number in enumerate(graph.numbers):
        kernel[f"$p{index}"] = _fresh(number.name, taken)
        forward[f"$p{index}"] = number.text if number.is_float else f"float({number.text})"
        signature.append(kernel[f"$p{index}"])
    flat = graph.layout in ("flat", "half", "total")
    own = {"$out": "out", "$n": "n_elements" if flat else "n_cols", "$s": "stride", "$b": "block"}
    own |= {"$m": "n_cols", "$h": "half"}
    for placeholder, name in own.items():
        forward[placeholder] = _fresh(name, local)
        kernel[placeholder] = "out_ptr" if placeholder == "$out" else name
    signature += ["out_ptr", own["$n"]]
    if graph.layout in ("dim", "half"):
        signature.append("stride" if graph.layout == "dim" else "half")
    if graph.has_columns:
        signature.append("n_cols")
    for index, value in enumerate(graph.constants):
        kernel[f"$c{index}"] = forward[f"$c{index}"] = _literal(value)
    for index, name in enumerate(_values(graph, taken)):
        kernel[f"$v{index}"] = name
    title = kernel_name(graph, class_name)
    while title in local:
        title += "_2"
    forward["$k"] = kernel["$k"] = title
    forward["$dim"] = graph.dim
    forward["$count"] = str(graph.dims_kept)
    steps = []
    for index in range(len(graph.steps)):
        own_names = {f"${back}": kernel[f"$v{index - back}"] for back in range(index + 1)}
        for place, constant in enumerate(graph.constants_of(index), start=1):
            own_names[f"$c{place}"] = kernel[constant]
        steps.append(own_names)
    return Names(kernel, forward, tuple(signature), title, tuple(steps))


def kernel_name(graph: Graph, class_name: str) -> str:
    """After the class where its name says something, else after the operations."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", class_name).lower()
    snake = re.sub(r"_?(model|module|layer|new)$", "", snake) or "model"
    if snake not in _GENERIC and not re.fullmatch(r"model_?\w?\d*", snake):
        return f"{snake}_kernel"
    operations = [step.operation for step in graph.steps if step.operation not in _LOADS]
    if graph.layout == "total":
        operations.append(graph.stored)
    distinct = list(dict.fromkeys(re.sub(r"\d$", "", name) for name in operations))
    return "_".join([*distinct[:4], "kernel"])


_LOADS = frozenset({"load", "first", "second", "vec", "one", "float"})


def _values(graph: Graph, taken: set[str]) -> list[str]:
    """One name per value; a name is used again once its last value is needed no more."""
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
        wanted = given or _NOUNS.get(step.operation, step.operation)
        if index == len(graph.steps) - 1 and given is None:
            wanted = "result"
        if wanted in free_from and free_from[wanted] <= index and given is not None:
            name = wanted
        else:
            name = _fresh(wanted, taken)
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
