"""Evaluates the expressions of a module without running it.

Numbers that are known are computed; what touches an input of ``forward`` becomes an operation of
the graph. The same evaluator reads the cell's top level, ``__init__`` and ``get_inputs``, where
tensors are only shapes (:class:`~.domain.Spec`).
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kernelllm_jupyter.starter.domain import (
    Bound,
    ClassRef,
    Diagonal,
    Dotted,
    Function,
    Instance,
    Layer,
    Number,
    Refused,
    Sequence,
    Shape,
    Spec,
    Super,
    Tensor,
    TensorInput,
    Unknown,
    Values,
    WeightRef,
)
from kernelllm_jupyter.syntax import parse_expression

if TYPE_CHECKING:
    from kernelllm_jupyter.starter.trace import Tracer

__all__ = ["Environment", "Evaluator", "is_tensor", "plain"]

Environment = dict[str, Any]

_BINARY: dict[type[ast.operator], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Add: ("add", operator.add),
    ast.Sub: ("sub", operator.sub),
    ast.Mult: ("mul", operator.mul),
    ast.Div: ("div", operator.truediv),
    ast.Pow: ("pow", operator.pow),
    ast.FloorDiv: ("floordiv", operator.floordiv),
    ast.Mod: ("mod", operator.mod),
    ast.MatMult: ("matmul", operator.matmul),
    ast.BitAnd: ("logical_and", operator.and_),
    ast.BitOr: ("logical_or", operator.or_),
}
_COMPARE: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Gt: ("gt", operator.gt),
    ast.GtE: ("ge", operator.ge),
    ast.Lt: ("lt", operator.lt),
    ast.LtE: ("le", operator.le),
    ast.Eq: ("eq", operator.eq),
    ast.NotEq: ("ne", operator.ne),
    ast.Is: ("is", lambda a, b: a is b),
    ast.IsNot: ("is not", lambda a, b: a is not b),
    ast.In: ("in", lambda a, b: a in b),
    ast.NotIn: ("not in", lambda a, b: a not in b),
}
_BUILTINS: dict[str, Callable[..., Any]] = {
    "range": range,
    "len": len,
    "float": float,
    "int": int,
    "abs": abs,
    "max": max,
    "min": min,
    "round": round,
    "sum": sum,
    "pow": pow,
    "list": list,
    "tuple": tuple,
    "dict": dict,
    "bool": bool,
    "str": str,
    "enumerate": enumerate,
    "zip": zip,
    "reversed": reversed,
}


def is_tensor(value: Any) -> bool:
    return isinstance(value, (Tensor, TensorInput, WeightRef))


def plain(value: Any) -> Any:
    """The Python value behind a :class:`Number`, for use where it must be known."""
    return value.value if isinstance(value, Number) else value


def _is_known(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str, tuple, list, dict, range))


class Evaluator:
    """Expressions; calls are handed to the tracer."""

    def __init__(self, tracer: Tracer):
        self.tracer = tracer

    def __call__(self, node: ast.expr, env: Environment) -> Any:
        method = getattr(self, f"_{type(node).__name__}", None)
        if method is None:
            raise Refused(f"the expression {ast.unparse(node)[:40]!r}", node)
        return method(node, env)

    def truth(self, value: Any, node: ast.AST) -> bool:
        """``bool(value)``, noted as an assumption where another caller may change it."""
        if is_tensor(value) or isinstance(value, Unknown):
            raise Refused("an if on a tensor or an unknown value", node)
        if isinstance(value, Number):
            self.tracer.assume(value, node)
        return bool(plain(value))

    # -- leaves -----------------------------------------------------------------------------------

    def _Constant(self, node: ast.Constant, env: Environment) -> Any:
        return node.value

    def _Name(self, node: ast.Name, env: Environment) -> Any:
        if node.id in env:
            value = env[node.id]
        elif node.id in self.tracer.module:
            value = self.tracer.module[node.id]
        elif node.id in _BUILTINS or node.id in ("super", "getattr", "isinstance", "print"):
            return Dotted(f"builtins.{node.id}")
        else:
            return Unknown(f"the name {node.id}", node.lineno)
        return self.tracer.current(value)

    def _Tuple(self, node: ast.Tuple | ast.List, env: Environment) -> Any:
        items: list[Any] = []
        for item in node.elts:
            if isinstance(item, ast.Starred):
                items.extend(self.items(self(item.value, env), item))
            else:
                items.append(self(item, env))
        return tuple(items) if isinstance(node, ast.Tuple) else items

    _List = _Tuple

    def _Dict(self, node: ast.Dict, env: Environment) -> Any:
        return {
            plain(self(key, env)): self(value, env)
            for key, value in zip(node.keys, node.values, strict=True)
            if key is not None
        }

    def _Lambda(self, node: ast.Lambda, env: Environment) -> Any:
        return Function(node, closure=env)

    def _JoinedStr(self, node: ast.JoinedStr, env: Environment) -> Any:
        return Unknown("a formatted string", node.lineno)

    def _ListComp(self, node: ast.ListComp | ast.GeneratorExp, env: Environment) -> Any:
        if len(node.generators) != 1 or node.generators[0].ifs:
            raise Refused("a nested comprehension", node)
        generator = node.generators[0]
        result = []
        for item in self.items(self(generator.iter, env), node):
            inner = dict(env)
            self.tracer.assign(generator.target, item, inner)
            result.append(self(node.elt, inner))
        return result

    _GeneratorExp = _ListComp

    def items(self, value: Any, node: ast.AST) -> list[Any]:
        """What a loop over ``value`` gives, where it is known."""
        if isinstance(value, Number):
            self.tracer.assume(value, node)
            value = value.value
        if isinstance(value, Sequence):
            self.tracer.assume_layer(value.node, "len({})", str(len(value.items)))
            return [self._reached(value, key) for key in value.items]
        if isinstance(value, Shape):
            return [self._size(value, index, node) for index in range(len(value.sizes or ()))]
        if isinstance(value, (list, tuple, range, str, dict, enumerate, zip, reversed)):
            return list(value)
        raise Refused("a loop whose length is not known before the call", node)

    # -- attributes and items ---------------------------------------------------------------------

    def _Attribute(self, node: ast.Attribute, env: Environment) -> Any:
        owner = self(node.value, env)
        if isinstance(owner, Dotted):
            return self._dotted_constant(Dotted(f"{owner.name}.{node.attr}"))
        if isinstance(owner, Instance):
            return self.attribute(owner, node)
        if isinstance(owner, Layer):
            return self._layer_attribute(owner, node)
        if isinstance(owner, Values) and node.attr == "values":
            return owner.tensor
        if isinstance(owner, Values) and node.attr == "indices":
            return owner.indices()
        if is_tensor(owner):
            return self._tensor_attribute(owner, node)
        if isinstance(owner, Unknown):
            raise Refused(owner.what, node)
        return Bound(owner, node.attr)

    def _dotted_constant(self, dotted: Dotted) -> Any:
        head, _, last = dotted.name.rpartition(".")
        if head in ("math", "numpy", "torch") and last in ("pi", "e", "inf", "tau"):
            return getattr(math, last)
        return dotted

    def attribute(self, owner: Instance, node: ast.Attribute) -> Any:
        """``owner.name``: an attribute set in ``__init__``, a method, or a class attribute."""
        name = node.attr
        if name in owner.attributes:
            return self._owned(owner.attributes[name], owner.node, name)
        if name == "training":
            raise Refused("behaviour that differs between training and evaluation", node)
        found = self.tracer.class_member(owner.cls, name)
        if isinstance(found, ast.FunctionDef):
            decorators = {ast.unparse(item) for item in found.decorator_list}
            if "property" in decorators:
                return self.tracer.inline(Function(found, owner), [], {}, node)
            return Function(found, None if "staticmethod" in decorators else owner)
        if found is not None:
            return self(found, {})
        return Bound(owner, name)

    def _owned(self, value: Any, node: ast.expr | None, name: str) -> Any:
        path = None if node is None else ast.Attribute(value=node, attr=name, ctx=ast.Load())
        if isinstance(value, (Layer, Instance, Sequence)):
            return replace(value, node=path)
        if isinstance(value, Unknown):
            return value
        if isinstance(value, Spec) and path is not None:
            return WeightRef(path, value)
        if isinstance(value, Number):
            return replace(value, node=path)
        if path is not None and (value is None or isinstance(value, (bool, int, float, str))):
            return Number(path, value, free=False)
        return value

    def _layer_attribute(self, owner: Layer, node: ast.Attribute) -> Any:
        if node.attr in ("weight", "bias") and owner.node is not None:
            weights = self.tracer.layer_weights(owner)
            if node.attr in weights:
                return weights[node.attr]
        raise Refused(f"{node.attr} of nn.{owner.kind}", node)

    def _tensor_attribute(self, owner: Any, node: ast.Attribute) -> Any:
        if node.attr == "shape":
            return self.tracer.shape_of(owner, node)
        if node.attr == "ndim":
            return self.tracer.rank_of(owner, node)
        if node.attr in ("dtype", "device"):
            return Dotted(f"tensor.{node.attr}")
        if node.attr in ("T", "mT"):
            return self.tracer.views(owner, "t", [], {}, node)
        if node.attr == "data":
            return owner
        return Bound(owner, node.attr)

    def _Subscript(self, node: ast.Subscript, env: Environment) -> Any:
        owner = self(node.value, env)
        if isinstance(owner, Values):
            return owner.tensor if plain(self(node.slice, env)) == 0 else owner.indices()
        if is_tensor(owner):
            return self.tracer.index(owner, node, env)
        key = self._key(node.slice, env)
        if isinstance(owner, Shape):
            return self._size(owner, key, node)
        if isinstance(owner, Sequence):
            return self._reached(owner, key)
        if isinstance(owner, Number) and isinstance(owner.value, (tuple, list, dict)):
            self.tracer.assume(owner, node)
            owner = owner.value
        if isinstance(owner, (tuple, list, dict, range)):
            try:
                return owner[key]
            except (KeyError, IndexError, TypeError) as error:
                raise Refused(f"the item {key!r}", node) from error
        raise Refused(f"the item {ast.unparse(node)[:40]!r}", node)

    def _key(self, node: ast.expr, env: Environment) -> Any:
        if isinstance(node, ast.Slice):
            parts = [plain(self(part, env)) if part else None for part in (node.lower, node.upper)]
            return slice(*parts)
        value = self(node, env)
        if isinstance(value, Number):
            self.tracer.assume(value, node)
        return plain(value)

    def _reached(self, owner: Sequence, key: Any) -> Any:
        keys = list(owner.items)
        if isinstance(key, int) and key not in owner.items:
            key = keys[key]
        if key not in owner.items:
            raise Refused(f"the item {key!r} of nn.{owner.kind}")
        value = owner.items[key]
        if isinstance(value, (Layer, Instance, Sequence)):
            place = ast.Constant(key if owner.kind == "ModuleDict" else keys.index(key))
            node = owner.node
            path = node and ast.Subscript(value=node, slice=place, ctx=ast.Load())
            return replace(value, node=path)
        return value

    def _size(self, shape: Shape, key: Any, node: ast.AST) -> Any:
        if isinstance(key, slice):
            if shape.sizes is None:
                raise Refused("a part of a shape", node)
            places = range(*key.indices(len(shape.sizes)))
            return tuple(self._size(shape, place - len(shape.sizes), node) for place in places)
        known = None
        if shape.sizes is not None:
            if not -len(shape.sizes) <= key < len(shape.sizes):
                raise Refused(f"dimension {key} of a shape", node)
            known = shape.sizes[key]
        place = ast.copy_location(parse_expression(repr(key)), node)
        path = ast.Subscript(value=shape.node, slice=place, ctx=ast.Load())
        return Number(path, known, known=known is not None)

    # -- operators --------------------------------------------------------------------------------

    def _BinOp(self, node: ast.BinOp, env: Environment) -> Any:
        return self.binary(node.op, self(node.left, env), self(node.right, env), node)

    def binary(self, kind: ast.operator, left: Any, right: Any, node: ast.AST) -> Any:
        """``left <operator> right`` of numbers or tensors."""
        if type(kind) not in _BINARY:
            raise Refused(f"the operator {type(kind).__name__}", node)
        name, compute = _BINARY[type(kind)]
        for side in (left, right):
            if isinstance(side, Unknown):
                raise Refused(side.what, node)
        if isinstance(left, Spec) or isinstance(right, Spec):
            return self._of_specs(left, right)
        if isinstance(left, Diagonal) or isinstance(right, Diagonal):
            return self.tracer.apply("matmul", [left, right], node)
        if is_tensor(left) or is_tensor(right):
            if name == "pow":
                return self.tracer.apply("power", [left, right], node)
            keywords = {"rounding_mode": "floor"} if name == "floordiv" else {}
            name = "div" if name == "floordiv" else name
            return self.tracer.apply("call", [name, [left, right], keywords], node)
        return self._numbers(compute, [left, right], node, lambda a, b: ast.BinOp(a, kind, b))

    def _of_specs(self, left: Any, right: Any) -> Spec:
        specs = [side for side in (left, right) if isinstance(side, Spec)]
        return max(specs, key=lambda spec: len(spec.shape or ()))

    def _numbers(
        self,
        compute: Callable[..., Any],
        operands: list[Any],
        node: ast.AST,
        rebuild: Callable[..., ast.expr],
    ) -> Any:
        values = [plain(value) for value in operands]
        known = all(_is_known(value) for value in values)
        unset = any(isinstance(value, Number) and not value.known for value in operands)
        if not known:
            raise Refused(f"the expression {ast.unparse(node)[:40]!r}", node)
        result = None
        if not unset:
            try:
                result = compute(*values)
            except (TypeError, ValueError, ArithmeticError) as error:
                raise Refused(f"the expression {ast.unparse(node)[:40]!r}", node) from error
        if not any(isinstance(value, Number) for value in operands):
            return result
        nodes = [
            value.node if isinstance(value, Number) else ast.Constant(value) for value in operands
        ]
        free = any(isinstance(value, Number) and value.free for value in operands)
        if any(item is None for item in nodes):
            return Number(None, result, free, not unset)
        return Number(rebuild(*nodes), result, free, not unset)

    def _UnaryOp(self, node: ast.UnaryOp, env: Environment) -> Any:
        value = self(node.operand, env)
        if isinstance(node.op, ast.Not):
            return not self.truth(value, node)
        if isinstance(value, Spec) or isinstance(node.op, ast.UAdd):
            return value
        if is_tensor(value):
            name = "neg" if isinstance(node.op, ast.USub) else "logical_not"
            return self.tracer.apply("call", [name, [value], {}], node)
        if isinstance(value, Unknown):
            raise Refused(value.what, node)
        compute = operator.neg if isinstance(node.op, ast.USub) else operator.invert
        return self._numbers(compute, [value], node, lambda a: ast.UnaryOp(node.op, a))

    def _Compare(self, node: ast.Compare, env: Environment) -> Any:
        if len(node.ops) != 1:
            raise Refused("a chained comparison", node)
        name, compute = _COMPARE[type(node.ops[0])]
        left, right = self(node.left, env), self(node.comparators[0], env)
        if isinstance(node.ops[0], (ast.Is, ast.IsNot)):
            if isinstance(left, Number) and left.free:
                self.tracer.assume(left, node)
            return compute(plain(left), plain(right))
        if is_tensor(left) or is_tensor(right):
            return self.tracer.apply("call", [name, [left, right], {}], node)
        ops = node.ops
        if any(isinstance(plain(side), (str, bool, tuple, list, dict)) for side in (left, right)):
            left, right = self._settled(left, node), self._settled(right, node)
        return self._numbers(compute, [left, right], node, lambda a, b: ast.Compare(a, ops, [b]))

    def _settled(self, value: Any, node: ast.AST) -> Any:
        if isinstance(value, Number):
            self.tracer.assume(value, node)
        return plain(value)

    def _BoolOp(self, node: ast.BoolOp, env: Environment) -> Any:
        wanted = isinstance(node.op, ast.Or)
        value: Any = None
        for item in node.values:
            value = self(item, env)
            if self.truth(value, node) is wanted:
                return value
        return value

    def _IfExp(self, node: ast.IfExp, env: Environment) -> Any:
        chosen = node.body if self.truth(self(node.test, env), node) else node.orelse
        return self(chosen, env)

    # -- calls ------------------------------------------------------------------------------------

    def _Call(self, node: ast.Call, env: Environment) -> Any:
        callee = self(node.func, env)
        args: list[Any] = []
        for arg in node.args:
            if isinstance(arg, ast.Starred):
                args.extend(self.items(self(arg.value, env), arg))
            else:
                args.append(self(arg, env))
        keywords = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                raise Refused("** in a call", node)
            keywords[keyword.arg] = self(keyword.value, env)
        if isinstance(callee, Dotted) and callee.name.startswith("builtins."):
            return self._builtin(callee.name.partition(".")[2], args, keywords, node, env)
        return self.tracer.call(callee, args, keywords, node)

    def _builtin(
        self, name: str, args: list[Any], keywords: dict[str, Any], node: ast.Call, env: Environment
    ) -> Any:
        if name == "super":
            owner = env.get("self")
            if isinstance(owner, Instance):
                return Super(owner, env.get("__class__", owner.cls))
            return None
        if name == "print":
            return None
        if name == "isinstance":
            return Unknown("isinstance()", node.lineno)
        if name == "getattr":
            place = ast.Attribute(value=node.args[0], attr=str(plain(args[1])), ctx=ast.Load())
            return self(ast.copy_location(place, node), env)
        if any(is_tensor(arg) for arg in args):
            if name in ("abs", "pow"):
                return self.tracer.apply("call", [name, args, keywords], node)
            raise Refused(f"{name}() of a tensor", node)
        if name in ("float", "int", "abs", "max", "min", "round", "pow", "bool", "str"):
            func = node.func
            return self._numbers(
                _BUILTINS[name], args, node, lambda *nodes: ast.Call(func, list(nodes), [])
            )
        if name in ("list", "tuple", "enumerate", "zip", "reversed", "sum", "len"):
            args = [self.items(arg, node) for arg in args]
        else:
            for arg in args:
                if isinstance(arg, Number):
                    self.tracer.assume(arg, node)
            args = [plain(arg) for arg in args]
        try:
            return _BUILTINS[name](*args, **keywords)
        except (TypeError, ValueError) as error:
            raise Refused(f"{name}() of these arguments", node) from error

    def function_of_numbers(
        self, name: str, args: list[Any], node: ast.Call, function: Callable[..., Any]
    ) -> Any:
        """``math.sqrt(2)`` and the like; ``forward`` computes it again by ``math``."""
        place = ast.Attribute(value=ast.Name("math", ast.Load()), attr=name, ctx=ast.Load())
        return self._numbers(function, args, node, lambda *nodes: ast.Call(place, list(nodes), []))


def describe_callee(callee: Any) -> str:
    """What an unsupported call is called in a message."""
    if isinstance(callee, Dotted):
        return callee.name
    if isinstance(callee, Layer):
        return f"nn.{callee.kind}"
    if isinstance(callee, ClassRef):
        return callee.node.name
    return getattr(callee, "what", None) or f"a call of a {type(callee).__name__.lower()}"
