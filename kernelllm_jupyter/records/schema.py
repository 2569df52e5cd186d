"""The tables, and how an older file becomes a newer one.

``PRAGMA user_version`` counts the steps that a file has behind it. A step is never changed once it
was released: what comes later is a further step.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

__all__ = ["STEPS", "NewerSchema", "migrate", "version_of"]

#: Each a list of statements; a file of version n has the first n behind it.
STEPS: Sequence[Sequence[str]] = (
    (
        # `state`: running, done, stopped, failed. A running one whose process is gone was cut off.
        """CREATE TABLE records (
            id TEXT PRIMARY KEY,
            kind TEXT NOT NULL,
            origin TEXT NOT NULL,
            state TEXT NOT NULL,
            host TEXT NOT NULL,
            pid INTEGER NOT NULL,
            started_at REAL NOT NULL,
            ended_at REAL,
            model TEXT NOT NULL,
            class_name TEXT NOT NULL,
            source_hash TEXT NOT NULL,
            problem TEXT NOT NULL,
            options TEXT NOT NULL,
            versions TEXT NOT NULL,
            chosen INTEGER,
            message TEXT NOT NULL DEFAULT ''
        )""",
        "CREATE INDEX records_by_time ON records (started_at)",
        # Texts by the hash of what they are: the same source or code is kept once.
        "CREATE TABLE texts (hash TEXT PRIMARY KEY, text TEXT NOT NULL)",
        """CREATE TABLE candidates (
            record TEXT NOT NULL REFERENCES records (id) ON DELETE CASCADE,
            place INTEGER NOT NULL,
            whole INTEGER NOT NULL,
            code_hash TEXT NOT NULL,
            value TEXT NOT NULL,
            PRIMARY KEY (record, place)
        )""",
        # Verdicts and timings, of candidates (`place`) and of what a person made of them (NULL).
        """CREATE TABLE results (
            number INTEGER PRIMARY KEY,
            record TEXT NOT NULL REFERENCES records (id) ON DELETE CASCADE,
            kind TEXT NOT NULL,
            at REAL NOT NULL,
            place INTEGER,
            code_hash TEXT NOT NULL,
            outcome TEXT NOT NULL,
            device TEXT,
            versions TEXT NOT NULL,
            value TEXT NOT NULL
        )""",
        "CREATE INDEX results_by_record ON results (record)",
        "CREATE INDEX results_by_code ON results (code_hash)",
        "CREATE INDEX candidates_by_code ON candidates (code_hash)",
        "CREATE INDEX records_by_source ON records (source_hash)",
    ),
)


class NewerSchema(Exception):
    """The file was written by a later version of this package; it is left as it is."""


def migrate(connection: sqlite3.Connection, steps: Sequence[Sequence[str]] = STEPS) -> None:
    """Bring the file up to date, whole or not at all; two processes may try at once.

    ``connection`` is in autocommit mode. Raises :class:`NewerSchema`, and changes nothing then.
    """
    if version_of(connection, steps) == len(steps):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Again, now that nobody else can: another process may just have done it.
        for step in steps[version_of(connection, steps) :]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def version_of(connection: sqlite3.Connection, steps: Sequence[Sequence[str]] = STEPS) -> int:
    """How many steps the file has behind it; raises :class:`NewerSchema` where that is too many."""
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if version > len(steps):
        raise NewerSchema(f"version {version}, and this package knows {len(steps)}")
    return int(version)
