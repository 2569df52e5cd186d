"""Which line of the user's text each line of a problem's source stands for.

A problem's source has lines that nobody wrote: imports before the user's text, and after it a
class made around a bare function, or functions made of ``--inputs`` and ``--init``.
"""

from __future__ import annotations

import ast

from kernelllm_jupyter.syntax import parse

__all__ = ["own_lines"]


def own_lines(
    source: str, before: int, text: str, wrapper: str, function: ast.FunctionDef | None
) -> tuple[int | None, ...]:
    """For each line of ``source`` the user's line, from 1; None where it is no line of theirs.

    ``source`` is ``before`` lines, the user's ``text``, a blank line, and ``wrapper``, a class
    whose ``forward`` is the body of ``function`` laid out anew, if there is one; then the rest.
    """
    count = len(text.rstrip("\n").splitlines())
    lines: list[int | None] = [None] * len(source.splitlines())
    lines[before : before + count] = range(1, count + 1)
    if function is None:
        return tuple(lines)
    definition = parse(wrapper).body[0]
    assert isinstance(definition, ast.ClassDef)
    (forward,) = definition.body
    assert isinstance(forward, ast.FunctionDef)
    for copy, own in zip(_nodes(forward), _nodes(function), strict=False):
        line, users = getattr(copy, "lineno", None), getattr(own, "lineno", None)
        if line is not None and lines[before + count + line] is None:
            lines[before + count + line] = users
    return tuple(lines)


def _nodes(function: ast.FunctionDef) -> list[ast.AST]:
    """All nodes of a function's body, in an order that its layout does not change."""
    return list(ast.walk(ast.Module(body=function.body, type_ignores=[])))
