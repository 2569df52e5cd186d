"""Follows a module's ``forward`` by ``ast`` and gives its graph; nothing of the cell is run."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from kernelllm_jupyter.errors import UnsupportedModule
from kernelllm_jupyter.starter.builder import Builder
from kernelllm_jupyter.starter.calls import Calls, weights_of
from kernelllm_jupyter.starter.domain import (
    ClassRef,
    Function,
    Instance,
    Layer,
    Number,
    Refused,
    Shape,
    Spec,
    Super,
    TensorInput,
    Unknown,
    WeightRef,
)
from kernelllm_jupyter.starter.evaluate import Environment, Evaluator, is_tensor, plain
from kernelllm_jupyter.starter.graph import Graph
from kernelllm_jupyter.starter.lowering import Lowering
from kernelllm_jupyter.starter.statements import NOTHING, Statements
from kernelllm_jupyter.starter.vocabulary import FAMILIES
from kernelllm_jupyter.syntax import parse
from kernelllm_jupyter.values import Problem

__all__ = ["Trace", "trace"]


@dataclass(frozen=True)
class Trace:
    """A traced problem: the graph, and what the wrapper must check before it relies on it."""

    graph: Graph
    tree: ast.Module
    cls: ast.ClassDef
    forward: ast.FunctionDef
    #: Pairs of an expression of ``forward`` and the value that it must have.
    assumptions: tuple[tuple[str, str], ...] = ()


def trace(problem: Problem) -> Trace:
    """Trace ``problem``, or raise ``UnsupportedModule`` with what stands in the way."""
    try:
        return Tracer(problem).run()
    except Refused as refused:
        line = None if refused.line is None else problem.own_line(refused.line)
        where = "" if line is None else f" in line {line}"
        raise UnsupportedModule(
            f"The starter model does not cover {refused.what}{where}. "
            f"It was trained on {FAMILIES}. For anything else load KernelLLM: "
            "%%kernelllm -m facebook/KernelLLM (8B parameters, about 16 GB of memory in bf16)."
        ) from refused
    except RecursionError as error:
        raise UnsupportedModule("The starter model does not cover recursive modules.") from error


class Tracer(Statements):
    """The state of one trace."""

    def __init__(self, problem: Problem):
        self.problem = problem
        self.tree = parse(problem.source)
        self.evaluate = Evaluator(self)
        self.call = Calls(self)
        self.in_forward = False
        self.module: Environment = {}
        self._lowering: Lowering | None = None
        self._assumed: dict[str, str] = {}
        self._chosen_in_init = False
        self._changed: dict[int, Any] = {}
        self._kept: list[Any] = []  # So that no identity in _changed is used twice.
        self._first_input: ast.expr = ast.Name("input", ast.Load())

    # -- the whole line ---------------------------------------------------------------------------

    def run(self) -> Trace:
        self._read_module()
        found = self.module.get(self.problem.class_name)
        if not isinstance(found, ClassRef):
            raise Refused(f"a source without the class {self.problem.class_name}")
        instance = self._make(found.node)
        forward = self.class_member(found.node, "forward")
        if not isinstance(forward, ast.FunctionDef):
            raise Refused("a module without forward", found.node)
        env = self._arguments(forward)
        env["self"] = instance
        self.in_forward = True
        result = self.execute(forward.body, env)
        lowering = self.lowering(forward)
        if isinstance(result, (tuple, list)):
            raise Refused("more than one result", forward)
        tensor = lowering.builder.tensor(None if result is NOTHING else result, forward)
        layout, stored = lowering.close(tensor)
        graph = lowering.builder.finish(tensor, stored, layout)
        return Trace(graph, self.tree, found.node, forward, tuple(self._assumed.items()))

    def _read_module(self) -> None:
        for statement in self.tree.body:
            if isinstance(statement, ast.ClassDef):
                self.module[statement.name] = ClassRef(statement)
            elif isinstance(statement, ast.FunctionDef):
                self.module[statement.name] = Function(statement)
            else:
                self.tolerant(statement, self.module)

    def _make(self, cls: ast.ClassDef) -> Instance:
        args, keywords = self._init_inputs()
        args = [Number(None, plain(arg)) if _is_setting(arg) else arg for arg in args]
        keywords = {k: Number(None, plain(v)) if _is_setting(v) else v for k, v in keywords.items()}
        return self.construct(cls, args, keywords, cls, node=ast.Name("self", ast.Load()))

    def _init_inputs(self) -> tuple[list[Any], dict[str, Any]]:
        function = self.module.get("get_init_inputs")
        if self.problem.init_inputs is not None or not isinstance(function, Function):
            return [], {}
        found = self.inline(function, [], {}, function.node)
        if isinstance(found, dict):
            return [], found
        found = list(found) if isinstance(found, (list, tuple)) else []
        both = (
            len(found) == 2 and isinstance(found[0], (list, tuple)) and isinstance(found[1], dict)
        )
        return (list(found[0]), found[1]) if both else (found, {})

    def _inputs(self) -> list[Any] | None:
        function = self.module.get("get_inputs")
        if self.problem.inputs is not None or not isinstance(function, Function):
            return None
        try:
            found = self.inline(function, [], {}, function.node)
        except Refused:
            return None
        return list(found) if isinstance(found, (list, tuple)) else None

    def _arguments(self, forward: ast.FunctionDef) -> Environment:
        """The names of ``forward``'s arguments, and the builder that takes its tensors."""
        arguments = forward.args
        if arguments.vararg or arguments.kwarg or arguments.kwonlyargs:
            raise Refused("a forward with * arguments", forward)
        names = [argument.arg for argument in arguments.args[1:]]
        given = self._inputs()
        first = len(names) - len(arguments.defaults)
        env: Environment = {}
        tensors = []
        for index, name in enumerate(names):
            value = given[index] if given is not None and index < len(given) else NOTHING
            if value is NOTHING and index >= first:
                default = plain(self.evaluate(arguments.defaults[index - first], {}))
                env[name] = Number(ast.Name(name, ast.Load()), default)
            elif value is NOTHING or isinstance(value, (Spec, Unknown)):
                spec = value if isinstance(value, Spec) else Spec(None)
                if not spec.dtype.startswith(("float", "bfloat", "half")):
                    raise Refused(f"inputs of dtype {spec.dtype}", forward)
                env[name] = TensorInput(name, spec)
                tensors.append(env[name])
            elif isinstance(value, (int, float, Number)):
                env[name] = Number(ast.Name(name, ast.Load()), plain(value))
            else:
                raise Refused(f"the argument {name}, which is no tensor", forward)
        if not tensors:
            raise Refused("a forward without tensor arguments", forward)
        self._first_input = ast.Name(tensors[0].name, ast.Load())
        self._lowering = Lowering(
            Builder(tensors, _broadcast([t.spec.shape for t in tensors])), self.assume
        )
        return env

    # -- what evaluation asks for -----------------------------------------------------------------

    def lowering(self, node: ast.AST) -> Lowering:
        if self._lowering is None:
            raise Refused("arithmetic on tensors outside forward", node)
        return self._lowering

    def current(self, value: Any) -> Any:
        """What ``value`` is now: operations in place are seen through every name of a tensor."""
        while id(value) in self._changed:
            value = self._changed[id(value)]
        return value

    def change(self, before: Any, after: Any) -> None:
        """Note that ``before`` was changed in place to ``after``."""
        if is_tensor(before) and before is not after:
            self._kept.append(before)
            self._changed[id(before)] = after

    def assume(self, value: Number, node: ast.AST | None) -> None:
        """Note that the graph holds only while ``value`` is what it is now."""
        if not value.free:
            return
        if not self.in_forward:
            self._chosen_in_init = True
            return
        if value.node is None or not value.known:
            raise Refused("a choice that is not known before the call", node)
        self._assumed[ast.unparse(value.node)] = repr(value.value)

    def assume_layer(self, path: ast.expr | None, text: str, value: str) -> None:
        """Note what a submodule is, where a constructor argument chose it."""
        if self._chosen_in_init and self.in_forward and path is not None:
            self._assumed[text.format(ast.unparse(path))] = value

    def layer_weights(self, layer: Layer) -> dict[str, WeightRef]:
        return weights_of(layer)

    def shape_of(self, value: Any, node: ast.AST) -> Shape:
        lowering = self.lowering(node)
        tensor = lowering.builder.tensor(value, node)
        if tensor.extent != "full":
            raise Refused("the shape of a reduced value", node)
        path = ast.Attribute(value=self._first_input, attr="shape", ctx=ast.Load())
        return Shape(path, lowering.builder.shape)

    def rank_of(self, value: Any, node: ast.AST) -> Number:
        shape = self.shape_of(value, node)
        path = ast.Attribute(value=self._first_input, attr="ndim", ctx=ast.Load())
        sizes = shape.sizes
        return Number(path, None if sizes is None else len(sizes), known=sizes is not None)

    def index(self, owner: Any, node: ast.Subscript, env: Environment) -> Any:
        """``x[..., None]`` or ``x[:, None]`` after a reduction of the last dimension."""
        builder = self.lowering(node).builder
        if isinstance(owner, WeightRef) and "None" in ast.unparse(node.slice):
            return WeightRef(node, Spec(None))
        tensor = builder.tensor(owner, node)
        text = ast.unparse(node.slice)
        rank, axis = builder.rank, builder.axis
        whole = {"(..., None)", "..., None"} | ({"(:, None)", ":, None"} if rank == 2 else set())
        if tensor.extent == "drop" and axis and axis.kind == "last" and text in whole:
            return builder.alias(tensor, "keep")
        raise Refused(f"the item {ast.unparse(node)[:40]!r}", node)

    def class_member(self, cls: ast.ClassDef, name: str) -> ast.FunctionDef | ast.expr | None:
        """A method, or the value of a class attribute, searched through the cell's bases."""
        for statement in cls.body:
            if isinstance(statement, ast.FunctionDef) and statement.name == name:
                return statement
            if isinstance(statement, ast.Assign):
                targets = [t.id for t in statement.targets if isinstance(t, ast.Name)]
                if name in targets:
                    return statement.value
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and statement.target.id == name
                and statement.value is not None
            ):
                return statement.value
        base = self._base(cls)
        return self.class_member(base, name) if base is not None else None

    def _base(self, cls: ast.ClassDef) -> ast.ClassDef | None:
        for item in cls.bases:
            if isinstance(item, ast.Name):
                found = self.module.get(item.id)
                if isinstance(found, ClassRef) and found.node is not cls:
                    return found.node
        return None

    # -- objects and functions --------------------------------------------------------------------

    def construct(
        self,
        cls: ast.ClassDef,
        args: list[Any],
        keywords: dict[str, Any],
        at: ast.AST,
        node: ast.expr | None = None,
    ) -> Instance:
        instance = Instance(cls, node)
        self._run_init(instance, cls, args, keywords, at)
        return instance

    def run_base_init(
        self, owner: Super, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> None:
        base = self._base(owner.cls)
        if base is not None:
            self._run_init(owner.owner, base, args, keywords, node)

    def base_forward(
        self, owner: Super, args: list[Any], keywords: dict[str, Any], node: ast.AST
    ) -> Any:
        base = self._base(owner.cls)
        found = self.class_member(base, "forward") if base is not None else None
        if not isinstance(found, ast.FunctionDef):
            raise Refused("super().forward()", node)
        return self.inline(Function(found, owner.owner), args, keywords, node)

    def _run_init(
        self,
        instance: Instance,
        cls: ast.ClassDef,
        args: list[Any],
        keywords: dict[str, Any],
        at: ast.AST,
    ) -> None:
        init = self.class_member(cls, "__init__")
        if not isinstance(init, ast.FunctionDef):
            return
        env = self._bind(init, [instance, *args], keywords, at, {}, is_init=True)
        env["__class__"] = cls
        before, self.in_forward = self.in_forward, False
        try:
            for statement in init.body:
                if self.tolerant(statement, env) is not NOTHING:
                    break
        finally:
            self.in_forward = before

    def inline(
        self, function: Function, args: list[Any], keywords: dict[str, Any], at: ast.AST
    ) -> Any:
        """The result of calling a function of the cell."""
        node = function.node
        if function.owner is not None:
            args = [function.owner, *args]
        env = self._bind(node, args, keywords, at, function.closure or {})
        if isinstance(node, ast.Lambda):
            return self.evaluate(node.body, env)
        result = self.execute(node.body, env)
        return None if result is NOTHING else result

    def _bind(
        self,
        node: ast.FunctionDef | ast.Lambda,
        args: list[Any],
        keywords: dict[str, Any],
        at: ast.AST,
        closure: Environment,
        is_init: bool = False,
    ) -> Environment:
        arguments = node.args
        names = [item.arg for item in [*arguments.posonlyargs, *arguments.args]]
        env = dict(closure)
        defaults = dict(
            zip(names[len(names) - len(arguments.defaults) :], arguments.defaults, strict=True)
        )
        for item, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            names.append(item.arg)
            if default is not None:
                defaults[item.arg] = default
        if arguments.vararg is not None:
            env[arguments.vararg.arg] = tuple(args[len(names) :])
            args = args[: len(names)]
        if len(args) > len(names):
            raise Refused("a call with too many arguments", at)
        for index, name in enumerate(names):
            if index < len(args):
                env[name] = args[index]
            elif name in keywords:
                env[name] = keywords[name]
            elif name in defaults:
                value = self.evaluate(defaults[name], closure)
                env[name] = Number(None, value) if is_init and _is_setting(value) else value
            elif is_init:
                env[name] = Number(None, None, known=False)
            else:
                raise Refused(f"a call without {name}", at)
        return env


def _is_setting(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str, tuple, Number))


def _broadcast(shapes: list[tuple[int | None, ...] | None]) -> tuple[int | None, ...] | None:
    """The shape that the inputs have together, as far as it is known."""
    known = [shape for shape in shapes if shape is not None]
    if len(known) < len(shapes):
        return None
    rank = max(len(shape) for shape in known)
    sizes: list[int | None] = []
    for place in range(-rank, 0):
        here = [shape[place] for shape in known if -place <= len(shape)]
        wide = [size for size in here if size != 1]
        sizes.append(wide[0] if wide else 1)
    return tuple(sizes)
