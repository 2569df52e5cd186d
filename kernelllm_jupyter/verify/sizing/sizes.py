"""The integers of a reference's source that its inputs are made from, and the source with others.

Pure text work on ``ast``: nothing is run here, and nothing is known of tensors. Whether an integer
is a size at all (and not a seed or a padding) shows when the rewritten source is run, elsewhere.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

__all__ = ["Site", "find_sites", "integers", "rewritten"]

ENTRIES = ("get_inputs", "get_init_inputs")
#: More digits than any size has; keeps ``2 ** 10 ** 10`` from being computed.
LARGEST = 1 << 40
#: Calls whose arguments are no sizes.
NO_SIZES = frozenset({"manual_seed", "seed", "manual_seed_all", "Generator"})

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Site:
    """One integer: a literal, or an expression of literals such as ``16 * 1024``.

    ``name`` is the module-level name that it is (part of) the value of, empty for one that stands
    in a function. ``start`` and ``end`` are offsets in the UTF-8 bytes of the source.
    """

    name: str
    value: int
    start: int
    end: int


def find_sites(source: str) -> list[Site]:
    """The integers that feed ``get_inputs`` and ``get_init_inputs``, in the order of the text.

    Left out are names that a class of the source reads as well: another value would make another
    module of it, and the candidate has its own copy of the old one.
    """
    tree = ast.parse(source)
    functions = {node.name: node for node in tree.body if isinstance(node, Function)}
    assigned = _assigned(tree)
    feeding = _closure([functions[name] for name in ENTRIES if name in functions], tree)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    others = [
        node for name, node in functions.items() if name not in ENTRIES and name not in feeding
    ]
    kept = _closure([*classes, *others], tree)
    starts = _line_starts(source)
    sites = []
    for name, values in assigned.items():
        if name in feeding and name not in kept and len(values) == 1:
            sites += [_site(name, node, value, starts) for node, value in _integers(values[0])]
    for name, function in functions.items():
        if name in ENTRIES or (name in feeding and name not in kept):
            for statement in function.body:
                sites += [_site("", node, value, starts) for node, value in _integers(statement)]
    return sorted(set(sites), key=lambda site: site.start)


def rewritten(source: str, values: Mapping[Site, int]) -> str:
    """The source with other values at some of its sites."""
    text = source.encode()
    for site in sorted(values, key=lambda site: site.start, reverse=True):
        text = text[: site.start] + str(values[site]).encode() + text[site.end :]
    return text.decode()


def integers(source: str) -> set[int]:
    """All integers of a source, expressions of literals computed; empty where it is unreadable."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    return {value for _, value in _integers(tree, everywhere=True)}


def _assigned(tree: ast.Module) -> dict[str, list[ast.expr]]:
    """Module-level names and what is assigned to them; tuples are taken apart."""
    found: dict[str, list[ast.expr]] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                for name, value in _pairs(target, node.value):
                    found.setdefault(name, []).append(value)
        elif isinstance(node, ast.AnnAssign | ast.AugAssign) and isinstance(node.target, ast.Name):
            values = found.setdefault(node.target.id, [])
            if node.value is not None:
                values.append(node.value)
    return found


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif (
        isinstance(target, ast.Tuple | ast.List)
        and isinstance(value, ast.Tuple | ast.List)
        and len(value.elts) == len(target.elts)
    ):
        for one, other in zip(target.elts, value.elts, strict=True):
            yield from _pairs(one, other)


def _closure(roots: list[ast.stmt], tree: ast.Module) -> set[str]:
    """Module-level names that some statements read, directly or through one another."""
    definitions: dict[str, list[ast.AST]] = {}
    for name, values in _assigned(tree).items():
        definitions.setdefault(name, []).extend(values)
    for node in tree.body:
        if isinstance(node, Function):
            definitions.setdefault(node.name, []).append(node)
    reached: set[str] = set()
    waiting: list[ast.AST] = list(roots)
    while waiting:
        for name in _read(waiting.pop()):
            if name in definitions and name not in reached:
                reached.add(name)
                waiting.extend(definitions[name])
    return reached


def _read(node: ast.AST) -> set[str]:
    """The module-level names that a node reads: not arguments that are called like one."""
    found: set[str] = set()
    tables = [symtable.symtable(ast.unparse(node), "<source>", "exec")]
    while tables:
        table = tables.pop()
        tables.extend(table.get_children())
        outermost = table.get_type() == "module"
        found.update(
            symbol.get_name()
            for symbol in table.get_symbols()
            if symbol.is_referenced() and (outermost or symbol.is_global())
        )
    return found


def _integers(node: ast.AST, *, everywhere: bool = False) -> Iterator[tuple[ast.expr, int]]:
    """The largest expressions below ``node`` that are integers, indices and seeds left out."""
    if isinstance(node, ast.expr):
        value = _constant(node)
        if value is not None:
            if value > 1 or everywhere:
                yield node, value
            return
    if not everywhere:
        if isinstance(node, ast.Call) and _called(node) in NO_SIZES:
            return
        if isinstance(node, ast.Subscript):
            yield from _integers(node.value)
            return
    for child in ast.iter_child_nodes(node):
        yield from _integers(child, everywhere=everywhere)


def _called(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _constant(node: ast.expr) -> int | None:
    """The value of an expression of integer literals; None for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if type(node.value) is int and abs(node.value) <= LARGEST else None
    if not isinstance(node, ast.BinOp):
        return None
    left, right = _constant(node.left), _constant(node.right)
    if left is None or right is None:
        return None
    value = _operated(node.op, left, right)
    return value if value is not None and abs(value) <= LARGEST else None


def _operated(operator: ast.operator, left: int, right: int) -> int | None:
    if isinstance(operator, ast.Add):
        return left + right
    if isinstance(operator, ast.Sub):
        return left - right
    if isinstance(operator, ast.Mult):
        return left * right
    if isinstance(operator, ast.FloorDiv) and right:
        return left // right
    if isinstance(operator, ast.Pow) and 0 <= right <= 40 and abs(left) <= 64:
        return int(left**right)
    if isinstance(operator, ast.LShift) and 0 <= right <= 40:
        return left << right
    return None


def _line_starts(source: str) -> list[int]:
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts


def _site(name: str, node: ast.expr, value: int, starts: list[int]) -> Site:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return Site(
        name,
        value,
        starts[node.lineno - 1] + node.col_offset,
        starts[node.end_lineno - 1] + node.end_col_offset,
    )
