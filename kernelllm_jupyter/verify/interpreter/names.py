"""A Triton function sees the names of its own module, and no others.

To run a function, the interpreter rewrites it and, for what the rewritten text needs, copies all
of its own globals into the function's module: ``tl``, ``np``, ``math`` and more. Code that forgot
to import them would run here and nowhere else. On the other hand it knows the language as ``tl``
only, where the compiler takes any name: ``triton.language.constexpr``, or a plain ``load``.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

import triton.language as tl
import triton.runtime.interpreter as tri

__all__ = ["install"]


def install() -> None:
    """Have names mean what they mean to the compiler."""
    _take_back_names()
    _find_constexprs()


def _take_back_names() -> None:
    """Keep only what a rewritten function needs beyond its own source."""
    original = tri.FunctionRewriter._compile_and_exec

    def compile_and_exec(self: Any, tree: Any) -> Any:
        own = set(self.fn.__globals__)
        try:
            return original(self, tree)
        finally:
            needed = _names(tree) - _names(ast.parse(_source(self.fn)))
            for name in set(self.fn.__globals__) - own - needed:
                del self.fn.__globals__[name]
            # The interpreter insists on finding the module, under whatever name.
            self.fn.__globals__.setdefault("__triton_language__", tl)

    tri.FunctionRewriter._compile_and_exec = compile_and_exec


def _source(function: Any) -> str:
    return textwrap.dedent(inspect.getsource(function))


def _names(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _find_constexprs() -> None:
    """The interpreter reads annotations as text and knows ``tl.constexpr``; the compiler looks for
    ``constexpr`` in them."""
    original = tri.GridExecutor.__init__

    def init(self: Any, fn: Any, arg_names: list[str], *rest: Any, **named: Any) -> None:
        original(self, fn, arg_names, *rest, **named)
        annotations = inspect.get_annotations(fn)
        self.constexprs = [
            name for name in arg_names if "constexpr" in str(annotations.get(name, ""))
        ]

    tri.GridExecutor.__init__ = init
