"""What each PyTorch function means in operations of the model.

Spellings are brought together here (``x ** 2``, ``x.pow(2)``, ``torch.square(x)``), defaults that
the source leaves out are put in, and composite functions are taken apart where PyTorch's own
documentation gives the formula. How an operation is written in Triton is the model's business.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from typing import Any, cast

from kernelllm_jupyter.starter.builder import Axis, Builder
from kernelllm_jupyter.starter.domain import Number, Refused, Tensor, Values, WeightRef
from kernelllm_jupyter.starter.graph import Layout, Stored
from kernelllm_jupyter.starter.vocabulary import (
    ALIASES,
    COMPARISONS,
    FUNCTIONS,
    REDUCTIONS,
)

__all__ = ["Lowering", "bind", "number"]

_MIRRORED = {"gt": "lt", "lt": "gt", "ge": "le", "le": "ge", "eq": "eq", "ne": "ne"}


def number(value: Any) -> float | int | None:
    """The number that ``value`` is known to be, else None."""
    value = value.value if isinstance(value, Number) and value.known else value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    return None


def bind(
    signature: str, args: list[Any], keywords: dict[str, Any], name: str, node: ast.AST | None
) -> list[Any]:
    """Arguments in the order of ``signature``'s parameters, without those that have no effect."""
    parameters = signature.split()
    keywords = dict(keywords)
    if len(args) > len(parameters):
        raise Refused(f"{len(args)} arguments of {name}", node)
    values = []
    for index, parameter in enumerate(parameters):
        label, _, default = parameter.partition("=")
        plain = label.lstrip("_")
        if index < len(args):
            value = args[index]
        elif plain in keywords:
            value = keywords.pop(plain)
        elif default:
            value = ast.literal_eval(default)
        else:
            raise Refused(f"{name} without {plain}", node)
        if not label.startswith("_"):
            values.append(value)
    if keywords:
        raise Refused(f"the argument {next(iter(keywords))} of {name}", node)
    return values


class Lowering:
    """Turns calls into operations of a :class:`~.builder.Builder`."""

    def __init__(self, builder: Builder, assume: Callable[[Number, ast.AST | None], None]):
        self.builder = builder
        self._assume = assume
        self.emit = builder.emit
        self._has_total = False

    def covers(self, name: str) -> bool:
        name = ALIASES.get(name, name)
        return name in FUNCTIONS or name in REDUCTIONS or hasattr(self, f"_call_{name}")

    def call(self, name: str, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        """The value of ``name(*args, **keywords)``; ``name`` without its module."""
        name = ALIASES.get(name, name)
        for wide, narrow in (("axis", "dim"), ("keepdims", "keepdim")):
            if wide in keywords:
                keywords[narrow] = keywords.pop(wide)
        if name == "add" or name == "sub":
            keywords, args = self._scaled(args, keywords, node)
        special = getattr(self, f"_call_{name}", None)
        if special is not None:
            return special(args, keywords, node)
        if name in REDUCTIONS:
            operation, _, signature = REDUCTIONS[name].partition(" ")
            value, dims, keepdim = bind(signature, args, keywords, name, node)
            return self.reduce(operation, value, dims, keepdim, node)
        if name in FUNCTIONS:
            operation, _, signature = FUNCTIONS[name].partition(" ")
            return self.pointwise(operation, bind(signature, args, keywords, name, node), node)
        raise Refused(f"{name}()", node)

    # -- elementwise ------------------------------------------------------------------------------

    def pointwise(self, operation: str, operands: list[Any], node: ast.AST | None) -> Tensor:
        """One elementwise operation, in the one form that the model knows it by."""
        if operation == "softplus" and [number(v) for v in operands[1:]] == [1.0, 20.0]:
            return self.emit("softplus", operands[:1], node)
        if operation == "softplus":
            return self.emit("softplus_beta", operands, node)
        if operation == "relu6":
            return self.emit("clamp", [operands[0], 0.0, 6.0], node)
        if operation == "log10":
            return self.emit("mul", [self.emit("log", operands, node), 1 / math.log(10)], node)
        if operation == "erfc":
            return self.emit("sub", [1.0, self.emit("erf", operands, node)], node)
        if operation == "floor_divide":
            return self.emit("floor", [self.emit("div", operands, node)], node)
        if operation == "hypot":
            squares = [self.emit("square", [operand], node) for operand in operands]
            return self.emit("sqrt", [self.emit("add", squares, node)], node)
        if operation in ("add", "mul") and not _is_tensor(operands[0]):
            operands = operands[::-1]
        if operation in COMPARISONS and not _is_tensor(operands[0]):
            return self.emit(_MIRRORED[operation], operands[::-1], node)
        if operation in ("maximum", "minimum"):
            return self._extremum(operation, operands, node)
        if operation in ("and", "or", "not"):
            flags = [self._as_boolean(value, node) for value in operands]
            if len({flag.extent for flag in flags}) > 1:
                return self._by_arithmetic(operation, flags, node)
            operands = flags
        if operation == "where":
            operands[0] = self._as_boolean(operands[0], node)
        if operation == "prelu":
            self._one_slope(operands[1], node)
        return self.emit(operation, operands, node)

    def _by_arithmetic(self, operation: str, flags: list[Tensor], node: ast.AST | None) -> Tensor:
        """``and`` and ``or`` of a block with one flag per row.

        Triton's interpreter (3.9) has no bitwise operators between the two.
        """
        numbers = [self.emit("float", [flag], node) for flag in flags]
        joined = self.emit("mul" if operation == "and" else "add", numbers, node)
        return self.emit("gt", [joined, 0.0], node)

    def _extremum(self, operation: str, operands: list[Any], node: ast.AST | None) -> Tensor:
        if not _is_tensor(operands[0]):
            operands = operands[::-1]
        if not _is_tensor(operands[1]):
            side = "clamp_min" if operation == "maximum" else "clamp_max"
            return self.emit(side, operands, node)
        return self.emit(operation, operands, node)

    def _as_boolean(self, value: Any, node: ast.AST | None) -> Tensor:
        tensor = self.builder.tensor(value, node)
        return tensor if tensor.is_boolean else self.emit("ne", [tensor, 0.0], node)

    def copy(self, value: Any, node: ast.AST | None) -> Tensor:
        """``x.clone()``: the same numbers, which a change in place of ``x`` does not touch."""
        tensor = self.builder.tensor(value, node)
        return self.builder.alias(tensor, tensor.extent)

    def _one_slope(self, weight: Any, node: ast.AST | None) -> None:
        shape = weight.spec.shape if isinstance(weight, WeightRef) else None
        rank = self.builder.rank
        if shape is None or (shape != (1,) and rank != 2):
            raise Refused("prelu with a slope per channel", node)

    def _scaled(
        self, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> tuple[dict[str, Any], list[Any]]:
        """``torch.add(x, y, alpha=a)`` as ``x + a * y``."""
        keywords = dict(keywords)
        alpha = keywords.pop("alpha", None)
        if alpha is None or number(alpha) == 1:
            return keywords, args
        other = args[1] if len(args) > 1 else keywords.pop("other")
        return keywords, [args[0], self.emit("mul", [other, alpha], node)]

    def power(self, base: Any, exponent: Any, node: ast.AST | None) -> Any:
        """``base ** exponent``: products and roots where they say the same."""
        if not _is_tensor(base):
            return self._exponential(base, exponent, node)
        value = number(exponent)
        if value is None:
            raise Refused("a power whose exponent is not known before the call", node)
        if isinstance(exponent, Number):
            if not float(value).is_integer():
                return self.emit("pow", [base, exponent], node)
            self._assume(exponent, node)  # Roots of negative numbers differ from products.
        if value < 0 and value != -0.5:
            return self.emit("reciprocal", [self.power(base, -value, node)], node)
        named = {0.5: "sqrt", -0.5: "rsqrt", 2: "square", 3: "cube"}
        if value in named:
            return self.emit(named[value], [base], node)
        if value == 1:
            return self.builder.tensor(base, node)
        if value == 1.5:
            return self.emit("mul", [base, self.emit("sqrt", [base], node)], node)
        if float(value).is_integer() and 4 <= value <= 8:
            half = self.power(base, int(value) // 2, node)
            whole = self.emit("square", [half], node)
            return whole if value % 2 == 0 else self.emit("mul", [whole, base], node)
        if float(value).is_integer():
            raise Refused(f"the power {value}", node)
        return self.emit("pow", [base, value], node)

    def _exponential(self, base: Any, exponent: Any, node: ast.AST | None) -> Tensor:
        known = base if isinstance(base, (int, float)) else None
        if known == 2:
            return self.emit("exp2", [exponent], node)
        if known is None or known <= 0:
            raise Refused("a power whose base is no positive constant", node)
        return self.emit("exp", [self.emit("mul", [exponent, math.log(known)], node)], node)

    def _call_pow(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        base, exponent = bind("input exponent", args, keywords, "pow", node)
        return self.power(base, exponent, node)

    def _call_div(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        left, right, mode = bind("input other rounding_mode=None", args, keywords, "div", node)
        quotient = self.emit("div", [left, right], node)
        if mode is None:
            return quotient
        if mode == "floor":
            return self.emit("floor", [quotient], node)
        raise Refused(f"div with rounding_mode={mode!r}", node)

    def _call_rsub(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        left, right = bind("input other", args, keywords, "rsub", node)
        return self.emit("sub", [right, left], node)

    def _call_clamp(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        value, low, high = bind("input min=None max=None", args, keywords, "clamp", node)
        if low is None and high is None:
            raise Refused("clamp without bounds", node)
        if high is None:
            return self.pointwise("maximum", [value, low], node)
        if low is None:
            return self.pointwise("minimum", [value, high], node)
        if _is_tensor(low) or _is_tensor(high):
            raised = self.pointwise("maximum", [value, low], node)
            return self.pointwise("minimum", [raised, high], node)
        return self.emit("clamp", [value, low, high], node)

    def _call_clamp_min(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        return self.pointwise("maximum", bind("input min", args, keywords, "clamp_min", node), node)

    def _call_clamp_max(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        return self.pointwise("minimum", bind("input max", args, keywords, "clamp_max", node), node)

    def _call_gelu(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        value, form = bind("input approximate='none'", args, keywords, "gelu", node)
        return self.emit("gelu" if form == "none" else "gelu_tanh", [value], node)

    def _call_chunk(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        value, count, dim = bind("input chunks dim=0", args, keywords, "chunk", node)
        rank = self.builder.rank
        last = number(dim) == -1 or (rank is not None and number(dim) == rank - 1)
        if number(count) != 2 or not last or isinstance(dim, Number):
            raise Refused("chunk into anything but two halves of the last dimension", node)
        return self.builder.halves(value, node)

    def _call_glu(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        value, dim = bind("input dim=-1", args, keywords, "glu", node)
        first, second = self._call_chunk([value, 2, dim], {}, node)
        return self.emit("mul", [first, self.emit("sigmoid", [second], node)], node)

    def _call_addcmul(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        return self._fused_add("mul", args, keywords, node)

    def _call_addcdiv(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        return self._fused_add("div", args, keywords, node)

    def _fused_add(
        self, operation: str, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        names = "input tensor1 tensor2 value=1"
        value, first, second, scale = bind(names, args, keywords, f"addc{operation}", node)
        product = self.emit(operation, [first, second], node)
        if number(scale) != 1:
            product = self.emit("mul", [product, scale], node)
        return self.emit("add", [value, product], node)

    def _call_masked_fill(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        value, mask, fill = bind("input mask value", args, keywords, "masked_fill", node)
        return self.pointwise("where", [mask, fill, value], node)

    def _call_full_like(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        value = bind("input fill_value _dtype=None", args, keywords, "full_like", node)[1]
        return float(value) if isinstance(value, int) else value

    def _call_zeros_like(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        return 0.0

    def _call_ones_like(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        return 1.0

    # -- rows -------------------------------------------------------------------------------------

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
            self._has_total = True
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
        if "other" in keywords or any(_is_tensor(a) or isinstance(a, float) for a in args[1:2]):
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

    # -- losses -----------------------------------------------------------------------------------

    def _loss(
        self, names: str, name: str, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> tuple[list[Any], str]:
        names = f"input target _size_average=None _reduce=None reduction='mean'{names}"
        first, second, reduction, *rest = bind(names, args, keywords, name, node)
        return [first, second, *rest], reduction

    def _reduced(self, value: Tensor, reduction: str, node: ast.AST) -> Tensor:
        if reduction == "none":
            return value
        if reduction not in ("mean", "sum"):
            raise Refused(f"a loss with reduction={reduction!r}", node)
        return self.reduce(reduction, value, None, False, node)

    def _call_mse_loss(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        pair, reduction = self._loss("", "mse_loss", args, keywords, node)
        error = self.emit("square", [self.emit("sub", pair, node)], node)
        return self._reduced(error, reduction, node)

    def _call_binary_cross_entropy_with_logits(
        self, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        names = "input target reduction='mean'"
        logits, target, reduction = bind(names, args, keywords, "bce_with_logits", node)
        linear = self.emit("sub", [logits, self.emit("mul", [logits, target], node)], node)
        # As PyTorch has it: (1 - y) x - logsigmoid(x).
        loss = self.emit("sub", [linear, self.emit("logsigmoid", [logits], node)], node)
        return self._reduced(loss, reduction, node)

    def _call_binary_cross_entropy(
        self, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        names = "input target reduction='mean'"
        share, target, reduction = bind(names, args, keywords, "binary_cross_entropy", node)
        rest = self.emit("log1p", [self.emit("neg", [share], node)], node)
        logs = [
            self.emit("clamp_min", [value, -100.0], node)
            for value in (self.emit("log", [share], node), rest)
        ]
        first = self.emit("mul", [self.emit("sub", [target, 1.0], node), logs[1]], node)
        second = self.emit("mul", [target, logs[0]], node)
        return self._reduced(self.emit("sub", [first, second], node), reduction, node)

    def _call_l1_loss(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        pair, reduction = self._loss("", "l1_loss", args, keywords, node)
        return self._reduced(
            self.emit("abs", [self.emit("sub", pair, node)], node), reduction, node
        )

    def _call_smooth_l1_loss(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        found, reduction = self._loss(" beta=1.0", "smooth_l1_loss", args, keywords, node)
        error = self.emit("sub", found[:2], node)
        return self._reduced(self.emit("smooth_l1", [error, found[2]], node), reduction, node)

    def _call_huber_loss(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        names = "input target reduction='mean' delta=1.0"
        left, right, reduction, delta = bind(names, args, keywords, "huber_loss", node)
        error = self.emit("sub", [left, right], node)
        return self._reduced(self.emit("huber", [error, delta], node), reduction, node)

    # -- the end ----------------------------------------------------------------------------------

    def close(self, result: Tensor) -> tuple[Layout, Stored]:
        """How the result is laid out and stored, now that everything is known."""
        axis = self.axis(None, None) if self._has_total else self.builder.axis
        if self.builder.is_halved:
            if axis is not None or result.extent != "full":
                raise Refused("a reduction of halves")
            return "half", "block"
        if axis is None:
            return "flat", "block"
        stored: dict[str, Stored] = {"full": "block", "keep": "keep", "drop": "one", "total": "one"}
        stored["rowtotal"] = "rowsum" if self.builder.over_rows == "sum" else "rowmean"
        if result.extent not in stored:
            raise Refused("a result that depends on no input")
        if not self.builder.is_plain_total(result):
            self._must_fit(axis)
        return axis.kind, stored[result.extent]

    def _must_fit(self, axis: Axis) -> None:
        """A row is one block of the Triton kernel, and Triton allows 2**20 elements in one."""
        shape = self.builder.shape
        if shape is None or axis.first is None:
            return
        sizes = shape[axis.first :] if axis.kind == "tail" else (shape[axis.first],)
        if all(size is not None for size in sizes):
            count = math.prod(cast(tuple[int, ...], sizes))
            if count > 2**20:
                raise Refused(f"rows of {count} elements (at most 1048576)")


def _is_tensor(value: Any) -> bool:
    return not isinstance(value, (int, float, Number, bool))
