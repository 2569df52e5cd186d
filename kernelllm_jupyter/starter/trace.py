"""Follows a module's ``forward`` by ``ast`` and gives its graph; nothing of the cell is run."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Any

from kernelllm_jupyter.errors import UnsupportedModule
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
    Tensor,
    TensorInput,
    Unknown,
    WeightRef,
)
from kernelllm_jupyter.starter.evaluate import Environment, Evaluator, is_tensor, plain
from kernelllm_jupyter.starter.graph import Plan, Stage
from kernelllm_jupyter.starter.program import Program, region_of
from kernelllm_jupyter.starter.statements import NOTHING, Statements
from kernelllm_jupyter.starter.views import Views
from kernelllm_jupyter.starter.vocabulary import FAMILIES
from kernelllm_jupyter.syntax import parse
from kernelllm_jupyter.values import Problem

__all__ = ["Trace", "trace"]

_FLOATS = ("float", "bfloat", "half")


@dataclass(frozen=True)
class Trace:
    """A traced problem: its plan, and what the wrapper must check before it relies on it."""

    plan: Plan
    tree: ast.Module
    cls: ast.ClassDef
    forward: ast.FunctionDef
    #: Pairs of an expression of ``forward`` and the value that it must have.
    assumptions: tuple[tuple[str, str], ...] = ()
    #: The arguments of ``forward`` that are tensors of floating point.
    tensors: tuple[str, ...] = ()


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
        self.views = Views(self)
        self.in_forward = False
        self.module: Environment = {}
        self.program: Program | None = None
        self.number_names: dict[str, str] = {}
        self._tensors: list[TensorInput] = []
        self._assumed: dict[str, str] = {}
        self._chosen_in_init = False
        self._changed: dict[int, Any] = {}
        self._kept: list[Any] = []  # So that no identity in _changed is used twice.

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
        if isinstance(result, (tuple, list)) and len(result) != 1:
            raise Refused("more than one result", forward)
        if isinstance(result, (tuple, list)):
            raise Refused("a tuple as the result", forward)
        program = self._program(forward)
        plan = program.plan(None if result is NOTHING else self.current(result), forward)
        floats = tuple(t.name for t in self._tensors if t.spec.dtype.startswith(_FLOATS))
        used = " ".join(line for stage in plan.stages for line in _lines_of(stage))
        floats = tuple(name for name in floats if re.search(rf"\b{name}\b", used))
        assumed = tuple(self._assumed.items())
        return Trace(plan, self.tree, found.node, forward, assumed, floats)

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
        live = self.problem.live
        if (live is not None and live.init is not None) or not isinstance(function, Function):
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
        if not self.problem.has_inputs or not isinstance(function, Function):
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
                if not spec.dtype.startswith((*_FLOATS, "bool", "int64", "int32")):
                    raise Refused(f"inputs of dtype {spec.dtype}", forward)
                env[name] = TensorInput(name, spec)
                tensors.append(env[name])
            elif isinstance(value, (int, float, Number)):
                env[name] = Number(ast.Name(name, ast.Load()), plain(value))
            else:
                raise Refused(f"the argument {name}, which is no tensor", forward)
        if not tensors:
            raise Refused("a forward without tensor arguments", forward)
        if not any(t.spec.dtype.startswith(_FLOATS) for t in tensors):
            raise Refused(f"inputs of dtype {tensors[0].spec.dtype}", forward)
        taken = {*names, *self.module, "self", "torch", "nn", "F", "math", "triton", "tl"}
        self.program = Program(taken, self.assume)
        self._tensors = tensors
        return env

    # -- what evaluation asks for -----------------------------------------------------------------

    def _program(self, node: ast.AST) -> Program:
        if self.program is None:
            raise Refused("arithmetic on tensors outside forward", node)
        return self.program

    def apply(self, method: str, args: list[Any], node: ast.AST) -> Any:
        """An operation on tensors: a method of :class:`~.lowering.Lowering`."""
        return self._program(node).apply(method, args, node)

    def made(self, value: Any, node: ast.AST) -> Any:
        """``value`` as a tensor that ``forward`` has a name for."""
        return self._program(node).made(value)

    def name_number(self, value: Number, name: str) -> None:
        """Note what the source calls a number that it computes."""
        if value.node is not None:
            self.number_names.setdefault(ast.unparse(value.node), name)

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

    def require(self, text: str, value: str) -> None:
        """Note that ``text`` must be ``value`` when ``forward`` is called."""
        self._assumed[text] = value

    def assume_layer(self, path: ast.expr | None, text: str, value: str) -> None:
        """Note what a submodule is, where a constructor argument chose it."""
        if self._chosen_in_init and self.in_forward and path is not None:
            self._assumed[text.format(ast.unparse(path))] = value

    def layer_weights(self, layer: Layer) -> dict[str, WeightRef]:
        return weights_of(layer)

    def shape_of(self, value: Any, node: ast.AST) -> Shape:
        """The shape of a tensor, reached through an argument of the same shape if there is one."""
        if isinstance(value, Tensor):
            known = region_of(value).shape_of(value)
            same = [t for t in self._tensors if known is not None and t.spec.shape == known]
            value = same[0] if same else self.made(value, node)
        path = ast.Attribute(value=ast.Name(value.text, ast.Load()), attr="shape", ctx=ast.Load())
        if isinstance(value, WeightRef):
            path = ast.Attribute(value=value.node, attr="shape", ctx=ast.Load())
        return Shape(path, value.spec.shape)

    def rank_of(self, value: Any, node: ast.AST) -> Number:
        shape = self.shape_of(value, node)
        path = ast.Attribute(value=shape.node.value, attr="ndim", ctx=ast.Load())  # type: ignore[attr-defined]
        sizes = shape.sizes
        return Number(path, None if sizes is None else len(sizes), known=sizes is not None)

    def index(self, owner: Any, node: ast.Subscript, env: Environment) -> Any:
        """``x[..., None]``, ``x[:, 0]`` and the like: a view."""
        return self.views.index(owner, node, env)

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


def _lines_of(stage: Stage) -> list[str]:
    graph = stage.graph
    inputs = [item.text for item in graph.inputs]
    return [*stage.before, *inputs, *(weight.text for weight in graph.weights)]
