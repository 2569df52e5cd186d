"""The server: a process that keeps torch and triton imported and runs checks in its children.

``python -m kernelllm_jupyter.verify.server FD DEVICE``; FD is the socket to the caller's process,
whose end ends the server. One thread, because it forks: an event loop over the control socket,
one socket per check, and the children's reports and output. It never executes a user's code
itself. On a GPU (DEVICE ``cuda``) it imports no torch and spawns its children instead: CUDA does
not survive a fork.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from kernelllm_jupyter.verify.isolation.crowd import (
    PROCESS_LIMIT,
    WRITTEN_LIMIT_MB,
    crowd,
    written_mb,
)
from kernelllm_jupyter.verify.isolation.sandbox import adopt_orphans, isolate
from kernelllm_jupyter.verify.pair import Pair, Start, sweep
from kernelllm_jupyter.verify.protocol import BadMessage, Closed, receive, receive_unopened, send

__all__ = ["main"]

#: Pairs kept ready beyond the checks that run.
STANDBY = 1
#: A check that is older than this is none that is refused at once.
BRIEF_S = 0.05
#: Devices whose children are forked: the interpreter, and the compiler without a GPU.
FORKED = ("cpu", "compile")
#: How often the processes of a running check are counted.
WATCH_S = 0.2
#: How long a spawned child may take to import torch and set a GPU up.
SPAWN_LIMIT_S = 120.0


@dataclass
class Game:
    """One check under way."""

    caller: socket.socket
    pair: Pair
    started: float
    deadline: float
    timeout_s: float
    memory_mb: int
    watched: float
    #: Whether nothing else is to be started beside it.
    timed: bool = False
    phase: str = "reference"
    doing: str = ""
    #: What was found by now, which is handed out where nothing comes after it.
    kept: dict[str, Any] | None = None


class Server:
    """The event loop."""

    def __init__(
        self, control: socket.socket, start: Start, layers: list[str], *, fork_server: bool
    ):
        self.control, self.start, self.layers = control, start, layers
        self.fork_server = fork_server
        self.selector = selectors.DefaultSelector()
        self.games: list[Game] = []
        self.standby: deque[Pair] = deque()
        self.selector.register(control, selectors.EVENT_READ, self._admit)

    def run(self) -> None:
        """Serve until the control socket closes."""
        try:
            while True:
                waiting = self._seconds_to_next_deadline()
                if self._needs_standby():
                    waiting = 0.0
                events = self.selector.select(waiting)
                for key, _ in events:
                    # What came before it may have ended its check, and closed what it speaks of.
                    if self.selector.get_map().get(key.fd) == key:
                        key.data()
                if not events and self._needs_standby():
                    self.standby.append(Pair.make(self.start))
                self._end_overdue()
                self._end_overcrowded()
        except Closed:
            return
        finally:
            for pair in [*self.standby, *(game.pair for game in self.games)]:
                pair.end()
            sweep(set())

    def _needs_standby(self) -> bool:
        """Whether to make a pair now: beside a check only where that one will take a while.

        One that is refused at once is over sooner than a pair is made, which would slow it down.
        A spawned pair takes seconds to import torch, so it starts at any time, but not beside a
        measurement.
        """
        now = time.monotonic()
        brief = any(now - game.started < BRIEF_S for game in self.games)
        timed = any(game.timed for game in self.games)
        return len(self.standby) < STANDBY and not timed and not (self.fork_server and brief)

    def _seconds_to_next_deadline(self) -> float | None:
        if not self.games:
            return None
        nearest = min(game.deadline for game in self.games) - time.monotonic()
        return max(0.0, min(nearest, WATCH_S))

    # --- a check's life -------------------------------------------------------------------------

    def _admit(self) -> None:
        """A new check: its socket comes over the control socket."""
        note, descriptors, _, _ = socket.recv_fds(self.control, 1, 1)
        if not note:
            raise Closed
        for descriptor in descriptors:
            caller = socket.socket(fileno=descriptor)
            # What comes over a socket is inherited as a rule: a keeper would hold it open.
            caller.set_inheritable(False)
            self.selector.register(
                caller, selectors.EVENT_READ, lambda caller=caller: self._begin(caller)
            )

    def _begin(self, caller: socket.socket) -> None:
        self.selector.unregister(caller)
        # Made first: what is forked later would have the request, with the reference, in memory.
        pair = self.standby.popleft() if self.standby else Pair.make(self.start)
        try:
            parcel = receive_unopened(caller)
        except (Closed, BadMessage):
            self.standby.append(pair)
            caller.close()
            return
        now = time.monotonic()
        timeout_s = float(parcel.header["timeout_s"])
        memory_mb = int(parcel.header["memory_mb"])
        # A spawned child may still be importing torch; the clock starts when it reports.
        deadline = now + timeout_s + (0.0 if self.fork_server else SPAWN_LIMIT_S)
        timed = parcel.header["kind"] == "benchmark"
        game = Game(caller, pair, now, deadline, timeout_s, memory_mb, now, timed)
        self.games.append(game)
        self.selector.register(caller, selectors.EVENT_READ, lambda: self._cancel(game))
        self.selector.register(pair.report, selectors.EVENT_READ, lambda: self._hear(game))
        for output in pair.outputs.values():
            self.selector.register(output, selectors.EVENT_READ, lambda: self._drain(game))
        try:
            send(pair.report, parcel.header, parcel)
        except Closed:
            self._referee_gone(game)
        finally:
            parcel.close()

    def _drain(self, game: Game) -> None:
        before = sum(len(text) for text in game.pair.printed.values()) + game.pair.dropped
        game.pair.drain()
        after = sum(len(text) for text in game.pair.printed.values()) + game.pair.dropped
        if before == after:
            for output in game.pair.outputs.values():
                with contextlib.suppress(KeyError):
                    self.selector.unregister(output)

    def _cancel(self, game: Game) -> None:
        """The caller closed its socket (or wrote to it, which only means the same)."""
        self._close(game, None)

    def _hear(self, game: Game) -> None:
        """A report of the referee."""
        try:
            header = receive(game.pair.report).header
        except (Closed, BadMessage):
            self._referee_gone(game)
            return
        if "final" in header:
            self._settle(game, header["final"])
            return
        if "kept" in header:
            game.kept = header["kept"]
            return
        if header.get("started"):
            game.deadline = time.monotonic() + game.timeout_s
        game.phase = header["phase"]
        if header["doing"]:
            game.doing = header["doing"]
            with contextlib.suppress(Closed):
                send(game.caller, {"progress": header})

    def _settle(self, game: Game, final: dict[str, Any]) -> None:
        for reason in final.get("reasons", ()):
            if reason["code"] == "gone":
                status = game.pair.status("candidate", 1.0)
                reason.update(_cause_of_death(status))
                reason["line"] = game.pair.line("candidate")
        self._close(game, final)

    def _referee_gone(self, game: Game) -> None:
        status = game.pair.status("referee", 1.0)
        how = _cause_of_death(status)["message"].replace("The candidate's", "Its")
        printed = game.pair.text("referee").strip()
        text = f"The reference module ended the process that ran it. {how}"
        if printed:
            text += "\n" + printed[-2000:]
        self._close(game, {"problem": {"message": text, "line": game.pair.line("referee")}})

    def _end_overdue(self) -> None:
        now = time.monotonic()
        for game in [game for game in self.games if game.deadline <= now]:
            self._close(game, _overdue(game))

    def _end_overcrowded(self) -> None:
        now = time.monotonic()
        for game in list(self.games):
            if now - game.watched < WATCH_S:
                continue
            game.watched = now
            pair = game.pair
            found = crowd([pair.pids["candidate"], *pair.keepers], self._known())
            if found.count > PROCESS_LIMIT + len(pair.keepers):
                text = f"The candidate started more than {PROCESS_LIMIT} processes and threads."
                self._close(game, _refused("crashed", "too_many_processes", text))
            elif self.fork_server and found.grown_mb > 1.5 * game.memory_mb:
                text = f"The candidate's processes hold {found.grown_mb} MB together."
                self._close(game, _refused("out_of_memory", "memory", text))
            elif written_mb(pair.folder / "candidate") > WRITTEN_LIMIT_MB:
                text = f"The candidate wrote more than {WRITTEN_LIMIT_MB} MB, or very many files."
                self._close(game, _refused("crashed", "too_much_written", text))

    def _close(self, game: Game, final: dict[str, Any] | None) -> None:
        """End the children whatever happened, then tell the caller."""
        self.games.remove(game)
        self.selector.unregister(game.caller)
        self.selector.unregister(game.pair.report)
        for output in game.pair.outputs.values():
            with contextlib.suppress(KeyError):
                self.selector.unregister(output)
        game.pair.end()
        sweep(self._known())
        if final is not None:
            if game.kept is not None and ("reasons" in final or "problem" in final):
                final = {**final, "kept": game.kept}
            answer = {
                "final": final,
                "output": game.pair.text("candidate"),
                "sandbox": self.layers,
                "elapsed_ms": (time.monotonic() - game.started) * 1e3,
            }
            with contextlib.suppress(Closed):
                send(game.caller, answer)
        game.caller.close()

    def _known(self) -> set[int]:
        pairs = [*self.standby, *(game.pair for game in self.games)]
        return {pid for pair in pairs for pid in pair.members()}


def _overdue(game: Game) -> dict[str, Any]:
    seconds = f"{game.timeout_s:g} s"
    if game.phase == "reference":
        doing = f" ({game.doing})" if game.kept is not None else ""
        text = f"The reference module did not finish within {seconds}{doing}."
        return {"problem": {"message": text, "line": game.pair.line("referee", ask=True)}}
    text = (
        f"The candidate did not finish within {seconds} ({game.doing}). It hangs, or the inputs "
        "are too large for where it runs: smaller shapes or a longer --timeout help then."
    )
    reason = {"code": "timeout", "message": text, "line": game.pair.line("candidate", ask=True)}
    return {"verdict": "timeout", "reasons": [reason]}


def _refused(kind: str, code: str, text: str) -> dict[str, Any]:
    return {"verdict": kind, "reasons": [{"code": code, "message": text}]}


def _cause_of_death(status: int | None) -> dict[str, Any]:
    if status is None:
        return {"message": "The candidate's process closed its connection to the check."}
    number = os.waitstatus_to_exitcode(status)
    if number >= 0:
        return {
            "code": "exit",
            "message": f"The candidate's process ended itself with exit status {number}.",
        }
    name = signal.Signals(-number).name
    meaning = {
        "SIGSEGV": " (an access to memory that is not there)",
        "SIGBUS": " (an access to memory that is not there)",
        "SIGKILL": " (killed from outside, usually because memory ran out)",
        "SIGABRT": " (a library gave up)",
        "SIGXFSZ": " (it wrote too large a file)",
    }.get(name, "")
    return {"code": name.lower(), "message": f"The candidate's process died of {name}{meaning}."}


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    device = sys.argv[2]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if device in FORKED:
        spaces, layers = isolate()
        from kernelllm_jupyter.verify.forking import prepared

        start, versions = prepared(device, spaces, layers)
    else:
        from kernelllm_jupyter.verify import spawning

        layers = adopt_orphans()
        try:
            start, versions = spawning.prepared(device, layers)
        except spawning.Unusable as error:
            send(control, {"unusable": str(error)})
            return
    server = Server(control, start, layers, fork_server=device in FORKED)
    send(control, {"versions": versions})
    server.run()


if __name__ == "__main__":
    main()
