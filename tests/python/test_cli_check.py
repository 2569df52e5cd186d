"""``kernelllm check`` as other programs call it: two files, a folder of pairs, and the schema."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from verify_candidates import HEAD, TRITON, elementwise, model

import kernelllm_jupyter
from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.records import Records
from kernelllm_jupyter.values import CheckOptions
from kernelllm_jupyter.verify.suite import (
    SourcePair,
    check_pairs,
    default_jobs,
    find_pairs,
)
from kernelllm_jupyter.verify.worker import worker

SCHEMA = json.loads(
    (Path(kernelllm_jupyter.__file__).parent / "schemas" / "verdict.schema.json").read_text()
)
REFERENCE = HEAD + model("x * 2", "torch.randn(6, 70)")
RIGHT = TRITON + elementwise("x * 2")
WRONG = TRITON + elementwise("x * 2.5")
RAISES = TRITON + elementwise("x * missing")
BROKEN = "class ModelNew(:\n"
FAILING = HEAD + model("x.nope()", "torch.randn(6, 70)")
HANGS = TRITON + elementwise("x * 2").replace(
    "        n = out", "        while True: pass\n        n = out"
)


def kernelllm(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kernelllm_jupyter", *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=cwd,
    )


def printed(ran: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one object on standard output, which is as the schema says."""
    found: dict[str, Any] = json.loads(ran.stdout)
    Draft202012Validator(SCHEMA).validate(found)
    return found


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    for name, text in {
        "double/reference.py": REFERENCE,
        "double/right.py": RIGHT,
        "double/wrong.py": WRONG,
        "deeper/flat/scale.py": REFERENCE,
        "deeper/flat/scale_candidate.py": RAISES,
        "deeper/flat/scale_candidate_2.py": BROKEN,
        "deeper/flat/other.py": "print('no pair')",
        "failing/reference.py": FAILING,
        "failing/right.py": RIGHT,
        "double/_draft.py": "",
        ".hidden/reference.py": REFERENCE,
        ".hidden/right.py": RIGHT,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_schema_is_one_and_describes_every_key_of_a_verdict() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    from kernelllm_jupyter.values import Verdict

    assert set(SCHEMA["$defs"]["verdict"]["properties"]) == set(Verdict("correct").to_json())


@pytest.mark.parametrize(
    "spoiled",
    [
        {"verdict": "perfect"},
        {"reasons": [{"code": "made_up", "message": "no"}]},
        {"warnings": [{"code": "wrong_values", "message": "no warning"}]},
        {"elapsed_ms": -1},
        {"device": "abacus"},
    ],
)
def test_the_schema_refuses_what_no_check_prints(spoiled: dict[str, Any]) -> None:
    from kernelllm_jupyter.values import Verdict

    sound = Verdict("correct").to_json()
    validator = Draft202012Validator(SCHEMA)
    assert validator.is_valid(sound)
    assert not validator.is_valid({**sound, **spoiled})


def test_two_files_print_one_object_of_the_schema(suite: Path) -> None:
    right = kernelllm(
        "check", "double/reference.py", "double/right.py", "--json", "--seed", "3", cwd=suite
    )
    assert right.returncode == 0, right.stderr
    assert printed(right)["verdict"] == "correct"
    wrong = kernelllm("check", "double/reference.py", "double/wrong.py", "--json", cwd=suite)
    assert wrong.returncode == 1
    assert printed(wrong)["reasons"][0]["line"] == 15
    failing = kernelllm("check", "failing/reference.py", "failing/right.py", "--json", cwd=suite)
    assert failing.returncode == 2
    error = printed(failing)["error"]
    assert error["type"] == "ProblemError"
    assert "nope" in error["message"]
    assert error["line"] == FAILING.splitlines().index("        return x.nope()") + 1


def test_a_folder_prints_every_pair_and_a_summary(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERNELLLM_DATA", str(tmp_path / "records"))
    ran = kernelllm("check", ".", "--json", "--jobs", "2", cwd=suite)
    assert ran.returncode == 1, ran.stderr
    found = printed(ran)
    verdicts = {
        pair["candidate"]: pair["verdict"]["verdict"] if pair["verdict"] else pair["error"]["type"]
        for pair in found["pairs"]
    }
    assert verdicts == {
        "deeper/flat/scale_candidate.py": "runtime_error",
        "deeper/flat/scale_candidate_2.py": "compile_error",
        "double/right.py": "correct",
        "double/wrong.py": "incorrect",
        "failing/right.py": "ProblemError",
    }
    assert list(verdicts) == sorted(verdicts)
    assert found["summary"] == {
        "correct": 1,
        "incorrect": 1,
        "runtime_error": 1,
        "compile_error": 1,
        "error": 1,
    }
    assert "[5/5]" in ran.stderr
    kept = Records().summaries(9)
    assert len(kept) == 4
    assert {(one.kind, one.origin) for one in kept} == {("check", "command")}
    # One for each verdict; what could not be checked leaves none.
    wanted = {name for name in verdicts.values() if name != "ProblemError"}
    assert {one.verdict for one in kept} == wanted
    right = next(one for one in kept if one.verdict == "correct")
    assert Records().find(right.id).code == (suite / "double" / "right.py").read_text()


def test_a_folder_in_words_has_a_line_for_each_pair(suite: Path) -> None:
    ran = kernelllm("check", "double", cwd=suite)
    assert ran.returncode == 1, ran.stderr
    lines = ran.stdout.splitlines()
    assert any(line.startswith("correct ") and "double/right.py" in line for line in lines)
    assert any(line.startswith("incorrect ") and "wrong_values" in line for line in lines)
    assert "2 checked: 1 correct, 1 incorrect." in lines
    (suite / "double" / "wrong.py").unlink()
    assert kernelllm("check", "double", cwd=suite).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("double", "--jobs", "0"),
        ("double", "--jobs", "-2"),
        ("double", "--timeout", "0"),
        ("double", "--timeout", "nan"),
        ("double", "--seed", "-1"),
        ("double", "double/right.py"),
        ("double/reference.py",),
        ("double/reference.py", "double/right.py", "--jobs", "2"),
        ("deeper/nowhere",),
        ("deeper/flat/none",),
    ],
)
def test_wrong_use_is_one_object_and_its_own_exit_status(
    suite: Path, arguments: tuple[str, ...]
) -> None:
    (suite / "deeper" / "flat" / "none").mkdir()
    ran = kernelllm("check", *arguments, "--json", cwd=suite)
    assert ran.returncode == 2
    assert printed(ran)["error"]["message"]
    assert "Traceback" not in ran.stderr


def test_an_interrupt_ends_a_folder_at_once_and_prints_what_is_done(suite: Path) -> None:
    (suite / "double" / "zzz_hangs.py").write_text(HANGS)
    command = [
        sys.executable,
        "-m",
        "kernelllm_jupyter",
        "check",
        "double",
        "--json",
        "--jobs",
        "1",
    ]
    running = subprocess.Popen(
        command,
        cwd=suite,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert running.stderr is not None
    assert running.stdout is not None
    for line in running.stderr:
        if "[2/3]" in line:
            break
    os.killpg(running.pid, signal.SIGINT)
    out, _ = running.communicate(timeout=60)
    assert running.returncode == 130
    found = json.loads(out)
    Draft202012Validator(SCHEMA).validate(found)
    assert found["summary"] == {"correct": 1, "incorrect": 1, "not_checked": 1}


# --- which files are pairs -----------------------------------------------------------------------


def found_in(folder: Path) -> list[tuple[str, str]]:
    return [
        (str(pair.reference.relative_to(folder)), str(pair.candidate.relative_to(folder)))
        for pair in find_pairs(folder)
    ]


def test_both_layouts_are_found_at_any_depth(suite: Path) -> None:
    assert found_in(suite) == [
        ("deeper/flat/scale.py", "deeper/flat/scale_candidate.py"),
        ("deeper/flat/scale.py", "deeper/flat/scale_candidate_2.py"),
        ("double/reference.py", "double/right.py"),
        ("double/reference.py", "double/wrong.py"),
        ("failing/reference.py", "failing/right.py"),
    ]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["lonely_candidate.py"], "there is no lonely.py"),
        (["reference.py", "foo.py", "foo_candidate.py"], "a folder of its own"),
        (["reference.py"], "no pairs"),
        (["a.py", "b.py"], "no pairs"),
        ([], "no pairs"),
    ],
)
def test_what_is_no_pair_or_could_be_two_is_refused(
    tmp_path: Path, names: list[str], words: str
) -> None:
    for name in names:
        (tmp_path / name).write_text("")
    with pytest.raises(UsageError, match=words):
        find_pairs(tmp_path)


def test_a_folder_that_cannot_be_read_is_no_empty_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Cannot read .*nowhere: No such file"):
        find_pairs(tmp_path / "nowhere")


def test_a_candidate_named_after_its_reference_may_be_in_the_references_folder(
    tmp_path: Path,
) -> None:
    for name in ("reference.py", "reference_candidate.py", "kernel_candidate.py"):
        (tmp_path / name).write_text("")
    assert len(find_pairs(tmp_path)) == 2


# --- many ----------------------------------------------------------------------------------------


@pytest.fixture
def many(tmp_path: Path) -> Iterator[list[SourcePair]]:
    (tmp_path / "reference.py").write_text(REFERENCE)
    for number in range(10):
        (tmp_path / f"candidate{number}.py").write_text(RIGHT if number % 2 else WRONG)
    yield find_pairs(tmp_path)
    worker("cpu").stop()


ON_CPU = CheckOptions(device="cpu")


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_many_checks_leave_no_descriptor_behind(many: list[SourcePair]) -> None:
    assert len(list(check_pairs(many[:2], ON_CPU, jobs=2))) == 2
    server = worker("cpu").server
    assert server is not None
    before = descriptors(os.getpid()), descriptors(server.pid)
    results = list(check_pairs(many, ON_CPU, jobs=3))
    assert {result.pair for result in results} == set(many)
    assert sum(result.verdict is not None and result.verdict.correct for result in results) == 5
    assert worker("cpu").server is server
    after = descriptors(os.getpid()), descriptors(server.pid)
    # The server keeps one pair of processes ready, which it may be making just now.
    assert after[0] <= before[0]
    assert after[1] <= before[1] + 8


def test_a_server_that_dies_loses_no_pair(many: list[SourcePair]) -> None:
    results = []
    for result in check_pairs(many[:6], ON_CPU, jobs=2):
        results.append(result)
        if len(results) == 2:
            server = worker("cpu").server
            assert server is not None
            os.kill(server.pid, signal.SIGKILL)
    assert len(results) == 6
    assert all(result.verdict is not None for result in results), [r.error for r in results]


def test_giving_the_iteration_up_ends_the_checks(tmp_path: Path) -> None:
    (tmp_path / "reference.py").write_text(REFERENCE)
    (tmp_path / "a.py").write_text(RIGHT)
    (tmp_path / "b.py").write_text(HANGS)
    results = check_pairs(find_pairs(tmp_path), ON_CPU, jobs=1)
    assert next(results).pair.candidate.name == "a.py"
    results.close()
    assert list(results) == []


def test_a_gpu_checks_one_at_a_time() -> None:
    assert default_jobs("cuda") == 1
    assert 1 <= default_jobs("cpu") <= 4
