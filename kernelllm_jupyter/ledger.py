"""What an evaluation has done so far, on disk: an interrupted one goes on from here.

One JSON object a line: first the settings, then one for each problem. A line that was cut off, by
a crash or a full disk, is dropped; the problem is evaluated anew. Knows no model and no verdict.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kernelllm_jupyter.errors import UsageError

if sys.platform != "win32":
    import fcntl

__all__ = ["Ledger"]


class Ledger:
    """The file at ``path``, open for one evaluation with these ``settings``, to the end of it.

    Raises ``UsageError`` where the file belongs to another evaluation, is in use by one, or is none
    at all: nobody's file is overwritten. With ``fresh`` what it holds of this one is given up.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], *, fresh: bool = False):
        self.path = path
        self._settings = json.loads(json.dumps(settings))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Closed by __exit__, and not before: the lock goes with it.
            self._file = open(path, "a+b")  # noqa: SIM115
        except OSError as error:
            raise UsageError(f"Cannot write {path}: {error.strerror}.") from None
        try:
            self._lock()
            self._entries = self._read(fresh)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # What could not be written was told when that was tried.
            self._file.close()

    def entry(self, problem: str) -> dict[str, Any] | None:
        """What was kept of a problem, the last time; None where nothing was."""
        return self._entries.get(problem)

    def add(self, problem: str, entry: Mapping[str, Any]) -> None:
        """Keep a problem's entry, on the disk when this returns; raises ``UsageError`` if not."""
        line = json.dumps({"problem": problem, **entry})
        self._append(line)
        self._entries[problem] = json.loads(line)

    def _lock(self) -> None:
        """Have the file for this evaluation alone, where the system has locks that end with it."""
        if sys.platform == "win32":
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"Another evaluation is writing {self.path}; wait for it, or name another --out."
            ) from None

    def _read(self, fresh: bool) -> dict[str, dict[str, Any]]:
        self._file.seek(0)
        lines = self._file.read().splitlines(keepends=True)
        first = _parsed(lines[0]) if lines else None
        if lines and (first is None or "evaluation" not in first):
            raise UsageError(f"{self.path} is not the file of an evaluation; name another --out.")
        if first is None or fresh:
            self._file.truncate(0)
            self._append(json.dumps({"evaluation": self._settings}))
            return {}
        _refuse_other(self.path, first["evaluation"], self._settings)
        entries: dict[str, dict[str, Any]] = {}
        whole = len(lines[0])
        for line in lines[1:]:
            entry = _parsed(line)
            if entry is None or not isinstance(entry.get("problem"), str):
                break
            whole += len(line)
            entries[entry["problem"]] = entry
        self._file.truncate(whole)
        return entries

    def _append(self, line: str) -> None:
        try:
            self._file.write(line.encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise UsageError(f"Cannot write {self.path}: {error.strerror}.") from None


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The object of a whole line."""
    if not line.endswith(b"\n"):
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _refuse_other(path: Path, kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    names = sorted(kept.keys() | wanted.keys())
    other = [name for name in names if kept.get(name) != wanted.get(name)]
    if other:
        raise UsageError(
            f"{path} holds an evaluation with other settings ({', '.join(other)}): name another "
            "--out, or give that one up with --fresh."
        )
