"""The generated cell, seen from the Jupyter kernel: where streamed code ends up.

With our JupyterLab extension (``labextension/``) the code streams into a cell of the notebook,
over a comm; ``labextension/src/protocol.ts`` is the other side of that contract, change both
together. Elsewhere (VS Code, Colab, nbclient, a terminal) it streams as output and arrives as
the next input. :func:`open_cell` picks what the front end can do.

Nothing here knows what the text is or who makes it. Jupyter's packages are imported where they
are needed, so that this module can be imported without them.
"""

from __future__ import annotations

import html
import queue
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Protocol

__all__ = [
    "CellStream",
    "FallbackCell",
    "FrontEnd",
    "GeneratedCell",
    "ReadReply",
    "Status",
    "front_end",
    "open_cell",
    "read_generated",
]

Status = Literal["complete", "stopped", "failed"]

TARGET = "kernelllm"
VERSION = 1

#: The server drops output beyond 1,000 messages a second; eyes need no more than this.
FLUSH_INTERVAL_S = 0.04

#: A display update redraws its whole output, so it is sent less often than a comm message.
DISPLAY_INTERVAL_S = 0.25

#: How long the last message may take to be handed to the Jupyter kernel's socket.
CLOSE_TIMEOUT_S = 5.0


class GeneratedCell(Protocol):
    """Where generated code goes. Use as a context manager; call ``finish`` exactly once in it.

    ``write`` appends text, ``finish`` settles the whole text, ``replace`` puts another text in
    its place afterwards (left alone where a person has changed the cell meanwhile).
    """

    def write(self, text: str) -> None: ...

    def finish(self, text: str, status: Status) -> None: ...

    def replace(self, text: str) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> GeneratedCell: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@dataclass(frozen=True)
class FrontEnd:
    """The notebook that runs the present cell, where it has our extension.

    ``session`` names the browser tab: all tabs on one Jupyter kernel see all messages, and only
    the one that asked is to act on them.
    """

    cell_id: str
    session: str


def front_end() -> FrontEnd | None:
    """The front end that the running code was sent from; ``None`` without our extension.

    The extension says so in the metadata of each execute request. Asking it instead would not
    work: the answer would wait until the running cell has ended.
    """
    parent = _parent()
    metadata = parent.get("metadata") or {}
    marker = metadata.get(TARGET)
    cell_id = metadata.get("cellId")
    session = (parent.get("header") or {}).get("session")
    if not isinstance(marker, dict) or marker.get("v") != VERSION or not cell_id or not session:
        return None
    return FrontEnd(cell_id=cell_id, session=session)


def open_cell() -> GeneratedCell:
    """The generated cell of the code that runs now, by the best way that the front end has."""
    found = front_end()
    return CellStream(found) if found else FallbackCell()


class CellStream:
    """Streams text into the cell below the running one, through our extension.

    Messages are sent by one thread of its own, in order and at most every ``FLUSH_INTERVAL_S``,
    so writing costs the caller next to nothing and an interrupt, which hits the main thread
    only, cannot cut a message in half.
    """

    def __init__(self, target: FrontEnd) -> None:
        from comm import create_comm

        self._comm = create_comm(
            target_name=TARGET,
            data={
                "v": VERSION,
                "op": "stream",
                "stream": uuid.uuid4().hex,
                "source_cell": target.cell_id,
                "session": target.session,
            },
        )
        self._seq = 0
        self._queue: queue.SimpleQueue[str | dict[str, Any] | None] = queue.SimpleQueue()
        self._sender = threading.Thread(target=self._send_all, name="kernelllm-cell", daemon=True)
        self._sender.start()

    def write(self, text: str) -> None:
        """Append ``text``; it shows within a few hundredths of a second."""
        if text:
            self._queue.put(text)

    def finish(self, text: str, status: Status) -> None:
        """End the stream with its whole text, against which the cell is made good."""
        self._queue.put({"done": True, "text": text, "status": status})

    def replace(self, text: str) -> None:
        """Put ``text`` in place of the finished one, unless a person has changed the cell."""
        self._queue.put({"op": "replace", "text": text})

    def close(self) -> None:
        """Send what is left and close the comm. May be called twice."""
        self._queue.put(None)
        self._sender.join(CLOSE_TIMEOUT_S)

    def __enter__(self) -> CellStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _send_all(self) -> None:
        """The sending thread: joins the pieces that came since the last message."""
        pieces: list[str] = []
        due = 0.0
        while True:
            wait_s = max(0.0, due - time.monotonic()) if pieces else None
            try:
                item = self._queue.get(timeout=wait_s)
            except queue.Empty:
                item = ""
            if isinstance(item, str):
                pieces.append(item)
                if time.monotonic() < due:
                    continue
            if text := "".join(pieces):
                self._send({"text": text})
                due = time.monotonic() + FLUSH_INTERVAL_S
            pieces.clear()
            if item is None:
                self._comm.close()
                return
            if isinstance(item, dict):
                self._send(item)

    def _send(self, message: dict[str, Any]) -> None:
        if "op" not in message:
            message["seq"] = self._seq
            self._seq += 1
        self._comm.send(message)


class FallbackCell:
    """For front ends without our extension: output while it streams, next input at the end.

    In a notebook the output is one that is updated in place; in a terminal the pieces are
    printed as they come.
    """

    def __init__(self) -> None:
        self._shell = _shell()
        self._in_notebook = getattr(self._shell, "kernel", None) is not None
        self._pieces: list[str] = []
        self._display_id = uuid.uuid4().hex
        self._shown = False
        self._due = 0.0

    def write(self, text: str) -> None:
        if not self._in_notebook:
            print(text, end="", flush=True)
            return
        self._pieces.append(text)
        if time.monotonic() >= self._due:
            self._show("".join(self._pieces), "Generating…", opened=True)
            self._due = time.monotonic() + DISPLAY_INTERVAL_S

    def finish(self, text: str, status: Status) -> None:
        if self._in_notebook:
            if text or self._shown:
                title = {
                    "complete": "Generated code, also offered as the next cell",
                    "stopped": "Code generated before the stop, also offered as the next cell",
                    "failed": "Code generated before the failure, also offered as the next cell",
                }[status]
                self._show(text, title, opened=False)
        else:
            print(flush=True)
        self._offer(text)

    def replace(self, text: str) -> None:
        """Offer ``text`` instead: next inputs of one cell take each other's place."""
        self._offer(text)

    def close(self) -> None:
        """Nothing is held open."""

    def __enter__(self) -> FallbackCell:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _offer(self, text: str) -> None:
        if text and self._shell is not None:
            self._shell.set_next_input(text, replace=False)

    def _show(self, text: str, title: str, *, opened: bool) -> None:
        from IPython.display import display

        code = html.escape(text)
        bundle = {
            "text/plain": text,
            "text/html": f"<details{' open' if opened else ''}><summary>{title}</summary>"
            f"<pre>{code}</pre></details>",
        }
        display(bundle, raw=True, display_id=self._display_id, update=self._shown)
        self._shown = True


@dataclass(frozen=True)
class ReadReply:
    """The generated cell as it stands now. ``source`` is ``None`` where there is none."""

    source: str | None
    cell_id: str | None = None
    #: Whether the text differs from what was generated.
    edited: bool = False
    #: Whether the front end answered at all.
    answered: bool = True


def read_generated(
    source_cell: str, callback: Callable[[ReadReply], None], timeout_s: float = 3.0
) -> None:
    """Ask the front end for the text of the cell generated from ``source_cell``; do not wait.

    To be called from a widget's click. ``callback`` runs exactly once, in whichever thread the
    answer or the time-out (then ``answered`` is false) comes up in. The answer can only arrive
    once the Jupyter kernel is idle.
    """
    from comm import create_comm

    once = _Once(callback)
    header = _parent().get("header") or {}
    timer = threading.Timer(timeout_s, once, args=[ReadReply(source=None, answered=False)])
    timer.daemon = True
    timer.start()

    def answer(message: dict[str, Any]) -> None:
        timer.cancel()
        found = message["content"]["data"]
        once(
            ReadReply(
                source=found.get("source"),
                cell_id=found.get("cell"),
                edited=bool(found.get("edited")),
            )
        )

    opening = {
        "v": VERSION,
        "op": "read",
        "source_cell": source_cell,
        "session": header.get("session", ""),
    }
    create_comm(target_name=TARGET, data=opening).on_msg(answer)


class _Once:
    """Passes on the first call and drops the rest, whichever threads they come from."""

    def __init__(self, callback: Callable[[ReadReply], None]) -> None:
        self._callback = callback
        self._free = threading.Lock()

    def __call__(self, reply: ReadReply) -> None:
        if self._free.acquire(blocking=False):
            self._callback(reply)


def _shell() -> Any:
    """The running IPython shell, or ``None``."""
    from IPython import get_ipython

    return get_ipython()  # type: ignore[no-untyped-call]


def _parent() -> dict[str, Any]:
    """The message whose work the Jupyter kernel does now; empty outside ipykernel."""
    kernel = getattr(_shell(), "kernel", None)
    parent = kernel.get_parent() if kernel is not None else None
    return parent if isinstance(parent, dict) else {}
