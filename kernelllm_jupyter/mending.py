"""Mechanical mends of generated code: slips for which there is exactly one right spelling.

An import that is missing, ``ModelNew`` under another name, fences and talk that stayed around the
code. Nothing here guesses what code was meant to compute, and code that needs no mend comes back
as it was. By ``ast`` and ``tokenize``; nothing is run.
"""

from __future__ import annotations

import ast
import builtins
import io
import re
import tokenize
from collections.abc import Iterator

from kernelllm_jupyter.syntax import parse

__all__ = ["mend"]

ENTRY = "ModelNew"
#: Names that stand for one thing in this field, and how each is brought in.
IMPORTS = {
    "torch": "import torch",
    "nn": "import torch.nn as nn",
    "F": "import torch.nn.functional as F",
    "triton": "import triton",
    "tl": "import triton.language as tl",
    "math": "import math",
    **{
        name: f"from typing import {name}"
        for name in ("Any", "Callable", "Dict", "List", "Optional", "Sequence", "Tuple", "Union")
    },
}
_FENCE = re.compile(r"\s*(?:`{3,}|~{3,})\s*\w*\s*$")
#: A sentence or an item of a list, in contrast to code that has a mistake in it.
_TALK = re.compile(r"(?:#{1,6} |[-*] |\d+\. |\*\*)?\"?[A-Z][\w'’`]*(?:[ ,:]+[\w'’`\"(*-]+){2,}")


def mend(code: str) -> tuple[str, tuple[str, ...]]:
    """``code`` with what can only be meant one way put right, and each mend in words."""
    mends: list[str] = []
    tree = _parsed(code)
    if tree is None:
        code, found = _without_wrapping(code)
        mends += found
        tree = _parsed(code)
    if tree is None:
        return code, tuple(mends)
    named = _entry_named(code, tree)
    if named is not None:
        code, old = named
        mends.append(f"{old} is now called {ENTRY}")
        tree = parse(code)
    missing = _missing_imports(tree)
    if missing:
        lines = code.splitlines(keepends=True)
        at = _first_place(tree)
        added = [f"{line}\n" for line in missing]
        if at and not lines[at - 1].endswith("\n"):
            lines[at - 1] += "\n"
        code = "".join([*lines[:at], *added, *lines[at:]])
        mends += [f"added: {line}" for line in missing]
    return code, tuple(mends)


def _parsed(code: str) -> ast.Module | None:
    try:
        return parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


# --- fences and talk -----------------------------------------------------------------------------


def _without_wrapping(code: str) -> tuple[str, list[str]]:
    """Code that parses once fences, and sentences before or after it, are gone; else as it was."""
    lines = code.splitlines(keepends=True)
    kept = [line for line in lines if not _FENCE.fullmatch(line.rstrip("\n"))]
    found = ["removed code fences"] if len(kept) < len(lines) else []
    if _is_code(kept):
        return "".join(kept), found
    for at, line in enumerate(kept):
        if _TALK.match(line) and _is_code(kept[:at]):
            # Up to the first sentence it is whole; code after it would be another draft.
            if any(re.match(r"(?:@|def |class |import |from )", rest) for rest in kept[at:]):
                return code, []
            return "".join(kept[:at]), [*found, "removed the text after the code"]
    for at in range(len(kept) - 1, 0, -1):
        before = [line for line in kept[:at] if line.strip()]
        if before and all(_TALK.match(line) for line in before) and _is_code(kept[at:]):
            return "".join(kept[at:]), [*found, "removed the text before the code"]
    return code, []


def _is_code(lines: list[str]) -> bool:
    tree = _parsed("".join(lines))
    return tree is not None and any(isinstance(node, ast.ClassDef) for node in tree.body)


# --- the entry's name ----------------------------------------------------------------------------


def _entry_named(code: str, tree: ast.Module) -> tuple[str, str] | None:
    """The code with its only module class called ``ModelNew``, and what that was called."""
    if ENTRY in _bound(tree) or _is_read(ENTRY, tree):
        return None
    modules = _modules(tree)
    if len(modules) != 1 or modules[0] in _other_names(tree):
        return None
    renamed = _renamed(code, modules[0], ENTRY)
    # Before Python 3.12 an f-string is one token, in which nothing was renamed.
    whole = not _is_read(modules[0], parse(renamed))
    return (renamed, modules[0]) if whole else None


def _modules(tree: ast.Module) -> list[str]:
    """The classes that are torch modules, by their bases or by those of their bases."""
    found: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            bases = [ast.unparse(base) for base in node.bases]
            if any(re.match(r"(torch\.)?nn\.|Module$", base) or base in found for base in bases):
                found.append(node.name)
    return found


def _is_read(name: str, tree: ast.Module) -> bool:
    return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(tree))


def _other_names(tree: ast.Module) -> set[str]:
    """Names that are no variable's: of attributes, parameters and keyword arguments."""
    found = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return found | {
        str(node.arg) for node in ast.walk(tree) if isinstance(node, ast.arg | ast.keyword)
    }


def _renamed(code: str, old: str, new: str) -> str:
    """By tokens, so that comments, strings and the layout stay as they were."""
    lines = re.split(r"(?<=\n)", code)  # As tokenize counts them.
    tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
    for token in reversed(tokens):
        if token.type == tokenize.NAME and token.string == old:
            row, column = token.start
            line = lines[row - 1]
            lines[row - 1] = line[:column] + new + line[column + len(old) :]
    return "".join(lines)


# --- missing imports -----------------------------------------------------------------------------


def _missing_imports(tree: ast.Module) -> list[str]:
    bound = set(_bound(tree)) | set(dir(builtins))
    used = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    return [line for name, line in IMPORTS.items() if name in used - bound]


def _bound(tree: ast.Module) -> Iterator[str]:
    """Every name that is bound anywhere, in whatever scope: only what never is can be missing."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).split(".")[0]
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name
        elif isinstance(node, ast.MatchMapping) and node.rest:
            yield node.rest


def _first_place(tree: ast.Module) -> int:
    """How many lines come before the first place for an import."""
    at = 0
    for number, node in enumerate(tree.body):
        docstring = (
            number == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        )
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if not docstring and not future:
            break
        at = node.end_lineno or at
    return at
