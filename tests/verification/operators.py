"""Mistakes that people and models make in Triton kernels, as edits of a candidate's source.

An operator yields an edit for each place where its mistake can be made; everything else stays as it
was written.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator

from source import Edit, Source, name_of

__all__ = ["OPERATORS"]

#: Functions that mix lanes of a block.
REDUCTIONS = ("sum", "max", "min", "argmax", "argmin", "dot", "reduce", "cumsum")

Operator = Callable[[Source], Iterator[Edit]]
OPERATORS: dict[str, Operator] = {}


def operator(function: Operator) -> Operator:
    OPERATORS[function.__name__] = function
    return function


# --- masks and bounds --------------------------------------------------------------------------


def _without_mask(source: Source, names: tuple[str, ...]) -> Iterator[Edit]:
    for node in source.in_kernels:
        if isinstance(node, ast.Call) and name_of(node).startswith(names):
            values = node.args[:1] if name_of(node) == "load" else node.args[:2]
            masked = len(node.args) > len(values) or any(w.arg == "mask" for w in node.keywords)
            if masked:
                kept = ", ".join(source.of(value) for value in values)
                yield source.put(node, f"tl.{name_of(node)}({kept})")


@operator
def load_mask_dropped(source: Source) -> Iterator[Edit]:
    return _without_mask(source, ("load",))


@operator
def store_mask_dropped(source: Source) -> Iterator[Edit]:
    return _without_mask(source, ("store", "atomic_"))


def _bounds(source: Source, text: str) -> Iterator[Edit]:
    for node in source.in_kernels:
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Lt):
            left, right = source.of(node.left), source.of(node.comparators[0])
            yield source.put(node, text.format(left=left, right=right))


@operator
def bound_inclusive(source: Source) -> Iterator[Edit]:
    return _bounds(source, "{left} <= {right}")


@operator
def bound_short(source: Source) -> Iterator[Edit]:
    return _bounds(source, "{left} < {right} - 1")


def _paddings(source: Source) -> Iterator[ast.keyword]:
    """What masked lanes are filled with, in Triton kernels that do not just store them masked."""
    for kernel in source.kernels:
        nodes = [node for line in kernel.body for node in ast.walk(line)]
        if any(name_of(node) in REDUCTIONS for node in nodes):
            for node in nodes:
                if isinstance(node, ast.Call) and name_of(node) == "load":
                    yield from (word for word in node.keywords if word.arg == "other")


@operator
def padding_changed(source: Source) -> Iterator[Edit]:
    for word in _paddings(source):
        yield source.put(word.value, "0.5" if "inf" not in source.of(word) else "1.0")


@operator
def padding_forgotten(source: Source) -> Iterator[Edit]:
    """Without ``other`` masked lanes hold zeros, on every GPU so far: not what a maximum needs."""
    for word in _paddings(source):
        if source.of(word.value) not in ("0.0", "0"):
            start, end = source.span(word)
            yield Edit(source.text.rindex(",", 0, start), end, "")


# --- addresses ---------------------------------------------------------------------------------


def _pointers(source: Source, names: tuple[str, ...]) -> Iterator[ast.expr]:
    for node in source.in_kernels:
        if isinstance(node, ast.Call) and name_of(node).startswith(names):
            yield node.args[0]


@operator
def load_shifted(source: Source) -> Iterator[Edit]:
    for pointer in _pointers(source, ("load",)):
        yield source.put(pointer, f"({source.of(pointer)}) + 1")


@operator
def store_shifted(source: Source) -> Iterator[Edit]:
    for pointer in _pointers(source, ("store", "atomic_")):
        yield source.put(pointer, f"({source.of(pointer)}) + 1")


@operator
def axes_of_pointer_swapped(source: Source) -> Iterator[Edit]:
    for pointer in _pointers(source, ("load", "store")):
        text = source.of(pointer)
        if "[:, None]" in text and "[None, :]" in text:
            parts = text.split("[:, None]")
            swapped = "[None, :]".join(part.replace("[None, :]", "[:, None]") for part in parts)
            yield source.put(pointer, swapped)


@operator
def stride_off_by_one(source: Source) -> Iterator[Edit]:
    for pointer in _pointers(source, ("load", "store")):
        for node in ast.walk(pointer):
            if (
                isinstance(node, ast.BinOp)
                and isinstance(node.op, ast.Mult)
                and isinstance(node.right, ast.Name)
            ):
                yield source.put(node.right, f"({node.right.id} + 1)")


@operator
def program_axes_swapped(source: Source) -> Iterator[Edit]:
    for kernel in source.kernels:
        ids = [
            node
            for node in ast.walk(kernel)
            if isinstance(node, ast.Call) and name_of(node) == "program_id" and node.args
        ]
        texts = [source.of(node.args[0]) for node in ids]
        if {"0", "1"} <= set(texts):
            start, end = source.span(kernel)
            swapped = source.text[start:end]
            for one, other in (("0", "?"), ("1", "0"), ("?", "1")):
                swapped = swapped.replace(f"program_id({one})", f"program_id({other})")
            yield Edit(start, end, swapped)


@operator
def strides_swapped_by_the_host(source: Source) -> Iterator[Edit]:
    for node in source.on_host:
        if isinstance(node, ast.Starred) and source.of(node).endswith(".stride()"):
            yield source.put(node, source.of(node) + "[::-1]")


# --- arithmetic --------------------------------------------------------------------------------


@operator
def axis_changed(source: Source) -> Iterator[Edit]:
    for node in source.in_kernels:
        if isinstance(node, ast.Call) and name_of(node) in ("sum", "max", "min"):
            for word in node.keywords:
                if word.arg == "axis" and isinstance(word.value, ast.Constant):
                    yield source.put(word.value, str(1 - int(word.value.value)))


@operator
def constant_changed(source: Source) -> Iterator[Edit]:
    """To three digits; one that has no more by a hundredth."""
    for node in source.values:
        if isinstance(node, ast.Constant) and isinstance(node.value, float) and node.value:
            short = float(f"{node.value:.3g}")
            other = short if abs(short / node.value - 1) > 3e-5 else node.value * 1.01
            if math.isfinite(other):
                yield source.put(node, repr(other))


@operator
def epsilon_changed(source: Source) -> Iterator[Edit]:
    for node in source.on_host:
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            if 0 < node.value < 1e-3:
                yield source.put(node, repr(node.value * 100))
        elif isinstance(node, ast.Attribute) and (node.attr, type(node.ctx)) == ("eps", ast.Load):
            yield source.put(node, "1e-3")


@operator
def sign_changed(source: Source) -> Iterator[Edit]:
    for node in source.values:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
            sign = "-" if isinstance(node.op, ast.Add) else "+"
            yield source.put(node, f"({source.of(node.left)}) {sign} ({source.of(node.right)})")


@operator
def operand_dropped(source: Source) -> Iterator[Edit]:
    for node in source.values:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub | ast.Mult):
            yield source.put(node, f"({source.of(node.left)})")


@operator
def maximum_not_subtracted(source: Source) -> Iterator[Edit]:
    for node in source.values:
        if isinstance(node, ast.Call) and name_of(node).startswith("exp") and node.args:
            inner = node.args[0]
            if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Sub):
                yield source.put(inner, source.of(inner.left))


@operator
def accumulation_forgotten(source: Source) -> Iterator[Edit]:
    for node in source.in_kernels:
        if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
            target = source.of(node.target)
            if not target.endswith(("ptrs", "_ptr")) and target not in "abXY":
                yield source.put(node, f"{target} = {source.of(node.value)}")


SWAPPED = {
    "maximum": "minimum",
    "minimum": "maximum",
    "max": "min",
    "min": "max",
    "exp": "exp2",
    "log": "log2",
    "rsqrt": "sqrt",
    "sum": "max",
    "argmax": "argmin",
    "sigmoid": "exp",
    "erf": "exp",
}


@operator
def function_changed(source: Source) -> Iterator[Edit]:
    for node in source.values:
        other = SWAPPED.get(name_of(node))
        if other and isinstance(node, ast.Call) and source.of(node.func).startswith("tl."):
            yield source.put(node.func, f"tl.{other}")


@operator
def function_dropped(source: Source) -> Iterator[Edit]:
    """``maximum(a, b)`` becomes ``a``, and so with the others."""
    for node in source.values:
        if name_of(node) in ("maximum", "minimum", "abs", "sqrt", "log", "exp", "sigmoid"):
            assert isinstance(node, ast.Call)
            yield source.put(node, f"({source.of(node.args[0])})")


@operator
def condition_dropped(source: Source) -> Iterator[Edit]:
    for node in source.values:
        if isinstance(node, ast.Call) and name_of(node) == "where" and len(node.args) == 3:
            yield source.put(node, f"({source.of(node.args[1])})")


@operator
def divisor_off_by_one(source: Source) -> Iterator[Edit]:
    for node in source.values:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            right = source.of(node.right)
            if right.isidentifier() and right.isupper():
                yield source.put(node.right, f"({right} - 1)")
            elif right == "(N - 1)" or right == "N - 1":
                yield source.put(node.right, "N")


# --- precision ---------------------------------------------------------------------------------


@operator
def result_lowered(source: Source) -> Iterator[Edit]:
    for node in source.in_kernels:
        if isinstance(node, ast.Call) and name_of(node) == "store":
            yield source.put(node.args[1], f"({source.of(node.args[1])}).to(tl.float16)")


@operator
def loaded_lowered(source: Source) -> Iterator[Edit]:
    for node in source.in_kernels:
        if isinstance(node, ast.Call) and name_of(node) == "load":
            yield source.put(node, f"{source.of(node)}.to(tl.bfloat16).to(tl.float32)")


@operator
def accumulator_lowered(source: Source) -> Iterator[Edit]:
    for node in source.in_kernels:
        if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
            target, value = source.of(node.target), source.of(node.value)
            if not target.endswith(("ptrs", "_ptr")) and target not in "abXY":
                lowered = f"({target} + {value}).to(tl.float16).to(tl.float32)"
                yield source.put(node, f"{target} = {lowered}")


@operator
def product_in_tf32(source: Source) -> Iterator[Edit]:
    for node in source.in_kernels:
        if isinstance(node, ast.Call) and name_of(node) == "dot":
            for word in node.keywords:
                if word.arg == "input_precision":
                    yield source.put(word.value, '"tf32"')


# --- the order of programs, loops and launches -------------------------------------------------


@operator
def last_block_dropped(source: Source) -> Iterator[Edit]:
    for node in [*source.in_kernels, *source.on_host]:
        if isinstance(node, ast.Call) and name_of(node) == "cdiv" and len(node.args) == 2:
            top, bottom = (source.of(argument) for argument in node.args)
            yield source.put(node, f"(({top}) // ({bottom}))")


def _launches(source: Source) -> Iterator[tuple[ast.Call, ast.expr]]:
    """Calls of ``kernel[grid](...)`` and their grids."""
    for node in source.on_host:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Subscript):
            yield node, node.func.slice


@operator
def grid_short(source: Source) -> Iterator[Edit]:
    for _, grid in _launches(source):
        if isinstance(grid, ast.Tuple):
            yield source.put(grid.elts[0], f"max(1, {source.of(grid.elts[0])} - 1)")


def _ranges(source: Source) -> Iterator[ast.Call]:
    for node in source.in_kernels:
        if isinstance(node, ast.Call) and name_of(node) in ("range", "static_range"):
            yield node


@operator
def first_turn_skipped(source: Source) -> Iterator[Edit]:
    for node in _ranges(source):
        if len(node.args) == 3:
            first, step = node.args[0], node.args[2]
            yield source.put(first, f"{source.of(first)} + {source.of(step)}")
        elif len(node.args) == 1:
            yield source.put(node.args[0], f"1, {source.of(node.args[0])}")


@operator
def last_turn_skipped(source: Source) -> Iterator[Edit]:
    for node in _ranges(source):
        step = source.of(node.args[2]) if len(node.args) == 3 else "1"
        last = node.args[1] if len(node.args) > 1 else node.args[0]
        yield source.put(last, f"{source.of(last)} - {step}")


@operator
def atomic_to_store(source: Source) -> Iterator[Edit]:
    for node in source.in_kernels:
        if isinstance(node, ast.Call) and name_of(node).startswith("atomic_"):
            yield source.put(node.func, "tl.store")


@operator
def atomic_to_load_and_store(source: Source) -> Iterator[Edit]:
    for node in source.in_kernels:
        if isinstance(node, ast.Call) and name_of(node) == "atomic_add":
            pointer, value = (source.of(argument) for argument in node.args[:2])
            mask = next((source.of(w) for w in node.keywords if w.arg == "mask"), "mask=None")
            old = f"tl.load({pointer}, {mask})"
            yield source.put(node, f"tl.store({pointer}, {old} + {value}, {mask})")


# --- the host ----------------------------------------------------------------------------------


def _allocations(source: Source, name: str) -> Iterator[ast.Call]:
    for node in source.on_host:
        if isinstance(node, ast.Call) and source.of(node.func) == name:
            yield node


@operator
def not_zeroed(source: Source) -> Iterator[Edit]:
    for node in _allocations(source, "torch.zeros"):
        yield source.put(node.func, "torch.empty")


@operator
def written_over_its_input(source: Source) -> Iterator[Edit]:
    for node in _allocations(source, "torch.empty_like"):
        yield source.put(node, source.of(node.args[0]))


@operator
def fewer_elements(source: Source) -> Iterator[Edit]:
    """In what a launch is told; in its grid it would hardly ever be a block less."""
    for launch, _ in _launches(source):
        for argument in launch.args:
            if name_of(argument) == "numel":
                yield source.put(argument, f"{source.of(argument)} - 1")


def _results(source: Source) -> Iterator[ast.expr]:
    for function in ast.walk(source.tree):
        if isinstance(function, ast.FunctionDef) and function.name == "forward":
            for node in ast.walk(function):
                if isinstance(node, ast.Return) and node.value is not None:
                    yield node.value


@operator
def result_kept(source: Source) -> Iterator[Edit]:
    for value in _results(source):
        yield source.put(value, f'self.__dict__.setdefault("kept", {source.of(value)})')


@operator
def result_of_another_dtype(source: Source) -> Iterator[Edit]:
    for value in _results(source):
        if not isinstance(value, ast.Tuple | ast.Dict):
            yield source.put(value, f"({source.of(value)}).double()")


@operator
def result_of_another_shape(source: Source) -> Iterator[Edit]:
    for value in _results(source):
        if not isinstance(value, ast.Tuple | ast.Dict):
            yield source.put(value, f"({source.of(value)}).unsqueeze(0)")


@operator
def launch_forgotten(source: Source) -> Iterator[Edit]:
    for launch, _ in _launches(source):
        yield source.put(launch, "None")


@operator
def arguments_swapped(source: Source) -> Iterator[Edit]:
    for launch, _ in _launches(source):
        pair = launch.args[:2]
        if len(pair) == 2 and not any(isinstance(argument, ast.Starred) for argument in pair):
            (start, _), (_, end) = source.span(pair[0]), source.span(pair[1])
            yield Edit(start, end, f"{source.of(pair[1])}, {source.of(pair[0])}")
