"""A page that was not there when a run ended is told what came of it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_session import MARKER, JupyterSession

CELL = MARKER["cellId"]


@pytest.fixture(scope="module")
def session() -> Iterator[JupyterSession]:
    session = JupyterSession()
    assert not session.run("%load_ext kernelllm_jupyter").failed
    yield session
    session.close()


def ask(session: JupyterSession, **opening: Any) -> str:
    """Open the comm of a page that was just loaded; its name."""
    name = uuid.uuid4().hex
    content = {"comm_id": name, "target_name": "kernelllm", "data": {"op": "recall", **opening}}
    session.client.shell_channel.send(session.client.session.msg("comm_open", content))
    return name


def told(session: JupyterSession, comm: str) -> list[dict[str, Any]]:
    """The outcomes of the next message on a comm."""
    last = session.messages_until(
        lambda message: message["msg_type"] == "comm_msg" and message["content"]["comm_id"] == comm
    )[-1]
    found: list[dict[str, Any]] = last["content"]["data"]["outcomes"]
    return found


def test_the_end_of_a_run_is_told_to_who_asks_later(
    session: JupyterSession, small_module: str
) -> None:
    assert told(session, ask(session, v=1)) == []
    ran = session.run(f"%%kernelllm\n{small_module}", metadata=MARKER)
    assert not ran.failed, ran.error
    [outcome] = told(session, ask(session, v=1))
    assert outcome["cell"] == CELL
    assert outcome["stream"] == ran.stream_opened[0]["stream"]
    assert outcome["text"] == outcome["checked"] == session.value("_kernelllm.code")
    assert "· correct (" in outcome["heading"]
    assert "Correct: agrees" in outcome["panel"]["text/plain"]
    assert outcome["panel"] == ran.bundles[-1]
    # One that fails has an end as well, in the place of the one before; one that is refused has
    # no panel.
    failing = small_module.replace("torch.randn(4, 33)", "1 / 0")
    assert session.run(f"%%kernelllm\n{failing}", metadata=MARKER).failed
    [outcome] = told(session, ask(session, v=1))
    assert "division by zero" in outcome["panel"]["text/plain"]
    assert session.run("%%kernelllm\nx = 1", metadata=MARKER).failed
    assert told(session, ask(session, v=1)) == []


def test_who_asks_in_another_version_is_told_nothing(session: JupyterSession) -> None:
    other = ask(session, v=2)
    comm = ask(session, v=1)
    seen = session.messages_until(
        lambda message: message["msg_type"] == "comm_msg" and message["content"]["comm_id"] == comm
    )
    assert not [m for m in seen if m["content"].get("comm_id") == other]
