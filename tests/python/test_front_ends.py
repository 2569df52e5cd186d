"""Front ends other than JupyterLab: what VS Code, Colab, a terminal and papermill send and show."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL_MODULE
from jupyter_session import MARKER, JupyterSession, Ran
from model_server import event, serving, streaming

WIDGET = "application/vnd.jupyter.widget-view+json"

#: The metadata of their execute requests. None of them has our extension.
METADATA: dict[str, dict[str, Any]] = {
    "VS Code": {"cellId": "vscode-notebook-cell:/home/user/a%20b.ipynb#W2sZmlsZQ%3D%3D"},
    "Colab": {"colab": {"cell_id": "x3cJkz0aQ1_P"}, "executionInfo": {"elapsed": 0}},
    "one with odd metadata": {"cellId": 7, "kernelllm": ["v", 1]},
}


@pytest.fixture(scope="module")
def session() -> Iterator[JupyterSession]:
    session = JupyterSession()
    assert not session.run("%load_ext kernelllm_jupyter").failed
    yield session
    session.close()


def closes_comms(session: JupyterSession) -> Any:
    """What a front end does that knows no target of a comm: it closes it, as the protocol says."""

    def on_message(message: dict[str, Any]) -> None:
        if message["msg_type"] == "comm_open":
            content = {"comm_id": message["content"]["comm_id"], "data": {}}
            closing = session.client.session.msg("comm_close", content)
            session.client.shell_channel.send(closing)

    return on_message


def assert_arrived(session: JupyterSession, ran: Ran) -> None:
    """The code came once, as the next input; the verdict stands where no widget is alive."""
    assert not ran.failed, ran.error
    [code] = ran.next_inputs
    assert "class ModelNew" in code
    assert not ran.stream_opened
    last = [bundle for bundle in ran.bundles if "kllm-report" in bundle.get("text/html", "")][-1]
    for form in ("text/plain", "text/html"):
        assert "Correct: agrees with the PyTorch module" in last[form]
    shown = [bundle for bundle in ran.bundles if "Generated code" in bundle.get("text/html", "")]
    assert code.startswith("# KernelLLM")
    assert shown[-1]["text/plain"] == code


@pytest.mark.parametrize("front_end", METADATA)
def test_the_code_arrives_as_the_next_cell(
    session: JupyterSession, small_module: str, front_end: str
) -> None:
    ran = session.run(
        f"%%kernelllm\n{small_module}",
        metadata=METADATA[front_end],
        on_message=closes_comms(session),
    )
    assert_arrived(session, ran)
    # Buttons only where a person looks at a cell: elsewhere a widget would be all there is to see.
    has_widget = any(WIDGET in bundle for bundle in ran.bundles)
    assert has_widget == (front_end == "VS Code")
    assert session.value("_kernelllm.verdict.correct")


@pytest.mark.parametrize("front_end", ["VS Code", "Colab"])
def test_a_finding_names_the_line_of_the_code_that_is_shown(
    session: JupyterSession, small_module: str, front_end: str
) -> None:
    wrong = "import torch\n\nclass ModelNew(torch.nn.Module):\n    def forward(self, x):\n"
    wrong += "        return x + undefined\n"
    with serving() as about:
        about.answers = [streaming(event(wrong), event("", "stop"))]
        asking = f"%%kernelllm -m {about.name()}\n{small_module}"
        ran = session.run(asking, metadata=METADATA[front_end])
    assert not ran.failed, ran.error
    [cell] = ran.next_inputs
    shown = [bundle for bundle in ran.bundles if "Generated code" in bundle.get("text/html", "")]
    plain = [bundle["text/plain"] for bundle in ran.bundles if "Line " in bundle["text/plain"]][-1]
    found = re.search(r"^Line (\d+):", plain, re.MULTILINE)
    assert found
    line = int(found[1])
    for text in (cell, shown[-1]["text/plain"]):
        assert text.splitlines()[line - 1].strip() == "return x + undefined"
    assert f"> {line} |         return x + undefined" in plain


def test_threads_may_translate_at_once(session: JupyterSession, small_module: str) -> None:
    code = f"""
import threading
shell, found, failed = get_ipython(), {{}}, []
def translate(factor):
    name = f"made_{{factor}}"
    module = {small_module!r}.replace("2.5", f"{{factor}}.5")
    try:
        shell.run_cell_magic("kernelllm", f"--into {{name}}", module)
        made = shell.user_ns[name]
        found[factor] = (made.verdict.verdict, f"{{factor}}.5" in made.code)
    except BaseException as error:
        failed.append(repr(error))
threads = [threading.Thread(target=translate, args=[factor]) for factor in (3, 4, 5)]
for thread in threads: thread.start()
for thread in threads: thread.join(100)
"""
    ran = session.run(code, metadata=MARKER)
    assert not ran.failed, ran.error
    assert session.value("failed") == []
    assert session.value("found") == dict.fromkeys((3, 4, 5), ("correct", True))


def test_a_subshell_may_translate(session: JupyterSession, small_module: str) -> None:
    client = session.client
    request = client.session.msg("create_subshell_request", {})
    client.control_channel.send(request)
    created = client.get_control_msg(timeout=60)
    assert created["content"]["status"] == "ok"
    ran = session.run(
        f"%%kernelllm\n{small_module}", metadata=MARKER, subshell=created["content"]["subshell_id"]
    )
    assert not ran.failed, ran.error
    assert ran.streamed[-1]["status"] == "complete"
    assert session.value("_kernelllm.verdict.correct")


def test_what_goes_on_in_a_function_or_a_loop_ends_with_the_last_code(
    session: JupyterSession, small_module: str
) -> None:
    code = f"""
def translate(factor):
    module = {small_module!r}.replace("2.5", f"{{factor}}.5")
    get_ipython().run_cell_magic("kernelllm", "", module)
    return _kernelllm
verdicts = [translate(factor).verdict.verdict for factor in (6, 7)]
"""
    ran = session.run(code, metadata=METADATA["VS Code"])
    assert not ran.failed, ran.error
    assert session.value("verdicts") == ["correct", "correct"]
    [code] = ran.next_inputs
    assert "7.5" in code


# --- executed as a whole -----------------------------------------------------------------------

FAILING = "%%kernelllm --strict --no-check\n"


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A notebook that papermill ran until a cell failed: its page in HTML, and the failure."""
    import nbformat
    import papermill
    from nbconvert import HTMLExporter

    folder = tmp_path_factory.mktemp("papermill")
    cells = [
        "columns = 7",
        "%load_ext kernelllm_jupyter",
        "%%kernelllm --strict --inputs torch.randn(3,columns)\n" + SMALL_MODULE,
        FAILING + SMALL_MODULE,
        "never = 1",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.cells[0].metadata["tags"] = ["parameters"]
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "", "language": "python"}
    nbformat.write(notebook, folder / "in.ipynb")
    with pytest.raises(papermill.PapermillExecutionError) as caught:
        papermill.execute_notebook(
            folder / "in.ipynb", folder / "out.ipynb", {"columns": 33}, progress_bar=False
        )
    made = nbformat.read(folder / "out.ipynb", as_version=4)
    return HTMLExporter().from_notebook_node(made)[0], str(caught.value)


def test_papermill_fails_at_a_strict_cell_with_one_clear_message(
    executed: tuple[str, str],
) -> None:
    _, failure = executed
    assert "NotCorrect" in failure
    assert "Not checked" in failure
    assert "Traceback" not in failure


def test_an_exported_page_can_be_read_without_widgets_and_network(
    executed: tuple[str, str],
) -> None:
    page, _ = executed
    assert "widget-view" not in page
    assert "Correct: agrees with the PyTorch module" in page
    assert "@triton" in page
    assert "Not checked" in page
    assert "did not finish" not in page


# --- a terminal --------------------------------------------------------------------------------


def prompt(number: int) -> str:
    """A pattern for ``In [3]``, whatever colours stand between, and for nothing that follows."""
    return rf"In [^\n:]{{0,20}}{number}"


def test_in_a_terminal_the_code_stands_at_the_next_prompt(tmp_path: Path) -> None:
    pexpect = pytest.importorskip("pexpect", reason="needs a Unix terminal")
    child = pexpect.spawn(
        sys.executable,
        ["-m", "IPython", "--quick", "--no-banner", "--no-confirm-exit"],
        env={
            **os.environ,
            "IPYTHONDIR": str(tmp_path),
            "TERM": "xterm",
            "PROMPT_TOOLKIT_NO_CPR": "1",
        },
        encoding="utf-8",
        timeout=60,
        dimensions=(60, 120),
    )
    try:
        child.expect(prompt(1))
        child.send("%load_ext kernelllm_jupyter\r")
        child.expect(prompt(2))
        child.send(f"\x1b[200~%%kernelllm\n{SMALL_MODULE}\x1b[201~")
        child.send("\r\r")
        child.expect("class ModelNew")
        child.expect("Correct: agrees with the PyTorch module")
        child.expect(prompt(3))
        child.expect("ModelNew")
        child.send("\x03")  # Empties the prompt.
        child.send("print(_kernelllm.verdict.device, 'was', _kernelllm.verdict.verdict)\r")
        child.expect("cpu-interpreter was correct")
    finally:
        child.close(force=True)
