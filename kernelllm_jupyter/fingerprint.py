"""Tells whether two candidates are the same code but for comments, docstrings and layout.

By ``ast``, so nothing is run. Knows no model and no verdict.
"""

from __future__ import annotations

import ast
import hashlib

from kernelllm_jupyter.syntax import parse

__all__ = ["fingerprint"]


def fingerprint(code: str) -> str:
    """The same text for codes that differ in comments, docstrings and layout only.

    Code that is no Python is compared without its blank space.
    """
    try:
        tree = parse(code)
        for node in ast.walk(tree):
            _drop_docstring(node)
        form = ast.dump(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        form = "no Python: " + " ".join(code.split())
    return hashlib.sha256(form.encode("utf-8", "surrogatepass")).hexdigest()


def _drop_docstring(node: ast.AST) -> None:
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return
    first = node.body[0] if node.body else None
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        node.body = [*node.body[1:]] or [ast.Pass()]
