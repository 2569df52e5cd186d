"""Follows the statements of a function, outside ``forward`` with some tolerance."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from typing import Any

from kernelllm_jupyter.starter.domain import (
    Dotted,
    Function,
    Instance,
    Number,
    Refused,
    Tensor,
    Unknown,
    Values,
)
from kernelllm_jupyter.starter.evaluate import Environment, Evaluator

__all__ = ["NOTHING", "Statements"]

#: What a statement gives that does not return.
NOTHING = object()


class Statements(ABC):
    """One method per kind of statement; what they need of the trace is given by the subclass."""

    in_forward: bool
    evaluate: Evaluator

    @abstractmethod
    def name_number(self, value: Number, name: str) -> None:
        """Note what the source calls a number that it computes."""

    @abstractmethod
    def change(self, before: Any, after: Any) -> None:
        """Note that ``before`` was changed in place to ``after``."""

    def tolerant(self, statement: ast.stmt, env: Environment) -> Any:
        """Execute outside ``forward``, where what is not understood need not matter."""
        try:
            return self.execute([statement], env)
        except Refused as refused:
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            for target in targets:
                self.assign(target, Unknown(refused.what, statement.lineno), env)
            return NOTHING

    def execute(self, body: list[ast.stmt], env: Environment) -> Any:
        """Run statements; the returned value, or ``NOTHING`` where none returned."""
        for statement in body:
            method = getattr(self, f"_{type(statement).__name__}", None)
            if method is None:
                raise Refused(f"the statement {ast.unparse(statement)[:40]!r}", statement)
            result = method(statement, env)
            if result is not NOTHING:
                return result
        return NOTHING

    def assign(self, target: ast.expr, value: Any, env: Environment) -> None:
        if isinstance(target, ast.Name):
            env[target.id] = value
            self._name(value, target.id)
        elif isinstance(target, ast.Attribute):
            owner = self.evaluate(target.value, env)
            if not isinstance(owner, Instance) or self.in_forward:
                raise Refused(f"the assignment to {ast.unparse(target)}", target)
            owner.attributes[target.attr] = value
        elif isinstance(target, (ast.Tuple, ast.List)):
            if isinstance(value, Unknown):
                values: list[Any] = [value] * len(target.elts)
            elif isinstance(value, Values):
                values = [value.tensor, value]
            else:
                values = self.evaluate.items(value, target)
            if len(values) != len(target.elts):
                raise Refused(f"the assignment to {ast.unparse(target)}", target)
            for item, part in zip(target.elts, values, strict=True):
                self.assign(item, part, env)
        else:
            raise Refused(f"the assignment to {ast.unparse(target)}", target)

    def _name(self, value: Any, name: str) -> None:
        if not self.in_forward:
            return
        if isinstance(value, Tensor) and value.name is None:
            value.name = name
        if isinstance(value, Number) and isinstance(value.node, (ast.BinOp, ast.Call)):
            self.name_number(value, name)

    def _Assign(self, node: ast.Assign, env: Environment) -> Any:
        value = self.evaluate(node.value, env)
        for target in node.targets:
            self.assign(target, value, env)
        return NOTHING

    def _AnnAssign(self, node: ast.AnnAssign, env: Environment) -> Any:
        if node.value is not None:
            self.assign(node.target, self.evaluate(node.value, env), env)
        return NOTHING

    def _AugAssign(self, node: ast.AugAssign, env: Environment) -> Any:
        before = self.evaluate(node.target, env)
        after = self.evaluate.binary(node.op, before, self.evaluate(node.value, env), node)
        self.change(before, after)
        self.assign(node.target, after, env)
        return NOTHING

    def _Return(self, node: ast.Return, env: Environment) -> Any:
        return None if node.value is None else self.evaluate(node.value, env)

    def _Expr(self, node: ast.Expr, env: Environment) -> Any:
        if isinstance(node.value, ast.Constant):
            return NOTHING
        self.evaluate(node.value, env)
        return NOTHING

    def _If(self, node: ast.If, env: Environment) -> Any:
        chosen = self.evaluate.truth(self.evaluate(node.test, env), node.test)
        return self.execute(node.body if chosen else node.orelse, env)

    def _For(self, node: ast.For, env: Environment) -> Any:
        for item in self.evaluate.items(self.evaluate(node.iter, env), node):
            self.assign(node.target, item, env)
            result = self.execute(node.body, env)
            if result is not NOTHING:
                return result
        return self.execute(node.orelse, env)

    def _With(self, node: ast.With, env: Environment) -> Any:
        for item in node.items:
            if ast.unparse(item.context_expr) not in ("torch.no_grad()", "torch.inference_mode()"):
                raise Refused(f"with {ast.unparse(item.context_expr)}", node)
        return self.execute(node.body, env)

    def _FunctionDef(self, node: ast.FunctionDef, env: Environment) -> Any:
        env[node.name] = Function(node, closure=env)
        return NOTHING

    def _Import(self, node: ast.Import, env: Environment) -> Any:
        for alias in node.names:
            if alias.asname:
                env[alias.asname] = Dotted(alias.name)
            else:
                head = alias.name.partition(".")[0]
                env[head] = Dotted(head)
        return NOTHING

    def _ImportFrom(self, node: ast.ImportFrom, env: Environment) -> Any:
        for alias in node.names:
            env[alias.asname or alias.name] = Dotted(f"{node.module}.{alias.name}")
        return NOTHING

    def _nothing(self, node: ast.stmt, env: Environment) -> Any:
        return NOTHING

    _Pass = _Assert = _Global = _Nonlocal = _nothing

    def _Raise(self, node: ast.Raise, env: Environment) -> Any:
        raise Refused("a forward that raises", node)
