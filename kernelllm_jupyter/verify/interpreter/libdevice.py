"""libdevice functions in Triton's interpreter, which has none.

Triton's own declarations stay: they choose the function by the types of its arguments and refuse
what a GPU refuses (``libdevice.tanh`` of float16). What they ask the builder for is computed here.
The same functions stand in for names that older Triton code uses (``tl.math.tanh``,
``tl.libdevice.tanh``) and that Triton no longer has.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy
import triton.language as tl
import triton.runtime.interpreter as tri

from kernelllm_jupyter.verify.interpreter.assembly import NotInterpreted
from kernelllm_jupyter.verify.interpreter.formats import wide_handle
from kernelllm_jupyter.verify.interpreter.libdevice_functions import compute, known

__all__ = ["install"]

CUDA = "triton.language.extra.cuda.libdevice"
OTHERS = ("triton.language.extra.hip.libdevice", "triton.language.extra.libdevice")
Function = Callable[..., Any]


def install() -> list[str]:
    """Make them callable; returns the old names that were added to ``tl``."""
    modules = [module for module in map(_imported, (CUDA, *OTHERS)) if module is not None]
    symbols: dict[str, str] = {}
    functions: dict[str, Function] = {}
    for module in modules:
        for symbol, name in _symbols(module).items():
            symbols.setdefault(symbol, name)
            if name not in functions and known(name):
                functions[name] = _with_semantic(getattr(module, name), name)
    for module in modules:
        for name, function in functions.items():
            setattr(module, name, function)

    def create_extern_elementwise(
        self: Any, library: str, path: str, symbol: str, values: Any, result: Any, *_: Any
    ) -> Any:
        name = symbols.get(symbol)
        if name is None or not known(name):
            raise NotInterpreted(
                f"the function {symbol!r} of a device library cannot be computed without a GPU"
            )
        arrays = list(numpy.broadcast_arrays(*(wide_handle(v).data for v in values)))
        kind = tri._get_np_dtype(result.scalar)
        return tri.TensorHandle(compute(name, arrays, kind), result.scalar)

    tri.InterpreterBuilder.create_extern_elementwise = create_extern_elementwise
    return _old_names(functions)


def _imported(path: str) -> ModuleType | None:
    try:
        return importlib.import_module(path)
    except ImportError:
        return None


def _symbols(module: ModuleType) -> dict[str, str]:
    """Which symbol belongs to which of a module's functions: the strings in their tables."""
    found = {}
    for definition in ast.parse(inspect.getsource(module)).body:
        if isinstance(definition, ast.FunctionDef):
            for node in ast.walk(definition):
                if isinstance(node, ast.Constant) and str(node.value).startswith("__"):
                    found[str(node.value)] = definition.name
    return found


def _with_semantic(original: Function, name: str) -> Function:
    """The function as the interpreter has to call it."""
    is_new = "_semantic" in inspect.signature(original).parameters

    def call(*arguments: Any, _semantic: Any = None, _builder: Any = None, **named: Any) -> Any:
        how = (
            {"_semantic": tri.interpreter_semantic}
            if is_new
            else {"_builder": tri.interpreter_builder}
        )
        try:
            return original(*arguments, **named, **how)
        except KeyError as error:
            raise TypeError(
                f"libdevice.{name} takes no arguments of the types {error.args[0]}: convert them "
                "with .to(tl.float32)"
            ) from None

    return call


def _old_names(functions: dict[str, Function]) -> list[str]:
    renamed: dict[str, Function] = {
        "fmax": lambda a, b, **_: tl.maximum(a, b),
        "fmin": lambda a, b, **_: tl.minimum(a, b),
        "max": lambda a, b, **_: tl.maximum(a, b),
        "min": lambda a, b, **_: tl.minimum(a, b),
        "sigmoid": lambda x, **_: tl.sigmoid(x),
    }
    functions = {**renamed, **functions}
    added = []
    for name, function in functions.items():
        if not hasattr(tl.math, name):
            setattr(tl.math, name, function)
            added.append(f"tl.math.{name}")
    if not hasattr(tl, "libdevice"):
        tl.libdevice = SimpleNamespace(**functions)
        added.append("tl.libdevice")
    return added
