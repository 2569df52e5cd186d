"""``%%kernelllm`` in a real Jupyter kernel, with the bundled starter model and real workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_session import MARKER, JupyterSession, Ran


@pytest.fixture(scope="module")
def session() -> Iterator[JupyterSession]:
    session = JupyterSession()
    assert not session.run("%load_ext kernelllm_jupyter").failed
    yield session
    session.close()


def translate(session: JupyterSession, module: str, options: str = "", **keywords: Any) -> Ran:
    return session.run(f"%%kernelllm {options}\n{module}", **keywords)


def verdict_of(session: JupyterSession) -> str:
    return session.value("_kernelllm.verdict.verdict")


def test_a_cell_is_translated_and_proved(session: JupyterSession, small_module: str) -> None:
    ran = translate(session, small_module)
    assert not ran.failed, ran.error
    assert verdict_of(session) == "correct"
    [offered] = ran.next_inputs
    assert "@triton.jit" in offered
    heading, _, code = offered.partition("\n")
    assert code == session.value("_kernelllm.code")
    key = session.value("_kernelllm.record")
    assert heading.startswith("# KernelLLM · starter · 20")
    assert heading.endswith(f" · correct (cpu-interpreter) · record {key}")


def test_the_panel_has_a_static_form(session: JupyterSession, small_module: str) -> None:
    ran = translate(session, small_module, metadata=MARKER)
    panels = [b for b in ran.bundles if "kllm-report" in b.get("text/html", "")]
    final = panels[-1]
    assert "Correct: agrees with the PyTorch module" in final["text/html"]
    assert "Correct: agrees with the PyTorch module" in final["text/plain"]
    assert final["application/vnd.jupyter.widget-view+json"]["model_id"]


def test_code_streams_into_the_cell_of_a_front_end_that_can(
    session: JupyterSession, small_module: str
) -> None:
    ran = translate(session, small_module, metadata=MARKER)
    assert not ran.failed, ran.error
    opening, heading = ran.stream_opened
    assert opening["op"] == "stream"
    assert opening["source_cell"] == "source-cell"
    assert opening["heading"].endswith(" · not checked")
    assert (heading["op"], heading["stream"]) == ("head", opening["stream"])
    assert " · correct (cpu-interpreter) · record " in heading["heading"]
    assert " · edited, not checked · record " in heading["edited"]
    assert heading["checked"] == session.value("_kernelllm.code")
    messages = ran.streamed
    assert [message["seq"] for message in messages] == list(range(len(messages)))
    *pieces, last = messages
    assert last["done"] is True
    assert last["status"] == "complete"
    assert "".join(piece["text"] for piece in pieces) == last["text"]
    assert last["text"] == session.value("_kernelllm.code")
    assert ran.next_inputs == [], "the code would stand in the notebook twice"


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%%kernelllm\n", "empty"),
        ("%%kernelllm\nclass Model(nn.Module:\n    pass\n", "not valid Python"),
        ("%%kernelllm\nx = 1\n", "no torch.nn.Module"),
        ("%%kernelllm --frobnicate\nx = 1\n", "unrecognized arguments: --frobnicate"),
        ("%%kernelllm --temperature -1\nx = 1\n", "--temperature"),
        ("%%kernelllm --into 3x\nx = 1\n", "--into"),
        ("%%kernelllm -k 0\nx = 1\n", "-k"),
        ("%%kernelllm --repair -1\nx = 1\n", "--repair"),
        ("%%kernelllm --repair 1 --no-check\nx = 1\n", "--no-check"),
        ("%%kernelllm -k 3 --temperature 0\nx = 1\n", "would be the same"),
        ("%kernelllm frobnicate", "invalid choice"),
    ],
)
def test_wrong_use_is_one_clear_message(session: JupyterSession, cell: str, said: str) -> None:
    ran = session.run(cell)
    assert ran.failed
    shown = ran.error + ran.printed
    assert said in shown
    assert "Traceback" not in shown
    assert session.value("1 + 1") == 2


def test_a_module_that_does_not_run_itself_is_named_as_the_cause(
    session: JupyterSession, small_module: str
) -> None:
    broken = small_module.replace(
        "return [torch", "raise OSError('no such file')\n    return [torch"
    )
    ran = translate(session, broken, metadata=MARKER)
    assert ran.failed
    assert "get_inputs" in ran.error
    assert "no such file" in ran.error
    assert ran.streamed[-1]["status"] == "complete", "the code had arrived and stays"


def test_a_model_that_does_not_exist_is_said_so(session: JupyterSession, small_module: str) -> None:
    ran = translate(session, small_module, "-m nobody/has-this-model")
    assert ran.failed
    assert "nobody/has-this-model" in ran.error
    assert "Traceback" not in ran.error


def test_a_module_outside_the_starter_is_refused_with_the_way_on(
    session: JupyterSession,
) -> None:
    ran = translate(
        session,
        "class Model(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.rnn = nn.LSTM(8, 8)\n    def forward(self, x): return self.rnn(x)[0]\n"
        "def get_inputs(): return [torch.randn(3, 8, 8)]\n",
    )
    assert ran.failed
    assert "LSTM" in ran.error
    assert "facebook/KernelLLM" in ran.error
    assert ran.next_inputs == []


def test_options_reach_what_they_name(session: JupyterSession, small_module: str) -> None:
    two = small_module + "\n\nclass Other(nn.Module):\n    def forward(self, x): return x - 1\n"
    ran = translate(session, two, "--name Other --no-check --into mine")
    assert not ran.failed, ran.error
    assert session.value("mine.problem.class_name") == "Other"
    assert session.value("mine.verdict") is None


def test_inputs_may_be_an_expression_or_live_tensors(
    session: JupyterSession, small_module: str
) -> None:
    head = small_module.split("def get_inputs")[0]
    ran = translate(session, head, "--inputs 'torch.randn(3, 50)'")
    assert not ran.failed, ran.error
    assert verdict_of(session) == "correct"
    session.run("import torch\nmine = torch.randn(2, 70)")
    ran = translate(session, head, "--inputs mine")
    assert not ran.failed, ran.error
    assert verdict_of(session) == "correct"
    assert session.value("len(_kernelllm.problem.live.inputs) == 1")


def test_strict_raises_where_the_verdict_is_not_correct(
    session: JupyterSession, small_module: str
) -> None:
    assert not translate(session, small_module, "--strict").failed
    ran = translate(session, small_module, "--strict --no-check")
    assert ran.failed
    assert "Not checked" in ran.error


def test_the_best_of_several_is_in_the_cell_once(
    session: JupyterSession, small_module: str
) -> None:
    ran = translate(session, small_module, "-k 4 --seed 3", metadata=MARKER)
    assert not ran.failed, ran.error
    assert verdict_of(session) == "correct"
    assert [opening["op"] for opening in ran.stream_opened] == ["stream", "head"]
    *pieces, last = ran.streamed
    assert all("done" not in piece for piece in pieces)
    assert (last["done"], last["status"]) == (True, "complete")
    assert last["text"] == session.value("_kernelllm.code")
    assert ran.next_inputs == []
    assert session.value("len(_kernelllm.candidates)") == 4


def test_the_grid_of_candidates_stays_in_the_static_form(
    session: JupyterSession, small_module: str
) -> None:
    ran = translate(session, small_module, "-k 3 --no-check --temperature 2 --seed 5")
    assert not ran.failed, ran.error
    final = [b for b in ran.bundles if "kllm-report" in b.get("text/html", "")][-1]
    assert "3 candidates" in final["text/html"]
    assert '<th scope="row">3</th>' in final["text/html"]
    assert "<summary>How candidate" in final["text/html"], "the others, as differences"
    assert "(kept)" in final["text/plain"]
    [offered] = ran.next_inputs
    assert offered.partition("\n")[2] == session.value("_kernelllm.code")


def test_what_none_of_several_gets_right_is_shown_as_failed(
    session: JupyterSession, small_module: str
) -> None:
    options = "-k 3 --repair 1 --temperature 60 --max-new-tokens 80 --seed 1"
    ran = translate(session, small_module, options)
    assert not ran.failed, ran.error
    assert verdict_of(session) != "correct"
    final = [b for b in ran.bundles if "kllm-report" in b.get("text/html", "")][-1]
    assert "None of the 6 candidates is correct" in final["text/plain"]
    assert "kept as failed" in final["text/html"]
    assert translate(session, small_module, f"{options} --strict").failed


def test_it_works_inside_a_loop(session: JupyterSession, small_module: str) -> None:
    ran = session.run(
        f"for _ in range(2):\n    get_ipython().run_cell_magic('kernelllm', '', {small_module!r})"
    )
    assert not ran.failed, ran.error
    assert verdict_of(session) == "correct"


def test_what_was_made_outlives_the_jupyter_kernel(small_module: str, tmp_path: Path) -> None:
    session = JupyterSession()
    try:
        session.run("%load_ext kernelllm_jupyter")
        translate(session, small_module)
        key, code = session.value("(_kernelllm.record, _kernelllm.code)")
        last = tmp_path / "my files" / "last.py"
        assert "my files/test_last.py" in session.run(f"%kernelllm export '{last}'").printed
        assert "No closing quotation" in session.run("%kernelllm export 'x").error
        session.restart()
        session.run("%load_ext kernelllm_jupyter")
        assert "name a record" in session.run(f"%kernelllm export {tmp_path}/again.py").error
        assert not session.run(f"%kernelllm export {key[:5]} {tmp_path}/again.py").failed
        assert (tmp_path / "again.py").read_text() == last.read_text()
        [listed] = session.run("%kernelllm history --limit 1").bundles
        assert key in listed["text/html"]
        assert "correct" in listed["text/plain"]
        [shown] = session.run(f"%kernelllm show {key[:5]}").bundles
        assert code.strip() in shown["text/plain"]
        assert "Correct: agrees with the PyTorch module" in shown["text/html"]
        assert "no record" in session.run("%kernelllm show nosuch").error
        assert "does not take" in session.run("%kernelllm history all").error
        session.run("%config KernelLLM.records = False")
        translate(session, small_module, "--no-check")
        assert session.value("_kernelllm.record") is None
        refused = session.run(f"%kernelllm export {tmp_path}/third.py")
        assert "was not checked" in refused.error
        marked = session.run(f"%kernelllm export {tmp_path}/third.py --unverified")
        assert not marked.failed, marked.error
        assert key in session.run("%kernelllm history --limit 1").bundles[0]["text/plain"]
    finally:
        session.close()


def test_the_button_s_call_loads_the_extension_by_itself(small_module: str) -> None:
    session = JupyterSession()
    try:
        call = "__import__('kernelllm_jupyter.notebook', fromlist=['translate_cell'])"
        ran = session.run(f"{call}.translate_cell({small_module!r})", metadata=MARKER)
        assert not ran.failed, ran.error
        assert ran.streamed[-1]["status"] == "complete"
    finally:
        session.close()


def test_help_and_completion_know_the_options(session: JupyterSession) -> None:
    ran = session.run("%%kernelllm?")
    pages = [part["data"]["text/plain"] for part in ran.reply["payload"]]
    assert "--max-new-tokens" in "".join(pages)
    session.client.complete("%%kernelllm --te", 16)
    reply = session.client.get_shell_msg(timeout=30)
    assert "--temperature" in reply["content"]["matches"]


def test_settings_are_defaults(session: JupyterSession, small_module: str) -> None:
    session.run("%config KernelLLM.check = False\n%config KernelLLM.best = 'fastest'")
    try:
        assert "fastest" in str(session.run("%config KernelLLM.best").published)
        translate(session, small_module)
        assert session.value("_kernelllm.verdict") is None
        translate(session, small_module, "--check")
        assert verdict_of(session) == "correct"
    finally:
        session.run("%config KernelLLM.check = True\n%config KernelLLM.best = 'first'")


def test_the_jupyter_kernel_stays_light(session: JupyterSession, small_module: str) -> None:
    fresh = JupyterSession()
    try:
        fresh.run("%load_ext kernelllm_jupyter")
        assert not translate(fresh, small_module).failed
        loaded = fresh.value(
            "[n for n in ('torch', 'triton', 'transformers') if n in __import__('sys').modules]"
        )
        assert loaded == []
    finally:
        fresh.close()


def test_status_and_stop(session: JupyterSession, small_module: str) -> None:
    translate(session, small_module)
    assert "starter" in session.run("%kernelllm status").printed
    assert not session.run("%kernelllm stop").failed
    assert "No model process" in session.run("%kernelllm status").printed
    ran = translate(session, small_module)
    assert not ran.failed, ran.error
    assert verdict_of(session) == "correct"


def test_a_live_module_is_translated_with_its_weights_and_captured_inputs(
    session: JupyterSession, tmp_path: Path
) -> None:
    defined = session.run(
        "import torch, torch.nn as nn, kernelllm_jupyter\n"
        "FACTOR = 2.5\n"
        "def scaled(x):\n    return torch.relu(x) * FACTOR\n"
        "class Block(nn.Module):\n"
        "    def __init__(self, gain):\n        super().__init__()\n"
        "        self.gain = gain\n"
        "    def forward(self, x):\n        return scaled(x) * self.gain\n"
        "model = nn.ModuleDict({'blocks': nn.ModuleList([Block(8.0), Block(12.0)])})\n"
    )
    assert not defined.failed, defined.error
    ran = session.run("%%kernelllm --from model['blocks'][1]")
    assert ran.failed
    assert "kernelllm_jupyter.capture(model['blocks'][1])" in ran.error
    session.run(
        "with kernelllm_jupyter.capture(model['blocks'][1]) as calls:\n"
        "    model['blocks'][1](torch.randn(5, 12))"
    )
    ran = session.run("%%kernelllm --from model['blocks'][1] --into mine")
    assert not ran.failed, ran.error
    assert session.value("mine.verdict.verdict") == "correct", session.value(
        "str(mine.verdict.reasons)"
    )
    source = session.value("mine.problem.source")
    assert "FACTOR = 2.5" in source
    assert "return [12.0]" in source
    assert session.value("mine.verdict.sizes.inputs") == ("float32[5, 12]",)
    written = session.run(f"%kernelllm export {tmp_path}/own")
    assert written.printed.splitlines()[:2] == [f"{tmp_path}/own.py", f"{tmp_path}/test_own.py"]
    assert "inputs and weights anew" in written.printed
    refused = session.run(f"%kernelllm export {tmp_path}/own --with-weights")
    assert "the module has no weights" in refused.error
    ran = session.run("%kernelllm --from model['blocks'][0] --inputs 'torch.randn(3, 8)'")
    assert not ran.failed, ran.error
    assert verdict_of(session) == "correct"
    for path, said in (
        ("nobody", "NameError"),
        ("model.eval()", "takes a module"),
        ("scaled", "is a function"),
    ):
        ran = session.run(f"%kernelllm --from {path}")
        assert ran.failed
        assert said in ran.error + ran.printed
        assert "Traceback" not in ran.error
    ran = session.run("%%kernelllm --from model['blocks'][0]\nclass Other(nn.Module): pass")
    assert ran.failed
    assert "the cell may be empty" in ran.error
