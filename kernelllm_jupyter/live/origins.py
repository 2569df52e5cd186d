"""Where a definition of the session comes from: its text, its package, the names that it sees.

The text is found by the compiled code of the functions themselves, which knows its file and line:
a notebook's cells are in :mod:`linecache` under names of their own, so a class that was defined
again in a later cell still has the text that it was made from. Looks only; nothing is executed.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import linecache
import site
import sys
import sysconfig
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import torch

from kernelllm_jupyter.errors import ProblemError

__all__ = [
    "closures",
    "file_of",
    "functions_of",
    "is_installed",
    "is_there",
    "namespace",
    "parsed",
    "public_torch",
    "text_of",
    "text_without_functions",
    "unwrapped",
]


@functools.cache
def _installed_folders() -> tuple[Path, ...]:
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [*site.getsitepackages(), site.getusersitepackages()]
    return tuple(Path(path).resolve() for path in paths if path)


def is_installed(module: ModuleType | None) -> bool:
    """Whether any process can import it: of Python itself, or of an installed package."""
    if module is None or module.__name__ == "__main__":
        return False
    place = getattr(module, "__file__", None)
    if place is None:
        # Built in; a package without a file of its own is one where its folder is.
        folders = [Path(path).resolve() for path in getattr(module, "__path__", ())]
        if not folders:
            return module.__name__ in sys.builtin_module_names or bool(
                getattr(module, "__spec__", None)
            )
        return all(_within(folder) for folder in folders)
    return _within(Path(place).resolve())


def _within(path: Path) -> bool:
    return any(path.is_relative_to(folder) for folder in _installed_folders())


def is_there(home: str, name: str, value: Any) -> bool:
    """Whether ``value`` can be imported from the module ``home`` under ``name``."""
    return unwrapped(getattr(sys.modules.get(home), name, None)) is value


def public_torch(value: Any) -> str | None:
    """The name by which ``import torch`` gives a function or class; None where it does not."""
    name = str(value.__name__)
    for path, module in (("torch", torch), ("torch.nn.functional", torch.nn.functional)):
        if getattr(module, name, None) is value:
            return f"{path}.{name}"
    return None


def unwrapped(value: Any) -> Any:
    """What decorators were put around; a ``triton.jit`` function's own."""
    if type(value).__name__ in ("JITFunction", "InterpretedFunction"):
        value = value.fn
    try:
        return inspect.unwrap(value) if callable(value) else value
    except ValueError:
        return value


def functions_of(value: Any) -> Iterator[FunctionType]:
    """The functions that a definition's own text holds."""
    if isinstance(value, FunctionType):
        yield value
        return
    for member in vars(value).values():
        if isinstance(member, property):
            member = member.fget
        member = unwrapped(getattr(member, "__func__", member))
        if isinstance(member, FunctionType) and member.__qualname__.startswith(value.__qualname__):
            yield member


def closures(functions: list[FunctionType]) -> dict[str, Any]:
    """What the functions see of the functions around them."""
    bound = {}
    for function in functions:
        names = function.__code__.co_freevars
        for name, cell in zip(names, function.__closure__ or (), strict=True):
            if name != "__class__":
                try:
                    bound[name] = cell.cell_contents
                except ValueError:
                    continue
    return bound


def namespace(definition: Any) -> Mapping[str, Any]:
    """Where a function or class finds its global names."""
    if isinstance(definition, FunctionType):
        return definition.__globals__
    home = sys.modules.get(definition.__module__)
    return vars(home) if home is not None else {}


def file_of(code: CodeType, what: str) -> tuple[list[str], str]:
    """The lines of the file or cell that code was compiled from, and its name."""
    lines = linecache.getlines(code.co_filename)
    if not lines or len(lines) < code.co_firstlineno:
        raise ProblemError(_no_source(what))
    return lines, code.co_filename


def text_without_functions(value: Any, what: str) -> str:
    """The text of a class that no function of its own leads to: a dataclass, say, or an enum."""
    own = [member for member in vars(value).values() if isinstance(member, FunctionType)]
    if own and not dataclasses.is_dataclass(value):
        raise ProblemError(_no_source(what))
    try:
        return textwrap.dedent(inspect.getsource(value)).rstrip()
    except (OSError, TypeError):
        pass
    # Of a notebook, where classes do not know their cell: the last one that defines the name.
    for filename in reversed(list(linecache.cache)):
        if "ipykernel" not in filename and "ipython-input" not in filename:
            continue
        lines = linecache.getlines(filename)
        for node in parsed(lines).body:
            if isinstance(node, ast.ClassDef) and node.name == value.__name__:
                return "".join(lines[_first_line(node) - 1 : node.end_lineno]).rstrip()
    raise ProblemError(_no_source(what))


def text_of(value: Any, code: CodeType, what: str) -> str:
    """The text of the definition that a function is, or stands in."""
    lines, filename = file_of(code, what)
    tree = parsed(lines)
    wanted = ast.ClassDef if isinstance(value, type) else ast.FunctionDef
    line = code.co_firstlineno
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, wanted)
        and node.name == value.__name__
        and _first_line(node) <= line <= (node.end_lineno or 0)
    ]
    if not found:
        raise ProblemError(
            f"The source of {what} in {filename} is not what it was made from: import or run it "
            "again."
        )
    node = max(found, key=lambda node: node.lineno)
    return textwrap.dedent("".join(lines[_first_line(node) - 1 : node.end_lineno])).rstrip()


def parsed(lines: list[str]) -> ast.Module:
    """A file's or cell's tree; an empty one where it is no Python any more."""
    try:
        return ast.parse("".join(lines))
    except (SyntaxError, ValueError):
        return ast.Module(body=[], type_ignores=[])


def _first_line(node: ast.ClassDef | ast.FunctionDef) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _no_source(what: str) -> str:
    return (
        f"The source of {what} is not available (it was made by exec(), say, or typed where lines "
        "are not kept): define it in a cell or a file."
    )
