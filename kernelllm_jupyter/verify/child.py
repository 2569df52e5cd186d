"""The only place that executes reference or candidate source, and reads their exceptions.

Runs in worker processes only. Source is written to a file of the worker's own folder, because
``triton.jit`` reads functions back from their file; lines of that file are the user's lines.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

__all__ = [
    "compilation_failure",
    "constructor_arguments",
    "execute",
    "failure_line",
    "failure_text",
    "root_cause",
]


def execute(source: str, path: Path) -> types.ModuleType:
    """Run ``source`` as the module ``path.stem`` and return it."""
    path.write_text(source, encoding="utf-8")
    module = types.ModuleType(path.stem)
    module.__file__ = str(path)
    sys.modules[path.stem] = module
    # Without dont_inherit this module's own __future__ import would hold in the source too.
    exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    return module


def constructor_arguments(given: object) -> tuple[list[object], dict[str, object]]:
    """Both conventions of ``get_init_inputs``: a list of arguments, or ``[args, kwargs]``."""
    if (
        isinstance(given, list | tuple)
        and len(given) == 2
        and isinstance(given[0], list | tuple)
        and isinstance(given[1], dict)
    ):
        return list(given[0]), {str(key): value for key, value in given[1].items()}
    if isinstance(given, dict):
        return [], {str(key): value for key, value in given.items()}
    return list(given) if isinstance(given, list | tuple) else [given], {}


def compilation_failure(error: BaseException, path: Path) -> tuple[str, int | None] | None:
    """Message and line where Triton's compiler refused a function; None for other exceptions.

    The compiler counts lines from the function's ``def``; nested functions come as a chain, of
    which the innermost link says what is wrong.
    """
    text = path.read_text(encoding="utf-8")
    found = None
    for link in _causes(error):
        source, node = getattr(link, "src", None), getattr(link, "node", None)
        if source is None or node is None or not hasattr(node, "lineno"):
            continue
        message = getattr(link, "error_message", None) or ""
        inner = link.__cause__
        if not message and inner is not None and not hasattr(inner, "node"):
            message = f"{type(inner).__name__}: {inner}"
        start = text.find(str(source).split("\n", 1)[0])
        line = text.count("\n", 0, start) + node.lineno if start >= 0 else None
        if found is None or message:
            last = found[1] if found is not None else None
            found = (message or str(link).strip().split("\n")[-1], line or last)
    return found


def root_cause(error: BaseException) -> BaseException:
    """The exception under the interpreter's and the compiler's own wrapping."""
    while error.__cause__ is not None and type(error).__module__.startswith("triton"):
        error = error.__cause__
    return error


def failure_text(error: BaseException) -> str:
    """``Type: message`` of the root cause, at most a few lines."""
    cause = root_cause(error)
    text = str(cause).strip()
    if len(text) > 2000:
        text = text[:2000] + " …"
    return f"{type(cause).__name__}: {text}" if text else type(cause).__name__


def failure_line(error: BaseException, path: Path) -> int | None:
    """The innermost line of ``path`` that the exception passed through."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno
    chain = list(_causes(error))
    for link in reversed(chain):
        line = _innermost(link.__traceback__, str(path))
        if line is not None:
            return line
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__


def _innermost(traceback: TracebackType | None, filename: str) -> int | None:
    line = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == filename:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line
