"""The interactive session, driven through a real terminal, and through a pipe."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from model_server import event, serving, silent_after

from kernelllm_jupyter import KernelLLM
from kernelllm_jupyter.repl import Repl
from kernelllm_jupyter.repl.entries import Piped, ends_here

pexpect = pytest.importorskip("pexpect", reason="needs a Unix terminal")

MODULE = """\
import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, x):
        return torch.sigmoid(x) - 7.25


def get_inputs():
    return [torch.randn(4, 33)]


def get_init_inputs():
    return []
"""
WITHOUT_INPUTS = MODULE.split("def get_inputs")[0].rstrip()
ANSWER_WITHIN_S = 60
CTRL_C, CTRL_D, UP, ENTER = "\x03", "\x04", "\x1b[A", "\r"


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Starts sessions that share one history; each ends with the test."""
    started = []

    def start(*arguments: str) -> Any:
        child = pexpect.spawn(
            sys.executable,
            ["-m", "kernelllm_jupyter", "repl", *arguments],
            env={
                **os.environ,
                "XDG_STATE_HOME": str(tmp_path / "state"),
                "TERM": "xterm",
                "PROMPT_TOOLKIT_NO_CPR": "1",
            },
            encoding="utf-8",
            timeout=ANSWER_WITHIN_S,
            dimensions=(50, 120),
        )
        started.append(child)
        child.expect("kernelllm>")
        return child

    yield start
    for child in started:
        child.close(force=True)


def test_a_module_is_pasted_translated_checked_and_saved(
    terminal: Callable[..., Any], tmp_path: Path
) -> None:
    """Pasted as a terminal without bracketed paste sends it: blank lines inside end nothing."""
    child = terminal()
    child.send(MODULE.replace("\n", ENTER) + ENTER)
    child.expect("class ModelNew")
    child.expect(r"tokens/s\]")
    child.expect("kernelllm>")
    child.send(f":check{ENTER}")
    child.expect("Correct")
    child.send(f":save {tmp_path / 'out.py'}{ENTER}")
    child.expect("written to")
    code = (tmp_path / "out.py").read_text()
    assert "class ModelNew" in code
    assert "7.25" in code
    child.send(f":nonsense{ENTER}")
    child.expect("There is no command :nonsense")
    child.send(f":quit{ENTER}")
    child.expect(pexpect.EOF)


def test_a_marked_paste_is_taken_whole_and_remembered(terminal: Callable[..., Any]) -> None:
    child = terminal()
    child.send(f"\x1b[200~{MODULE}\x1b[201~")
    child.expect("get_init_inputs")
    child.send(ENTER)  # The cursor stands on the blank line at the end of the paste.
    child.expect(r"tokens/s\]")
    child.expect("kernelllm>")
    child.send(CTRL_D)
    child.expect(pexpect.EOF)
    again = terminal()
    again.send(UP)
    again.expect("get_init_inputs")
    again.send(f"\x1b{ENTER}")
    again.expect(r"tokens/s\]")


def test_several_candidates_are_sampled_and_the_verified_one_is_kept(
    terminal: Callable[..., Any],
) -> None:
    child = terminal("--quantization", "none")
    child.send(f":k 3{ENTER}")
    child.expect("up to 3 candidates, checked")
    child.send(f":repair 1{ENTER}")
    child.expect("up to 3 candidates, up to 1 round of repair, checked")
    child.send(MODULE.replace("\n", ENTER) + ENTER)
    child.expect("class ModelNew")
    child.expect("Correct: agrees")
    child.send(f":show{ENTER}")
    child.expect("class ModelNew")


def test_an_interrupt_keeps_the_text_so_far(terminal: Callable[..., Any], tmp_path: Path) -> None:
    with serving() as server:
        server.answers = [silent_after(event("```python\nimport torch\nimport tri"))]
        child = terminal("-m", server.name())
        child.send(MODULE.replace("\n", ENTER) + ENTER)
        child.expect("import torch\r\nimport tri")
        child.send(CTRL_C)
        child.expect("the text so far is kept")
        assert server.left.wait(ANSWER_WITHIN_S)  # The server was told to stop.
        child.send(f":save {tmp_path / 'part.py'}{ENTER}")
        child.expect("written to")
        assert (tmp_path / "part.py").read_text() == "import torch\nimport tri"
        child.expect("kernelllm>")
        # While something is typed, it drops that and nothing else.
        child.send(f"class Half:{ENTER}{CTRL_C}")
        child.send(f":show{ENTER}")
        child.expect("import tri\r\n")


# --- without a terminal --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> KernelLLM:
    return KernelLLM()


def session(model: KernelLLM, text: str) -> str:
    sink = io.StringIO()
    Repl(model._engine, model._profile, source=io.StringIO(text), sink=sink).run()
    return sink.getvalue()


def test_what_is_piped_in_is_what_is_translated(model: KernelLLM) -> None:
    for end in ("", ":go\n", "\n\n:show\n"):
        said = session(model, MODULE + end)
        assert "7.25" in said
        assert "class ModelNew" in said


def test_commands_without_an_answer_and_wrong_values_are_told(model: KernelLLM) -> None:
    said = session(
        model,
        ":check\n:save x\n:k none\n:k 0\n:repair -1\n"
        ":temperature -1\n:top-p 2\n:tokens 1.5\n:open no\n",
    )
    assert said.count("There is no answer yet") == 2
    assert said.count("no whole number") == 4
    assert said.count("out of range") == 2
    assert "No such file" in said


def test_a_module_without_inputs_is_translated_and_cannot_be_checked(model: KernelLLM) -> None:
    said = session(model, WITHOUT_INPUTS + "\n:check\n")
    assert "class ModelNew" in said
    assert "no get_inputs()" in said


def test_a_models_text_gives_the_terminal_no_orders(model: KernelLLM) -> None:
    sink = io.StringIO()
    Repl(model._engine, model._profile, source=io.StringIO(), sink=sink)._say("a\x1b]0;b\x07\n")
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", sink.getvalue())


def test_entries_of_a_pipe_are_modules_and_commands() -> None:
    entries = Piped(io.StringIO("x[\n  :2]\ny\n:one\n:two a\n\n\nz\n"))
    found = []
    while (entry := entries.read()) is not None:
        found.append(entry)
    assert found == ["x[\n  :2]\ny", ":one", ":two a", "\n\nz"]


@pytest.mark.parametrize(
    ("text", "pasted", "ends"),
    [
        (MODULE, False, True),
        (MODULE.rstrip(), True, False),
        (MODULE + "   ", False, True),
        ("import torch\n", True, False),
        ("import torch\n\n", True, False),
        ("import torch\n\n\n", True, True),
        (WITHOUT_INPUTS + "\n", True, True),
        # PEP 8's two blank lines before what may still be typed.
        (WITHOUT_INPUTS + "\n\n", False, False),
        (WITHOUT_INPUTS + "\n\n\n", False, True),
        ("class A:\n    def f(self):\n", True, False),
        ("x = 1\n\n\n", False, True),
        ("", False, False),
    ],
)
def test_a_blank_line_ends_a_complete_module_only(text: str, pasted: bool, ends: bool) -> None:
    assert ends_here(text, pasted=pasted) == ends
