"""The generated cell, seen from the Jupyter kernel: where streamed code ends up.

With our JupyterLab extension (``labextension/``) the code streams into a cell of the notebook,
over a comm; ``labextension/src/protocol.ts`` is the other side of that contract, change both
together. Elsewhere (VS Code, Colab, nbclient, a terminal) it streams as output and arrives as
the next input: ``CellStream(front) if (front := front_end()) else FallbackCell()``.

Nothing here knows what the text is or who makes it. Jupyter's packages are imported where they
are needed, so that this module can be imported without them.
"""

from __future__ import annotations

import html
import queue
import threading
import time
import uuid
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from kernelllm_jupyter.heading import Heading, under_heading

__all__ = [
    "CellStream",
    "FallbackCell",
    "FrontEnd",
    "GeneratedCell",
    "Status",
    "asking",
    "asking_session",
    "front_end",
    "read_generated",
    "sent_settings",
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
    """Where generated code goes: any number of ``write``, then one ``finish``."""

    def write(self, text: str) -> None:
        """Append ``text``."""

    def finish(self, text: str, status: Status) -> None:
        """End with ``text``, the whole of it, which settles whatever was shown before."""

    def head(self, heading: Heading, checked: str | None, session: str | None = None) -> None:
        """Say over the finished text what is known of it by now.

        ``checked`` is the code that the verdict in ``heading`` is about, None without a verdict.
        ``session`` is the front end that asks now, where it may be another than at the start.
        """


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
    session = _session()
    if not isinstance(marker, dict) or marker.get("v") != VERSION or not cell_id or not session:
        return None
    return FrontEnd(cell_id=cell_id, session=session)


def asking() -> tuple[str | None, str | None]:
    """The cell that runs and the request that it runs for, as far as the front end tells."""
    parent = _parent()
    cell = (parent.get("metadata") or {}).get("cellId")
    request = (parent.get("header") or {}).get("msg_id")
    return cell if isinstance(cell, str) else None, request if isinstance(request, str) else None


def sent_settings() -> Any:
    """What stands in the settings editor of the front end that the running code was sent from.

    Sent with each execute request, so that a change counts from the next cell on. ``None`` without
    our extension; whatever it is, it is to be checked.
    """
    marker = (_parent().get("metadata") or {}).get(TARGET)
    return marker.get("settings") if isinstance(marker, dict) else None


class CellStream:
    """Streams text into the cell below the running one, through our extension.

    Messages are sent by one thread of its own, in order and at most every ``FLUSH_INTERVAL_S``,
    so writing costs the caller next to nothing and an interrupt, which hits the main thread
    only, cannot cut a message in half. A stream that is dropped without ``finish`` is closed; the
    cell keeps what had arrived.
    """

    def __init__(self, target: FrontEnd, heading: Heading | None = None) -> None:
        from comm import create_comm

        self._target = target
        self.name = uuid.uuid4().hex
        opening = _opening("stream", target.cell_id, target.session)
        opening["stream"] = self.name
        opening["heading"] = heading.line if heading else ""
        sender = _Sender(create_comm(target_name=TARGET, data=opening))
        self._queue = sender.queue
        self._thread = threading.Thread(target=sender.run, name="kernelllm-cell", daemon=True)
        self._thread.start()
        weakref.finalize(self, sender.queue.put, None)

    def write(self, text: str) -> None:
        """Append ``text``; it shows within a few hundredths of a second."""
        if text:
            self._queue.put(text)

    def finish(self, text: str, status: Status) -> None:
        """End the stream with its whole text, against which the cell is made good."""
        self._queue.put({"done": True, "text": text, "status": status})
        self._queue.put(None)
        self._thread.join(CLOSE_TIMEOUT_S)

    def head(self, heading: Heading, checked: str | None, session: str | None = None) -> None:
        from comm import create_comm

        target = self._target
        opening = _opening("head", target.cell_id, session or target.session)
        known = {"heading": heading.line, "edited": heading.edited_line, "checked": checked}
        create_comm(target_name=TARGET, data={**opening, "stream": self.name, **known}).close()


class _Sender:
    """The sending end of a stream; knows nothing of the stream, so that one can be dropped."""

    def __init__(self, comm: Any) -> None:
        #: Pieces of text, then perhaps the end, then ``None``.
        self.queue: queue.SimpleQueue[str | dict[str, Any] | None] = queue.SimpleQueue()
        self._comm = comm
        self._seq = 0
        self._pieces: list[str] = []

    def run(self) -> None:
        due = 0.0
        while True:
            wait_s = max(0.0, due - time.monotonic()) if self._pieces else None
            try:
                item = self.queue.get(timeout=wait_s)
            except queue.Empty:
                item = ""
            if isinstance(item, str):
                self._pieces.append(item)
                if time.monotonic() < due:
                    continue
            if self._pieces:
                self._send({"text": "".join(self._pieces)})
                self._pieces.clear()
                due = time.monotonic() + FLUSH_INTERVAL_S
            if isinstance(item, dict):
                self._send(item)
            elif item is None:
                self._comm.close()
                return

    def _send(self, message: dict[str, Any]) -> None:
        self._comm.send({"seq": self._seq, **message})
        self._seq += 1


class FallbackCell:
    """For front ends without our extension: output while it streams, next input at the end.

    In a notebook the output is one that is updated in place, with the heading that the next cell
    has: findings count the lines below it. In a terminal the pieces are printed as they come.
    """

    def __init__(self, shell: Any = None, heading: Heading | None = None) -> None:
        self._shell = shell or _shell()
        self._heading = heading
        self._text = ""
        self._in_notebook = getattr(self._shell, "kernel", None) is not None
        self._pieces: list[str] = []
        self._display_id = uuid.uuid4().hex
        self._shown = False
        self._title = ""
        self._due = 0.0

    def write(self, text: str) -> None:
        self._pieces.append(text)
        if not self._in_notebook:
            print(text, end="", flush=True)
            return
        if time.monotonic() >= self._due:
            self._title = "Generating …"
            self._show("".join(self._pieces), opened=True)
            self._due = time.monotonic() + DISPLAY_INTERVAL_S

    def finish(self, text: str, status: Status) -> None:
        if not self._in_notebook:
            print(flush=True)
            if text != "".join(self._pieces):
                print(text, flush=True)
        elif text or self._shown:
            self._title = f"{_FINISHED[status]}, also offered as the next cell"
            self._show(text, opened=False)
        self._text = text
        self._offer()

    def head(self, heading: Heading, checked: str | None, session: str | None = None) -> None:
        """To be called while the cell still runs: of several next inputs the last one counts."""
        self._heading = heading
        self._offer()
        if self._shown:
            self._show(self._text, opened=False)

    def _offer(self) -> None:
        if self._text and self._shell is not None:
            self._shell.set_next_input(self._headed(self._text), replace=False)

    def _headed(self, text: str) -> str:
        return under_heading(self._heading.line, text) if self._heading else text

    def _show(self, text: str, *, opened: bool) -> None:
        from IPython.display import display

        text = self._headed(text)
        bundle = {
            "text/plain": text,
            "text/html": f"<details{' open' if opened else ''}><summary>{self._title}</summary>"
            f"<pre>{html.escape(text)}</pre></details>",
        }
        display(bundle, raw=True, display_id=self._display_id, update=self._shown)
        self._shown = True


_FINISHED: dict[Status, str] = {
    "complete": "Generated code",
    "stopped": "Code generated before the stop",
    "failed": "Code generated before the failure",
}


def asking_session() -> str | None:
    """The front end that the code running now was asked by, for a later ``head``."""
    return _session()


def read_generated(
    target: FrontEnd, callback: Callable[[str | None], None], timeout_s: float = 3.0
) -> None:
    """Ask the front end for the present text of the cell generated for ``target``; do not wait.

    To be called from a widget's click. ``callback`` gets the text, or ``None`` where the cell is
    gone or nobody answers within ``timeout_s``. It runs exactly once, in whichever thread the
    answer or the time-out comes up in. The answer arrives when the Jupyter kernel is idle.
    """
    from comm import create_comm

    once = _Once(callback)
    timer = threading.Timer(timeout_s, once, args=[None])
    timer.daemon = True
    timer.start()

    def answer(message: dict[str, Any]) -> None:
        timer.cancel()
        source = message["content"]["data"].get("source")
        once(source if isinstance(source, str) else None)

    opening = _opening("read", target.cell_id, _session() or target.session)
    create_comm(target_name=TARGET, data=opening).on_msg(answer)


class _Once:
    """Passes on the first call and drops the rest, whichever threads they come from."""

    def __init__(self, callback: Callable[[str | None], None]) -> None:
        self._callback = callback
        self._free = threading.Lock()

    def __call__(self, source: str | None) -> None:
        if self._free.acquire(blocking=False):
            self._callback(source)


def _opening(operation: str, source_cell: str, session: str) -> dict[str, Any]:
    """A comm's opening data; ``session`` picks the one browser tab that is to act on it."""
    return {"v": VERSION, "op": operation, "source_cell": source_cell, "session": session}


def _shell() -> Any:
    """The running IPython shell, or ``None``."""
    from IPython import get_ipython

    return get_ipython()


def _parent() -> dict[str, Any]:
    """The message whose work the Jupyter kernel does now; empty outside ipykernel."""
    kernel = getattr(_shell(), "kernel", None)
    parent = kernel.get_parent() if kernel is not None else None
    return parent if isinstance(parent, dict) else {}


def _session() -> str | None:
    """The front end that the message being worked on came from: a reload makes it a new one."""
    session = (_parent().get("header") or {}).get("session")
    return session if isinstance(session, str) and session else None
