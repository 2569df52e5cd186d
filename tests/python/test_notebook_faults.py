"""A translation's worst days, in a real Jupyter kernel with a real model process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL_MODULE
from engine_fixtures import ENDLESSLY, make_endless_checkpoint
from jupyter_session import MARKER, JupyterSession, Ran

from kernelllm_jupyter.engines.local import running


@pytest.fixture(scope="module")
def session() -> Iterator[JupyterSession]:
    session = JupyterSession()
    assert not session.run("%load_ext kernelllm_jupyter").failed
    yield session
    session.close()


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was taught to write lines of code for as long as it may."""
    return make_endless_checkpoint(tmp_path_factory.mktemp("endless"), SMALL_MODULE)


def at_first_text(act: Callable[[], None]) -> Callable[[dict[str, Any]], None]:
    """Calls ``act`` once, when the first piece of code is on its way to the cell."""
    pending = [act]

    def on_message(message: dict[str, Any]) -> None:
        if message["msg_type"] != "comm_msg" or not message["content"]["data"].get("text"):
            return
        if pending:
            pending.pop()()

    return on_message


def stream_endlessly(
    session: JupyterSession, model: Path, module: str, act: Callable[[], None]
) -> Ran:
    options = f"-m {model} {ENDLESSLY} --no-check"
    return session.run(
        f"%%kernelllm {options}\n{module}", metadata=MARKER, on_message=at_first_text(act)
    )


def assert_usable(session: JupyterSession, module: str) -> None:
    ran = session.run(f"%%kernelllm\n{module}", metadata=MARKER)
    assert not ran.failed, ran.error
    assert session.value("_kernelllm.verdict.verdict") == "correct"


def test_an_interrupt_keeps_the_text_and_leaves_everything_usable(
    session: JupyterSession, endless: Path, small_module: str
) -> None:
    ran = stream_endlessly(session, endless, small_module, session.interrupt)
    assert ran.failed
    assert "Stopped; the text so far stays in the cell below." in ran.error
    assert "Traceback" not in ran.error
    last = ran.streamed[-1]
    assert last["status"] == "stopped"
    pieces = [message["text"] for message in ran.streamed[:-1]]
    assert last["text"]
    assert last["text"].startswith("".join(pieces))
    again = session.run(
        f"%%kernelllm -m {endless} --max-new-tokens 5 --no-check\n{small_module}", metadata=MARKER
    )
    assert not again.failed, again.error
    assert_usable(session, small_module)


def test_an_interrupt_stops_all_candidates_and_keeps_the_text_of_one(
    session: JupyterSession, endless: Path, small_module: str
) -> None:
    options = f"-m {endless} {ENDLESSLY} -k 3 --no-check"
    ran = session.run(
        f"%%kernelllm {options}\n{small_module}",
        metadata=MARKER,
        on_message=at_first_text(session.interrupt),
    )
    assert ran.failed
    assert "Stopped; the text so far stays in the cell below." in ran.error
    last = ran.streamed[-1]
    assert last["status"] == "stopped"
    assert last["text"].startswith("x = ")
    assert "Stopped" in ran.bundles[-1]["text/plain"]
    assert ran.bundles[-1]["text/html"].count("Stopped") >= 3, "every candidate says so"
    assert_usable(session, small_module)


def test_a_model_process_that_dies_leaves_the_text_and_says_so(
    session: JupyterSession, endless: Path, small_module: str
) -> None:
    def kill() -> None:
        [pid] = [int(e["pid"]) for e in running() if str(endless) in str(e["model"])]
        os.kill(pid, signal.SIGKILL)

    ran = stream_endlessly(session, endless, small_module, kill)
    assert ran.failed
    assert "EngineDied" in ran.error
    assert ran.streamed[-1]["status"] == "failed"
    assert ran.streamed[-1]["text"]
    again = session.run(
        f"%%kernelllm -m {endless} --max-new-tokens 5 --no-check\n{small_module}", metadata=MARKER
    )
    assert not again.failed, again.error


def test_the_model_process_survives_a_restart_of_the_jupyter_kernel(
    endless: Path, small_module: str
) -> None:
    session = JupyterSession()
    try:
        session.run("%load_ext kernelllm_jupyter")
        translate = f"%%kernelllm -m {endless} --max-new-tokens 5 --no-check\n{small_module}"
        assert not session.run(translate).failed
        before = {e["pid"] for e in running() if str(endless) in str(e["model"])}
        session.restart()
        session.run("%load_ext kernelllm_jupyter")
        assert not session.run(translate).failed
        assert {e["pid"] for e in running() if str(endless) in str(e["model"])} == before
    finally:
        session.close()


def test_a_checkpoint_without_weights_is_named(
    session: JupyterSession, endless: Path, small_module: str, tmp_path: Path
) -> None:
    for file in endless.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    ran = session.run(f"%%kernelllm -m {tmp_path} --no-check\n{small_module}")
    assert ran.failed
    assert str(tmp_path) in ran.error
    assert "safetensors" in ran.error


def button(ran: Ran, description: str) -> str:
    """The comm of a button of the panel, which has one if it is the first of its cell."""
    found = [
        content["comm_id"]
        for content in ran.of_type("comm_open")
        if content["data"].get("state", {}).get("description") == description
    ]
    assert len(found) == 1
    return found[0]


def send_on_comm(session: JupyterSession, comm: str, data: dict[str, Any]) -> None:
    message = session.client.session.msg("comm_msg", {"comm_id": comm, "data": data})
    session.client.shell_channel.send(message)


def press(session: JupyterSession, ran: Ran, description: str) -> None:
    send_on_comm(
        session,
        button(ran, description),
        {"method": "custom", "content": {"event": "click"}, "buffers": []},
    )


def settled(message: dict[str, Any]) -> bool:
    return message["msg_type"] == "update_display_data"


def test_check_acts_on_the_text_as_a_person_left_it(
    session: JupyterSession, small_module: str
) -> None:
    ran = session.run(f"%%kernelllm\n{small_module}", metadata={**MARKER, "cellId": "cell-1"})
    code = ran.streamed[-1]["text"]
    for source, verdict in ((code.replace("2.5", "2.4"), "incorrect"), (code, "correct")):
        press(session, ran, "Check")
        seen = session.messages_until(lambda m: m["msg_type"] == "comm_open")
        opened = seen[-1]["content"]
        assert opened["target_name"] == "kernelllm"
        assert opened["data"]["op"] == "read"
        send_on_comm(session, opened["comm_id"], {"source": source})
        shown = session.messages_until(settled)[-1]["content"]["data"]["text/html"]
        assert f"kllm-verdict-{verdict}" in shown


def test_check_falls_back_to_what_was_generated_where_the_cell_is_gone(
    session: JupyterSession, small_module: str
) -> None:
    ran = session.run(f"%%kernelllm\n{small_module}", metadata={**MARKER, "cellId": "cell-2"})
    press(session, ran, "Check")
    shown = session.messages_until(settled)[-1]["content"]["data"]["text/html"]
    assert "kllm-verdict-correct" in shown


def test_benchmark_without_a_gpu_explains_itself(
    session: JupyterSession, small_module: str
) -> None:
    ran = session.run(f"%%kernelllm\n{small_module}", metadata={**MARKER, "cellId": "cell-3"})
    press(session, ran, "Benchmark")
    shown = session.messages_until(settled)[-1]["content"]["data"]["text/plain"]
    assert "GPU" in shown
