"""The ``kernelllm`` command as other programs call it: exit status, one JSON object, real parts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import kernelllm_jupyter

SCHEMA = json.loads(
    (Path(kernelllm_jupyter.__file__).parent / "schemas" / "verdict.schema.json").read_text()
)
GOOD = """\
import torch
import triton
import triton.language as tl


@triton.jit
def double_relu(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask)
    tl.store(out_ptr + offsets, tl.maximum(x, 0.0) * 2.5, mask=mask)


class ModelNew(torch.nn.Module):
    def forward(self, x):
        x = x.contiguous()
        out = torch.empty_like(x)
        n = x.numel()
        double_relu[(triton.cdiv(n, 256),)](x, out, n, BLOCK=256)
        return out
"""
CONTRACT = {
    "verdict",
    "reasons",
    "warnings",
    "device",
    "trials",
    "max_abs_error",
    "error_budget",
    "launches",
    "elapsed_ms",
    "versions",
}


def kernelllm(*arguments: str, **keywords: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kernelllm_jupyter", *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        **keywords,  # type: ignore[call-overload]
    )


@pytest.fixture
def files(tmp_path: Path, small_module: str) -> Path:
    (tmp_path / "reference.py").write_text(small_module)
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "wrong.py").write_text(GOOD.replace("* 2.5", "* 2.4"))
    return tmp_path


def test_check_tells_right_from_wrong_by_its_exit_status(files: Path) -> None:
    right = kernelllm("check", "reference.py", "good.py", "--json", cwd=files)
    assert right.returncode == 0, right.stderr
    verdict = json.loads(right.stdout)
    assert verdict["verdict"] == "correct"
    assert set(verdict) >= CONTRACT
    assert verdict["launches"] >= 1
    assert set(verdict["versions"]) >= {"torch", "triton"}

    wrong = kernelllm("check", "reference.py", "wrong.py", "--json", cwd=files)
    assert wrong.returncode == 1
    verdict = json.loads(wrong.stdout)
    assert verdict["verdict"] == "incorrect"
    assert verdict["reasons"][0]["message"]


def test_check_compiles_for_the_target_that_is_named(files: Path) -> None:
    arguments = ("check", "reference.py", "good.py", "--device", "cpu", "--target", "sm_80")
    printed = json.loads(kernelllm(*arguments, "--json", cwd=files).stdout)
    Draft202012Validator(SCHEMA).validate(printed)
    assert printed["compilation"]["target"] == "sm_80"
    (kernel,) = printed["compilation"]["kernels"]
    assert GOOD.splitlines()[kernel["line"] - 1].startswith("def double_relu")
    assert kernel["shared_limit_bytes"] == 163 << 10
    assert "Compiled for sm_80" in kernelllm(*arguments, cwd=files).stdout


def test_check_speaks_words_without_json(files: Path) -> None:
    ran = kernelllm("check", "reference.py", "wrong.py", cwd=files)
    assert ran.returncode == 1
    assert "Not correct" in ran.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "missing.py", "good.py"),
        ("check", "reference.py", "missing.py"),
        ("check", "reference.py"),
        ("check", "reference.py", "good.py", "--device", "abacus"),
        ("check", "reference.py", "good.py", "--target", "h100"),
        ("check", "good.py", "good.py", "--name", "Nothing"),
        ("frobnicate",),
        ("translate", "missing.py"),
        ("translate", "reference.py", "--temperature", "-2"),
        ("translate", "reference.py", "-k", "none"),
        ("translate", "reference.py", "--best", "slowest"),
    ],
)
def test_wrong_use_has_its_own_exit_status(files: Path, arguments: tuple[str, ...]) -> None:
    ran = kernelllm(*arguments, cwd=files)
    assert ran.returncode == 2
    assert ran.stderr.strip()
    assert "Traceback" not in ran.stderr


def test_json_is_one_object_even_for_an_error(files: Path) -> None:
    ran = kernelllm("check", "missing.py", "good.py", "--json", cwd=files)
    assert ran.returncode == 2
    assert "missing.py" in json.loads(ran.stdout)["error"]["message"]


def shell(words: str, folder: Path, **environment: str) -> tuple[str, str]:
    """The exit status and standard error of the command in a shell's line."""
    line = f"{sys.executable} -m kernelllm_jupyter {words}; echo ${{PIPESTATUS[0]}} > status"
    ran = subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, **environment},
        timeout=120,
    )
    assert "Traceback" not in ran.stderr, ran.stderr
    return (folder / "status").read_text().strip(), ran.stderr


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("history > /dev/full", "1", "No space left on device"),
        ("check missing.py x --json > /dev/full", "1", "No space left on device"),
        ("history >&-", "0", ""),
        ("translate - <&-", "2", "standard input is empty"),
        ("translate - < binary.py", "2", "standard input: it is not UTF-8 text"),
        ("translate /dev/zero", "2", "more than 10 MB"),
        ("translate two.py", "2", "two.py has several torch.nn.Module classes"),
        ("check /proc/self/mem good.py", "2", "Cannot read /proc/self/mem"),
        ("--version | cat", "0", ""),
    ],
)
def test_streams_and_files_of_any_kind_end_in_one_line(
    words: str, status: str, said: str, files: Path
) -> None:
    (files / "binary.py").write_bytes(b"\xff\xfe\x00")
    module = "class {}(torch.nn.Module):\n    def forward(self, x):\n        return x\n"
    (files / "two.py").write_text("import torch\n" + module.format("A") + module.format("B"))
    found, errors = shell(words, files)
    assert found == status
    assert said in errors
    assert errors.count("\n") == bool(said)


def test_a_terminal_without_unicode_gets_escapes_and_reads_utf_8(files: Path) -> None:
    """What is shown has marks; the file has a name and a comment that are none of its encoding."""
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    odd = os.fsencode(files) + b"/odd\xff.py"
    Path(os.fsdecode(odd)).write_text("# é\nx = 1\n", encoding="utf-8")
    found, errors = shell("translate odd*.py", files, **plain)
    assert found == "2"
    assert "has no torch.nn.Module" in errors
    (files / "reference.py").write_text("# é\n" + _text(files), encoding="utf-8")
    kept = {**plain, "KERNELLLM_DATA": str(files / "data")}
    assert shell("check - wrong.txt < reference.py", files, **kept)[0] == "2"
    (files / "wrong.txt").write_text("x = 'é'\n", encoding="utf-8")
    assert shell("check - wrong.txt < reference.py", files, **kept)[0] == "1"
    assert shell("show > shown", files, **kept)[0] == "0"
    assert r"x = '\xe9'" in (files / "shown").read_text(encoding="ascii")


def test_translate_gives_code_on_standard_output(files: Path) -> None:
    ran = kernelllm("translate", "reference.py", cwd=files)
    assert ran.returncode == 0, ran.stderr
    compile(ran.stdout, "candidate.py", "exec")
    assert "class ModelNew" in ran.stdout
    assert "Correct" in ran.stderr
    (files / "written.py").write_text(ran.stdout)
    assert kernelllm("check", "reference.py", "written.py", cwd=files).returncode == 0


def test_translate_json_keeps_the_contract(files: Path) -> None:
    ran = kernelllm("translate", "reference.py", "--json", "--seed", "1", cwd=files)
    assert ran.returncode == 0, ran.stderr
    made = json.loads(ran.stdout)
    Draft202012Validator(SCHEMA).validate(made)
    assert set(made) >= {
        "code",
        "model",
        "tokens",
        "seconds",
        "tokens_per_second",
        "candidates",
        "verdict",
        "timing",
        "record",
    }
    assert made["model"] == "starter"
    assert made["tokens"] > 0
    assert set(made["verdict"]) >= CONTRACT
    assert made["timing"] is None
    unchecked = kernelllm("translate", "-", "--json", "--no-check", input=_text(files), cwd=files)
    assert json.loads(unchecked.stdout)["verdict"] is None
    assert unchecked.returncode == 0


def test_translate_takes_the_best_of_several(files: Path) -> None:
    options = ("-k", "4", "--seed", "2", "--repair", "1")
    ran = kernelllm("translate", "reference.py", *options, "--json", cwd=files)
    assert ran.returncode == 0, ran.stderr
    made = json.loads(ran.stdout)
    Draft202012Validator(SCHEMA).validate(made)
    assert len(made["candidates"]) == 4
    chosen = made["candidates"][made["chosen"]]
    assert chosen["code"] == made["code"]
    assert chosen["verdict"]["verdict"] == "correct"
    assert len({candidate["seed"] for candidate in made["candidates"]}) == 4
    spoken = kernelllm("translate", "reference.py", *options, cwd=files)
    compile(spoken.stdout, "candidate.py", "exec")
    assert spoken.stdout.count("class ModelNew") == 1, "the kept one's code, and no other"
    assert "candidate 2" in spoken.stderr
    assert "(kept)" in spoken.stderr


def test_what_was_made_is_found_again_by_a_later_command(files: Path) -> None:
    made = json.loads(kernelllm("translate", "reference.py", "--json", cwd=files).stdout)
    key = made["record"]
    listed = json.loads(kernelllm("history", "--limit", "1", "--json").stdout)
    [latest] = listed["records"]
    assert (latest["record"], latest["verdict"], latest["origin"]) == (key, "correct", "command")
    assert key in kernelllm("history").stdout
    record = json.loads(kernelllm("show", key[:6], "--json").stdout)
    assert record["code"] == made["code"]
    assert record["verdict"] == made["verdict"]
    assert record["state"] == "done"
    assert record["source"].startswith("import torch")
    assert set(record["versions"]) >= {"python", "torch", "triton"}
    assert "Correct: agrees" in kernelllm("show").stdout
    written = kernelllm("export", key, "fast.py", "--json", cwd=files)
    assert [Path(name).name for name in json.loads(written.stdout)["files"]] == [
        "fast.py",
        "test_fast.py",
    ]
    asked = (
        "import torch, fast\nx = torch.randn(9, 33)\nmodel = fast.TritonModel()\n"
        "print(model.why_original(x), torch.equal(model(x), torch.relu(x) * 2.5))"
    )
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-c", asked]
    ran = subprocess.run(command, cwd=files, env=environment, capture_output=True, text=True)
    assert ran.stdout == "None True\n", ran.stderr
    unknown = kernelllm("show", "nosuch")
    assert unknown.returncode == 1
    assert "no record nosuch" in unknown.stderr
    checked = kernelllm("check", "reference.py", "good.py", cwd=files)
    assert checked.returncode == 0
    assert json.loads(kernelllm("show", "--json").stdout)["kind"] == "check"


def test_failing_candidates_are_an_exit_status_of_1(files: Path) -> None:
    hot = ("-k", "2", "--temperature", "60", "--max-new-tokens", "60", "--seed", "1")
    ran = kernelllm("translate", "reference.py", *hot, "--json", cwd=files)
    assert ran.returncode == 1
    assert json.loads(ran.stdout)["verdict"]["verdict"] != "correct"


def _text(files: Path) -> str:
    return (files / "reference.py").read_text()


def test_benchmark_without_a_gpu_says_so_and_measures_nothing(files: Path) -> None:
    ran = kernelllm("benchmark", "reference.py", "good.py", "--json", cwd=files)
    timing = json.loads(ran.stdout)
    if timing["conclusion"] != "not measured":
        pytest.skip("there is a GPU here; tests/gpu covers it")
    assert ran.returncode == 1
    assert "GPU" in timing["message"]
    assert timing["candidate_ms"] is None
    assert timing["speedup"] is None


def test_an_interrupt_ends_the_command_and_its_worker(files: Path) -> None:
    (files / "hangs.py").write_text(GOOD.replace("x = x.contiguous()", "while True: pass"))
    command = [sys.executable, "-m", "kernelllm_jupyter", "check", "reference.py", "hangs.py"]
    running = subprocess.Popen(
        command, cwd=files, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert running.stderr is not None
    running.stderr.readline()  # the check says that it has begun
    os.killpg(running.pid, signal.SIGINT)
    assert running.wait(timeout=60) == 130
    running.stderr.close()


@pytest.mark.parametrize("module", ["kernelllm_jupyter.report", "kernelllm_jupyter.verify.worker"])
def test_an_interrupt_while_the_command_is_imported_is_one_line(
    module: str, tmp_path: Path
) -> None:
    """At a module that it imports, as if the user's key came right then."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}:\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    ran = kernelllm("history", env={**os.environ, "PYTHONPATH": path})
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "Stopped.\n")


def test_doctor_names_what_is_there_and_the_remedy_for_what_is_not() -> None:
    ran = kernelllm("doctor", "--json")
    findings = {finding["name"]: finding for finding in json.loads(ran.stdout)["findings"]}
    assert findings["torch"]["state"] == "ok"
    assert findings["starter model"]["state"] == "ok"
    assert {"GPU", "sandbox", "labextension", "KernelLLM"} <= set(findings)
    for finding in findings.values():
        assert finding["state"] == "ok" or finding["remedy"]
    assert "✓ torch" in kernelllm("doctor").stdout


def test_the_repl_translates_what_was_typed(small_module: str) -> None:
    ran = kernelllm("repl", input=f"{small_module}\n:go\n:check\n:nonsense\n:quit\n")
    assert ran.returncode == 0, ran.stderr
    assert "class ModelNew" in ran.stdout
    assert "Correct" in ran.stdout
    assert "no command :nonsense" in ran.stdout


def test_the_repl_survives_bad_input() -> None:
    ran = kernelllm("repl", input="def f(:\n:go\n:check\n:temperature warm\n:open nowhere.py\n")
    assert ran.returncode == 0
    assert "not valid Python" in ran.stdout
    assert "There is no answer yet" in ran.stdout
    assert "'warm' is not a number" in ran.stdout
    assert "nowhere.py" in ran.stdout
