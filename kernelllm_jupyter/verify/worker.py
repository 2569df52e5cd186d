"""The caller's side: starts the server, asks it for checks, and makes sure that all of it ends.

Imports no torch. Checks may run at once from several threads. A check whose caller goes away, by
an interrupt or by ``cancel``, is killed with everything it started before this module returns.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kernelllm_jupyter
from kernelllm_jupyter.carried import Carried
from kernelllm_jupyter.errors import CheckCancelled, DeviceUnusable, WorkerError
from kernelllm_jupyter.verify import huge_pages
from kernelllm_jupyter.verify.isolation.sandbox import scrubbed_environment
from kernelllm_jupyter.verify.precedence import Precedence
from kernelllm_jupyter.verify.protocol import BadMessage, Closed, receive, send
from kernelllm_jupyter.verify.server import FORKED
from kernelllm_jupyter.verify.steps import Step

__all__ = ["Worker", "shutdown", "worker"]

#: How long a server may take to import torch and triton on a slow disk.
START_LIMIT_S = 120.0
#: How much longer than its timeout a check may take before the server counts as broken.
GRACE_S = 15.0


class Worker:
    """A server process, started on first use and again whenever it has ended."""

    def __init__(self, device: str):
        self.device = device
        self.lock = threading.Lock()
        self.precedence = Precedence()
        self.server: subprocess.Popen[bytes] | None = None
        self.control: socket.socket | None = None
        self.home: Path | None = None
        self.versions: dict[str, str] = {}
        self.unusable: str | None = None
        #: Rates that this device reached in a copy and in products, once they were measured.
        self.limits: dict[str, float] = {}
        self.owner = os.getpid()
        #: Set while a server that is starting is to be given up.
        self.ending = threading.Event()

    def ask(
        self,
        request: dict[str, Any],
        blobs: Carried | tuple[()],
        progress: Callable[[str], None] | None,
        cancel: threading.Event | None,
    ) -> dict[str, Any]:
        """Run one check; the server's answer. Raises ``WorkerError`` and ``CheckCancelled``.

        On a GPU a measurement waits for the checks that run there, and they for it.
        """
        told = False

        def waiting() -> None:
            nonlocal told
            if cancel is not None and cancel.is_set():
                raise CheckCancelled("The check was cancelled.")
            if progress is not None and not told:
                progress("Waiting for what else runs on the GPU")
                told = True

        alone = request["kind"] == "benchmark" and self.device not in FORKED
        with self.precedence.use(alone=alone, waiting=waiting):
            return self._asked(request, blobs, progress, cancel)

    def _asked(
        self,
        request: dict[str, Any],
        blobs: Carried | tuple[()],
        progress: Callable[[str], None] | None,
        cancel: threading.Event | None,
    ) -> dict[str, Any]:
        ours = self._open(cancel)
        try:
            send(ours, request, blobs)
            # Spawned children import torch first; the check's own time begins after that.
            starting_s = 0.0 if self.device in FORKED else START_LIMIT_S
            limit = time.monotonic() + float(request["timeout_s"]) + GRACE_S + starting_s
            while True:
                answer = self._answer(ours, cancel, limit)
                if "progress" not in answer:
                    _raise_fault(answer["final"])
                    return answer
                if progress is not None:
                    progress(Step.told(answer["progress"]))
        except Closed:
            raise WorkerError(
                "The process that runs checks ended unexpectedly. Run the check again: it is "
                "started anew."
            ) from None
        except BaseException:
            _hang_up(ours)
            raise
        finally:
            ours.close()

    def _answer(
        self, ours: socket.socket, cancel: threading.Event | None, limit: float
    ) -> dict[str, Any]:
        while not select.select([ours], [], [], 0.05 if cancel is not None else 0.5)[0]:
            if cancel is not None and cancel.is_set():
                raise CheckCancelled("The check was cancelled.")
            if time.monotonic() > limit:
                self.stop()
                raise WorkerError(
                    "The process that runs checks does not answer and was ended. Run the check "
                    "again: it is started anew."
                )
        try:
            return receive(ours).header
        except BadMessage as error:
            raise WorkerError(f"The process that runs checks answered nonsense: {error}.") from None

    def _open(self, cancel: threading.Event | None) -> socket.socket:
        """A socket of our own to the server; starts the server where there is none."""
        for attempt in (1, 2):
            with self.lock:
                control = self._running(cancel)
                ours, theirs = socket.socketpair()
                try:
                    socket.send_fds(control, [b"+"], [theirs.fileno()])
                    return ours
                except OSError:
                    ours.close()
                    self._discard()
                    if attempt == 2:
                        raise WorkerError(
                            "The process that runs checks cannot be reached."
                        ) from None
                finally:
                    theirs.close()
        raise AssertionError("unreachable")

    def start(
        self,
        cancel: threading.Event | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> dict[str, str]:
        """Have the server running; the versions it found. The first start takes seconds."""
        if progress is not None and not self.versions:
            progress(Step("starting the processes that run the code"))
        with self.lock:
            self._running(cancel)
            return self.versions

    def _running(self, cancel: threading.Event | None) -> socket.socket:
        if self.owner != os.getpid():
            # The caller forked: the server belongs to its parent.
            self.server = self.control = self.home = None
            self.owner = os.getpid()
        if self.control is not None and self.server is not None and self.server.poll() is None:
            return self.control
        self._discard()
        if self.unusable is not None:
            raise DeviceUnusable(f"The {self.device} device cannot be used: {self.unusable}")
        return self._launch(cancel)

    def _launch(self, cancel: threading.Event | None) -> socket.socket:
        if sys.platform != "linux":
            raise WorkerError(
                "Checks need Linux, where Triton runs. The translation itself works here: check "
                "the code on a Linux machine with `kernelllm check`."
            )
        if cancel is not None and cancel.is_set():
            raise CheckCancelled("The check was cancelled.")
        root = Path(kernelllm_jupyter.__file__).parent.parent
        self.home = Path(tempfile.mkdtemp(prefix="kernelllm-worker-"))
        ours, theirs = socket.socketpair()
        log = open(self.home / "server.log", "wb")  # noqa: SIM115 - closed below
        command = [sys.executable, "-m", "kernelllm_jupyter.verify.server"]
        environment = scrubbed_environment(root, self.home)
        if self.device in FORKED:
            environment |= huge_pages.MALLOC
        try:
            self.server = subprocess.Popen(
                [*command, str(theirs.fileno()), self.device],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.home,
                env=environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except OSError as error:
            raise WorkerError(f"The process that runs checks cannot be started: {error}.") from None
        finally:
            log.close()
            theirs.close()
        self.control = ours
        try:
            self.versions = self._await_ready(ours, cancel)
        except BaseException:
            # It may still be importing torch and would not notice for seconds.
            self.server.kill()
            self._discard()
            raise
        return ours

    def _await_ready(
        self, control: socket.socket, cancel: threading.Event | None
    ) -> dict[str, str]:
        limit = time.monotonic() + START_LIMIT_S
        while not select.select([control], [], [], 0.05)[0]:
            if cancel is not None and cancel.is_set():
                raise CheckCancelled("The check was cancelled.")
            if self.ending.is_set():
                raise WorkerError("The process that runs checks was ended while it started.")
            if time.monotonic() > limit:
                raise WorkerError(
                    f"The process that runs checks did not start within {START_LIMIT_S:g} s."
                )
        try:
            header = receive(control).header
            if "unusable" in header:
                self.unusable = header["unusable"]
                raise DeviceUnusable(f"The {self.device} device cannot be used: {self.unusable}")
            versions = header["versions"]
            return {str(name): str(value) for name, value in versions.items()}
        except (Closed, BadMessage):
            raise WorkerError(
                "The process that runs checks could not start:\n" + self._log_tail()
            ) from None

    def _log_tail(self) -> str:
        assert self.home is not None
        with contextlib.suppress(OSError):
            text = (self.home / "server.log").read_text(errors="replace").strip()
            return text[-2000:]
        return ""

    def stop(self) -> None:
        """End the server and everything it runs, or the start of one."""
        self.ending.set()
        with self.lock:
            self.ending.clear()
            if self.owner == os.getpid():
                self._discard()

    def _discard(self) -> None:
        if self.control is not None:
            self.control.close()
        if self.server is not None:
            try:
                self.server.wait(5.0)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()
        if self.home is not None:
            shutil.rmtree(self.home, ignore_errors=True)
        self.server = self.control = self.home = None


def _raise_fault(final: dict[str, Any]) -> None:
    if "fault" in final:
        raise WorkerError(
            "The checker itself failed, which says nothing about the candidate. Please report "
            f"this:\n{final['fault']}"
        )


def _hang_up(ours: socket.socket) -> None:
    """Close the check's socket and wait until the server has killed what belonged to it."""
    with contextlib.suppress(OSError):
        ours.shutdown(socket.SHUT_WR)
        limit = time.monotonic() + 3.0
        while time.monotonic() < limit:
            if select.select([ours], [], [], 0.1)[0] and not ours.recv(1 << 16):
                return


class _Workers:
    """The process's standing workers, one for each kind of device."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.standing: dict[str, Worker] = {}

    def get(self, device: str) -> Worker:
        with self.lock:
            if device not in self.standing:
                if not self.standing:
                    atexit.register(self.stop)
                self.standing[device] = Worker(device)
            return self.standing[device]

    def stop(self) -> None:
        with self.lock:
            for standing in self.standing.values():
                standing.stop()
            self.standing.clear()


_workers = _Workers()


def worker(device: str) -> Worker:
    """The standing worker for ``cpu`` or ``cuda``; its server starts on first use.

    ``spawned-cpu`` is the GPU's way of starting children, with the interpreter in them.
    """
    return _workers.get(device)


def shutdown() -> None:
    """End the standing workers. They also end by themselves when this process does."""
    _workers.stop()
