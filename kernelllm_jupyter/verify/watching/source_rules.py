"""What a candidate's source may not name: the ways past a check that no kernel needs.

Looked for before anything runs, by ``ast``. Code that spells such a name otherwise meets
``vigilance`` when it runs. Imports no torch.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

__all__ = ["forbidden_name", "unusual_imports"]

PACKAGE = __name__.partition(".")[0]
#: Into other code's variables, around tracing, past PyTorch's dispatcher.
NAMES = """
__closure__ __globals__ __subclasses__ cell_contents f_back f_builtins f_globals f_locals
tb_frame gi_frame cr_frame ag_frame _getframe _current_frames settrace setprofile addaudithook
get_objects get_referrers get_referents
_disable_current_modes _pop_mode _pop_mode_temporarily _pop_torch_dispatch_stack
_push_on_torch_dispatch_stack _pop_torch_function_stack _ExcludeDispatchKeyGuard
_DisableTorchDispatch _DisablePythonDispatcher DisableTorchFunction
"""
FORBIDDEN = frozenset(NAMES.split())

#: What Triton kernels and their host code import, TorchInductor's header among it.
USUAL = """
torch triton numpy math cmath operator functools itertools collections typing typing_extensions
types dataclasses enum abc contextlib copy numbers random string re warnings logging time inspect
os sys pathlib tempfile ctypes struct json textwrap unittest __future__
"""
USUAL_IMPORTS = frozenset(USUAL.split())


def unusual_imports(tree: ast.AST) -> list[tuple[str, int]]:
    """Packages that are imported and that no Triton kernel needs, with their lines."""
    found: dict[str, int] = {}
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "."]
        for name in names:
            package = name.partition(".")[0]
            if package not in USUAL_IMPORTS:
                found.setdefault(package or "a module beside it", getattr(node, "lineno", 1))
    return list(found.items())


def forbidden_name(tree: ast.AST) -> tuple[str, int] | None:
    """The first such name with its line; None where there is none."""
    documentation = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if id(node) in documentation:
            continue
        for name in _names(node):
            if name in FORBIDDEN or name.partition(".")[0] == PACKAGE:
                return name, getattr(node, "lineno", 1)
    return None


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.alias):
        yield node.name
    elif isinstance(node, ast.ImportFrom):
        yield node.module or ""
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        # getattr(module, "name")
        yield node.value
