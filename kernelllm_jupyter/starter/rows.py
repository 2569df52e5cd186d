"""Reductions and row operations in operations of the model, and the one axis they share."""

from __future__ import annotations

import ast
from typing import Any, cast

from kernelllm_jupyter.starter.builder import Axis, Builder, numel
from kernelllm_jupyter.starter.domain import Number, Refused, Tensor, Values
from kernelllm_jupyter.starter.elementwise import Elementwise, bind, is_operand, number

__all__ = ["Rows"]


#: More elements than this are reduced to one number in several programs.
_ONE_PROGRAM = 1 << 14


class Rows(Elementwise):
    """Adds what works along a dimension."""

    def expanded(self, value: Any, node: ast.AST | None) -> Any:
        """``m.expand_as(x)``: what follows broadcasts by itself."""
        tensor = self.builder.tensor(value, node)
        if tensor.extent == "drop":
            raise Refused("expand of a value without its reduced dimension", node)
        return value

    def axis(self, dims: Any, node: ast.AST | None) -> Axis:
        """The one axis of this region, which ``dims`` must agree with."""
        if self.builder.fixed is not None:
            raise Refused("a reduction of a product in the same Triton kernel", node)
        found = self._axis(dims, node)
        known = self.builder.axis
        if known is None:
            self.builder.axis = known = found
        same = (known.kind, known.first, known.count) == (found.kind, found.first, found.count)
        if not same or (found.first is None and known.size != found.size):
            raise Refused("reductions along different dimensions", node)
        return known

    def _axis(self, dims: Any, node: ast.AST | None) -> Axis:
        rank = self.builder.rank
        if isinstance(dims, Number) and isinstance(dims.value, (tuple, list)):
            self.assume(dims, node)
            dims = dims.value
        if isinstance(dims, (tuple, list)) and len(dims) == 1:
            dims = dims[0]
        if dims is None or (isinstance(dims, (tuple, list)) and not dims):
            kept = f"(1,) * {rank}" if rank is not None else "(1,) * {x}.ndim"
            return Axis("rows", 0, rank or 0, "{x}.numel()", "()", kept)
        if isinstance(dims, (tuple, list)):
            return self._several([number(dim) for dim in dims], rank, node)
        known = number(dims)
        if known is None:
            raise Refused("a dimension that is not known before the call", node)
        first = int(known)
        if rank is not None:
            first = first + rank if first < 0 else first
            if not 0 <= first < rank:
                raise Refused(f"dimension {int(known)} of an input of rank {rank}", node)
        if first == -1 or (rank is not None and first == rank - 1):
            if isinstance(dims, Number):
                self.assume(dims, node)
            first = first if rank is not None else -1
            return Axis("rows", first, 1, "{x}.shape[-1]", "{x}.shape[:-1]", "(*{x}.shape[:-1], 1)")
        named = isinstance(dims, Number) and dims.node is not None
        dim = ast.unparse(cast(ast.expr, dims.node)) if named else str(int(known))
        return Axis(
            "lines",
            first,
            1,
            f"{{x}}.shape[{dim}]",
            f"{{x}}.select({dim}, 0).shape",
            f"{{x}}.narrow({dim}, 0, 1).shape",
            f"{{x}}.shape[{dim}:][1:].numel()",
        )

    def _several(
        self, dims: list[float | int | None], rank: int | None, node: ast.AST | None
    ) -> Axis:
        if any(dim is None for dim in dims):
            raise Refused("dimensions that are not known before the call", node)
        numbers = sorted(int(cast(float, dim)) for dim in dims)
        count = len(numbers)
        if rank is None:
            if numbers == list(range(-count, 0)):
                size, kept = f"{{x}}.shape[-{count}:].numel()", f"(1,) * {count}"
                dropped = f"{{x}}.shape[:-{count}]"
                return Axis("rows", None, count, size, dropped, f"(*{dropped}, *{kept})")
            raise Refused("a reduction of several dimensions of a tensor of unknown rank", node)
        numbers = sorted(dim + rank if dim < 0 else dim for dim in numbers)
        if numbers == [0, *range(2, rank)] and rank > 2:
            kept = f"(1, {{x}}.shape[1], {', '.join('1' * (rank - 2))})"
            size = "{x}.numel() // {x}.shape[1]"
            return Axis("channel", 0, rank, size, "{x}.shape[1:2]", kept, "{x}.shape[2:].numel()")
        first, end = numbers[0], numbers[-1] + 1
        if numbers != list(range(first, end)) or end > rank:
            raise Refused("a reduction of dimensions that do not stand side by side", node)
        if count == rank:
            return Axis("rows", 0, count, "{x}.numel()", "()", f"(1,) * {count}")
        ones = ", ".join("1" * count)
        size = f"{{x}}.shape[{first}:{end}].numel()"
        if end == rank:
            dropped = f"{{x}}.shape[:{first}]"
            return Axis("rows", first, count, size, dropped, f"(*{dropped}, {ones})")
        dropped = f"(*{{x}}.shape[:{first}], *{{x}}.shape[{end}:])"
        kept = f"(*{{x}}.shape[:{first}], {ones}, *{{x}}.shape[{end}:])"
        stride = f"{{x}}.shape[{end}:].numel()"
        return Axis("lines", first, count, size, dropped, kept, stride)

    def _row_input(self, value: Any, operation: str, node: ast.AST | None) -> Tensor:
        tensor = self.builder.tensor(value, node)
        if tensor.is_boolean:
            tensor = self.emit("float", [tensor])
        if tensor.extent != "full":
            raise Refused(f"{operation} of a value that is already reduced", node)
        return tensor

    def reduce(
        self, operation: str, value: Any, dims: Any, keepdim: Any, node: ast.AST | None
    ) -> Any:
        """One number per row, or of everything where ``dims`` is None."""
        keepdim = keepdim.value if isinstance(keepdim, Number) else keepdim
        again = self._reduced_again(operation, value, dims, keepdim, node)
        if again is not None:
            return again
        everything = dims is None or dims in ((), [])
        is_row = isinstance(value, Tensor) and value.extent == "drop"
        if everything and is_row and operation in ("sum", "mean"):
            return self.builder.total_of_rows(operation, value)
        if self.builder.fixed is not None:
            raise Refused("a reduction of a product in the same Triton kernel", node)
        tensor = self._row_input(value, operation, node)
        if everything:
            return self._total(operation, tensor, node)
        axis = self.axis(dims, node)
        everything = axis.kind == "rows" and axis.first == 0
        extent = "keep" if keepdim else ("total" if everything else "drop")
        return self.emit(operation, [tensor], node, extent=extent)

    def _total(self, operation: str, tensor: Tensor, node: ast.AST | None) -> Any:
        """One number of everything: in one program where it is little, else from partial ones."""
        size = numel(self.builder.shape)
        if size is not None and size <= _ONE_PROGRAM:
            self.axis(None, node)
            return self.emit(operation, [tensor], node, extent="total")
        if self.builder.reduces(tensor):
            raise Refused("a reduction of everything after another one", node)
        if operation in ("sum", "mean", "max", "min"):
            return self.program.made(self.emit(operation, [tensor], node, extent="total"))
        if operation == "norm1":
            return self._total("sum", self.emit("abs", [tensor], node), node)
        if operation == "norm2":
            total = self._total("sum", self.emit("square", [tensor], node), node)
            return self._anew().emit("sqrt", [total], node)
        if operation[:3] in ("var", "std") and size is not None:
            mean = self._total("mean", tensor, node)
            centred = self.emit("sub", [tensor, mean], node)
            total = self._total("mean", self.emit("square", [centred], node), node)
            scaled = total
            after = self._anew()
            if operation.endswith("1"):
                raise Refused("an unbiased variance of everything", node)
            return after.emit("sqrt", [scaled], node) if operation[:3] == "std" else scaled
        raise Refused(f"{operation} of everything", node)

    def _anew(self) -> Rows:
        """The same in a region of its own."""
        return type(self)(Builder(), self.program)

    def _reduced_again(
        self, operation: str, value: Any, dims: Any, keepdim: Any, node: ast.AST | None
    ) -> Tensor | None:
        """The same dimension once more, now of size 1: the numbers stay as they are."""
        single = operation in ("sum", "mean", "max", "min", "logsumexp", "prod")
        if dims is None or not (single and isinstance(value, Tensor) and value.extent == "keep"):
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
        return self._cumulative("cumsum", args, keywords, node)

    def _call_cumprod(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        return self._cumulative("cumprod", args, keywords, node)

    def _cumulative(
        self, operation: str, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        value, dim = bind("input dim _dtype=None", args, keywords, operation, node)
        value = self.builder.tensor(value, node)
        axis = self.axis(dim, node)
        if axis.count != 1:
            raise Refused(f"{operation} beside a reduction of several dimensions", node)
        return self.row(operation, [value], dim, node)

    def _call_prod(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        value, dim, keepdim = bind("input dim=None keepdim=False", args, keywords, "prod", node)
        return self.reduce("prod", value, dim, keepdim, node)

    def _call_argmax(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        return self._index("argmax", args, keywords, node)

    def _call_argmin(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        return self._index("argmin", args, keywords, node)

    def _index(
        self, operation: str, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        value, dim, keepdim = bind("input dim=None keepdim=False", args, keywords, operation, node)
        if dim is None:
            raise Refused(f"{operation} without dim", node)
        return self.program.made(self.reduce(operation, value, dim, keepdim, node))

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
    ) -> Any:
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
        if dim is None:
            return reduced
        found = [value, dim, keepdim]
        return Values(reduced, lambda: self.program.apply("_index", [f"arg{row}", found, {}], node))

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
