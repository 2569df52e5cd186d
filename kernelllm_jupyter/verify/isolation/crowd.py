"""How many processes and threads a check has started, what memory they hold, what they wrote.

From ``/proc`` and the folder itself, because limits of one process (``setrlimit``) do not bound a
process that starts others, memory in anonymous files, or many small files.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

if sys.platform != "win32":
    import resource

__all__ = ["PROCESS_LIMIT", "WRITTEN_LIMIT_MB", "Crowd", "crowd", "written_mb"]

#: More processes and threads than this are no computation any more.
PROCESS_LIMIT = 64
#: What a candidate's folder may hold, and in how many files.
WRITTEN_LIMIT_MB = 2048
FILES_LIMIT = 5_000
#: Only this many descriptors of a process are looked at for anonymous files.
DESCRIPTORS_SEEN = 1024


@dataclass(frozen=True)
class Crowd:
    """Processes and threads; ``grown_mb`` is memory beyond what each had when it was forked."""

    count: int
    grown_mb: int


@dataclass(frozen=True)
class Member:
    """One process, as ``/proc`` shows it."""

    parent: int
    threads: int
    pages: int


def crowd(roots: Iterable[int], known: Iterable[int]) -> Crowd:
    """The processes ``roots`` and all that descend from them.

    One whose parent died may be a child of this process by now: it is counted where it is none of
    the ``known`` ones.
    """
    members = _members()
    inherited = int(Path("/proc/self/statm").read_text().split()[1])
    besides = {*roots, *known}
    adopted = [
        pid for pid, one in members.items() if one.parent == os.getpid() and pid not in besides
    ]
    found = _descendants([*roots, *adopted], members)
    threads = sum(members[pid].threads for pid in found)
    pages = sum(max(0, members[pid].pages - inherited) for pid in found)
    held = pages * resource.getpagesize() + sum(_anonymous_bytes(pid) for pid in found)
    return Crowd(threads, held >> 20)


def _members() -> dict[int, Member]:
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        found[int(name)] = Member(int(fields[1]), int(fields[17]), int(fields[21]))
    return found


def _descendants(roots: list[int], members: dict[int, Member]) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, one in members.items():
        children.setdefault(one.parent, []).append(pid)
    found: set[int] = set()
    ahead = [pid for pid in roots if pid in members]
    while ahead:
        pid = ahead.pop()
        if pid not in found:
            found.add(pid)
            ahead += children.get(pid, [])
    return found


def _anonymous_bytes(pid: int) -> int:
    """Memory in files without a name, which no process needs to have mapped."""
    total = 0
    try:
        names = os.listdir(f"/proc/{pid}/fd")[:DESCRIPTORS_SEEN]
    except OSError:
        return 0
    for name in names:
        try:
            if os.readlink(f"/proc/{pid}/fd/{name}").startswith("/memfd:"):
                total += os.stat(f"/proc/{pid}/fd/{name}").st_blocks * 512
        except OSError:
            continue
    return total


def written_mb(folder: Path) -> int:
    """What the files below ``folder`` take on the disk, more than the limit where too many."""
    total = files = 0
    ahead = [os.fspath(folder)]
    while ahead:
        try:
            with os.scandir(ahead.pop()) as entries:
                for entry in entries:
                    files += 1
                    if files > FILES_LIMIT:
                        return WRITTEN_LIMIT_MB + 1
                    if entry.is_dir(follow_symlinks=False):
                        ahead.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue
    return total >> 20
