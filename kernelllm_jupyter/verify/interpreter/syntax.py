"""Python's own words inside a Triton kernel, as the compiler reads them.

The interpreter runs a kernel as Python, where ``a and b`` of two blocks is ``b``, ``not block`` is
``False``, ``min(a, b)`` is one of the two, ``if block:`` is taken, and a loop's counter is an
``int`` that has no ``.to``. The compiler makes element by element logic and minima of these,
refuses a block as a condition, and counts in tensors. So the kernel's source is rewritten once more
before the interpreter does.
"""

from __future__ import annotations

import ast
import builtins
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import triton.language as tl
import triton.runtime.interpreter as tri

__all__ = ["install"]

LOGICAL = "_kernelllm_logical"
NOT = "_kernelllm_not"
EXTREME = "_kernelllm_extreme"
COUNTED = "_kernelllm_counted"
CONDITION = "_kernelllm_condition"


def install() -> None:
    """Rewrite functions of Triton's language before the interpreter does."""
    for name, function in (
        (LOGICAL, _logical),
        (NOT, _not),
        (EXTREME, _extreme),
        (COUNTED, _counted),
        (CONDITION, _condition),
    ):
        # The interpreter hands its own globals to what it has rewritten.
        setattr(tri, name, function)
    tri.FunctionRewriter.ast_transformer = Both(tri.FunctionRewriter.ast_transformer)


class Both:
    """Our rewriting, then the interpreter's."""

    def __init__(self, original: Any) -> None:
        self.original = original

    def visit(self, tree: ast.AST) -> Any:
        return self.original.visit(ast.fix_missing_locations(Syntax().visit(tree)))


class Syntax(ast.NodeTransformer):
    """Replaces what Python and the compiler read differently by calls of the functions below."""

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        name = "logical_and" if isinstance(node.op, ast.And) else "logical_or"
        return _located(_logical_call(name, node.values), node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        """``a < b < c`` is ``a < b and b < c``."""
        self.generic_visit(node)
        if len(node.ops) == 1:
            return node
        lefts = [node.left, *node.comparators[:-1]]
        pairs = [
            ast.Compare(left=left, ops=[op], comparators=[right])
            for left, op, right in zip(lefts, node.ops, node.comparators, strict=True)
        ]
        return _located(_logical_call("logical_and", pairs), node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return _located(_call(NOT, node.operand), node) if isinstance(node.op, ast.Not) else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in ("min", "max") and node.args:
            made = _call(EXTREME, node.func, *node.args)
            made.keywords = node.keywords
            return _located(made, node)
        return node

    def visit_For(self, node: ast.For) -> ast.AST:
        self.generic_visit(node)
        node.iter = _located(_call(COUNTED, node.iter), node.iter)
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        return self._with_condition(node)

    def visit_While(self, node: ast.While) -> ast.AST:
        return self._with_condition(node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        return self._with_condition(node)

    def _with_condition(self, node: Any) -> ast.AST:
        self.generic_visit(node)
        node.test = _located(_call(CONDITION, node.test), node.test)
        return cast(ast.AST, node)

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        self.generic_visit(node)
        node.test = _located(_call(CONDITION, node.test, ast.Constant(True)), node.test)
        return node


def _located(made: ast.expr, place: ast.AST) -> ast.expr:
    return ast.copy_location(made, place)


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(func=ast.Name(id=name, ctx=ast.Load()), args=list(arguments), keywords=[])


def _logical_call(name: str, values: Iterable[ast.expr]) -> ast.Call:
    nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
    return _call(LOGICAL, ast.Constant(name), *(ast.Lambda(nothing, value) for value in values))


def _logical(name: str, *values: Callable[[], Any]) -> Any:
    """``and`` and ``or``: what is known when compiling ends it early, tensors never do."""
    decided = name == "logical_or"
    result: Any = None
    last: Any = None
    for value in values:
        last = value()
        if not isinstance(last, tl.tensor):
            if bool(last) is decided:
                return last
            continue
        result = last if result is None else getattr(result, name)(last)
    return last if result is None else result


def _not(value: Any) -> Any:
    return value.__not__() if isinstance(value, tl.tensor) else not value


def _extreme(function: Any, *values: Any, **named: Any) -> Any:
    """``min`` and ``max`` of tensors are Triton's, unless the names mean something else here."""
    is_builtin = function is builtins.min or function is builtins.max
    if not is_builtin or not any(isinstance(value, tl.tensor) for value in values):
        return function(*values, **named)
    combine = tl.minimum if function is builtins.min else tl.maximum
    result, *others = values
    for other in others:
        result = combine(result, other)
    return result


def _condition(value: Any, whole: bool = False) -> Any:
    """A tensor as a condition: one value, or in an assertion all of them."""
    if not isinstance(value, tl.tensor):
        return value
    bits = value.handle.data
    if bits.size != 1 and not whole:
        raise ValueError(
            f"a block of {bits.size} values cannot be a condition: reduce it first, or use tl.where"
        )
    return bool(bits.all())


def _counted(values: Any) -> Any:
    return _count(values) if isinstance(values, range) else values


def _count(values: range) -> Iterator[Any]:
    for value in values:
        yield Counter(value)


def _truncated(left: int, right: int) -> int:
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _of_counters(operation: Callable[[int, int], int]) -> Any:
    def method(self: int, other: Any) -> Any:
        if type(other) is int or type(other) is Counter:
            return Counter(operation(int(self), int(other)))
        return NotImplemented

    return method


def _swapped(operation: Callable[[int, int], int]) -> Any:
    return _of_counters(lambda left, right: operation(right, left))


class Counter(int):
    """A loop's counter: as quick as an ``int``, and a tensor where it is asked for more."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(tri._implicit_cvt(int(self)), name)

    __add__ = _of_counters(operator.add)
    __radd__ = _swapped(operator.add)
    __sub__ = _of_counters(operator.sub)
    __rsub__ = _swapped(operator.sub)
    __mul__ = _of_counters(operator.mul)
    __rmul__ = _swapped(operator.mul)
    __floordiv__ = _of_counters(_truncated)
    __rfloordiv__ = _swapped(_truncated)
    __mod__ = _of_counters(lambda left, right: left - _truncated(left, right) * right)
    __rmod__ = _swapped(lambda left, right: left - _truncated(left, right) * right)
