"""Reason codes: one registry, and the source, the schema and the docs say the same."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from verify_candidates import RIGHT, TRITON

from kernelllm_jupyter.verify.check import check
from kernelllm_jupyter.verify.codes import DISTURBED, NOT_MADE, REASONS, WARNINGS, known_reason

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    path
    for path in (ROOT / "kernelllm_jupyter" / "verify").rglob("*.py")
    if path.name != "codes.py"
]
REASON_CODES = {code for codes in REASONS.values() for code in codes}


def text_of(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def named(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def used(path: Path) -> Iterator[tuple[str, str | None, str, int]]:
    """What a source gives a code to: ``reason``, ``warn``, ``skip`` or ``finding``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            given = [text_of(argument) for argument in node.args]
            name = named(node)
            if name in ("Refusal", "_refused") and len(given) >= 2 and given[1]:
                yield "reason", given[0], given[1], node.lineno
            elif name in ("warn", "skip", "Finding") and given and given[0]:
                yield name, None, given[0], node.lineno
        elif isinstance(node, ast.Dict):
            entries = {
                text_of(key): value for key, value in zip(node.keys, node.values, strict=True)
            }
            code = text_of(entries.get("code"))
            if code and "message" in entries:
                yield "reason", text_of(entries.get("kind")), code, node.lineno


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_code_in_the_source_is_registered(path: Path) -> None:
    for use, verdict, code, line in used(path):
        where = f"{path.name}:{line}: {code!r} is not in verify/codes.py"
        if use == "warn":
            assert code in WARNINGS, where
        elif use == "skip":
            assert code in NOT_MADE, where
        elif use == "reason" and verdict is not None:
            assert known_reason(verdict, code), where
        else:
            assert code in REASON_CODES | set(WARNINGS) | set(NOT_MADE) | set(DISTURBED), where


def test_every_registered_code_is_used() -> None:
    written = {
        node.value
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert REASON_CODES | set(WARNINGS) | set(NOT_MADE) | set(DISTURBED) <= written


def test_the_schema_and_the_docs_list_every_code() -> None:
    ran = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "codes.py"), "--check"],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr


#: Writes an answer of its own making into every socket that its process holds.
FORGER = """
import json, os, socket, struct
class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        body = json.dumps({"header": HEADER, "sizes": []}).encode()
        for name in os.listdir("/proc/self/fd"):
            try:
                wire = socket.socket(fileno=os.dup(int(name)))
                wire.sendall(struct.pack("!Q", len(body)) + body)
                wire.detach()
            except OSError:
                continue
        os._exit(0)
"""


@pytest.mark.parametrize(
    "failed",
    [
        {"kind": "correct", "code": "exception", "message": "all is well"},
        {"kind": "runtime_error", "code": "made_up", "message": "hello"},
        {"kind": "rejected", "code": "no_launch", "message": ["no", "text"]},
        {"kind": "runtime_error", "code": "exception", "message": "hello", "line": "12"},
        {"kind": "runtime_error", "code": "exception"},
        "failed",
    ],
)
def test_a_forged_answer_is_no_verdict(failed: object) -> None:
    source = TRITON + FORGER.replace("HEADER", json.dumps({"failed": failed}))
    verdict = check(RIGHT[0].problem(), source, device="cpu")
    assert verdict.verdict == "crashed"
    assert [reason.code for reason in verdict.reasons] == ["garbled"]
