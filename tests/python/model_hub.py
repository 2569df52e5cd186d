"""A model hub on this machine that speaks the real one's protocol, as slowly as a test asks for."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = "model.safetensors"


@dataclass
class Hub:
    """What it serves, and what it was asked for. ``refusal`` is a status with its error code.

    With ``slow`` the weights come by halves: the second one when ``released``.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    refusal: tuple[int, str] | None = None
    asked: list[str] = field(default_factory=list)
    url: str = ""
    slow: bool = False
    half_sent: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def environment(self) -> dict[str, str]:
        """What makes huggingface_hub ask here."""
        return {"HF_ENDPOINT": self.url, "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}


@contextmanager
def serving_hub(folder: Path) -> Iterator[Hub]:
    """A hub with one model, ``somebody/model``, whose files are those of ``folder``."""
    served = Hub({path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), _answering_for(served))
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def _answering_for(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            path = self.path.split("?")[0]
            hub.asked.append(path)
            if hub.refusal is not None:
                status, code = hub.refusal
                self._send(status, {"X-Error-Code": code}, b"{}", body)
            elif "/tree/" in path:
                self._send(200, {"Content-Type": "application/json"}, self._tree(), body)
            elif path.startswith("/api/models/"):
                self._send(200, {"Content-Type": "application/json"}, self._info(), body)
            else:
                name = path.split(f"/resolve/{COMMIT}/")[-1]
                content = hub.files.get(name)
                if content is None:
                    self._send(404, {"X-Error-Code": "EntryNotFound"}, b"", body)
                    return
                marks = {"ETag": f'"{_digest(content)}"', "X-Repo-Commit": COMMIT}
                if body and name == WEIGHTS:
                    self._send_weights(marks, content)
                else:
                    self._send(200, marks, content, body)

        def _send_weights(self, marks: dict[str, str], content: bytes) -> None:
            half = len(content) // 2 if hub.slow else len(content)
            self._send(200, marks, content[:half], True, length=len(content))
            if half < len(content):
                self.wfile.flush()
                hub.half_sent.set()
                hub.released.wait(120)
                with suppress(OSError):  # Who asked for it may have gone.
                    self.wfile.write(content[half:])

        def _info(self) -> bytes:
            siblings = [
                {"rfilename": name, "size": len(content)} for name, content in hub.files.items()
            ]
            about: dict[str, Any] = {"id": "somebody/model", "sha": COMMIT, "siblings": siblings}
            return json.dumps(about).encode()

        def _tree(self) -> bytes:
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": _digest(content)}
                for name, content in hub.files.items()
            ]
            return json.dumps(entries).encode()

        def _send(
            self,
            status: int,
            headers: dict[str, str],
            content: bytes,
            body: bool,
            length: int | None = None,
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            size = len(content) if length is None else length
            self.send_header("Content-Length", str(size))
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            return None

    return Answer
