"""The constructor's arguments of a live module, read off the instance.

By the constructor's text: ``self.dim = dim`` says what ``dim`` was, and so does a submodule, or a
parameter's shape, that is made from it; else by an attribute of the parameter's name. What is found
is a reading, not a certainty: the module that is built with it is compared with the live one before
anything is judged by it. Nothing is executed.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import textwrap
import tokenize
from collections.abc import Mapping
from typing import Any

import torch

from kernelllm_jupyter.live.origins import unwrapped

__all__ = ["Arguments", "arguments_of", "is_of_torch"]

#: Parameters that say where and how, which the state of the live module tells better.
PLACES = ("device", "dtype")
MAKERS = ("zeros", "ones", "empty", "randn", "rand", "full")
CASTS = ("int", "float", "bool", "str", "tuple", "list")
#: Parameters that switch a weight on, by the attributes that are None where it is off.
SWITCHES = {
    "bias": ("bias", "in_proj_bias"),
    "add_bias_kv": ("bias_k",),
    "affine": ("weight",),
    "elementwise_affine": ("weight",),
    "track_running_stats": ("running_mean",),
}
RECURRENT = (
    "input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional",
    "proj_size",
)  # fmt: skip


class Arguments:
    """By parameter: what was ``found``, and the names of required ones that were ``missing``."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        self.missing: list[str] = []


def is_of_torch(module: torch.nn.Module) -> bool:
    """Whether its class is PyTorch's own."""
    return type(module).__module__.split(".")[0] == "torch"


def arguments_of(module: torch.nn.Module) -> Arguments:
    """The arguments with which the module's class would make one like it.

    Those that equal their defaults are left out.
    """
    reading = Arguments()
    if isinstance(module, torch.nn.RNNBase) and is_of_torch(module):
        defaults = {"num_layers": 1, "bias": True, "dropout": 0.0, "proj_size": 0}
        given = {name: getattr(module, name) for name in RECURRENT}
        reading.found = {
            name: value for name, value in given.items() if value != defaults.get(name, False)
        }
        return reading
    parameters = _parameters(type(module))
    known = _read_off(module, type(module))
    for name, parameter in parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or name in PLACES:
            continue
        default = parameter.default
        value = known[name] if name in known else _attribute(module, name, default)
        if value is inspect.Parameter.empty:
            if default is inspect.Parameter.empty:
                reading.missing.append(name)
        elif not _same(value, default):
            reading.found[name] = value
    return reading


def _parameters(kind: type) -> dict[str, inspect.Parameter]:
    try:
        parameters = dict(inspect.signature(kind.__init__).parameters)  # type: ignore[misc]
    except (ValueError, TypeError):
        return {}
    parameters.pop(next(iter(parameters), ""), None)
    return parameters


def _same(value: Any, default: Any) -> bool:
    if type(value) is not type(default) or isinstance(value, torch.Tensor):
        return value is default
    try:
        return bool(value == default)
    except Exception:
        return False


def _attribute(module: torch.nn.Module, name: str, default: Any) -> Any:
    """What an attribute of a parameter's name says of it; empty where there is none."""
    if isinstance(default, bool) and name in SWITCHES:
        for attribute in SWITCHES[name]:
            if hasattr(module, attribute):
                held = getattr(module, attribute)
                return held if isinstance(held, bool) else held is not None
    value = getattr(module, name, inspect.Parameter.empty)
    if inspect.ismethod(value):
        return inspect.Parameter.empty
    return value


# --- by the constructor's text -----------------------------------------------------------------


def _read_off(module: torch.nn.Module, kind: type) -> dict[str, Any]:
    """What the constructor of ``kind``, the module's class or a base of it, was given."""
    definition = _constructor(kind)
    if definition is None:
        return {}
    reader = _Reader(module, kind, definition)
    reader.read()
    return reader.known


def _constructor(kind: type) -> ast.FunctionDef | None:
    function = unwrapped(kind.__init__)  # type: ignore[misc]
    code = getattr(function, "__code__", None)
    lines = linecache.getlines(code.co_filename) if code is not None else []
    if code is None or not lines:
        return None
    try:
        block = inspect.getblock(lines[code.co_firstlineno - 1 :])
        (node,) = ast.parse(textwrap.dedent("".join(block))).body
    except (SyntaxError, ValueError, IndexError, tokenize.TokenError):
        return None  # The file is another one by now, say.
    if not isinstance(node, ast.FunctionDef) or node.name != "__init__":
        return None
    # `def __init__(*args)` names neither the instance nor any argument.
    return node if node.args.posonlyargs or node.args.args else None


class _Reader:
    """One reading of one constructor against the instance that it made."""

    def __init__(self, module: torch.nn.Module, kind: type, definition: ast.FunctionDef):
        self.module, self.kind, self.definition = module, kind, definition
        arguments = definition.args
        own, *rest = [*arguments.posonlyargs, *arguments.args]
        self.own = own.arg
        stored = [
            node.id
            for node in ast.walk(definition)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        ]
        self.parameters = {a.arg for a in [*rest, *arguments.kwonlyargs]}
        #: Names that stand for one expression from where it is assigned on.
        self.locals: dict[str, ast.expr] = {}
        for node in ast.walk(definition):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                # A parameter that is assigned under a condition is itself where that does not hold.
                is_certain = name not in self.parameters or node in definition.body
                if stored.count(name) == 1 and is_certain:
                    self.locals[name] = node.value
        # What is assigned more than once stands for this here and for that there.
        self.parameters -= {name for name in stored if stored.count(name) > 1}
        self.known: dict[str, Any] = {}

    def read(self) -> None:
        """Every assignment to an attribute, then what the base's constructor was given."""
        for node in ast.walk(self.definition):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    self._assigned(target, node.value)
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                self._assigned(node.target, node.value)
            elif isinstance(node, ast.Call):
                self._called(node)

    def _assigned(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, other in zip(target.elts, value.elts, strict=False):
                self._assigned(one, other)
        elif isinstance(target, ast.Attribute) and self._holds(target):
            self.match(value, getattr(self.module, target.attr), direct=True)

    def _called(self, call: ast.Call) -> None:
        function = call.func
        if not isinstance(function, ast.Attribute):
            return
        if function.attr in ("register_buffer", "register_parameter") and len(call.args) > 1:
            name = call.args[0]
            if isinstance(name, ast.Constant) and hasattr(self.module, str(name.value)):
                self.match(call.args[1], getattr(self.module, str(name.value)))
        elif function.attr == "__init__" and ast.unparse(function.value).startswith("super("):
            bases = self.kind.__mro__[1:]
            base = next((b for b in bases if "__init__" in vars(b)), torch.nn.Module)
            if base is not torch.nn.Module:
                self._match_call(call, base, _read_off(self.module, base))

    def _holds(self, target: ast.Attribute) -> bool:
        """Whether it is an attribute of the instance that is there."""
        owner = target.value
        is_own = isinstance(owner, ast.Name) and owner.id == self.own
        return is_own and hasattr(self.module, target.attr)

    # --- an expression and the value that it had -------------------------------------------------

    def match(self, node: ast.expr, value: Any, *, direct: bool = False) -> None:
        """Learn parameters from the value that an expression of them had."""
        if isinstance(node, ast.Name):
            assigned = self.locals.get(node.id)
            if assigned is not None and _is_after(node, assigned):
                self.match(assigned, value, direct=direct)
            elif node.id in self.parameters and (direct or node.id not in self.known):
                self.known[node.id] = value
        elif isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
            self.match(node.values[0], value)
        elif isinstance(node, ast.IfExp):
            self.match(node.body, value)
        elif isinstance(node, ast.Tuple | ast.List) and isinstance(value, tuple | list):
            for item, held in zip(node.elts, value, strict=False):
                self.match(item, held)
        elif isinstance(node, ast.BinOp):
            self._match_arithmetic(node, value)
        elif isinstance(node, ast.Call):
            self._match_made(node, value)
        elif isinstance(node, ast.ListComp | ast.GeneratorExp):
            self._match_repeated(node, value)

    def _match_arithmetic(self, node: ast.BinOp, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            return
        for one, other in ((node.left, node.right), (node.right, node.left)):
            if not isinstance(other, ast.Constant) or not isinstance(other.value, int):
                continue
            number = other.value
            if isinstance(node.op, ast.Mult) and number and value % number == 0:
                self.match(one, value // number)
            elif isinstance(node.op, ast.Add):
                self.match(one, value - number)

    def _match_made(self, call: ast.Call, value: Any) -> None:
        name = ast.unparse(call.func).rpartition(".")[2]
        if name in self.parameters and isinstance(value, torch.nn.Module) and not call.args:
            # act() of a class that was passed.
            self.known.setdefault(name, type(value))
        elif name in CASTS and len(call.args) == 1:
            self.match(call.args[0], value)
        elif isinstance(value, torch.nn.Module):
            self._match_module(call, value)
        elif isinstance(value, torch.Tensor):
            if name == "Parameter" and call.args:
                self.match(call.args[0], value)
            elif name in MAKERS and call.args:
                shape = call.args if len(call.args) > 1 and name != "full" else call.args[:1]
                if len(shape) == 1 and isinstance(shape[0], ast.Tuple | ast.List):
                    shape = list(shape[0].elts)
                if len(shape) == value.ndim:
                    for item, size in zip(shape, value.shape, strict=True):
                        self.match(item, int(size))
            elif name == "tensor" and call.args and value.numel() <= 64 and not value.is_meta:
                self.match(call.args[0], value.tolist())

    def _match_module(self, call: ast.Call, value: torch.nn.Module) -> None:
        if isinstance(value, torch.nn.Sequential | torch.nn.ModuleList):
            children: Any = list(value)
            given: list[ast.expr] = list(call.args)
            if len(given) == 1 and isinstance(given[0], ast.Starred):
                self.match(given[0].value, children)
            elif len(given) == 1 and isinstance(value, torch.nn.ModuleList):
                self.match(given[0], children)
            else:
                for item, child in zip(given, children, strict=False):
                    self.match(item, child)
            return
        reading = arguments_of(value)
        defaults = {
            name: parameter.default
            for name, parameter in _parameters(type(value)).items()
            if parameter.default is not inspect.Parameter.empty
        }
        self._match_call(call, type(value), {**defaults, **reading.found})

    def _match_call(self, call: ast.Call, kind: type, held: Mapping[str, Any]) -> None:
        for name, item in zip(_parameters(kind), call.args, strict=False):
            if name in held:
                self.match(item, held[name])
        for keyword in call.keywords:
            if keyword.arg is not None and keyword.arg in held:
                self.match(keyword.value, held[keyword.arg])

    def _match_repeated(self, node: ast.ListComp | ast.GeneratorExp, value: Any) -> None:
        """``[Block(dim) for _ in range(depth)]``"""
        loop = node.generators[0].iter
        if not isinstance(value, list) or len(node.generators) != 1 or node.generators[0].ifs:
            return
        if isinstance(loop, ast.Call) and ast.unparse(loop.func) == "range" and len(loop.args) == 1:
            self.match(loop.args[0], len(value))
        if value:
            self.match(node.elt, value[0])


def _is_after(node: ast.expr, other: ast.expr) -> bool:
    """Whether a node comes later in the text: ``dim = dim or 64`` has the parameter on its right,
    and every later ``dim`` is the local name."""
    end = (other.end_lineno or other.lineno, other.end_col_offset or 0)
    return (node.lineno, node.col_offset) >= end
