"""A small HTTP server that speaks OpenAI's protocol, or fails at it in the way a test asks for."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: Answers one request on the handler given.
Answer = Callable[["Handler"], None]


@dataclass
class Seen:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class ModelServer:
    """``answers`` are given to the POSTs in their order, the last one again and again."""

    url: str = ""
    models: Answer | None = None
    answers: list[Answer] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def name(self, model: str = "tiny") -> str:
        return f"{self.url}#{model}"

    @property
    def asked(self) -> list[Seen]:
        """The requests for completions."""
        return [seen for seen in self.seen if "completions" in seen.path]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    about: ModelServer
    #: What the present request says.
    body: dict[str, Any]

    def do_GET(self) -> None:
        self._note({})
        if self.about.models is not None:
            self.about.models(self)
        else:
            self.send_json(200, {"data": [{"id": "tiny", "owned_by": "tests"}]})

    def do_POST(self) -> None:
        self.body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        number = len([seen for seen in self.about.seen if seen.path == self.path])
        self._note(self.body)
        self.about.answers[min(number, len(self.about.answers) - 1)](self)

    def _note(self, body: dict[str, Any]) -> None:
        self.about.seen.append(Seen(self.path, dict(self.headers), body))

    def send_json(self, status: int, body: Any, **headers: str) -> None:
        self.send_text(status, json.dumps(body), "application/json", **headers)

    def send_text(self, status: int, text: str, kind: str, **headers: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def send(self, text: str) -> None:
        self.wfile.write(text.encode())
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        return None


def event(text: str = "", finish: str | None = None, **more: Any) -> str:
    """One event of ``/completions``."""
    choice = {"index": 0, "text": text, "finish_reason": finish}
    return f"data: {json.dumps({'choices': [choice], **more})}\n\n"


def streaming(*events: str) -> Answer:
    """A reply of these events, after which the connection is closed."""

    def answer(handler: Handler) -> None:
        handler.begin_stream()
        for piece in events:
            handler.send(piece)

    return answer


def refusing(status: int, body: Any, **headers: str) -> Answer:
    return lambda handler: handler.send_json(status, body, **headers)


def silent_after(*events: str) -> Answer:
    """These events and then nothing, on an open connection, until the client leaves it."""

    def answer(handler: Handler) -> None:
        with suppress(OSError):  # The client may have left already.
            handler.begin_stream()
            for piece in events:
                handler.send(piece)
        never_answering(handler)

    return answer


def never_answering(handler: Handler) -> None:
    """Returns when the client has left, which ends with a reset where it left bytes unread."""
    with suppress(OSError):
        assert handler.connection.recv(1) == b"", "the client says more"
    handler.about.left.set()
    handler.close_connection = True


def endless(piece: str) -> Answer:
    """The same piece again and again, until the client leaves."""

    def answer(handler: Handler) -> None:
        handler.begin_stream()
        with suppress(OSError):
            while not handler.about.released.is_set():
                handler.send(piece)
        handler.about.left.set()

    return answer


def dropping_after(*events: str) -> Answer:
    """A chunked reply whose connection is cut in the middle."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for piece in events:
            handler.send(f"{len(piece.encode()):x}\r\n{piece}\r\n")
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True

    return answer


@contextmanager
def serving() -> Iterator[ModelServer]:
    about = ModelServer()
    handler = type("BoundHandler", (Handler,), {"about": about})
    listener = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    listener.daemon_threads = True
    about.url = f"http://127.0.0.1:{listener.server_port}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield about
    finally:
        about.released.set()
        listener.shutdown()
        listener.server_close()
        thread.join()
