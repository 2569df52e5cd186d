"""Two processes for one check, the referee's and the candidate's, and their certain end.

Made ahead of need (forked from the server on a CPU, spawned where a GPU is), because making them
costs more than a small check. Each is the leader of a session of its own.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kernelllm_jupyter.verify.traces import TRACE

__all__ = ["OUTPUT_LIMIT", "Pair", "Seat", "Started", "sweep"]

#: What a child prints is kept up to this many bytes; the rest is read and dropped.
OUTPUT_LIMIT = 64 << 10


@dataclass
class Seat:
    """What one child needs to be started: its role, folder and ends of the sockets."""

    role: str
    folder: Path
    output: int
    wire: socket.socket
    report: socket.socket | None = None


@dataclass(frozen=True)
class Started:
    """A child's pid, and that of the first process of its process list where it has its own."""

    pid: int
    keeper: int | None = None


#: Starts the process of a seat.
Start = Callable[[Seat], Started]


@dataclass
class Pair:
    """A running referee and candidate, idle until the referee gets a request."""

    folder: Path
    pids: dict[str, int]
    report: socket.socket
    outputs: dict[str, int]
    keepers: list[int] = field(default_factory=list)
    printed: dict[str, bytearray] = field(default_factory=dict)
    dropped: int = 0
    statuses: dict[str, int] = field(default_factory=dict)

    @classmethod
    def make(cls, start: Start) -> Pair:
        folder = Path(tempfile.mkdtemp(prefix="kernelllm-check-"))
        ours, theirs = socket.socketpair()
        left, right = socket.socketpair()
        pids: dict[str, int] = {}
        outputs: dict[str, int] = {}
        keepers: list[int] = []
        for role, wire, report in (("referee", left, theirs), ("candidate", right, None)):
            reading, writing = os.pipe()
            os.set_blocking(reading, False)
            outputs[role] = reading
            place = folder / role
            place.mkdir()
            try:
                started = start(Seat(role, place, writing, wire, report))
            finally:
                os.close(writing)
            pids[role] = started.pid
            if started.keeper is not None:
                keepers.append(started.keeper)
        for end in (theirs, left, right):
            end.close()
        printed = {role: bytearray() for role in pids}
        return cls(folder, pids, ours, outputs, keepers, printed)

    def members(self) -> set[int]:
        """Every process that was started for this pair."""
        return {*self.pids.values(), *self.keepers}

    def drain(self) -> None:
        """Read all that the children printed by now."""
        for role, output in self.outputs.items():
            while True:
                try:
                    part = os.read(output, 1 << 16)
                except (BlockingIOError, OSError):
                    break
                if not part:
                    break
                room = OUTPUT_LIMIT - len(self.printed[role])
                self.printed[role] += part[:room]
                self.dropped += max(0, len(part) - room)

    def text(self, role: str) -> str:
        """What a child printed, bounded."""
        text = self.printed[role].decode("utf-8", "replace")
        return f"{text}\n… {self.dropped} more bytes" if self.dropped else text

    def status(self, role: str, patience_s: float) -> int | None:
        """The wait status of a child that ended by itself; None where it still runs."""
        deadline = time.monotonic() + patience_s
        while role not in self.statuses:
            pid, status = os.waitpid(self.pids[role], os.WNOHANG)
            if pid:
                self.statuses[role] = status
            elif time.monotonic() > deadline:
                return None
            else:
                time.sleep(0.001)
        return self.statuses[role]

    def line(self, role: str, *, ask: bool = False) -> int | None:
        """The line of a child's source that it crashed in, or with ``ask`` the one it is at."""
        trace = self.folder / role / TRACE
        if ask:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pids[role], signal.SIGUSR1)
            deadline = time.monotonic() + 0.2
            while time.monotonic() < deadline and not _size(trace):
                time.sleep(0.002)
        try:
            with open(trace, "rb") as file:
                text = file.read(1 << 16).decode("utf-8", "replace")
        except OSError:
            return None
        # The reference is executed from more than one file there, with the same lines.
        place = re.escape(str(self.folder / role))
        found = re.search(rf'File "{place}/[^/"]+\.py", line (\d+)', text)
        return int(found[1]) if found else None

    def end(self) -> None:
        """Kill both children with their process groups, reap them and remove their folder."""
        for keeper in self.keepers:
            _kill(keeper)
        alive = {role: pid for role, pid in self.pids.items() if role not in self.statuses}
        for pid in alive.values():
            _kill(pid)
        for role, pid in alive.items():
            _, self.statuses[role] = os.waitpid(pid, 0)
        for pid in self.pids.values():
            _kill_group(pid)
        # A keeper ends after all of its processes, of which the pair's own had to be reaped.
        for keeper in self.keepers:
            os.waitpid(keeper, 0)
        self.drain()
        for output in self.outputs.values():
            os.close(output)
        self.report.close()
        _remove(self.folder)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _kill(leader: int) -> None:
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(leader, signal.SIGKILL)


def _kill_group(pid: int) -> None:
    """The rest of a process group whose leader is dead."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _remove(folder: Path) -> None:
    def unlock(function: Callable[..., object], path: str, _: object) -> None:
        try:
            os.chmod(os.path.dirname(path), 0o700)
            os.chmod(path, 0o700)
            function(path)
        except OSError:
            return

    shutil.rmtree(folder, onerror=unlock)


def sweep(known: set[int], patience_s: float = 2.0) -> None:
    """Kill the orphans that this process adopted: all its children but the ``known`` ones.

    A process that forked twice and left its session escapes a killed process group; when its
    parent dies it becomes a child of the server, which is a subreaper. Repeated until none is
    left, since each one killed may leave children of its own.
    """
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        orphans = [pid for pid in _children() if pid not in known]
        if not orphans:
            return
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in orphans:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue
        for pid in orphans:
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                continue


def _children() -> list[int]:
    """The pids of this process's children."""
    own = os.getpid()
    try:
        text = Path(f"/proc/self/task/{own}/children").read_text()
        return [int(pid) for pid in text.split()]
    except OSError:
        pass
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if parent == own:
            found.append(int(entry.parent.name))
    return found
