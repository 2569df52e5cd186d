"""Two sources in one file: which names they bind, and how one is put into a block.

By ``ast``, so nothing is run.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator

from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.syntax import parse

__all__ = ["bindings", "can_share", "in_block", "without_future"]

Scope = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def bindings(source: str) -> dict[str, set[str]]:
    """The module-level names that a source binds, each with what it binds them to: the import, as
    text, or ``""`` for anything else. A star import binds ``*``."""
    found: dict[str, set[str]] = {}
    for node in _module_level(parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                what = f"import {alias.name}" if alias.asname else f"import {name}"
                found.setdefault(name, set()).add(what)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                what = f"from {'.' * node.level}{node.module} import {alias.name}"
                found.setdefault(alias.asname or alias.name, set()).add(what)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.setdefault(node.name, set()).add("")
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            found.setdefault(node.id, set()).add("")
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.setdefault(node.name, set()).add("")
        elif isinstance(node, ast.Global):
            for name in node.names:
                found.setdefault(name, set()).add("")
    return found


def _module_level(tree: ast.Module) -> Iterator[ast.AST]:
    """All nodes but those inside functions and classes; ``global`` statements wherever they are."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from (inner for inner in ast.walk(node) if isinstance(inner, ast.Global))
        else:
            waiting.extend(ast.iter_child_nodes(node))


def can_share(one: str, other: str) -> bool:
    """Whether two sources mean the same in one module as each in its own."""
    first, second = bindings(one), bindings(other)
    if "*" in first or "*" in second:
        return False
    return all(
        first[name] == second[name] and "" not in first[name]
        for name in first.keys() & second.keys()
    )


def without_future(source: str) -> tuple[str, list[str]]:
    """The source with its ``from __future__`` imports blanked, and what they import."""
    lines = source.splitlines(keepends=True)
    names: list[str] = []
    for node in parse(source).body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            names += [alias.name for alias in node.names]
            for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[number] = "\n"
    return "".join(lines), names


def in_block(source: str, indent: str = "    ") -> str:
    """The source as the body of a block, with the values of all its texts as they are.

    ``textwrap.dedent`` makes it a module again. Raises :class:`UsageError` where that is not
    possible.
    """
    flat = _flattened(source)
    block = textwrap.indent(flat.strip("\n"), indent)
    try:
        parse("try:\n" + block + "\nfinally:\n    pass\n")
    except SyntaxError as error:
        raise UsageError(f"The code cannot be put into a module: {error}") from None
    return block


def _flattened(source: str) -> str:
    """With texts of several lines written in one, but for docstrings: a block indents all lines."""
    text = source.encode()
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node in sorted(_long_texts(parse(source)), key=lambda n: (n.lineno, n.col_offset))[::-1]:
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or 1) - 1] + (node.end_col_offset or 0)
        plain = repr(node.value) if isinstance(node, ast.Constant) else ast.unparse(node)
        if "\n" in plain:
            raise UsageError("The code has a text of several lines that cannot be written in one.")
        text = text[:start] + plain.encode() + text[end:]
    return text.decode()


def _long_texts(tree: ast.Module) -> Iterator[ast.Constant | ast.JoinedStr]:
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, Scope) and node.body and isinstance(node.body[0], ast.Expr)
    }
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        is_text = isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
        )
        if isinstance(node, ast.Constant | ast.JoinedStr) and is_text:
            if node.end_lineno != node.lineno and id(node) not in docstrings:
                yield node
        else:
            waiting.extend(ast.iter_child_nodes(node))
