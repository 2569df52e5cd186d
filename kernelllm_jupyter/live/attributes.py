"""Plain attributes of a live module that its code reads: numbers, switches, short words.

They are compared with those of the module that is built anew from its class. An attribute that
``forward`` itself writes, a counter say, may differ and is left out. Nothing is run here: which
names are read and written is in the methods' compiled code.
"""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

import torch

__all__ = ["settings_of"]

LONGEST_WORD = 32
LONGEST_LIST = 16


def settings_of(module: torch.nn.Module) -> dict[str, dict[str, Any]]:
    """By the path of each submodule, its attributes that a constructor is to make alike."""
    found: dict[str, dict[str, Any]] = {}
    uses: dict[type, tuple[set[str], set[str]]] = {}
    for path, part in module.named_modules():
        kind = type(part)
        if kind not in uses:
            uses[kind] = _used(kind)
        read, written = uses[kind]
        plain = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in vars(part).items()
            if name in read - written and name != "training" and _is_plain(value)
        }
        if plain:
            found[path] = plain
    return found


def _is_plain(value: Any) -> bool:
    if type(value) is str:
        return value.isidentifier() and len(value) <= LONGEST_WORD
    if type(value) in (tuple, list):
        return len(value) <= LONGEST_LIST and all(type(n) in (bool, int, float) for n in value)
    return value is None or type(value) in (bool, int, float)


def _used(kind: type) -> tuple[set[str], set[str]]:
    """The attributes that a class's methods read, and those that others than ``__init__`` set."""
    read: set[str] = set()
    written: set[str] = set()
    for base in kind.__mro__:
        if base in (torch.nn.Module, object):
            continue
        for function in _functions(base):
            for code in _codes(function.__code__):
                for step in dis.get_instructions(code):
                    if "STORE_ATTR" in step.opname and function.__name__ != "__init__":
                        written.add(str(step.argval))
                    elif "ATTR" in step.opname or "METHOD" in step.opname:
                        read.add(str(step.argval))
    return read, written


def _functions(kind: type) -> Iterator[FunctionType]:
    for member in vars(kind).values():
        if isinstance(member, property):
            member = member.fget
        member = getattr(member, "__func__", member)
        member = getattr(member, "__wrapped__", member)
        if isinstance(member, FunctionType):
            yield member


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
