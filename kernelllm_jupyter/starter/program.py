"""The forward pass under construction: regions, what they are made into, and views between them.

Where two operations cannot be done in one Triton kernel, the value between them is *made*: its
region becomes a stage, and what follows reads the stage's result like an argument.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from kernelllm_jupyter.starter.builder import Builder
from kernelllm_jupyter.starter.domain import (
    Diagonal,
    Number,
    Refused,
    Spec,
    Tensor,
    TensorInput,
    Values,
    WeightRef,
)
from kernelllm_jupyter.starter.elementwise import number
from kernelllm_jupyter.starter.graph import LIMITS, Graph, Plan, Stage
from kernelllm_jupyter.starter.lowering import Lowering
from kernelllm_jupyter.starter.operands import name_of

__all__ = ["Program", "text_of"]


@dataclass(frozen=True, eq=False)
class _Line:
    """A line of ``forward`` that gives a tensor another shape."""

    name: str
    text: str
    of: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class _Made:
    """A stage and its operands."""

    name: str
    graph: Graph
    of: tuple[Any, ...]
    post: str


class Program:
    """Implements what :class:`Lowering` asks for beyond its own region."""

    def __init__(self, taken: Iterable[str], assume: Callable[[Number, ast.AST | None], None]):
        self.assume = assume
        self._taken = {*taken, "out", "n_elements", "tensor"}
        self._names: set[str] = set()
        self._made: dict[int, TensorInput] = {}
        self._kept: list[Tensor] = []

    # -- operations -------------------------------------------------------------------------------

    def apply(self, method: str, args: list[Any], node: ast.AST | None) -> Any:
        """A method of :class:`Lowering` in the region of its arguments, or in one of its own."""
        tensors = [value for value in _flat(args) if isinstance(value, Tensor)]
        region = self._joined(tensors)
        refused: Refused | None = None
        if region is not None:
            mark = region.mark()
            try:
                return self._call(region, method, args, node)
            except Refused as error:
                region.restore(mark)
                refused = error
                if not tensors:
                    raise
        try:
            made = [self.made_deeply(value) for value in args]
            return self._call(Builder(), method, made, node)
        except Refused as error:
            raise error if refused is None else refused from error

    def _call(self, region: Builder, method: str, args: list[Any], node: ast.AST | None) -> Any:
        return getattr(Lowering(region, self), method)(*args, node=node)

    def _joined(self, tensors: Sequence[Tensor]) -> Builder | None:
        """The one region of ``tensors``, brought together where that can be; else None."""
        regions: list[Builder] = []
        for tensor in tensors:
            region = region_of(tensor)
            if region not in regions:
                regions.append(region)
        if not regions:
            return Builder()
        regions.sort(key=lambda r: (r.fixed is not None, r.axis is not None, r.rank or 0))
        base = regions.pop()
        for other in regions:
            try:
                if not base.absorb(other):
                    return None
            except Refused:
                return None
        return base

    # -- stages -----------------------------------------------------------------------------------

    def made_deeply(self, value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return type(value)(self.made_deeply(item) for item in value)
        if isinstance(value, dict):
            return {key: self.made_deeply(item) for key, item in value.items()}
        return self.made(value) if isinstance(value, Tensor) else value

    def made(self, value: Any) -> Any:
        """``value`` as a tensor that ``forward`` has a name for."""
        if not isinstance(value, Tensor):
            return value
        if id(value) in self._made:
            return self._made[id(value)]
        region = region_of(value)
        lowering = Lowering(region, self)
        layout, stored = lowering.close(value)
        graph, leaves = region.finish(value, stored, layout)
        name = self.fresh(value.name or "hidden")
        texts = lowering.texts(value, graph)
        graph = Graph(**{**graph.__dict__, "texts": tuple(texts.items())})
        dtype = "int64" if stored == "index" else "float32"
        made = _Made(name, graph, tuple(leaves), region.texts.get("post", ""))
        found = TensorInput(name, Spec(region.shape_of(value), dtype), made)
        self._made[id(value)] = found
        self._kept.append(value)
        return found

    def halves(self, value: Any, dim: Any, node: ast.AST | None) -> list[TensorInput]:
        """The two halves of a dimension."""
        leaf, place = self.made(value), number(dim)
        shape = leaf.spec.shape
        if shape is None or place is None or (shape[int(place)] or 0) % 2:
            raise Refused("halves of a tensor whose shape is not known", node)
        half = list(shape)
        half[int(place)] = None if shape[int(place)] is None else shape[int(place)] // 2
        text = f"{{x}}.chunk(2, dim={int(place)})"
        return [
            self.view(leaf, f"{text}[{index}]", tuple(half), hint)
            for index, hint in enumerate(("first", "second"))
        ]

    def view(self, value: Any, text: str, shape: Any, hint: str = "view") -> TensorInput:
        """A tensor of the same elements: ``text`` with ``{x}`` for the tensor."""
        leaf = self.made(value)
        name = self.fresh(f"{name_of(leaf)}_{hint}")
        spec = Spec(shape, leaf.spec.dtype)
        return TensorInput(name, spec, _Line(name, text.replace("{x}", leaf.text), (leaf,)))

    def joined_view(self, values: Sequence[Any], text: str, shape: Any, hint: str) -> TensorInput:
        """A view of several tensors, such as ``torch.cat``; ``text`` is complete."""
        name = self.fresh(hint)
        spec = Spec(shape, values[0].spec.dtype)
        return TensorInput(name, spec, _Line(name, text, tuple(values)))

    def fresh(self, wanted: str) -> str:
        name, count = wanted, 2
        while name in self._taken or name in self._names:
            name, count = f"{wanted}_{count}", count + 1
        self._names.add(name)
        return name

    # -- the end ----------------------------------------------------------------------------------

    def plan(self, result: Any, node: ast.AST) -> Plan:
        """The stages that ``result`` needs, in order, with the lines between them."""
        if isinstance(result, Values):
            result = result.tensor
        if isinstance(result, Diagonal) or not isinstance(result, (Tensor, TensorInput, WeightRef)):
            raise Refused("a result that is no tensor", node)
        leaf = self.made(result)
        order: list[Any] = []
        _visit(leaf, order, set())
        stages: list[Stage] = []
        before: list[str] = []
        last = None
        for made in order:
            if isinstance(made, _Line):
                before.append(f"{made.name} = {made.text}")
                continue
            graph, lines = _prepared(made, self)
            post = (f"{made.name} = {made.name}{made.post}",) if made.post else ()
            stages.append(Stage(graph, made.name, (*before, *lines), post))
            before, last = [], made
        if last is None:
            raise Refused("a forward that computes nothing", node)
        if len(stages) > LIMITS["stages"]:
            raise Refused(f"a forward of {len(stages)} Triton kernels", node)
        steps = sum(len(stage.graph.steps) for stage in stages)
        if steps > LIMITS["v"]:
            raise Refused(f"a forward of {steps} steps (at most {LIMITS['v']})", node)
        out = "out" if leaf.made is last else None
        tail = stages[-1]
        stages[-1] = Stage(tail.graph, tail.out, tail.before, (*tail.after, *before))
        if out is not None and "out" not in self._names:
            stages[-1] = _called_out(stages[-1])
            return Plan(tuple(stages), "out")
        return Plan(tuple(stages), leaf.text)


def _called_out(stage: Stage) -> Stage:
    """The last stage's result is called ``out``, as people do."""
    after = tuple(_renamed(line, stage.out, "out") for line in stage.after)
    return Stage(stage.graph, "out", stage.before, after)


def _renamed(text: str, old: str, new: str) -> str:
    """``text`` with one name for another, where it is no part of a longer name, no attribute and
    no keyword of a call.
    """
    return re.sub(rf"(?<![\w.]){re.escape(old)}(?!\w|=[^=])", lambda _: new, text)


def region_of(tensor: Tensor) -> Builder:
    region = cast(Builder, tensor.region)
    while region.merged is not None:
        region = region.merged
    return region


def _visit(leaf: Any, order: list[Any], seen: set[int]) -> None:
    made = getattr(leaf, "made", None)
    if made is None or id(made) in seen:
        return
    seen.add(id(made))
    for part in made.of:
        _visit(part, order, seen)
    order.append(made)


def _prepared(made: _Made, program: Program) -> tuple[Graph, list[str]]:
    """Lines that lay the operands of a stage out as its Triton kernel reads them."""
    graph, leaves = made.graph, made.of
    if graph.layout in ("matmul", "bmm"):
        heads = 2
    elif graph.layout in ("conv", "convt", "window"):
        heads = len(graph.inputs)
    else:
        heads = 0
    lines: list[str] = []
    names = [operand.text for operand in graph.inputs]
    if graph.layout in ("conv", "convt", "window"):
        for place in range(len(graph.inputs)):
            names[place] = _contiguous(leaves[place], lines, program)
    plain = list(range(heads, len(graph.inputs)))
    shapes = {leaves[place].spec.shape for place in plain}
    if len(plain) > 1 and (len(shapes) > 1 or None in shapes):
        given = ", ".join(leaves[place].text for place in plain)
        for place in plain:
            names[place] = program.fresh(f"{name_of(leaves[place])}_wide")
        wide = ", ".join(names[place] for place in plain)
        lines.append(
            f"{wide} = (tensor.contiguous() for tensor in torch.broadcast_tensors({given}))"
        )
    else:
        first = None
        for place in plain:
            names[place] = _contiguous(leaves[place], lines, program)
            if first is not None and leaves[place].spec.shape != ():
                lines.append(f"if {names[place]}.shape != {first}.shape:")
                lines.append(
                    f'    raise ValueError("{names[place]} must have the shape of {first}")'
                )
            first = first or names[place]
    inputs = tuple(
        type(operand)(name, operand.name) for operand, name in zip(graph.inputs, names, strict=True)
    )
    renames = {old.text: new.text for old, new in zip(graph.inputs, inputs, strict=True)}
    weights = []
    for place, weight in enumerate(graph.weights):
        text = weight.text
        if weight.load in ("full", "row"):
            leaf = leaves[len(graph.inputs) + place]
            local = program.fresh(
                f"{name_of(leaf)}_full" if weight.load == "full" else name_of(leaf)
            )
            base = names[0] if not heads else "$out"
            made_ = f"{text}.expand({base}.shape)" if weight.load == "full" else text
            lines.append(f"{local} = {made_}.contiguous()")
            text = local
        inner = weight.inner
        for old, new in renames.items():
            inner = _renamed(inner, f"{old}.shape", f"{new}.shape") if old != new else inner
        weights.append(type(weight)(text, weight.name, weight.load, inner))
    texts = []
    for key, value in graph.texts:
        if "{x}" in value:
            value = value.replace("{x}", names[0])
        texts.append((key, value))
    changed = {"inputs": inputs, "weights": tuple(weights), "texts": tuple(texts)}
    return Graph(**{**graph.__dict__, **changed}), lines


def _contiguous(leaf: Any, lines: list[str], program: Program) -> str:
    made = getattr(leaf, "made", None)
    if isinstance(made, _Made) and not made.post:
        return str(leaf.text)
    if isinstance(leaf, TensorInput):
        lines.append(f"{leaf.text} = {leaf.text}.contiguous()")
        return str(leaf.text)
    local = program.fresh(name_of(leaf))
    lines.append(f"{local} = {leaf.text}.contiguous()")
    return local


def _flat(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        if isinstance(value, (tuple, list)):
            yield from _flat(value)
        elif isinstance(value, dict):
            yield from _flat(value.values())
        else:
            yield value


def text_of(value: Any, node: ast.AST | None = None) -> str:
    """How ``forward`` writes a number, string or tuple of the trace."""
    if isinstance(value, Number):
        if value.node is None:
            if value.known and not value.free:
                return repr(value.value)
            raise Refused("a number that only the constructor knows", node)
        return ast.unparse(value.node)
    if isinstance(value, (tuple, list)):
        inner = ", ".join(text_of(item, node) for item in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return repr(value)
