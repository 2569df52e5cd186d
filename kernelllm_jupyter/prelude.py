"""The names that a cell takes from elsewhere, and the lines of source that define them.

Looks at values of the notebook and runs none of them.
"""

from __future__ import annotations

import ast
import builtins
import symtable
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from kernelllm_jupyter.errors import ProblemError
from kernelllm_jupyter.syntax import parse

__all__ = ["defined_names", "free_names", "line_for", "prelude"]

#: What a cell may use without importing it, because an earlier cell of nearly every PyTorch
#: notebook does: written before the cell's own text where its name is used and not defined.
WELL_KNOWN = {
    "torch": "import torch",
    "nn": "import torch.nn as nn",
    "F": "import torch.nn.functional as F",
    "math": "import math",
    "np": "import numpy as np",
    "Tensor": "from torch import Tensor",
    "Optional": "from typing import Optional",
    "Tuple": "from typing import Tuple",
    "List": "from typing import List",
    "Callable": "from typing import Callable",
    "partial": "from functools import partial",
}


def prelude(source: str, names: Mapping[str, Any]) -> list[str]:
    """Lines that define what the source uses and does not define."""
    if any(
        isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
        for node in ast.walk(parse(source))
    ):
        return []
    lines, missing = [], []
    free = free_names(source)
    ordered = [name for name in WELL_KNOWN if name in free]
    for name in ordered + sorted(free.difference(ordered)):
        line = line_for(name, names)
        if line is None:
            missing.append(name)
        else:
            lines.append(line)
    if missing:
        raise ProblemError(
            f"The cell uses {', '.join(missing)}, which it does not define. The check runs the "
            "cell in a process of its own, so put what the module needs into the cell."
        )
    return lines


def line_for(name: str, names: Mapping[str, Any]) -> str | None:
    """The line that defines ``name`` as the notebook has it; None where no source could."""
    if name in names:
        value = names[name]
        if isinstance(value, ModuleType) and sys.modules.get(value.__name__) is value:
            return f"import {value.__name__} as {name}"
        if value is None or _is_plain(value):
            return f"{name} = {value!r}"
        kind = type(value)
        if kind.__module__ == "torch" and kind.__name__ in ("Size", "dtype"):
            return f"import torch; {name} = {value!r}"
        home, own = str(getattr(value, "__module__", "")), getattr(value, "__name__", None)
        known = home.split(".")[0] in ("torch", "math", "typing")
        # A method, or what a function has made, has the names of something else.
        found = getattr(sys.modules.get(home), own, None) if known and own else None
        if found is not None and (found is value or home == "typing"):
            return f"from {home} import {own} as {name}"
    return WELL_KNOWN.get(name)


def _is_plain(value: Any) -> bool:
    if type(value) in (tuple, list):
        return len(value) <= 64 and all(_is_plain(item) for item in value)
    return type(value) in (int, float, str, bool) and value == value and _is_finite(value)


def _is_finite(value: Any) -> bool:
    """Whether ``repr(value)`` is a literal: not so for infinities."""
    return not isinstance(value, float) or value not in (float("inf"), float("-inf"))


def free_names(source: str) -> set[str]:
    """Names that a module reads and neither defines, imports nor finds among the builtins."""
    table = symtable.symtable(source, "<cell>", "exec")
    bound = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    used: set[str] = set()
    for scope in _scopes(table):
        for symbol in scope.get_symbols():
            outer = scope is table or symbol.is_global()
            if outer and symbol.is_referenced():
                used.add(symbol.get_name())
    return {name for name in used - bound if not hasattr(builtins, name) and name != "__file__"}


def defined_names(tree: ast.Module) -> set[str]:
    """Names that a module binds at its top level."""
    table = symtable.symtable(ast.unparse(tree), "<cell>", "exec")
    return {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}


def _scopes(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _scopes(child)
