"""A module that does not take the arguments it is given: what they are, in words.

Runs in the candidate's process. Python's own message names the parameters and not what was passed,
which the author of the code, who never sees the reference's call, has to know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from kernelllm_jupyter.verify.explaining.failures import failure_line, failure_text

__all__ = ["WrongArguments", "taking"]

#: Longest list of arguments that is written out, in characters.
LIMIT = 300


class WrongArguments(Exception):
    """A call that Python refused before any line of the callee ran; ``line`` is its ``def``."""

    def __init__(self, message: str, line: int | None):
        super().__init__(message)
        self.line = line


@contextmanager
def taking(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    path: Path,
) -> Iterator[None]:
    """Around a call of ``function``: raises :class:`WrongArguments` where it cannot take them.

    ``path`` is the file whose lines count as the function's.
    """
    try:
        yield
    except TypeError as error:
        if failure_line(error, path) is not None:
            raise
        given = ", ".join(
            [*map(_named, args), *(f"{name}={_named(value)}" for name, value in kwargs.items())]
        )
        if len(given) > LIMIT:
            given = given[:LIMIT] + " …"
        text = failure_text(error, path).rstrip(".")
        message = f"{text}. It is given {given or 'no arguments'}, as the reference is."
        raise WrongArguments(message, _defined_at(function, path)) from error


def _named(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"a {dtype} tensor of shape {list(value.shape)}"
    if isinstance(value, list | tuple):
        inner = ", ".join(map(_named, value[:8])) + (", …" if len(value) > 8 else "")
        return f"[{inner}]" if isinstance(value, list) else f"({inner})"
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    return f"a {type(value).__name__}"


def _defined_at(function: Callable[..., Any], path: Path) -> int | None:
    code = getattr(function, "__code__", None)
    if code is not None and code.co_filename == str(path):
        return int(code.co_firstlineno)
    return None
