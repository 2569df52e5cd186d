"""A real Jupyter kernel, and a client that speaks to it as a notebook front end does."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jupyter_client.manager import KernelManager

#: What the labextension adds to each execute request.
MARKER = {"kernelllm": {"v": 1}, "cellId": "source-cell"}
WAIT_S = 120.0


@dataclass
class Ran:
    """What one executed cell left: its reply and the messages it published."""

    reply: dict[str, Any] = field(default_factory=dict)
    published: list[dict[str, Any]] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return self.reply["status"] != "ok"

    @property
    def error(self) -> str:
        """What the front end shows of an error."""
        return "\n".join(self.reply["traceback"])

    @property
    def next_inputs(self) -> list[str]:
        return [
            part["text"]
            for part in self.reply.get("payload", [])
            if part["source"] == "set_next_input"
        ]

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [message["content"] for message in self.published if message["msg_type"] == kind]

    @property
    def printed(self) -> str:
        return "".join(content["text"] for content in self.of_type("stream"))

    @property
    def bundles(self) -> list[dict[str, Any]]:
        """MIME bundles displayed or updated, in their order."""
        kinds = ("display_data", "update_display_data")
        return [m["content"]["data"] for m in self.published if m["msg_type"] in kinds]

    @property
    def stream_opened(self) -> list[dict[str, Any]]:
        opened = [c for c in self.of_type("comm_open") if c["target_name"] == "kernelllm"]
        return [content["data"] for content in opened]

    @property
    def streamed(self) -> list[dict[str, Any]]:
        """Messages on our comms, in their order."""
        ours = {
            content["comm_id"]
            for content in self.of_type("comm_open")
            if content["target_name"] == "kernelllm"
        }
        return [c["data"] for c in self.of_type("comm_msg") if c["comm_id"] in ours]


class JupyterSession:
    """Starts a Jupyter kernel; ``close`` ends it."""

    def __init__(self) -> None:
        self.manager = KernelManager()
        self.manager.start_kernel()
        self._connect()

    def _connect(self) -> None:
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=WAIT_S)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def restart(self) -> None:
        self.client.stop_channels()
        self.manager.restart_kernel(now=True)
        self._connect()

    def run(
        self,
        code: str,
        *,
        metadata: dict[str, Any] | None = None,
        subshell: str | None = None,
        on_message: Callable[[dict[str, Any]], None] | None = None,
    ) -> Ran:
        """Execute ``code`` and wait for its end; ``on_message`` sees each message as it comes."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        request = self.client.session.msg("execute_request", content, metadata=metadata or {})
        if subshell is not None:
            request["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(request)
        own = request["header"]["msg_id"]
        ran = Ran()
        deadline = time.monotonic() + WAIT_S
        while True:
            message = self.client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))
            if message["parent_header"].get("msg_id") != own:
                continue
            ran.published.append(message)
            if on_message:
                on_message(message)
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                break
        while True:
            reply = self.client.get_shell_msg(timeout=max(0.1, deadline - time.monotonic()))
            if reply["parent_header"].get("msg_id") == own:
                ran.reply = reply["content"]
                return ran

    def value(self, expression: str) -> Any:
        """The value of an expression whose ``repr`` is a literal."""
        import ast

        ran = self.run(f"print(repr({expression}))")
        assert not ran.failed, ran.error
        return ast.literal_eval(ran.printed)

    def interrupt(self) -> None:
        self.manager.interrupt_kernel()

    def messages_until(self, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Messages published after a cell has ended, up to the one that is ``wanted``."""
        seen: list[dict[str, Any]] = []
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            try:
                message = self.client.get_iopub_msg(timeout=1)
            except queue.Empty:
                continue
            seen.append(message)
            if wanted(message):
                return seen
        raise AssertionError("the message that was waited for did not come")
