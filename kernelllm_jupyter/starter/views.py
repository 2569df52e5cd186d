"""Operations that only move values: other shapes, parts of a tensor, tensors put together.

They are done by PyTorch in ``forward``, between the Triton kernels; here is what shape they give.
"""

from __future__ import annotations

import ast
import math
from typing import TYPE_CHECKING, Any

from kernelllm_jupyter.starter.domain import (
    Filled,
    Number,
    Refused,
    Shape,
    Tensor,
    TensorInput,
    WeightRef,
)
from kernelllm_jupyter.starter.elementwise import bind, number
from kernelllm_jupyter.starter.evaluate import Environment, is_tensor, plain
from kernelllm_jupyter.starter.program import region_of, text_of

if TYPE_CHECKING:
    from kernelllm_jupyter.starter.trace import Tracer

__all__ = ["VIEWS", "Views"]

VIEWS = frozenset(
    (  # noqa: SIM905
        "t transpose permute view reshape flatten unflatten unsqueeze squeeze expand expand_as "
        "chunk split narrow select flip cat concat concatenate stack movedim view_as reshape_as "
        "roll swapaxes repeat tile hstack"
    ).split()
)


class Views:
    """Dispatches a view by its name."""

    def __init__(self, tracer: Tracer):
        self.tracer = tracer

    def __call__(
        self, owner: Any, name: str, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        kept = self._reduced_dimension(owner, name, args or list(keywords.values()), node)
        if kept is not None:
            return kept
        if name in ("cat", "concat", "concatenate", "stack", "hstack"):
            return self._together(owner, name, args, keywords, node)
        if name == "expand_as" and isinstance(owner, Tensor):
            return self.tracer.apply("expanded", [owner], node)
        leaf = self.tracer.made(owner, node)
        if not isinstance(leaf, (TensorInput, WeightRef)) or leaf.spec.shape is None:
            raise Refused(f"{name}() of a tensor whose shape is not known", node)
        if "axis" in keywords:
            keywords["dim"] = keywords.pop("axis")
        return getattr(self, f"_{name}")(leaf, args, keywords, node)

    def _made(self, leaf: Any, text: str, shape: Any, hint: str) -> TensorInput:
        program = self.tracer.program
        assert program is not None
        return program.view(leaf, text, tuple(shape), hint)

    def _dim(self, value: Any, rank: int, node: ast.AST) -> int:
        known = number(value)
        if known is None or not -rank <= known < rank:
            raise Refused("a dimension that is not known before the call", node)
        if isinstance(value, Number):
            self.tracer.assume(value, node)
        return int(known) % rank

    # -- another order or shape -------------------------------------------------------------------

    def _t(self, leaf: Any, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        shape = leaf.spec.shape
        if len(shape) < 2:
            return leaf
        text = "{x}.t()" if len(shape) == 2 else "{x}.transpose(-2, -1)"
        return self._made(leaf, text, (*shape[:-2], shape[-1], shape[-2]), "t")

    def _transpose(
        self, leaf: Any, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        first, second = bind("dim0 dim1", args, keywords, "transpose", node)
        shape = list(leaf.spec.shape)
        a, b = self._dim(first, len(shape), node), self._dim(second, len(shape), node)
        shape[a], shape[b] = shape[b], shape[a]
        return self._made(leaf, f"{{x}}.transpose({a}, {b})", shape, "t")

    _swapaxes = _transpose

    def _permute(self, leaf: Any, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        if not args and "dims" in keywords:
            args = [keywords["dims"]]
        dims = args[0] if len(args) == 1 and isinstance(args[0], (tuple, list)) else args
        shape = leaf.spec.shape
        order = [self._dim(dim, len(shape), node) for dim in dims]
        if sorted(order) != list(range(len(shape))):
            raise Refused("permute of these dimensions", node)
        text = f"{{x}}.permute({', '.join(map(str, order))})"
        return self._made(leaf, text, [shape[place] for place in order], "permuted")

    def _movedim(self, leaf: Any, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        source, to = bind("source destination", args, keywords, "movedim", node)
        rank = len(leaf.spec.shape)
        a, b = self._dim(source, rank, node), self._dim(to, rank, node)
        order = [place for place in range(rank) if place != a]
        order.insert(b, a)
        return self._permute(leaf, order, {}, node)

    def _reshape(self, leaf: Any, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        if not args and keywords:
            args = list(keywords.values())
        sizes = args[0] if len(args) == 1 else args
        if isinstance(sizes, Shape):
            sizes = self.tracer.evaluate.items(sizes, node)
        sizes = list(sizes) if isinstance(sizes, (tuple, list)) else [sizes]
        known: list[int | None] = [None if n is None else int(n) for n in map(number, sizes)]
        total = _product(leaf.spec.shape)
        if known.count(-1) == 1 and total is not None:
            rest = _product([size for size in known if size != -1])
            fitting = None if not rest else total // rest
            shape = [fitting if size == -1 else size for size in known]
        else:
            shape = [None if size == -1 else size for size in known]
        text = f"{{x}}.reshape({', '.join(text_of(size, node) for size in sizes)})"
        return self._made(leaf, text, shape, "shaped")

    _view = _reshape

    def _view_as(self, leaf: Any, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        shape = self.tracer.shape_of(args[0], node)
        return self._reshape(leaf, [shape], {}, node)

    _reshape_as = _view_as

    def _flatten(self, leaf: Any, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        first, last = bind("start_dim=0 end_dim=-1", args, keywords, "flatten", node)
        shape = leaf.spec.shape
        a, b = self._dim(first, len(shape), node), self._dim(last, len(shape), node)
        merged = _product(shape[a : b + 1])
        text = f"{{x}}.flatten({a}, {b})"
        return self._made(leaf, text, (*shape[:a], merged, *shape[b + 1 :]), "flat")

    def _unflatten(
        self, leaf: Any, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        dim, sizes = bind("dim sizes", args, keywords, "unflatten", node)
        shape = leaf.spec.shape
        place = self._dim(dim, len(shape), node)
        known = [None if n is None else int(n) for n in map(number, plain(sizes))]
        rest = _product([size for size in known if size != -1])
        if -1 in known:
            fitting = shape[place] // rest if rest and shape[place] else None
            known = [fitting if size == -1 else size for size in known]
        text = f"{{x}}.unflatten({place}, {text_of(sizes, node)})"
        return self._made(leaf, text, (*shape[:place], *known, *shape[place + 1 :]), "shaped")

    def _unsqueeze(
        self, leaf: Any, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        (dim,) = bind("dim", args, keywords, "unsqueeze", node)
        shape = leaf.spec.shape
        place = self._dim(dim, len(shape) + 1, node)
        text = f"{{x}}.unsqueeze({place})"
        return self._made(leaf, text, (*shape[:place], 1, *shape[place:]), "wide")

    def _squeeze(self, leaf: Any, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        (dim,) = bind("dim=None", args, keywords, "squeeze", node)
        shape = leaf.spec.shape
        if dim is None:
            if any(size is None for size in shape):
                raise Refused("squeeze() of a tensor whose shape is not known", node)
            return self._made(leaf, "{x}.squeeze()", [s for s in shape if s != 1], "narrow")
        dims = dim if isinstance(dim, (tuple, list)) else [dim]
        places = {self._dim(item, len(shape), node) for item in dims}
        kept = [s for place, s in enumerate(shape) if place not in places or s != 1]
        return self._made(leaf, f"{{x}}.squeeze({text_of(dim, node)})", kept, "narrow")

    def _expand(self, leaf: Any, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        sizes = args[0] if len(args) == 1 else args
        if isinstance(sizes, Shape):
            sizes = self.tracer.evaluate.items(sizes, node)
        sizes = list(sizes) if isinstance(sizes, (tuple, list)) else [sizes]
        own = (1,) * (len(sizes) - len(leaf.spec.shape)) + tuple(leaf.spec.shape)
        shape = [
            mine if number(size) == -1 else number(size)
            for size, mine in zip(sizes, own, strict=True)
        ]
        text = f"{{x}}.expand({', '.join(text_of(size, node) for size in sizes)})"
        return self._made(leaf, text, shape, "wide")

    def _expand_as(
        self, leaf: Any, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        return self._expand(leaf, [self.tracer.shape_of(args[0], node)], {}, node)

    def _repeat(self, leaf: Any, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        counts = args[0] if len(args) == 1 and isinstance(args[0], (tuple, list)) else args
        own = (1,) * (len(counts) - len(leaf.spec.shape)) + tuple(leaf.spec.shape)
        shape = [
            None if mine is None or number(count) is None else mine * int(number(count) or 0)
            for count, mine in zip(counts, own, strict=True)
        ]
        text = f"{{x}}.repeat({', '.join(text_of(count, node) for count in counts)})"
        return self._made(leaf, text, shape, "repeated")

    _tile = _repeat

    # -- parts ------------------------------------------------------------------------------------

    def _chunk(self, leaf: Any, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        count, dim = bind("chunks dim=0", args, keywords, "chunk", node)
        shape = leaf.spec.shape
        place, parts = self._dim(dim, len(shape), node), number(count)
        if parts is None or (shape[place] or 0) % int(parts):
            raise Refused("chunk into parts of different sizes", node)
        size = None if shape[place] is None else shape[place] // int(parts)
        part = (*shape[:place], size, *shape[place + 1 :])
        split = f"{{x}}.chunk({text_of(count, node)}, dim={place})"
        hints = ("first", "second") if parts == 2 else ["part"] * int(parts)
        return tuple(
            self._made(leaf, f"{split}[{index}]", part, hints[index]) for index in range(int(parts))
        )

    def _split(self, leaf: Any, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        sizes, dim = bind("split_size_or_sections dim=0", args, keywords, "split", node)
        shape = leaf.spec.shape
        place, size = self._dim(dim, len(shape), node), number(sizes)
        known = plain(sizes)
        if size is not None and shape[place] is not None:
            whole = shape[place]
            known = [min(int(size), whole - at) for at in range(0, whole, int(size))]
        if not isinstance(known, (tuple, list)):
            raise Refused("split into parts that are not known before the call", node)
        text = f"{{x}}.split({text_of(sizes, node)}, dim={place})"
        return tuple(
            self._made(
                leaf, f"{text}[{index}]", (*shape[:place], number(n), *shape[place + 1 :]), "part"
            )
            for index, n in enumerate(known)
        )

    def _narrow(self, leaf: Any, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        dim, start, length = bind("dim start length", args, keywords, "narrow", node)
        shape = leaf.spec.shape
        place = self._dim(dim, len(shape), node)
        text = f"{{x}}.narrow({place}, {text_of(start, node)}, {text_of(length, node)})"
        part = (*shape[:place], number(length), *shape[place + 1 :])
        return self._made(leaf, text, part, "part")

    def _select(self, leaf: Any, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        dim, index = bind("dim index", args, keywords, "select", node)
        shape = leaf.spec.shape
        place = self._dim(dim, len(shape), node)
        text = f"{{x}}.select({place}, {text_of(index, node)})"
        return self._made(leaf, text, (*shape[:place], *shape[place + 1 :]), "part")

    def _flip(self, leaf: Any, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        if not args and "dims" in keywords:
            args = [keywords["dims"]]
        dims = args[0] if len(args) == 1 and isinstance(args[0], (tuple, list)) else args
        places = [self._dim(dim, len(leaf.spec.shape), node) for dim in dims]
        text = f"{{x}}.flip({', '.join(map(str, places))})"
        return self._made(leaf, text, leaf.spec.shape, "flipped")

    def _roll(self, leaf: Any, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        shifts, dims = bind("shifts dims", args, keywords, "roll", node)
        text = f"{{x}}.roll({text_of(shifts, node)}, {text_of(dims, node)})"
        return self._made(leaf, text, leaf.spec.shape, "rolled")

    def index(self, owner: Any, node: ast.Subscript, env: Environment) -> Any:
        """``x[...]`` with numbers, slices, ``None`` and ``...``."""
        parts = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
        whole = [ast.unparse(part) for part in parts]
        if all(part in (":", "...", "None") for part in whole) and whole.count("None") == 1:
            kept = self._reduced_dimension(owner, "unsqueeze", [self._place(whole)], node)
            if kept is not None:
                return kept
        leaf = self.tracer.made(owner, node)
        shape = leaf.spec.shape
        if shape is None:
            if isinstance(leaf, WeightRef) and "None" in whole:
                return WeightRef(node, type(leaf.spec)(None))
            raise Refused(f"the item {ast.unparse(node)[:40]!r}", node)
        given = sum(part not in ("None", "...") for part in whole)
        texts: list[str] = []
        found: list[int | None] = []
        place = 0
        for part, text in zip(parts, whole, strict=True):
            if text == "...":
                count = len(shape) - given
                found += shape[place : place + count]
                place += count
                texts.append(text)
            elif text == "None":
                found.append(1)
                texts.append(text)
            elif place >= len(shape):
                raise Refused(f"the item {ast.unparse(node)[:40]!r}", node)
            else:
                text, size = self._part(part, shape[place], env, node)
                found += size
                texts.append(text)
                place += 1
        found += shape[place:]
        return self._made(leaf, f"{{x}}[{', '.join(texts)}]", found, "part")

    def _place(self, whole: list[str]) -> int:
        at = whole.index("None")
        return at - len(whole) if "..." in whole[:at] else at

    def _part(
        self, part: ast.expr, size: int | None, env: Environment, node: ast.AST
    ) -> tuple[str, list[int | None]]:
        """One place of an index: how ``forward`` writes it, and the size that it leaves."""
        evaluate = self.tracer.evaluate
        if isinstance(part, ast.Slice):
            ends = [
                None if end is None else evaluate(end, env)
                for end in (part.lower, part.upper, part.step)
            ]
            if any(is_tensor(end) for end in ends):
                raise Refused(f"the item {ast.unparse(node)[:40]!r}", node)
            low, high, step = ("" if end is None else text_of(end, node) for end in ends)
            text = f"{low}:{high}" + (f":{step}" if step else "")
            if size is None:
                return text, [None]
            known = slice(*(plain(end) for end in ends))
            return text, [len(range(*known.indices(size)))]
        value = evaluate(part, env)
        if number(value) is None:
            raise Refused(f"the item {ast.unparse(node)[:40]!r}", node)
        return text_of(value, node), []

    def _together(
        self, owner: Any, name: str, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        (dim,) = bind("dim=0", args, keywords, name, node)
        leaves = [self._tensor(value, node) for value in owner]
        shapes = [tuple(leaf.spec.shape) for leaf in leaves if is_tensor(leaf) and leaf.spec.shape]
        if len(shapes) < len(leaves):
            raise Refused(f"{name}() of tensors whose shapes are not known", node)
        rank = len(shapes[0]) + (name == "stack")
        place = 1 if name == "hstack" and rank > 1 else self._dim(dim, rank, node)
        if name == "stack":
            shape = [*shapes[0][:place], len(shapes), *shapes[0][place:]]
        else:
            sizes = [shape[place] for shape in shapes]
            joined = None if None in sizes else sum(sizes)
            shape = [*shapes[0][:place], joined, *shapes[0][place + 1 :]]
        listed = ", ".join(leaf.text for leaf in leaves)
        function = "stack" if name == "stack" else "cat"
        text = f"torch.{function}([{listed}], dim={place})"
        program = self.tracer.program
        assert program is not None
        return program.joined_view(leaves, text, tuple(shape), "joined")

    def _tensor(self, value: Any, node: ast.AST) -> Any:
        """A part of what is put together; a tensor of zeros or ones is made for it."""
        if not isinstance(value, Filled) or value.like is None:
            return self.tracer.made(value, node)
        leaf = self.tracer.made(value.like, node)
        if not is_tensor(leaf) or leaf.spec.shape is None:
            raise Refused("zeros of a tensor whose shape is not known", node)
        text = "torch.zeros_like({x})" if float(value) == 0 else "torch.ones_like({x})"
        return self._made(leaf, text, leaf.spec.shape, "zeros" if float(value) == 0 else "ones")

    # -- what a reduction left ----------------------------------------------------------------

    def _reduced_dimension(self, owner: Any, name: str, args: list[Any], node: ast.AST) -> Any:
        """Dropping or restoring the reduced dimension inside the Triton kernel."""
        if name not in ("unsqueeze", "squeeze") or not isinstance(owner, Tensor):
            return None
        region = region_of(owner)
        axis, rank = region.axis, region.rank
        wanted = ("drop", "keep") if name == "unsqueeze" else ("keep", "drop")
        dim = number(args[0]) if args else None
        if axis is None or axis.count != 1 or owner.extent != wanted[0] or dim is None:
            return None
        if axis.kind not in ("rows", "lines"):
            return None
        first = int(dim) + rank if dim < 0 and rank is not None else int(dim)
        if first == axis.first or (dim == -1 and axis.kind == "rows"):
            return region.alias(owner, wanted[1])
        return None


def _product(sizes: Any) -> int | None:
    if any(size is None for size in sizes):
        return None
    return int(math.prod(sizes))
