"""The file itself: opened with care, written in whole transactions, read back as values.

One ``Store`` is used by one thread. Everything that SQLite or the disk refuses is raised, as
``sqlite3.Error``, ``OSError`` or :class:`~kernelllm_jupyter.records.schema.NewerSchema`; what to do
about it is decided elsewhere.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from kernelllm_jupyter.errors import RecordsError
from kernelllm_jupyter.records.place import FILE_NAME, on_network
from kernelllm_jupyter.records.plain import from_plain, is_left_out
from kernelllm_jupyter.records.record import KeptCandidate, KeptResult, Record, State, Summary
from kernelllm_jupyter.records.schema import migrate, version_of
from kernelllm_jupyter.values import Candidate, Problem, Timing, Verdict

__all__ = ["Statement", "Store", "is_damage", "is_damaged"]

BUSY_TIMEOUT_S = 5.0
#: Above this the oldest records are deleted, until a fifth is free again: some 10,000 translations.
LARGEST_BYTES = 200_000_000
AFTER_PRUNING = 0.8
#: Records deleted at a time.
BATCH = 50
#: What has been "running" for longer was cut off, on whatever machine that was.
LONGEST_RUN_S = 7 * 24 * 3600.0

Statement = tuple[str, Sequence[Any]]


def is_damage(error: BaseException) -> bool:
    """Whether ``error`` says that the file is no SQLite database, or no longer a sound one."""
    text = str(error)
    return isinstance(error, sqlite3.DatabaseError) and (
        "malformed" in text or "not a database" in text
    )


def is_damaged(folder: Path) -> bool:
    """Whether the file in ``folder`` is damaged now: another process may have begun anew."""
    connection = sqlite3.connect(folder / FILE_NAME, timeout=BUSY_TIMEOUT_S)
    try:
        return bool(connection.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)])
    except sqlite3.DatabaseError as error:
        return is_damage(error)
    finally:
        connection.close()


class Store:
    """``folder`` is made if needed, for its owner only."""

    def __init__(self, folder: Path, *, largest_bytes: int = LARGEST_BYTES):
        self.path = folder / FILE_NAME
        self._largest_bytes = largest_bytes
        if str(folder).startswith("~"):
            raise FileNotFoundError("this user has no home folder")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Made here and not by SQLite, which would let the group and others read it.
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        self._connection = self._opened()

    @classmethod
    def to_read(cls, folder: Path) -> Store | None:
        """The file in ``folder`` as far as it can be opened; None where there is none."""
        if not (folder / FILE_NAME).exists():
            return None
        try:
            return cls(folder)
        except (OSError, sqlite3.OperationalError) as error:
            if "locked" in str(error):
                raise  # Somebody writes: what is read beside that may be half of it.
            # A folder that cannot be written to: then nobody else writes there either.
            store = cls.__new__(cls)
            store.path, store._largest_bytes = folder / FILE_NAME, LARGEST_BYTES
            name = f"{store.path.resolve().as_uri()}?mode=ro&immutable=1"
            store._connection = sqlite3.connect(name, uri=True, isolation_level=None)
            try:
                version_of(store._connection)
            except BaseException:
                store.close()
                raise
            return store

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            # Before anything is written, so that a file of a later version stays untouched.
            version_of(connection)
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            _choose_journal(connection, self.path.parent)
            connection.execute("PRAGMA foreign_keys = ON")
            migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        self._connection.close()

    # --- writing ---------------------------------------------------------------------------------

    def write(self, statements: Iterable[Statement]) -> None:
        """Carry out all statements or none."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for text, values in statements:
                self._connection.execute(text, values)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # SQLite ends it by itself on a full disk.
                self._connection.execute("ROLLBACK")
            raise

    def prune(self) -> None:
        """Delete the oldest records where the file has grown too large."""
        if self._used_bytes() <= self._largest_bytes:
            return
        while self._used_bytes() > self._largest_bytes * AFTER_PRUNING:
            found = self._rows(
                "SELECT id FROM records WHERE state != 'running' OR started_at < ? "
                "ORDER BY started_at LIMIT ?",
                [time.time() - LONGEST_RUN_S, BATCH],
            )
            if not found:
                break
            forget: list[Statement] = [("DELETE FROM records WHERE id = ?", row) for row in found]
            self.write([*forget, (UNUSED_TEXTS, ())])
        self._connection.execute("PRAGMA incremental_vacuum").fetchall()

    def _used_bytes(self) -> int:
        [[pages], [free], [size]] = [
            self._rows(f"PRAGMA {name}")[0]
            for name in ("page_count", "freelist_count", "page_size")
        ]
        return int((pages - free) * size)

    # --- reading ---------------------------------------------------------------------------------

    def summaries(self, limit: int) -> list[Summary]:
        """The latest records, the latest first."""
        rows = self._rows(
            "SELECT id, kind, origin, state, host, pid, started_at, model, class_name, chosen, "
            "(SELECT COUNT(*) FROM candidates WHERE record = id) "
            "FROM records ORDER BY started_at DESC, id LIMIT ?",
            [limit],
        )
        return [self._summary(*row) for row in rows]

    def _summary(
        self,
        key: str,
        kind: Any,
        origin: str,
        state: State,
        host: str,
        pid: int,
        started_at: float,
        model: str,
        class_name: str,
        chosen: int | None,
        candidates: int,
    ) -> Summary:
        results = self._rows(
            "SELECT kind, outcome, device, value FROM results WHERE record = ?1 AND code_hash = "
            "(SELECT code_hash FROM candidates WHERE record = ?1 AND place = ?2) ORDER BY number",
            [key, 0 if chosen is None else chosen],
        )
        latest = {row[0]: row for row in results}
        verdict, timing = latest.get("verdict"), latest.get("timing")
        speedup = json.loads(timing[3]).get("speedup") if timing else None
        return Summary(
            key,
            kind,
            origin,
            _present_state(state, host, pid),
            started_at,
            model,
            class_name,
            candidates,
            verdict[1] if verdict else None,
            verdict[2] if verdict else None,
            speedup,
        )

    def find(self, prefix: str) -> Record:
        """The record whose ID begins so, or the latest one for ``last``.

        Raises :class:`RecordsError` where there is none, or more than one.
        """
        wanted = prefix.strip().lower()
        if wanted == "last":
            found = self._rows("SELECT id FROM records ORDER BY started_at DESC, id LIMIT 1")
        else:
            # Compared and not matched: what was typed may hold a wildcard.
            found = self._rows(
                "SELECT id FROM records WHERE substr(id, 1, ?) = ? LIMIT 2", [len(wanted), wanted]
            )
        if not found or not wanted:
            raise RecordsError(f"There is no record {prefix}; see `kernelllm history`.")
        if len(found) > 1:
            raise RecordsError(f"Several records begin with {prefix}: give more of the ID.")
        return self._record(found[0][0])

    def _record(self, key: str) -> Record:
        [row] = self._rows(
            "SELECT kind, origin, state, host, pid, started_at, ended_at, model, problem, options, "
            "versions, chosen, message, (SELECT text FROM texts WHERE hash = source_hash) "
            "FROM records WHERE id = ?",
            [key],
        )
        kind, origin, state, host, pid, started, ended, model, problem, options = row[:10]
        versions, chosen, message, source = row[10:]
        plain = {**json.loads(problem), "source": source or ""}
        return Record(
            id=key,
            kind=kind,
            origin=origin,
            state=_present_state(state, host, pid),
            started_at_s=started,
            ended_at_s=ended,
            model=model,
            problem=from_plain(Problem, plain),
            options=json.loads(options),
            versions=json.loads(versions),
            candidates=tuple(self._candidates(key)),
            verdicts=tuple(self._results(key, "verdict", Verdict)),
            timings=tuple(self._results(key, "timing", Timing)),
            chosen=chosen,
            message=message,
            left_out=tuple(_left_out(plain)),
            weights_dtype=plain.get("dtype"),
            training=plain.get("training"),
        )

    def _candidates(self, key: str) -> Iterable[KeptCandidate]:
        for place, whole, code_hash, value, code in self._rows(
            "SELECT place, whole, code_hash, value, text FROM candidates "
            "LEFT JOIN texts ON hash = code_hash WHERE record = ? ORDER BY place",
            [key],
        ):
            candidate = from_plain(Candidate, {**json.loads(value), "code": code or ""})
            yield KeptCandidate(place, bool(whole), code_hash, candidate)

    def _results(
        self, key: str, kind: str, value_type: type[Verdict] | type[Timing]
    ) -> Iterable[KeptResult]:
        for at, place, code_hash, device, versions, text, code in self._rows(
            "SELECT at, place, code_hash, device, versions, value, text FROM results "
            "LEFT JOIN texts ON hash = code_hash WHERE record = ? AND kind = ? ORDER BY number",
            [key, kind],
        ):
            plain = json.loads(text)
            value: Verdict | Timing | None
            try:
                value = from_plain(value_type, plain)
            except ValueError:
                value = None
            yield KeptResult(
                at, place, code_hash, code or "", device, json.loads(versions), value, plain
            )

    def _rows(self, text: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._connection.execute(text, values).fetchall()


UNUSED_TEXTS = """DELETE FROM texts WHERE hash NOT IN (
    SELECT source_hash FROM records UNION SELECT code_hash FROM candidates
    UNION SELECT code_hash FROM results)"""


def _choose_journal(connection: sqlite3.Connection, folder: Path) -> None:
    """The write-ahead log, so that readers and a writer do not wait for each other, where it works.

    Elsewhere (network file systems) SQLite's ordinary journal: slower, and as safe.
    """
    wanted = "DELETE" if on_network(folder) else "WAL"
    try:
        connection.execute(f"PRAGMA journal_mode = {wanted}").fetchall()
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return  # In use: whoever opened it first has chosen.
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    # A loss of power may cost the last record, and never the file.
    connection.execute("PRAGMA synchronous = NORMAL")


def _present_state(state: State, host: str, pid: int) -> State:
    """A record that is "running" in a process that is gone was cut off."""
    if state != "running" or host != socket.gethostname():
        return state
    if sys.platform == "win32":
        return state  # There signal 0 is Ctrl-C.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "unfinished"
    except OSError:
        return state
    return state


def _left_out(plain: dict[str, Any]) -> Iterable[str]:
    for name, value in plain.items():
        if is_left_out(value):
            yield f"{name.replace('_', ' ')}: {value['not_kept']}"
