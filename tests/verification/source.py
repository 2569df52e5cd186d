"""A candidate's text, the nodes of it that mutations ask for, and edits of it.

Knows no mutation.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Edit:
    """Replace the text from ``start`` to ``end`` by ``text``."""

    start: int
    end: int
    text: str


class Source:
    """A candidate's text with the nodes that operators ask for."""

    def __init__(self, text: str):
        self.text = text
        self.tree = ast.parse(text)
        self._lines = [0]
        for line in text.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Where a node stands (sources are ASCII, so columns are characters)."""
        start = self._lines[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        end = self._lines[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
        return start, end

    def of(self, node: ast.AST) -> str:
        start, end = self.span(node)
        return self.text[start:end]

    def put(self, node: ast.AST, text: str) -> Edit:
        return Edit(*self.span(node), text)

    @cached_property
    def kernels(self) -> list[ast.FunctionDef]:
        return [
            node
            for node in ast.walk(self.tree)
            if isinstance(node, ast.FunctionDef)
            and any("jit" in ast.unparse(decorator) for decorator in node.decorator_list)
        ]

    @cached_property
    def in_kernels(self) -> list[ast.AST]:
        """Every node of every Triton kernel's body, in the order of the text."""
        found = [node for kernel in self.kernels for line in kernel.body for node in ast.walk(line)]
        return sorted(found, key=lambda node: getattr(node, "lineno", 0))

    @cached_property
    def on_host(self) -> list[ast.AST]:
        """Every node of every method and plain function."""
        inside = {id(node) for node in self.in_kernels}
        found = [
            node
            for function in ast.walk(self.tree)
            if isinstance(function, ast.FunctionDef) and function not in self.kernels
            for node in ast.walk(function)
            if id(node) not in inside
        ]
        unique = {id(node): node for node in found}
        return sorted(unique.values(), key=lambda node: getattr(node, "lineno", 0))

    @cached_property
    def addresses(self) -> set[int]:
        """Nodes that make up pointers, masks, ranges and offsets rather than values."""
        parts: list[ast.AST] = []
        for node in self.in_kernels:
            if name_of(node).startswith(("load", "store", "atomic_")):
                call = node
                assert isinstance(call, ast.Call)
                parts.append(call.args[0])
                parts += [word.value for word in call.keywords if word.arg == "mask"]
            elif name_of(node) in ("range", "arange", "program_id", "static_range") or (
                isinstance(node, ast.BinOp | ast.Assign)
                and any(
                    word in self.of(node) for word in ("arange", "program_id", "_ptr", "%", "//")
                )
            ):
                parts.append(node)
        return {id(inner) for part in parts for inner in ast.walk(part)}

    @cached_property
    def values(self) -> list[ast.AST]:
        """Nodes of Triton kernels that compute values."""
        return [node for node in self.in_kernels if id(node) not in self.addresses]


def name_of(node: ast.AST) -> str:
    """The last part of what a call calls; empty for anything else."""
    if not isinstance(node, ast.Call):
        return ""
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""
