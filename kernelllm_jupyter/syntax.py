"""``ast.parse`` that may be called from several threads at once.

Python 3.11 keeps the depth of the tree that it builds in a place that all threads share. Where
another thread builds one meanwhile, a parse that went well ends with ``SystemError: AST
constructor recursion depth mismatch`` (16 of 480 with eight threads on 3.11.7; none on 3.10, 3.12
and 3.13). Nothing else is disturbed, so the answer is to parse again.
"""

from __future__ import annotations

import ast

__all__ = ["parse", "parse_expression"]

ATTEMPTS = 50


def parse(source: str | bytes) -> ast.Module:
    """The module's tree; raises ``SyntaxError`` and ``ValueError`` as ``ast.parse`` does."""
    tree = _parsed(source, "exec")
    assert isinstance(tree, ast.Module)
    return tree


def parse_expression(source: str) -> ast.expr:
    """The expression's tree, likewise."""
    tree = _parsed(source, "eval")
    assert isinstance(tree, ast.Expression)
    return tree.body


def _parsed(source: str | bytes, mode: str) -> ast.AST:
    for _ in range(ATTEMPTS - 1):
        try:
            return ast.parse(source, mode=mode)
        except SystemError as error:
            if "recursion depth mismatch" not in str(error):
                raise
    return ast.parse(source, mode=mode)
