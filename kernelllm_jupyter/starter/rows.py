"""Reductions and row operations in operations of the model, and the one axis they share."""

from __future__ import annotations

import ast
from typing import Any, cast

from kernelllm_jupyter.starter.builder import Axis
from kernelllm_jupyter.starter.domain import Number, Refused, Tensor, Values
from kernelllm_jupyter.starter.elementwise import Elementwise, bind, is_operand, number

__all__ = ["Rows"]


class Rows(Elementwise):
    """Adds what works along a dimension."""

    #: Whether something is reduced to one number of everything.
    has_total = False
    #: Whether one number per row is expanded, so that the result must be of the whole shape.
    has_expanded = False

    def expanded(self, value: Any, node: ast.AST | None) -> Any:
        """``m.expand_as(x)``: what follows broadcasts by itself."""
        tensor = self.builder.tensor(value, node)
        if tensor.extent == "drop":
            raise Refused("expand of a value without its reduced dimension", node)
        self.has_expanded = self.has_expanded or tensor.extent == "keep"
        return value

    def axis(self, dims: Any, node: ast.AST | None) -> Axis:
        """The one axis of this graph, which ``dims`` must agree with."""
        found = self._axis(dims, node)
        known = self.builder.axis
        if known is None:
            self.builder.axis = known = found
        same = (known.kind, known.first, known.count) == (found.kind, found.first, found.count)
        if not same or (found.first is None and known.text != found.text):
            raise Refused("reductions along different dimensions", node)
        return known

    def _axis(self, dims: Any, node: ast.AST | None) -> Axis:
        rank = self.builder.rank
        if isinstance(dims, Number) and isinstance(dims.value, (tuple, list)):
            raise Refused("dimensions given to the constructor", node)
        if isinstance(dims, (tuple, list)) and len(dims) == 1:
            dims = dims[0]
        if isinstance(dims, (tuple, list)):
            return self._trailing([number(dim) for dim in dims], rank, node)
        if dims is None:
            return Axis("tail", 0, "0", rank or 0)
        known = number(dims)
        if known is None:
            raise Refused("a dimension that is not known before the call", node)
        first = int(known)
        if rank is not None:
            first = first + rank if first < 0 else first
            if not 0 <= first < rank:
                raise Refused(f"dimension {int(known)} of an input of rank {rank}", node)
        last = first == -1 or (rank is not None and first == rank - 1)
        if isinstance(dims, Number) and dims.node is not None:
            return Axis("dim", first, ast.unparse(dims.node))
        return Axis("last" if last else "dim", first, "-1" if last else str(int(known)))

    def _trailing(
        self, dims: list[float | int | None], rank: int | None, node: ast.AST | None
    ) -> Axis:
        if any(dim is None for dim in dims):
            raise Refused("dimensions that are not known before the call", node)
        numbers = sorted(int(cast(float, dim)) for dim in dims)
        count = len(numbers)
        if rank is not None:
            numbers = sorted(dim - rank if dim >= 0 else dim for dim in numbers)
        if numbers != list(range(-count, 0)):
            raise Refused("a reduction of several dimensions that are not the last ones", node)
        if count == rank:
            return Axis("tail", 0, "0", count)
        return Axis("tail", None if rank is None else rank - count, str(-count), count)

    def _row_input(self, value: Any, operation: str, node: ast.AST | None) -> Tensor:
        tensor = self.builder.tensor(value, node)
        if tensor.is_boolean:
            tensor = self.emit("float", [tensor])
        if tensor.extent != "full":
            raise Refused(f"{operation} of a value that is already reduced", node)
        return tensor

    def reduce(
        self, operation: str, value: Any, dims: Any, keepdim: Any, node: ast.AST | None
    ) -> Tensor:
        """One number per row, or of everything where ``dims`` is None."""
        again = self._reduced_again(operation, value, dims, keepdim, node)
        if again is not None:
            return again
        everything = dims is None or dims in ((), [])
        is_row = isinstance(value, Tensor) and value.extent == "drop"
        if everything and is_row and operation in ("sum", "mean"):
            return self.builder.total_of_rows(operation, value)
        tensor = self._row_input(value, operation, node)
        if everything:
            whole = self.emit(operation, [tensor], node, extent="total")
            self.has_total = True
            return whole
        axis = self.axis(dims, node)
        everything = axis.kind == "tail" and axis.first == 0
        extent = "keep" if keepdim else ("total" if everything else "drop")
        return self.emit(operation, [tensor], node, extent=extent)

    def _reduced_again(
        self, operation: str, value: Any, dims: Any, keepdim: Any, node: ast.AST | None
    ) -> Tensor | None:
        """The same dimension once more, now of size 1: the numbers stay as they are."""
        single = operation in ("sum", "mean", "max", "min", "logsumexp")
        if not (single and isinstance(value, Tensor) and value.extent == "keep"):
            return None
        self.axis(dims, node)
        return value if keepdim else self.builder.alias(value, "drop")

    def row(self, operation: str, operands: list[Any], dims: Any, node: ast.AST | None) -> Tensor:
        """A row operation that keeps the shape, such as softmax."""
        tensor = self._row_input(operands[0], operation, node)
        self.axis(dims, node)
        return self.emit(operation, [tensor, *operands[1:]], node)

    def _implicit(self, dim: Any, node: ast.AST | None) -> Any:
        """The dimension that ``softmax`` takes where none is given, as PyTorch chooses it."""
        if dim is not None:
            return dim
        rank = self.builder.rank
        if rank is None:
            raise Refused("softmax without dim", node)
        return 0 if rank in (0, 1, 3) else 1

    def _softmax(
        self, operation: str, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        names = "input dim=None _stacklevel=3 _dtype=None"
        if len(args) == 3:
            args = args[:2]
        value, dim = bind(names, args, keywords, operation, node)
        return self.row(operation, [value], self._implicit(dim, node), node)

    def _call_softmax(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        return self._softmax("softmax", args, keywords, node)

    def _call_log_softmax(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        return self._softmax("log_softmax", args, keywords, node)

    def _call_softmin(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        value, dim = bind("input dim=None _stacklevel=3", args, keywords, "softmin", node)
        negative = self.emit("neg", [value], node)
        return self.row("softmax", [negative], self._implicit(dim, node), node)

    def _call_cumsum(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        value, dim = bind("input dim _dtype=None", args, keywords, "cumsum", node)
        result = self.row("cumsum", [value], dim, node)
        if self.builder.axis is not None and self.builder.axis.kind == "tail":
            raise Refused("cumsum beside a reduction of several dimensions", node)
        return result

    def _call_normalize(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        names = "input p=2.0 dim=1 eps=1e-12"
        value, p, dim, eps = bind(names, args, keywords, "normalize", node)
        if number(p) == 1:
            size = self.reduce("norm1", value, dim, True, node)
            return self.emit("div", [value, self.emit("clamp_min", [size, eps], node)], node)
        if number(p) != 2:
            raise Refused("normalize with p other than 1 or 2", node)
        return self.row("normalize", [value, eps], dim, node)

    def layer_norm(
        self,
        operation: str,
        value: Any,
        sizes: Any,
        weights: tuple[Any, Any],
        eps: Any,
        node: ast.AST | None,
    ) -> Tensor:
        """``layer_norm`` or ``rms_norm`` over the trailing ``sizes``, then weight and bias."""
        count = len(sizes) if isinstance(sizes, (tuple, list)) else 1
        dims = -1 if count == 1 else tuple(range(-count, 0))
        result = self.row(operation, [value, eps], dims, node)
        for kind, weight in zip(("mul", "add"), weights, strict=True):
            if weight is not None:
                result = self.emit(kind, [result, weight], node)
        return result

    def _call_layer_norm(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        names = "input normalized_shape weight=None bias=None eps=1e-5"
        value, sizes, weight, bias, eps = bind(names, args, keywords, "layer_norm", node)
        return self.layer_norm("layer_norm", value, sizes, (weight, bias), eps, node)

    def _call_rms_norm(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        names = "input normalized_shape weight=None eps=None"
        value, sizes, weight, eps = bind(names, args, keywords, "rms_norm", node)
        eps = 1.1920928955078125e-07 if eps is None else eps
        return self.layer_norm("rms_norm", value, sizes, (weight, None), eps, node)

    def _call_max(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        return self._max("max", "maximum", args, keywords, node)

    def _call_min(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        return self._max("min", "minimum", args, keywords, node)

    def _max(
        self, row: str, pair: str, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        # A float in the place of ``dim`` is what ``zeros_like`` and the like have become.
        if "other" in keywords or any(is_operand(a) or isinstance(a, float) for a in args[1:2]):
            return self.pointwise(pair, bind("input other", args, keywords, row, node), node)
        value, dim, keepdim = bind("input dim=None keepdim=False", args, keywords, row, node)
        reduced = self.reduce(row, value, dim, keepdim, node)
        return reduced if dim is None else Values(reduced)

    def _call_var(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        return self._spread("var", args, keywords, node)

    def _call_std(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        return self._spread("std", args, keywords, node)

    def _spread(
        self, operation: str, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        if len(args) > 1 and isinstance(args[1], bool):
            args = [args[0], None, *args[1:]]
        names = "input dim=None unbiased=None keepdim=False correction=None"
        value, dim, unbiased, keepdim, correction = bind(names, args, keywords, operation, node)
        if correction is None:
            correction = 0 if unbiased is False else 1
        if correction not in (0, 1):
            raise Refused(f"{operation} with correction={correction!r}", node)
        return self.reduce(f"{operation}{correction}", value, dim, keepdim, node)

    def _call_norm(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        names = "input p=2 dim=None keepdim=False _dtype=None"
        value, p, dim, keepdim = bind(names, args, keywords, "norm", node)
        if p == "fro":
            p = 2
        if number(p) not in (1, 2):
            raise Refused("norm with p other than 1 or 2", node)
        return self.reduce(f"norm{int(cast(float, number(p)))}", value, dim, keepdim, node)

    def vector_norm(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        """``torch.linalg.norm`` and ``vector_norm``, which call ``p`` ``ord``."""
        names = "x ord=2 dim=None keepdim=False"
        value, p, dim, keepdim = bind(names, args, keywords, "norm", node)
        p = 2 if p is None else p
        return self._call_norm([value, p, dim, keepdim], {}, node)

    def _call_cosine_similarity(
        self, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        names = "x1 x2 dim=1 eps=1e-8"
        left, right, dim, eps = bind(names, args, keywords, "cosine_similarity", node)
        dot = self.reduce("sum", self.emit("mul", [left, right], node), dim, False, node)
        norms = [
            self.emit("clamp_min", [self.reduce("norm2", side, dim, False, node), eps], node)
            for side in (left, right)
        ]
        return self.emit("div", [dot, self.emit("mul", norms, node)], node)

    def _call_pairwise_distance(
        self, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        names = "x1 x2 p=2.0 eps=1e-6 keepdim=False"
        left, right, p, eps, keepdim = bind(names, args, keywords, "pairwise_distance", node)
        shifted = self.emit("add", [self.emit("sub", [left, right], node), eps], node)
        return self._call_norm([shifted, p, -1, keepdim], {}, node)
