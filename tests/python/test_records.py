"""Records on a real disk, with real SQLite, several processes, and all that a disk refuses."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripted_engine import ScriptedEngine

from kernelllm_jupyter.carried import Carried
from kernelllm_jupyter.errors import EngineError, RecordsError
from kernelllm_jupyter.history import history_html, history_text, record_html, record_text
from kernelllm_jupyter.options import Request
from kernelllm_jupyter.problem import parse_problem
from kernelllm_jupyter.prompts import profile_for
from kernelllm_jupyter.recording import Recorded
from kernelllm_jupyter.records import Records, Store, keeper, store
from kernelllm_jupyter.records.place import FILE_NAME, on_network
from kernelllm_jupyter.records.plain import dumped, loaded, scrubbed
from kernelllm_jupyter.records.schema import NewerSchema, migrate
from kernelllm_jupyter.search import search
from kernelllm_jupyter.timings import Bound, Contender, Interval, Sweep, SweepPoint, Timing
from kernelllm_jupyter.translate import Finished, Noted
from kernelllm_jupyter.values import (
    Candidate,
    Compilation,
    CompiledKernel,
    Finding,
    Live,
    Problem,
    Sizes,
    Translation,
    Verdict,
)

REPLY = ["```python\nimport triton\n", "class ModelNew: ...\n", "```\n"]
CODE = "import triton\nclass ModelNew: ...\n"
VERDICT = Verdict(
    "correct",
    reasons=(Finding("wrong_values", "no", 3),),
    warnings=(Finding("single_shape", "tied"),),
    device="cpu-interpreter",
    trials=9,
    max_abs_error=float("inf"),
    launches=1,
    versions={"torch": "2.13"},
    aten={"aten.add": 2},
    compilation=Compilation("sm_90", (CompiledKernel("k", 4, grid=(2, 1, 1)),), ("a",)),
    sizes=Sizes(("float32[4, 33]",), None),
)


@pytest.fixture
def problem(small_module: str) -> Problem:
    return parse_problem(small_module)


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "data")


def run(records: Records, problem: Problem, *scripts: Any) -> tuple[Translation, list[str]]:
    """One recorded translation; its result, and what was noted on the way."""
    engine = ScriptedEngine(*(scripts or [REPLY]))
    made = search(problem, engine, profile_for("facebook/KernelLLM"))
    request = Request("scripted", check=False)
    notes: list[str] = []
    with closing(Recorded(made, records, problem, request, origin="notebook")) as events:
        for event in events:
            if isinstance(event, Noted):
                notes.append(event.message)
            if isinstance(event, Finished):
                return event.translation, notes
    raise AssertionError("no end")


# --- what is kept --------------------------------------------------------------------------------


def test_a_translation_is_kept_with_all_that_was_made(records: Records, problem: Problem) -> None:
    made, notes = run(records, problem)
    assert notes == []
    assert made.record
    record = records.find(made.record[:4])
    assert record.state == "done"
    assert record.problem == problem
    assert record.code == made.code == CODE
    assert record.candidates[0].candidate == made.candidate
    assert record.model == "scripted"
    assert record.options["sampling"]["temperature"] is None
    assert record.versions["python"] == sys.version.split()[0]
    assert record.ended_at_s is not None
    assert record.ended_at_s >= record.started_at_s


def test_later_verdicts_and_timings_join_the_record(records: Records, problem: Problem) -> None:
    recording = records.begin("translate", problem, "m", origin="notebook")
    assert recording is not None
    recording.candidate(0, Candidate(CODE, CODE, "m", "stop"))
    recording.verdict(CODE, VERDICT, 0)
    assert recording.end("done", chosen=0)
    timing = Timing("faster", device="H100", eager_ms=2.0, candidate_ms=1.0, speedup=2.0)
    recording.timing(CODE, timing)
    edited = CODE + "# edited\n"
    recording.verdict(edited, replace(VERDICT, verdict="incorrect"))
    assert recording.is_kept()
    record = records.find(recording.id)
    assert record.verdict == VERDICT
    assert record.timing == timing
    assert record.candidates[0].candidate.text == "", "the same text is not kept twice"
    [_, later] = record.verdicts
    assert (later.code, later.place) == (edited, None)
    assert later.device == "cpu-interpreter"
    [summary] = records.summaries(10)
    assert (summary.verdict, summary.speedup) == ("correct", 2.0)
    shown = json.loads(json.dumps(record.to_json()))
    assert shown["record"] == recording.id
    assert shown["verdict"]["verdict"] == "correct"
    assert len(shown["verdicts"]) == 2


def test_records_are_shown_as_text_and_as_escaped_html(records: Records, problem: Problem) -> None:
    assert "Nothing is recorded" in history_text(records.summaries(5))
    assert "Nothing is recorded" in history_html(records.summaries(5))
    made, _ = run(records, problem, ["```python\nx = '<img src=x>'\n```\n"])
    assert made.record
    listed = history_text(records.summaries(5))
    assert made.record in listed
    assert "not checked" in listed
    assert made.record in history_html(records.summaries(5))
    record = records.find("last")
    assert "x = '<img src=x>'" in record_text(record)
    assert "<img" not in record_html(record)
    assert "&lt;img src=x&gt;" in record_html(record)


@pytest.mark.parametrize(
    "value",
    [
        VERDICT,
        Candidate("a", "b", "m", "repetition", 3, 0.5, mends=("import",), duplicate_of=1),
        Timing(
            "faster",
            contenders=(Contender("eager", 1.0, Interval(0.9, 1.1), conclusion="faster"),),
            bound=Bound("H100", "published", 3350.0, 0.1),
            sweeps=(Sweep("N", (SweepPoint(("float32[4]",), 4, eager_ms=1.0),)),),
            contamination=(Finding("a", "b"),),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    assert loaded(type(value), dumped(value)) == value


def test_values_of_other_versions_are_read_as_far_as_they_are_known() -> None:
    text = '{"verdict":"correct","new_field":[1],"sizes":{"inputs":["a"],"newer":2}}'
    assert loaded(Verdict, text) == Verdict("correct", sizes=Sizes(("a",)))
    with pytest.raises(ValueError, match="Verdict"):
        loaded(Verdict, '{"device":"cpu"}')


# --- whatever ends it ----------------------------------------------------------------------------


def test_an_interrupt_and_a_failure_leave_what_there_was(
    records: Records, problem: Problem
) -> None:
    engine = ScriptedEngine(REPLY)
    made = search(problem, engine, profile_for("facebook/KernelLLM"))
    events = Recorded(made, records, problem, Request("scripted"), origin="notebook")
    for event in events:
        if getattr(event, "code", ""):
            break
    events.close()
    record = records.find("last")
    assert record.state == "stopped"
    assert record.code == "import triton\n"
    assert not record.candidates[0].whole
    with pytest.raises(EngineError):
        run(records, problem, [*REPLY[:2], EngineError("The model broke.")])
    record = records.find("last")
    assert (record.state, record.message) == ("failed", "The model broke.")
    assert record.code == CODE


KILLED = """
import os, signal, sys, time
from kernelllm_jupyter.problem import parse_problem
from kernelllm_jupyter.records import Records, keeper
from kernelllm_jupyter.values import Candidate
keeper.PARTIAL_INTERVAL_S = 0.0
problem = parse_problem(sys.stdin.read())
recording = Records().begin("translate", problem, "m", origin="notebook")
recording.candidate(0, Candidate("whole = 1", "", "m", "stop"))
recording.writing(1, ["part", " = 2"], "m")
assert recording.is_kept()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_what_there_was(
    tmp_path: Path, small_module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERNELLLM_DATA", str(tmp_path))
    command = [sys.executable, "-c", KILLED]
    subprocess.run(command, input=small_module, text=True, check=False, timeout=60)
    record = Records().find("last")
    assert record.state == "unfinished"
    assert [each.candidate.code for each in record.candidates] == ["whole = 1", "part = 2"]
    assert [each.whole for each in record.candidates] == [True, False]
    assert "Cut off" in record_text(record)
    assert "unfinished" in history_text(Records().summaries(1))


MANY = """
import sys
from kernelllm_jupyter.records import Records
from kernelllm_jupyter.values import Candidate, Problem
records = Records()
for n in range(25):
    recording = records.begin("translate", Problem("x = 1", "Model"), "m", origin="notebook")
    recording.candidate(0, Candidate(f"code = {n}", "", "m", "stop"))
    assert recording.end("done", chosen=0), records.take_trouble()
"""


def test_several_notebooks_write_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERNELLLM_DATA", str(tmp_path))
    running = [subprocess.Popen([sys.executable, "-c", MANY]) for _ in range(3)]
    assert [each.wait(120) for each in running] == [0, 0, 0]
    found = Records().summaries(1000)
    assert len(found) == 75
    assert all(each.state == "done" for each in found)


FORKED = """
import os, sys
from kernelllm_jupyter.records import Records
from kernelllm_jupyter.values import Problem
records = Records()
def keep():
    recording = records.begin("check", Problem("x = 1", "Model"), "", origin="python")
    return recording.end("done")
assert keep()
child = os.fork()
if child == 0:
    os._exit(0 if keep() and keep() else 1)
_, status = os.waitpid(child, 0)
assert keep()
print(status, len(records.summaries(9)))
"""


def test_a_forked_process_keeps_records_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERNELLLM_DATA", str(tmp_path))
    command = [sys.executable, "-c", FORKED]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.stdout == "0 4\n", ran.stderr


# --- whatever the disk refuses -------------------------------------------------------------------


def assert_told_once(records: Records, problem: Problem, said: str) -> None:
    """Translations go on without a record, and the reason is said once."""
    made, notes = run(records, problem)
    assert made.code == CODE
    assert made.record is None
    assert len(notes) == 1
    assert said in notes[0]
    made, notes = run(records, problem)
    assert (made.code, made.record, notes) == (CODE, None, [])


def test_a_folder_that_cannot_be_made_is_said_once(tmp_path: Path, problem: Problem) -> None:
    (tmp_path / "file").write_text("")
    records = Records(tmp_path / "file" / "data")
    assert_told_once(records, problem, "KERNELLLM_DATA")
    with pytest.raises(RecordsError):
        records.find("abc")


def test_a_user_without_a_home_has_no_records_and_is_told_once(
    problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless(*_: object, **__: object) -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.delenv("KERNELLLM_DATA")
    monkeypatch.setattr("platformdirs.user_data_path", homeless)
    monkeypatch.chdir(tmp_path)
    assert_told_once(Records(), problem, "this user has no home folder")
    with pytest.raises(RecordsError, match="nothing is kept"):
        Records().find("last")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_once_and_a_freed_one_used_again(
    records: Records, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(records, problem)
    connect = sqlite3.connect

    def connect_to_full_disk(*arguments: Any, **keywords: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **keywords)
        connection.execute("PRAGMA max_page_count = 1").fetchall()
        return connection

    full = Records(records.folder)
    large = replace(problem, source=problem.source + "#" * 300_000)
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", connect_to_full_disk)
        assert_told_once(full, large, "full")
    made, notes = run(full, large)
    assert made.record
    assert notes == []
    assert full.find(made.record).problem == large
    assert len(records.summaries(9)) == 2


LIMITED = """
import resource, signal, sys
from kernelllm_jupyter.records import Records
from kernelllm_jupyter.values import Candidate, Problem
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
records = Records()
recording = records.begin("translate", Problem("x" * 90_000, "Model"), "m", origin="notebook")
print(recording.end("done"), records.take_trouble(), records.take_trouble())
"""


def test_a_write_that_the_system_refuses_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERNELLLM_DATA", str(tmp_path))
    command = [sys.executable, "-c", LIMITED]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.startswith("False Records are not kept")
    assert ran.stdout.rstrip().endswith("None")


def test_a_lock_that_is_held_does_not_hold_a_translation(
    records: Records, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(records, problem)
    monkeypatch.setattr(keeper, "FLUSH_S", 0.2)
    other = sqlite3.connect(records.folder / FILE_NAME, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        assert_told_once(records, problem, "takes too long")
    finally:
        other.execute("ROLLBACK")
        other.close()


@pytest.mark.parametrize("damage", ["no database", "pages overwritten"])
def test_a_damaged_file_is_put_aside_and_a_new_one_begun(
    damage: str, records: Records, problem: Problem
) -> None:
    for _ in range(3):
        run(records, problem)
    path = records.folder / FILE_NAME
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    content = bytearray(path.read_bytes())
    if damage == "no database":
        content[:100] = b"x" * 100
    else:
        content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    anew = Records(records.folder)
    made, notes = run(anew, problem)
    assert made.record
    [note] = notes
    assert "damaged" in note
    asides = records.folder.glob("*.damaged-*")
    [aside] = (each for each in asides if not each.name.endswith(("-wal", "-shm")))
    assert aside.read_bytes() == content
    assert anew.find(made.record).code == CODE


def test_records_of_a_later_version_stay_as_they_are(records: Records, problem: Problem) -> None:
    run(records, problem)
    path = records.folder / FILE_NAME
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 999")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    before = path.read_bytes()
    later = Records(records.folder)
    assert_told_once(later, problem, "later version")
    assert path.read_bytes() == before
    with pytest.raises(RecordsError, match="later version"):
        later.summaries(5)


def test_an_older_file_is_brought_up_to_date_whole_or_not_at_all(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "x", isolation_level=None)
    first = ["CREATE TABLE a (x)"]
    migrate(connection, [first])
    connection.execute("INSERT INTO a VALUES (1)")
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, [first, ["ALTER TABLE a ADD COLUMN y", "nonsense"]])
    assert connection.execute("SELECT * FROM a").fetchall() == [(1,)]
    migrate(connection, [first, ["ALTER TABLE a ADD COLUMN y DEFAULT 2"]])
    assert connection.execute("SELECT * FROM a").fetchall() == [(1, 2)]
    with pytest.raises(NewerSchema):
        migrate(connection, [first])


def test_a_network_file_system_gets_the_ordinary_journal(
    tmp_path: Path, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda / ext4 rw 0 0\nserver:/home /home nfs4 rw 0 0\n"
        "server:/x /mnt/Übung\\0401 nfs rw 0 0\n",
        encoding="utf-8",
    )
    assert on_network(Path("/home/someone/data"), mounts)
    assert on_network(Path("/mnt/Übung 1/data"), mounts)
    assert not on_network(Path("/homes"), mounts)
    assert not on_network(tmp_path, tmp_path / "absent")

    def journal(folder: Path) -> str:
        return sqlite3.connect(folder / FILE_NAME).execute("PRAGMA journal_mode").fetchone()[0]

    run(Records(tmp_path / "local"), problem)
    assert journal(tmp_path / "local") == "wal"
    monkeypatch.setattr(store, "on_network", lambda folder: True)
    made, notes = run(Records(tmp_path / "shared"), problem)
    assert made.record
    assert notes == []
    assert journal(tmp_path / "shared") == "delete"


# --- bounds and secrets --------------------------------------------------------------------------


def test_the_oldest_records_make_room(tmp_path: Path, problem: Problem) -> None:
    cut_off = replace(problem, source="# cut off\n" + "#" * 9_000)
    assert Records(tmp_path).begin("translate", cut_off, "m", origin="command").is_kept()
    kept = Store(tmp_path, largest_bytes=400_000)
    kept.write([("UPDATE records SET started_at = 1", ())])
    kept.close()

    def begun() -> Iterator[str]:
        for number in range(120):
            source = f"# {number}\n" + "#" * 9_000
            records = Records(tmp_path)
            recording = records.begin(
                "translate", replace(problem, source=source), "m", origin="command"
            )
            assert recording is not None
            recording.end("done")
            yield recording.id

    *_, last = begun()
    bounded = Store(tmp_path, largest_bytes=400_000)
    bounded.prune()
    left = bounded.summaries(1000)
    bounded.close()
    assert 0 < len(left) < 60
    assert not any(each.state == "unfinished" or each.started_at_s == 1 for each in left)
    assert left[0].id == last
    assert (tmp_path / FILE_NAME).stat().st_size < 1_000_000
    assert Records(tmp_path).find(last).problem.source.startswith("# 119")


@pytest.mark.parametrize(
    "secret",
    [
        "https://someone:pass-word@host/v1",
        "hf_" + "aB3" * 10,
        "sk-" + "aB3" * 10,
        "Authorization: Bearer abcdefghijklmnop1234",
        "gsk_" + "aB3" * 10,
        "nvapi-" + "aB3-" * 8,
    ],
)
def test_no_key_gets_into_a_record(secret: str, tmp_path: Path, small_module: str) -> None:
    hidden = scrubbed(secret)
    assert "***" in hidden
    problem = parse_problem(f"# {secret}\n{small_module}")
    records = Records(tmp_path)
    script = [f"```python\n# {secret}\n", EngineError(f"{secret} was refused")]
    with pytest.raises(EngineError):
        run(records, problem, script)
    assert hidden.split("***")[0] in records.find("last").message
    kept = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert max(secret.split("@")[0].split(), key=len).encode() not in kept


def test_halves_of_characters_do_not_keep_a_record_from_disk(
    records: Records, problem: Problem
) -> None:
    broken = replace(problem, source=problem.source + "# \ud83d")
    recording = records.begin("translate", broken, "m", origin="python")
    assert recording is not None
    recording.candidate(0, Candidate("x = 1  # \udc00 \N{BULLET}", "", "m", "stop"))
    assert recording.end("done")
    assert records.find("last").code == "x = 1  # ? \N{BULLET}"


def test_records_are_for_their_owner_only(records: Records, problem: Problem) -> None:
    run(records, problem)
    assert stat.S_IMODE(records.folder.stat().st_mode) == 0o700
    for file in records.folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_values_of_the_session_are_left_out_and_said(records: Records, problem: Problem) -> None:
    with_values = replace(problem, live=Live(Carried([b"weights" * 1000]), inputs=({"list": []},)))
    recording = records.begin("translate", with_values, "m", origin="notebook")
    assert recording is not None
    assert recording.end("done")
    record = records.find("last")
    assert record.problem == replace(with_values, live=None)
    assert record.left_out == ("live: values of the session, which are not kept",)
    assert not any(b"weights" in path.read_bytes() for path in records.folder.iterdir())


@pytest.mark.parametrize("how", ["setting", "environment"])
def test_records_can_be_switched_off(
    how: str, tmp_path: Path, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "environment":
        monkeypatch.setenv("KERNELLLM_RECORDS", "off")
    records = Records(tmp_path / "data", on=how != "setting")
    made, notes = run(records, problem)
    assert (made.record, notes) == (None, [])
    assert not (tmp_path / "data").exists()


def test_an_id_may_be_short_but_not_ambiguous(records: Records, problem: Problem) -> None:
    with pytest.raises(RecordsError, match="nothing is kept"):
        records.find("a")
    first, second = (run(records, problem)[0].record for _ in range(2))
    assert first
    assert second
    connection = sqlite3.connect(records.folder / FILE_NAME)
    connection.execute("UPDATE records SET id = 'abcd1' WHERE id = ?", [first])
    connection.execute("UPDATE records SET id = 'abcd2' WHERE id = ?", [second])
    connection.commit()
    assert records.find("ABCD1").id == "abcd1"
    with pytest.raises(RecordsError, match="Several"):
        records.find("abcd")
    for wrong in ("%", "zzzz", "", "abcd11"):
        with pytest.raises(RecordsError, match="no record"):
            records.find(wrong)


def test_a_read_only_folder_can_still_be_read(
    records: Records, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = run(records, problem)
    connection = sqlite3.connect(records.folder / FILE_NAME)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    opened: Callable[..., int] = os.open

    def refuse(path: Any, flags: int, *more: Any, **keywords: Any) -> int:
        if str(path).endswith(FILE_NAME) and flags & os.O_RDWR:
            raise PermissionError(13, "Read-only file system")
        return opened(path, flags, *more, **keywords)

    monkeypatch.setattr(os, "open", refuse)
    assert Records(records.folder).find("last").id == made.record
