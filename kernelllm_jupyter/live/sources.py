"""The source of a class or function of the session, with all that it needs, as one module.

Names that a text uses and does not define are looked up where its functions would find them: plain
values and imports become lines, other definitions of the session are taken along. Where a text is
found says :mod:`kernelllm_jupyter.live.origins`. Nothing is executed.
"""

from __future__ import annotations
import __future__

import ast
import dataclasses
import enum
import functools
import linecache
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import torch

from kernelllm_jupyter.errors import ProblemError
from kernelllm_jupyter.live.origins import (
    closures,
    file_of,
    functions_of,
    is_installed,
    is_there,
    namespace,
    parsed,
    public_torch,
    text_of,
    text_without_functions,
    unwrapped,
)
from kernelllm_jupyter.prelude import free_names

__all__ = ["Collection"]

FUTURE_ANNOTATIONS = __future__.annotations.compiler_flag
#: A tensor that the text uses by name is written out up to this many elements.
SMALL_TENSOR = 64
#: Kinds of values that are told whole.
WRITABLE = (
    *(bool, int, float, str, tuple, list, type, FunctionType, BuiltinFunctionType),
    *(torch.Tensor, torch.dtype, torch.device, torch.nn.Module, enum.Enum, functools.partial),
)


class Collection:
    """Pieces of source in an order in which they can be executed."""

    def __init__(self, write_module: Callable[[torch.nn.Module, Collection, str], str]) -> None:
        self._write_module = write_module
        self._imports: dict[str, str] = {}
        self._pieces: list[str] = []
        #: What each name of the collected module stands for.
        self._names: dict[str, Any] = {}
        self._future = False

    def text(self) -> str:
        """The module so far."""
        head = ["from __future__ import annotations"] if self._future else []
        imports = sorted(self._imports.values(), key=lambda line: (line.startswith("from"), line))
        return "\n\n\n".join(part for part in ("\n".join([*head, *imports]), *self._pieces) if part)

    def add(self, value: Any) -> str:
        """Take a class, function or module along; the name under which the text knows it."""
        name = str(value.__name__).rpartition(".")[2]
        self._take(name, value, name)
        return name

    def write(self, text: str) -> None:
        """Put a definition at the end."""
        self._pieces.append(text)

    def need(self, name: str, line: str) -> None:
        """Have an import that is always the same."""
        self._imports[name] = line

    def need_torch(self) -> None:
        """Have ``torch`` and ``nn``."""
        self._import("torch", "import torch", torch)
        self._import("nn", "import torch.nn as nn", torch.nn)

    def has(self, name: str) -> bool:
        """Whether the module defines ``name``."""
        return name in self._names

    def expression(self, value: Any, what: str) -> str:
        """Source that makes ``value``; what it needs is taken along. ``what`` is for messages."""
        if value is None or value is Ellipsis or type(value) in (bool, int, str):
            return repr(value)
        if type(value) is float:
            return repr(value) if value - value == 0 else f"float({str(value)!r})"
        if isinstance(value, torch.dtype | torch.device | torch.Size):
            return self._of_torch(value)
        if type(value) in (tuple, list):
            items = ", ".join(self.expression(item, what) for item in value)
            if type(value) is list:
                return f"[{items}]"
            return f"({items},)" if len(value) == 1 else f"({items})"
        if type(value) is dict:
            parts = (
                f"{self.expression(key, what)}: {self.expression(item, what)}"
                for key, item in value.items()
            )
            return "{" + ", ".join(parts) + "}"
        if isinstance(value, torch.Tensor):
            return self._small_tensor(value, what)
        return self._object(value, what)

    # --- values ---------------------------------------------------------------------------------

    def _of_torch(self, value: Any) -> str:
        self._import("torch", "import torch", torch)
        if isinstance(value, torch.Size):
            return f"torch.Size({list(value)!r})"
        return repr(value) if isinstance(value, torch.dtype) else f"torch.{value!r}"

    def _small_tensor(self, value: torch.Tensor, what: str) -> str:
        if type(value) is not torch.Tensor or value.is_meta or value.numel() > SMALL_TENSOR:
            raise ProblemError(
                f"{what} is a tensor of the session, {list(value.shape)}: make it a buffer of the "
                "module (register_buffer), or an argument of forward()."
            )
        self._import("torch", "import torch", torch)
        return f"torch.tensor({value.detach().cpu().tolist()!r}, dtype={value.dtype})"

    def _object(self, value: Any, what: str) -> str:
        if isinstance(value, functools.partial):
            self._import("functools", "import functools", functools)
            inner = [self.expression(part, what) for part in (value.func, *value.args)]
            inner += [f"{key}={self.expression(v, what)}" for key, v in value.keywords.items()]
            return f"functools.partial({', '.join(inner)})"
        if isinstance(value, enum.Enum):
            return f"{self.add(type(value))}.{value.name}"
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = [f for f in dataclasses.fields(value) if f.init]
            given = (f"{f.name}={self.expression(getattr(value, f.name), what)}" for f in fields)
            return f"{self.add(type(value))}({', '.join(given)})"
        if isinstance(value, torch.nn.Module):
            return self._write_module(value, self, what)
        value = unwrapped(value)
        if isinstance(value, FunctionType) and value.__name__ == "<lambda>":
            return self._lambda(value, what)
        if isinstance(value, type | FunctionType | BuiltinFunctionType):
            return self._named(value, what)
        raise ProblemError(
            f"{what} is a {type(value).__name__} of the session, which cannot be written as source."
        )

    def _named(self, value: Any, what: str) -> str:
        """A class or function by its name."""
        home = getattr(value, "__module__", None) or "builtins"
        name = value.__name__
        found = public_torch(value)
        if found is not None:
            self._import("torch", "import torch", torch)
            return found
        return str(name) if home == "builtins" else self.add(value)

    def _lambda(self, function: FunctionType, what: str) -> str:
        lines, _ = file_of(function.__code__, what)
        found = [
            node
            for node in ast.walk(parsed(lines))
            if isinstance(node, ast.Lambda)
            and node.lineno == function.__code__.co_firstlineno
            and [a.arg for a in node.args.args]
            == list(function.__code__.co_varnames[: function.__code__.co_argcount])
        ]
        if len(found) != 1:
            raise ProblemError(
                f"{what} is a lambda that cannot be told from others on its line: use def."
            )
        text = ast.unparse(found[0])
        self._take_free_names(text, [function], what)
        return f"({text})"

    # --- names ----------------------------------------------------------------------------------

    def _import(self, name: str, line: str, value: Any) -> None:
        self._claim(name, value)
        self._imports[name] = line

    def _claim(self, name: str, value: Any) -> bool:
        """Whether ``name`` is new; raises where it stands for something else already."""
        if name not in self._names:
            self._names[name] = value
            return True
        known = self._names[name]
        if known is not value and not _equal(known, value):
            raise ProblemError(
                f"The module's source needs two different things of the name {name}: rename one "
                "of them."
            )
        return False

    def _take(self, name: str, value: Any, what: str) -> None:
        """Have ``name`` stand for ``value``."""
        if not self._claim(name, value):
            return
        if isinstance(value, ModuleType):
            self._take_module(name, value)
            return
        plain = unwrapped(value)
        home = getattr(plain, "__module__", None)
        own = getattr(plain, "__name__", None)
        if isinstance(plain, type | FunctionType) and own and own != "<lambda>":
            if home and is_installed(sys.modules.get(home)) and is_there(home, own, plain):
                alias = "" if own == name else f" as {name}"
                self._imports[name] = f"from {home} import {own}{alias}"
                return
            if own == name or self._claim(own, value):
                self._pieces.append(self._definition(plain, what))
            if own != name:
                self._pieces.append(f"{name} = {own}")
            return
        self._pieces.append(f"{name} = {self.expression(value, what)}")

    def _take_module(self, name: str, module: ModuleType) -> None:
        path = module.__name__
        self._imports[name] = f"import {path}" if path == name else f"import {path} as {name}"

    def _definition(self, value: Any, what: str) -> str:
        """The text of a class or function, after everything that it needs."""
        functions = [
            each for each in functions_of(value) if linecache.getlines(each.__code__.co_filename)
        ]
        if functions:
            text = text_of(value, functions[0].__code__, what)
            self._future |= bool(functions[0].__code__.co_flags & FUTURE_ANNOTATIONS)
        else:
            text = text_without_functions(value, what)
        self._take_free_names(text, functions or [value], what)
        return text

    def _take_free_names(self, text: str, definitions: list[Any], what: str) -> None:
        """What a text uses and does not define, as one of its functions would find it.

        A name that is nowhere to be found belongs to a branch that never ran.
        """
        tree = ast.parse(text)
        bound = closures([each for each in definitions if isinstance(each, FunctionType)])
        names = namespace(definitions[0])
        home = names.get("__name__")
        packaged = isinstance(home, str) and is_installed(sys.modules.get(home))
        for name in sorted(free_names(text)):
            if name.startswith("__") or not (name in bound or name in names):
                continue
            value = bound[name] if name in bound else names[name]
            if packaged and name not in bound:
                self._take_of_package(name, value, str(home))
            elif isinstance(value, ModuleType):
                if is_installed(value):
                    self._take(name, value, name)
                else:
                    self._take_members(name, value, tree)
            elif _is_writable(value) or not self._take_members(name, value, tree):
                self._take(name, value, name)

    def _take_of_package(self, name: str, value: Any, home: str) -> None:
        if isinstance(value, ModuleType):
            self._take(name, value, name)
        else:
            self._import(name, f"from {home} import {name}", value)

    def _take_members(self, name: str, owner: Any, tree: ast.Module) -> bool:
        """Of a module of the user's own files, a dict or a settings object, what is used of it.

        Returns whether that can be told: nothing else of it leaves the session.
        """
        used = _members(tree, name, isinstance(owner, dict))
        if used is None:
            if isinstance(owner, ModuleType):
                raise ProblemError(
                    f"{name} is a module of your own files: use what is in it by name."
                )
            return False
        if not self._claim(name, owner):
            return True
        given = {}
        for member in sorted(used, key=str):
            if isinstance(owner, dict):
                if member in owner:
                    given[member] = self.expression(owner[member], f"{name}[{member!r}]")
            elif hasattr(owner, str(member)):
                given[member] = self._member(f"{name}.{member}", getattr(owner, str(member)))
        if isinstance(owner, dict):
            items = ", ".join(f"{key!r}: {text}" for key, text in given.items())
            self._pieces.append(f"{name} = {{{items}}}")
        else:
            self._imports["types"] = "import types"
            items = ", ".join(f"{key}={text}" for key, text in given.items())
            self._pieces.append(f"{name} = types.SimpleNamespace({items})")
        return True

    def _member(self, what: str, value: Any) -> str:
        if isinstance(value, type | FunctionType) and unwrapped(value).__name__ != "<lambda>":
            return self._named(unwrapped(value), what)
        return self.expression(value, what)


def _equal(left: Any, right: Any) -> bool:
    try:
        return type(left) is type(right) and bool(left == right)
    except Exception:
        return False


def _is_writable(value: Any) -> bool:
    """Whether a value is told whole: a number, a definition, a list of numbers."""
    return value is None or isinstance(value, WRITABLE)


def _members(tree: ast.Module, name: str, by_key: bool) -> set[str | int] | None:
    """The keys or attributes by which a name is used; None where it is used in another way."""
    found: set[str | int] = set()
    inner = set()
    for node in ast.walk(tree):
        if by_key and isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            owner, member = node.value, node.slice.value
        elif not by_key and isinstance(node, ast.Attribute):
            owner, member = node.value, node.attr
        else:
            continue
        if isinstance(owner, ast.Name) and owner.id == name and isinstance(member, str | int):
            found.add(member)
            inner.add(id(owner))
    others = any(
        isinstance(node, ast.Name) and node.id == name and id(node) not in inner
        for node in ast.walk(tree)
    )
    return None if others else found
