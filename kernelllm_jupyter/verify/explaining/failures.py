"""An exception in words that a person can act on: what, on which line, and a hint where one fits.

Runs in worker processes, on exceptions of the user's and of generated code. Nothing of them is
trusted: an exception's text may be endless or raise itself. No text leaves with a path of the
worker's folders or a name of ours in it; lines are those of the source that was executed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from kernelllm_jupyter.verify.explaining.remedies import remedy

__all__ = [
    "cleaned",
    "compilation_failure",
    "failure_line",
    "failure_text",
    "root_cause",
    "text_of",
]

#: Longest text that is shown of an exception, in characters.
TEXT_LIMIT = 2000
#: How many exceptions of a chain are looked at.
CHAIN_LIMIT = 50

WORKER_FOLDER = re.compile(r"[^\s'\"(<]*/kernelllm-(?:worker|check)-\w+(?:/[\w-]+)*/(?=[\w.])")
WORKER_PLACE = re.compile(r"[^\s'\"(<]*/kernelllm-(?:worker|check)-[\w/-]+")
PACKAGES = re.compile(r"[^\s'\"(<]*/(?:site|dist)-packages/")
OUR_FILE = re.compile(r"[^\s'\"(<]*\bkernelllm_jupyter/[\w/]+\.py")
OUR_NAME = re.compile(r"\bkernelllm_jupyter(?:\.\w+)*\.(?=\w)")
#: What Python adds to "cannot import name": the file, which says less than the module's name.
IMPORTED_FROM = re.compile(r"(?<=') \((?:/[^()]*|unknown location)\)$")
CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


def root_cause(error: BaseException) -> BaseException:
    """The exception under the interpreter's and the compiler's own wrapping."""
    for link in _causes(error):
        if link.__cause__ is None or not type(link).__module__.startswith("triton"):
            return link
    return error


def failure_text(error: BaseException, path: Path) -> str:
    """``Type: message`` of the root cause, at most a few lines, with a hint where one is known.

    ``path`` is the file whose execution failed; it is called "the cell".
    """
    cause = root_cause(error)
    text = _described(cause, path)
    behind = cause.__cause__
    if behind is not None and behind is not cause:
        text += f" (caused by {_described(behind, path)})"
    try:
        hint = remedy(cause)
    except Exception:
        # Looking at the objects of a hostile exception runs code of theirs.
        hint = ""
    return f"{text.rstrip('.')}. {hint}" if hint else text


def _described(error: BaseException, path: Path) -> str:
    """``Type: message`` of one exception, whatever it does when it is asked."""
    name = _read(lambda: type.__getattribute__(type(error), "__name__"), "Exception")[:80]
    text = cleaned(text_of(error)[: 4 * TEXT_LIMIT], path).strip()
    if len(text) > TEXT_LIMIT:
        text = text[:TEXT_LIMIT] + " …"
    return f"{name}: {text}" if text else name


def text_of(error: BaseException) -> str:
    """``str(error)``, where it can be had."""
    return _read(lambda: str(error), "(its text cannot be read)")


def _read(ask: Callable[[], str], otherwise: str) -> str:
    try:
        found = ask()
    except BaseException:
        return otherwise
    return found if type(found) is str else otherwise


def cleaned(text: str, path: Path) -> str:
    """``text`` without paths of the worker's folders, our own names and control characters."""
    file, name = re.escape(str(path)), re.escape(path.name)
    text = re.sub(rf'File "{file}", line (\d+)', r"line \1 of the cell", text)
    text = re.sub(rf"{file}(?::(\d+)|, line (\d+))", _line_of_cell, text)
    text = re.sub(rf"(?<![\w/]){name}, line (\d+)", r"line \1 of the cell", text)
    text = re.sub(rf"{file}(?!\w|\.\w)", "the cell", text)
    text = IMPORTED_FROM.sub("", text)
    text = WORKER_FOLDER.sub("", text)
    text = WORKER_PLACE.sub("the working folder", text)
    text = OUR_FILE.sub("the checker", text)
    text = PACKAGES.sub("", text)
    text = OUR_NAME.sub("", text)
    # Lone surrogates cannot be printed.
    return CONTROL.sub("", text).encode("utf-8", "replace").decode("utf-8")


def _line_of_cell(found: re.Match[str]) -> str:
    return f"line {found[1] or found[2]} of the cell"


def failure_line(error: BaseException, path: Path) -> int | None:
    """The line of ``path`` where the root cause arose, or the nearest one known around it."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno
    chain = list(_causes(error))
    middle = chain.index(root_cause(error))
    for link in [*reversed(chain[: middle + 1]), *chain[middle + 1 :]]:
        line = _innermost(link.__traceback__, str(path))
        if line is not None:
            return line
    return None


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
            message = failure_text(inner, path)
        line = _line_in(text, str(source), node.lineno)
        if found is None or message:
            last = found[1] if found is not None else None
            found = (message or str(link).strip().split("\n")[-1], line or last)
    return found and (cleaned(_unquoted(found[0]), path), found[1])


def _unquoted(text: str) -> str:
    """``NameError('w is not defined')`` as the compiler has it, the way Python would say it."""
    found = re.fullmatch(r"(\w+)\((['\"])(.*)\2,?\)", text, re.DOTALL)
    return f"{found[1]}: {found[3]}" if found is not None else text


def _line_in(text: str, source: str, line: int) -> int | None:
    """The line of ``text`` that is the ``line``-th of a function's ``source``."""
    # A function inside another one was dedented: only its first line is found as it is.
    for part in (source, source.split("\n", 1)[0]):
        start = text.find(part)
        if start >= 0:
            return text.count("\n", 0, start) + line
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    seen: list[BaseException] = []
    while link is not None and len(seen) < CHAIN_LIMIT and not any(link is one for one in seen):
        seen.append(link)
        yield link
        link = link.__cause__


def _innermost(traceback: TracebackType | None, filename: str) -> int | None:
    line = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == filename:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line
