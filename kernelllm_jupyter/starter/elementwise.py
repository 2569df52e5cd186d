"""Elementwise functions in operations of the model: every spelling in the one form it knows."""

from __future__ import annotations

import ast
import math
from typing import TYPE_CHECKING, Any

from kernelllm_jupyter.starter.builder import Builder
from kernelllm_jupyter.starter.domain import Filled, Number, Refused, Tensor, WeightRef
from kernelllm_jupyter.starter.vocabulary import COMPARISONS

if TYPE_CHECKING:
    from kernelllm_jupyter.starter.program import Program

__all__ = ["Elementwise", "bind", "is_operand", "number"]

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


class Elementwise:
    """Turns elementwise calls into operations of a :class:`~.builder.Builder`."""

    def __init__(self, builder: Builder, program: Program):
        self.builder = builder
        self.program = program
        self.assume = program.assume
        self.emit = builder.emit

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
        if operation in ("add", "mul") and not is_operand(operands[0]):
            operands = operands[::-1]
        if operation in COMPARISONS and not is_operand(operands[0]):
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
        if not is_operand(operands[0]):
            operands = operands[::-1]
        if not is_operand(operands[1]):
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
        if not is_operand(base):
            return self._exponential(base, exponent, node)
        value = number(exponent)
        if value is None:
            raise Refused("a power whose exponent is not known before the call", node)
        if isinstance(exponent, Number):
            if not float(value).is_integer():
                return self.emit("pow", [base, exponent], node)
            self.assume(exponent, node)  # Roots of negative numbers differ from products.
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
        if is_operand(low) or is_operand(high):
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

    def _call_glu(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        value, dim = bind("input dim=-1", args, keywords, "glu", node)
        first, second = self.program.halves(value, dim, node)
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
        return _filled(0.0, args)

    def _call_ones_like(self, args: list[Any], keywords: dict[str, Any], node: ast.AST) -> Any:
        return _filled(1.0, args)


def _filled(value: float, args: list[Any]) -> Filled:
    number_ = Filled(value)
    number_.like = args[0] if args else None
    return number_


def is_operand(value: Any) -> bool:
    return not isinstance(value, (int, float, Number, bool))
