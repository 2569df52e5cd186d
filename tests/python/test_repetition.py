"""Replies that go round in circles are noticed early; honest code never is."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from kernelllm_jupyter.fingerprint import fingerprint
from kernelllm_jupyter.repetition import RepetitionGuard

sys.path.append(str(Path(__file__).resolve().parents[1] / "verification"))

from entries import written

TESTS = Path(__file__).parent
PACKAGE = TESTS.parents[1] / "kernelllm_jupyter"
KERNEL = """\
@triton.jit
def add_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + at, tl.load(x_ptr + at) + tl.load(y_ptr + at), mask=at < n)


"""
HEAD = "import torch\nimport triton\nimport triton.language as tl\nEPS = 1e-5\n"


def guarded(text: str, *, pieces: int | None = None, definitions: bool = True) -> RepetitionGuard:
    guard = RepetitionGuard(definitions=definitions)
    draw = random.Random(pieces)
    while text and not guard.found:
        size = len(text) if pieces is None else draw.randint(1, pieces)
        guard.feed(text[:size])
        text = text[size:]
    return guard


@pytest.mark.parametrize("pieces", [None, 1, 7, 300])
@pytest.mark.parametrize(
    ("block", "times"),
    [
        ("import torch\n", 40),
        ("\n", 40),
        ("    x = x + 1\n    y = y * 2\n    z = x - y\n", 12),
        ("".join(f"    a{n} = tl.load(p + {n})\n" for n in range(30)), 5),
        (KERNEL, 4),
    ],
    ids=["line", "blank", "block", "long block", "definition"],
)
def test_a_repeated_block_is_found_and_stays_once(
    block: str, times: int, pieces: int | None
) -> None:
    guard = guarded(HEAD + block * times, pieces=pieces)
    assert guard.found
    assert (HEAD + block * times)[: guard.cut] == HEAD + block


def test_a_definition_that_changes_a_little_each_time_is_found() -> None:
    text = HEAD + "".join(KERNEL.replace("n,", f"n{number},") for number in range(5))
    guard = guarded(text)
    assert guard.found == "add_kernel is defined again and again"
    assert text[: guard.cut] == HEAD + KERNEL.replace("n,", "n0,")
    assert not guarded(text, definitions=False).found, "a discussion may hold several drafts"


def test_a_line_that_does_not_end_is_found() -> None:
    guard = guarded(HEAD + "x = " + "0 + " * 2000, pieces=50)
    assert guard.found == "a line goes on and on"
    assert guard.cut == len(HEAD)


def test_a_reply_is_stopped_long_before_its_tokens_are_used_up() -> None:
    guard = RepetitionGuard()
    lines = 0
    while not guard.feed("    tl.store(out_ptr + at, x)\n"):
        lines += 1
    assert lines < 40


def test_no_honest_code_is_stopped() -> None:
    right = [(entry.label, entry.source) for entry in written() if entry.expectation.right]
    assert len(right) > 50
    package = [(p.name, p.read_text("utf-8")) for p in PACKAGE.rglob("*.py")]
    for name, text in [*right, *package]:
        assert guarded(text).found is None, name
    # These hold many modules, as strings.
    for path in TESTS.glob("*.py"):
        assert guarded(path.read_text("utf-8"), definitions=False).found is None, path.name


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"    acc{n} += tl.load(p + {n}) * w{n}\n" for n in range(200)),
        "layers = [\n"
        + "    nn.Linear(64, 64),\n    nn.BatchNorm1d(64),\n    nn.ReLU(),\n" * 7
        + "]\n",
        "    x = tl.sigmoid(x)\n" * 20,
        "TABLE = [" + ", ".join(str(n * n) for n in range(2000)) + "]\n",
        "def tanh(x): ...\n\n\nif OLD:\n    def tanh(x): ...\ndef tanh(x): ...\n",
    ],
    ids=["unrolled", "deep", "repeated line", "table", "fallback"],
)
def test_code_that_only_looks_alike_is_not_stopped(text: str) -> None:
    assert guarded(text).found is None


def test_a_fingerprint_sees_past_layout_and_nothing_else() -> None:
    code = "def f(x):\n    return x + 1\n"
    same = '# Adds.\ndef f( x ):\n    """Add one."""\n\n    return (x+1)  # one more\n'
    assert fingerprint(code) == fingerprint(same)
    assert fingerprint(code) != fingerprint(code.replace("1", "1.0"))
    assert fingerprint(code) != fingerprint(code.replace("x", "y"))
    assert fingerprint("no python at  all") == fingerprint("no python\nat all")
    assert fingerprint("def f(:") != fingerprint("def g(:")
    assert fingerprint('def f():\n    """Only words."""\n') == fingerprint("def f():\n    pass\n")
