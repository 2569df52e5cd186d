"""Records as a translation writes them: in the background, and without ever being in its way.

Everything is written by one thread, so that a slow disk or another notebook's lock costs the
translation nothing. What cannot be written stays with its :class:`Recording` and goes with the
next that is; the reason is said once for each session, through :meth:`Records.take_trouble`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import queue
import secrets
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kernelllm_jupyter.errors import RecordsError
from kernelllm_jupyter.records.place import FILE_NAME, data_folder, is_switched_off
from kernelllm_jupyter.records.plain import dumped, scrubbed, to_plain
from kernelllm_jupyter.records.record import Kind, Record, State, Summary
from kernelllm_jupyter.records.schema import NewerSchema
from kernelllm_jupyter.records.store import Statement, Store, is_damage, is_damaged
from kernelllm_jupyter.values import Candidate, FinishReason, Problem, Timing, Verdict

__all__ = ["Recording", "Records", "text_hash"]

#: Letters and digits that are not taken for one another; 32 of them, eight in an ID.
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
ID_LENGTH = 8
#: How long the end of a translation waits at most for its record to be on disk.
FLUSH_S = 10.0
#: Seconds between two writes of a candidate that is still being written.
PARTIAL_INTERVAL_S = 2.0
PACKAGES = ("kernelllm-jupyter", "torch", "triton", "transformers")


def text_hash(text: str) -> str:
    """By which a source or a candidate is known in the records."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Records:
    """The records of this user, as one session (a notebook's kernel, a command) uses them."""

    def __init__(self, folder: Path | None = None, *, on: bool = True):
        self._folder = folder
        self._on = on
        self._writer: _Writer | None = None

    @property
    def folder(self) -> Path:
        return self._folder or data_folder()

    def switch(self, on: bool) -> None:
        """Whether what comes from now on is kept."""
        self._on = on

    @property
    def is_on(self) -> bool:
        return self._on and not is_switched_off()

    def begin(
        self,
        kind: Kind,
        problem: Problem,
        model: str,
        *,
        origin: str,
        options: Mapping[str, Any] | None = None,
    ) -> Recording | None:
        """A new record, written at once; None where none is kept."""
        if not self.is_on:
            return None
        writer = self._writer
        if writer is None or writer.folder != self.folder or writer.pid != os.getpid():
            if writer is not None and writer.pid != os.getpid():
                # Of the process that this one was forked from: closing its connection to SQLite
                # here would take it for the last one.
                _INHERITED.append(writer)
            writer = self._writer = _Writer(self.folder)
        return Recording(writer, _opening(kind, problem, model, origin, options or {}))

    def take_trouble(self) -> str | None:
        """Why records are not kept, in words, the first time that it is asked for."""
        return self._writer.take_trouble() if self._writer else None

    # --- reading ---------------------------------------------------------------------------------

    def summaries(self, limit: int) -> list[Summary]:
        """The latest records, the latest first; raises :class:`RecordsError`."""
        store = self._to_read()
        if store is None:
            return []
        try:
            return store.summaries(limit)
        except sqlite3.Error as error:
            raise self._unreadable(error) from None
        finally:
            store.close()

    def find(self, prefix: str) -> Record:
        """The record whose ID begins so; raises :class:`RecordsError` where there is not one."""
        store = self._to_read()
        if store is None:
            raise RecordsError(
                f"There is no record {prefix}: nothing is kept in {self.folder} yet."
            )
        try:
            return store.find(prefix)
        except sqlite3.Error as error:
            raise self._unreadable(error) from None
        finally:
            store.close()

    def _to_read(self) -> Store | None:
        try:
            return Store.to_read(self.folder)
        except (sqlite3.Error, OSError, NewerSchema) as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: Exception) -> RecordsError:
        return RecordsError(_words(error, self.folder, "cannot be read"))


def _opening(
    kind: Kind, problem: Problem, model: str, origin: str, options: Mapping[str, Any]
) -> dict[str, Any]:
    """The columns of a new record."""
    plain = to_plain(problem)
    source = plain.pop("source")
    if problem.live is not None:
        # Memory of the session, which may be a whole model's.
        plain["live"] = {"not_kept": "values of the session, which are not kept"}
        plain["dtype"] = problem.live.dtype
        plain["training"] = problem.live.training
    return {
        "id": "".join(secrets.choice(ALPHABET) for _ in range(ID_LENGTH)),
        "kind": kind,
        "origin": origin,
        "state": "running",
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started_at": time.time(),
        "model": scrubbed(model),
        "class_name": problem.class_name,
        "source_hash": text_hash(problem.source),
        "problem": dumped(plain),
        "options": dumped(options),
        "versions": dumped(_versions()),
        "source": source,
    }


def _versions() -> dict[str, str]:
    """Of what takes part in a translation, without importing any of it."""
    found = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


class Recording:
    """One record while it comes into being. Nothing here raises, whatever the disk does."""

    def __init__(self, writer: _Writer, opening: dict[str, Any]):
        self.id: str = opening["id"]
        #: Whether all of it was on disk when that was last asked for.
        self.kept = False
        self._writer = writer
        self._pending = _Pending()
        self._partial_at: dict[int, float] = {}
        source = opening.pop("source")
        self._add(_text(opening["source_hash"], source), _insert("records", opening))

    def writing(self, place: int, pieces: Sequence[str], model: str) -> None:
        """What candidate ``place`` has so far; kept every few seconds only."""
        now = time.monotonic()
        if now - self._partial_at.setdefault(place, now) >= PARTIAL_INTERVAL_S:
            self._partial_at[place] = now
            self.unfinished(place, "".join(pieces), model, "cancelled")

    def unfinished(self, place: int, code: str, model: str, finish: FinishReason) -> None:
        """What candidate ``place`` had when it ended, or will have had if it ends now."""
        self._candidate(place, Candidate(code, "", model, finish), whole=False)

    def candidate(self, place: int, candidate: Candidate) -> None:
        self._candidate(place, candidate, whole=True)

    def _candidate(self, place: int, candidate: Candidate, *, whole: bool) -> None:
        plain = to_plain(candidate)
        code, key = plain.pop("code"), text_hash(candidate.code)
        if plain["text"] == code:
            plain["text"] = ""  # Once is enough.
        row = {
            "record": self.id,
            "place": place,
            "whole": int(whole),
            "code_hash": key,
            "value": dumped(plain),
        }
        self._add(_text(key, code), _insert("candidates", row))

    def verdict(self, code: str, verdict: Verdict, place: int | None = None) -> None:
        """A verdict on ``code``, which may be a candidate's or what a person made of it."""
        self._result("verdict", code, verdict, verdict.verdict, place)

    def timing(self, code: str, timing: Timing, place: int | None = None) -> None:
        self._result("timing", code, timing, timing.conclusion, place)

    def _result(
        self, kind: str, code: str, value: Verdict | Timing, outcome: str, place: int | None
    ) -> None:
        key = text_hash(code)
        row = {
            "record": self.id,
            "kind": kind,
            "at": time.time(),
            "place": place,
            "code_hash": key,
            "outcome": outcome,
            "device": value.device,
            "versions": dumped(value.versions),
            "value": dumped(value),
        }
        self._add(_text(key, scrubbed(code)), _insert("results", row))

    def end(self, state: State, *, chosen: int | None = None, message: str = "") -> bool:
        """Close the record; returns whether it is on disk, after a bounded wait."""
        statement = (
            "UPDATE records SET state = ?, ended_at = ?, chosen = ?, message = ? WHERE id = ?",
            (state, time.time(), chosen, scrubbed(message), self.id),
        )
        self._add(statement)
        return self.is_kept()

    def is_kept(self) -> bool:
        """Whether all of it is on disk, after a bounded wait."""
        self.kept = self._writer.flush(self._pending)
        return self.kept

    def _add(self, *statements: Statement) -> None:
        self._writer.put(self._pending, statements)


class _Pending:
    """A recording's statements that are not on disk yet; only the writer's thread takes them."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []


def _text(key: str, text: str) -> Statement:
    return "INSERT OR IGNORE INTO texts (hash, text) VALUES (?, ?)", (key, text)


def _insert(table: str, row: Mapping[str, Any]) -> Statement:
    names, marks = ", ".join(row), ", ".join("?" for _ in row)
    return f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})", tuple(row.values())


# --- the thread that writes ----------------------------------------------------------------------


class _Writer:
    """Opens the store, writes what comes, and keeps the reason where it cannot."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.pid = os.getpid()
        self._work: queue.SimpleQueue[tuple[_Pending, tuple[Statement, ...], threading.Event]] = (
            queue.SimpleQueue()
        )
        self._store: Store | None = None
        self._trouble: str | None = None
        self._is_told = False
        #: Set while the disk does not answer: then nobody waits for it again.
        self._hangs = False
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def put(self, pending: _Pending, statements: tuple[Statement, ...]) -> threading.Event:
        done = threading.Event()
        self._work.put((pending, statements, done))
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, name="kernelllm-records", daemon=True
                )
                self._thread.start()
        return done

    def flush(self, pending: _Pending) -> bool:
        if not self.put(pending, ()).wait(0.0 if self._hangs else FLUSH_S):
            self._hangs = True
            self._note(f"Records are not kept: writing to {self.folder} takes too long.")
            return False
        return not pending.statements

    def take_trouble(self) -> str | None:
        if self._trouble is None or self._is_told:
            return None
        self._is_told = True
        return self._trouble

    def _note(self, words: str) -> None:
        if self._trouble is None:
            self._trouble = words

    def _run(self) -> None:
        while True:
            pending, statements, done = self._work.get()
            pending.statements += statements
            try:
                self._write(pending)
                self._hangs = False
            except sqlite3.IntegrityError:
                # The record was deleted meanwhile, with the oldest ones.
                pending.statements.clear()
            except (sqlite3.Error, OSError, NewerSchema) as error:
                self._give_up(error)
            finally:
                done.set()

    def _write(self, pending: _Pending) -> None:
        if not pending.statements:
            return
        try:
            self._write_once(pending)
        except sqlite3.DatabaseError as error:
            if not is_damage(error) or not is_damaged(self.folder):
                raise
            self._close()
            aside = _put_aside(self.folder)
            self._note(
                f"The file of records was damaged. It is kept as {aside}; a new one is begun."
            )
            self._write_once(pending)

    def _write_once(self, pending: _Pending) -> None:
        if self._store is None:
            self._store = Store(self.folder)
        self._store.write(pending.statements)
        pending.statements.clear()
        self._store.prune()

    def _give_up(self, error: Exception) -> None:
        """For now: the next statement tries again, with a connection of its own."""
        self._note(_words(error, self.folder, "are not kept"))
        self._close()

    def _close(self) -> None:
        if self._store is not None:
            with contextlib.suppress(sqlite3.Error):
                self._store.close()
            self._store = None


#: Kept for as long as this process lives.
_INHERITED: list[_Writer] = []


def _put_aside(folder: Path) -> Path:
    """Rename a damaged file, with its log, so that nothing of it is lost."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for ending in ("-wal", "-shm", ""):
        part = folder / f"{FILE_NAME}{ending}"
        aside = folder / f"{FILE_NAME}.damaged-{stamp}{ending}"
        if part.exists():
            part.rename(aside)
    return aside


def _words(error: Exception, folder: Path, outcome: str) -> str:
    """What keeps records from being written or read, with the remedy."""
    if isinstance(error, NewerSchema):
        return (
            f"Records {outcome}: those in {folder} are of a later version of kernelllm-jupyter, "
            "and stay as they are. Upgrade it, or name another folder in KERNELLLM_DATA."
        )
    text = str(error)
    is_full = "is full" in text or (isinstance(error, OSError) and error.errno == errno.ENOSPC)
    if is_full:
        return f"Records {outcome}: the disk that holds {folder} is full."
    if is_damage(error):
        return f"Records {outcome}: the file in {folder} is damaged ({text})."
    return (
        f"Records {outcome} in {folder} ({text}). Name a folder that can be written to in "
        "KERNELLLM_DATA, or switch records off (c.KernelLLM.records = False)."
    )
