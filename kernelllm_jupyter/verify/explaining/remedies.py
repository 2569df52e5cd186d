"""Hints for exceptions about names: what is nearest, where it moved, which import is missing.

Looks at the installed torch and triton and at nothing else; knows no path and no line. The objects
that exceptions carry may be hostile, so callers have to expect any exception from here.
"""

from __future__ import annotations

import difflib
import importlib
import re
import sys
from collections.abc import Iterable
from types import ModuleType, TracebackType
from typing import Any

import torch

__all__ = ["remedy"]

#: What code for Triton usually imports, by the name that it then uses.
IMPORTS = {
    "torch": "import torch",
    "nn": "import torch.nn as nn",
    "F": "import torch.nn.functional as F",
    "triton": "import triton",
    "tl": "import triton.language as tl",
    "libdevice": "from triton.language.extra import libdevice",
    "math": "import math",
    "np": "import numpy as np",
}
#: Where a function of that name may be instead: module, and how it is written.
HOMES = {
    "triton": (
        ("triton.language.extra.libdevice", "libdevice"),
        ("triton.language", "tl"),
        ("triton.language.math", "tl.math"),
        ("triton", "triton"),
    ),
    "torch": (
        ("torch", "torch"),
        ("torch.nn.functional", "torch.nn.functional"),
        ("torch.nn", "torch.nn"),
        ("torch.special", "torch.special"),
    ),
}
#: How alike two names must be for the one to be offered for the other.
LIKENESS = 0.7
CANNOT_IMPORT = re.compile(r"cannot import name '(\w+)' from '([\w.]+)'")


def remedy(error: BaseException) -> str:
    """A sentence or two on what to write instead; empty where nothing is known."""
    if isinstance(error, ImportError):
        return _about_import(error)
    if isinstance(error, AttributeError):
        return _about_attribute(error)
    if isinstance(error, NameError) and not isinstance(error, UnboundLocalError):
        return _about_name(error)
    return ""


def _about_import(error: ImportError) -> str:
    found = CANNOT_IMPORT.match(str(error))
    if found is not None:
        name, home = found[1], found[2]
        near = _elsewhere(name, home) or _near(name, dir(sys.modules[home]))
        return f"There is no {name} in {_version(home)}.{near}"
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        package = error.name.partition(".")[0]
        if package in sys.modules:
            return f"There is no such module in {_version(error.name)}."
        return f"{package} is not installed here."
    return ""


def _about_attribute(error: AttributeError) -> str:
    owner, name = error.obj, error.name
    if not isinstance(name, str):
        return ""
    if type(owner) is ModuleType:
        home = owner.__name__
        return (_elsewhere(name, home) or _near(name, dir(owner)) or _near_by(name, home)).strip()
    if isinstance(owner, torch.nn.Module):
        near = _near(name, dir(owner))
        has = [key for key, _ in owner.named_parameters()]
        if near or not has:
            return near.strip()
        return f"Its parameters are {', '.join(has[:6])}{', …' if len(has) > 6 else ''}."
    if type(owner).__module__.partition(".")[0] in HOMES:
        return _near(name, dir(type(owner))).strip()
    return ""


def _about_name(error: NameError) -> str:
    name = error.name
    if not isinstance(name, str):
        return ""
    if name in IMPORTS:
        return f"Add {IMPORTS[name]!r}."
    return _near(name, _visible(error.__traceback__)).strip()


def _visible(traceback: TracebackType | None) -> list[str]:
    """The names that the innermost frame could have used."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return []
    frame = traceback.tb_frame
    return [*frame.f_code.co_varnames, *frame.f_globals]


def _elsewhere(name: str, home: str) -> str:
    """Where in the same library a name is that ``home`` does not have."""
    for module, spelling in HOMES.get(home.partition(".")[0], ()):
        try:
            there = hasattr(importlib.import_module(module), name)
        except ImportError:
            continue
        if there and module != home:
            line = IMPORTS.get(spelling)
            how = f" ({line})" if spelling == "libdevice" else ""
            return f" It is {spelling}.{name}{how}."
    return ""


def _near_by(name: str, home: str) -> str:
    """The nearest name in the other places of the same library."""
    for module, spelling in HOMES.get(home.partition(".")[0], ()):
        near = _near(name, dir(sys.modules.get(module)), f"{spelling}.")
        if near:
            return near
    return ""


def _near(name: str, names: Iterable[Any], prefix: str = "") -> str:
    public = [other for other in names if isinstance(other, str) and not other.startswith("_")]
    # Sorted, because equally near names would come in the order of a dictionary.
    found = difflib.get_close_matches(name, sorted(set(public)), n=1, cutoff=LIKENESS)
    return f" Did you mean {prefix}{found[0]}?" if found else ""


def _version(module: str) -> str:
    package = module.partition(".")[0]
    number = getattr(sys.modules.get(package), "__version__", "")
    return f"{package} {number}".strip()
