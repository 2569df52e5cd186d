"""A model server from the magic and the command line: where the source goes, and what is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_session import JupyterSession
from model_server import ModelServer, event, refusing, serving, streaming

CODE = "import torch\n\n\nclass ModelNew(torch.nn.Module):\n    pass\n"
SECRET = "a-key-nobody-may-see"


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with serving() as about:
        about.answers = [streaming(event(CODE), event("", "stop"))]
        yield about


@pytest.fixture(scope="module")
def session() -> Iterator[JupyterSession]:
    session = JupyterSession()
    assert not session.run("%load_ext kernelllm_jupyter").failed
    assert not session.run(f"import os; os.environ['KERNELLLM_API_KEY'] = {SECRET!r}").failed
    yield session
    session.close()


def kernelllm(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kernelllm_jupyter", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def test_a_cell_is_translated_by_a_server(
    session: JupyterSession, server: ModelServer, small_module: str
) -> None:
    ran = session.run(f"%%kernelllm -m {server.name()} --no-check\n{small_module}")
    assert not ran.failed, ran.error
    assert [text.partition("\n")[2] for text in ran.next_inputs] == [CODE]
    assert server.asked[-1].headers["Authorization"] == f"Bearer {SECRET}"
    assert "torch.relu(x) * 2.5" in server.asked[-1].body["messages"][-1]["content"]
    shown = json.dumps([ran.bundles, ran.printed])
    assert "is sent to" not in shown, "it stays on this machine"
    assert SECRET not in shown
    assert SECRET not in session.value("repr(_kernelllm)")


def test_reasoning_is_in_the_panel_and_not_in_the_cell(
    session: JupyterSession, small_module: str
) -> None:
    thought = f"<b>Hm</b>:\n```python\n{CODE}```\n"
    reply = [event(f"{thought}</think>\n```python\n"), event(f"{CODE}```"), event("", "stop")]
    cut = [event(thought), event("", "length")]
    with serving() as about:
        about.answers = [streaming(*reply), streaming(*cut)]
        name = about.name("deepseek-ai/DeepSeek-R1")
        about.models = refusing(404, {})  # A server that lists nothing is taken at its word.
        ran = session.run(f"%%kernelllm -m {name} --no-check\n{small_module}")
        assert not ran.failed, ran.error
        assert [text.partition("\n")[2] for text in ran.next_inputs] == [CODE]
        panel = ran.bundles[-1]["text/html"]
        assert "<details" in panel
        assert "&lt;b&gt;Hm&lt;/b&gt;" in panel
        ran = session.run(f"%%kernelllm -m {name} --no-check\n{small_module}")
    assert ran.next_inputs == []
    assert "ends inside the model&#x27;s thinking" in ran.bundles[-1]["text/html"]


def test_the_panel_says_where_the_source_goes(session: JupyterSession, small_module: str) -> None:
    # A name that is never resolved (RFC 2606), so that nothing is sent anywhere.
    ran = session.run(f"%%kernelllm -m https://models.invalid/v1#m --no-check\n{small_module}")
    assert ran.failed
    assert "cannot be reached" in ran.error
    told = "The cell's source is sent to https://models.invalid (not this machine)."
    panels = [b for b in ran.bundles if "kllm-report" in b.get("text/html", "")]
    for panel in panels:
        assert told in panel["text/plain"]


def test_status_and_doctor_ask_the_server_that_is_named(
    session: JupyterSession, server: ModelServer
) -> None:
    ran = session.run(f"%kernelllm status -m {server.name()}")
    assert "state ready" in ran.printed
    assert SECRET not in ran.printed
    assert "It has tiny" in session.run(f"%kernelllm status -m {server.url}").printed
    assert "model server" in session.run(f"%kernelllm doctor -m {server.name()}").printed
    asked = len(server.seen)
    session.run("%kernelllm status")
    assert len(server.seen) == asked


def test_a_wrong_use_of_a_url_is_one_clear_message(
    session: JupyterSession, small_module: str
) -> None:
    for url, said in (("https://sk-x@host#m", "KERNELLLM_API_KEY"), ("http://h:1", "status -m")):
        ran = session.run(f"%%kernelllm -m {url}\n{small_module}")
        assert ran.failed
        assert said in ran.error
        assert "Traceback" not in ran.error


def test_the_command_line_translates_and_tells_what_was_changed(
    server: ModelServer, small_module: str, tmp_path: Path
) -> None:
    module = tmp_path / "module.py"
    module.write_text(small_module)
    with serving() as picky:
        refusal = refusing(400, {"error": {"message": "temperature is not supported"}})
        picky.answers = [refusal, *server.answers]
        ran = kernelllm("translate", str(module), "-m", picky.name(), "--no-check", "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["code"] == CODE
    assert "The server does not take temperature" in ran.stderr


def test_the_command_line_says_where_the_source_goes(small_module: str, tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(small_module)
    ran = kernelllm(
        "translate", str(module), "-m", "http://models.invalid:8000#m", "--no-check", "--json"
    )
    assert ran.returncode == 1
    assert "is sent to http://models.invalid:8000 (not this machine), unencrypted" in ran.stderr
    assert json.loads(ran.stdout)["error"]["type"] == "ServerError"
