"""What every command does alike: exit statuses, reading files, words and JSON on the terminal."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from kernelllm_jupyter.errors import KernelLLMError, UsageError
from kernelllm_jupyter.verify.suite import read_source

__all__ = ["FAILED", "INTERRUPTED", "OK", "USAGE", "fail", "print_json", "read", "say"]

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def read(name: str) -> str:
    """The text of a file; ``-`` is standard input."""
    return sys.stdin.read() if name == "-" else read_source(Path(name))


def say(text: str) -> None:
    """Something along the way, on standard error."""
    print(text, file=sys.stderr, flush=True)


def print_json(value: dict[str, Any]) -> None:
    """The one object that goes to standard output."""
    print(json.dumps(value))


def fail(error: KernelLLMError, *, as_json: bool) -> int:
    """Report an error that ended a command; its exit status."""
    if as_json:
        print_json({"error": error.to_json()})
    say(f"kernelllm: {error}")
    return USAGE if isinstance(error, UsageError) else FAILED
