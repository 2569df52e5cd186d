"""Exported modules and their tests, run as their user runs them: without kernelllm-jupyter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from kernelllm_jupyter.errors import UsageError
from kernelllm_jupyter.export import Exported, choose, drawn_note, export_to, exported
from kernelllm_jupyter.export.sources import bindings, can_share, in_block
from kernelllm_jupyter.live.problem import LiveArguments, problem_of
from kernelllm_jupyter.problem import parse_problem
from kernelllm_jupyter.records import Records
from kernelllm_jupyter.values import Candidate, Finding, Sizes, Translation, Verdict

REFERENCE = '''\
import torch
import torch.nn as nn

rows, width = 6, 40


class Scaled(nn.Module):
    """Rows scaled by weights."""

    def __init__(self, width, factor=2.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width))
        self.factor = factor

    def forward(self, x):
        if x.shape[-1] != self.weight.shape[0]:
            raise ValueError("another width")
        return torch.relu(x * self.weight) * self.factor


def get_inputs():
    return [torch.randn(rows, width)]


def get_init_inputs():
    return [width]
'''
CODE = '''\
import torch
import torch.nn as nn
import triton
import triton.language as tl

NOTE = """two
  lines"""


@triton.jit
def scale(x_ptr, w_ptr, out_ptr, n, width, factor, BLOCK: tl.constexpr):
    """Each element by its column's weight.

        And back.
    """
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask, other=0.0)
    w = tl.load(w_ptr + offsets % width, mask=mask, other=0.0)
    tl.store(out_ptr + offsets, tl.maximum(x * w, 0.0) * factor, mask=mask)


class ModelNew(nn.Module):
    calls = 0

    def __init__(self, width, factor=2.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width))
        self.factor = factor

    def forward(self, x):
        ModelNew.calls += 1
        out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        n = x.numel()
        scale[(triton.cdiv(n, 128),)](x, self.weight, out, n, x.shape[1], self.factor, BLOCK=128)
        return out
'''
CORRECT = Verdict(
    "correct",
    device="cpu-interpreter",
    trials=9,
    sizes=Sizes(("float32[6, 40]",)),
    versions={"torch": "2.13"},
)
WHAT = Exported(parse_problem(REFERENCE), CODE, CORRECT, "m", "7k2mq9xt", 1_790_000_000.0)


def warned(*codes: str, **changes: Any) -> Exported:
    verdict = replace(CORRECT, warnings=tuple(Finding(code, "said") for code in codes), **changes)
    return replace(WHAT, verdict=verdict)


def ask(folder: Path, *scripts: str, **environment: str) -> Any:
    """What ``scripts`` print as JSON, in a process that knows the exported module ``own`` only."""
    code = (
        "import sys, json, torch\nsys.modules['kernelllm_jupyter'] = None\nimport own\n"
        + "\n".join(map(textwrap.dedent, scripts))
    )
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment = {**kept, "TRITON_INTERPRET": "1", "PYTHONPATH": str(folder), **environment}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


ASKING = """
torch.manual_seed(0)
model = own.TritonScaled(40).eval()
original = own.Scaled.forward
def same(x):
    before = own.ModelNew.calls
    with torch.no_grad():
        result, expected, why = model(x), original(model, x), model.why_original(x)
    torch.testing.assert_close(result, expected)
    return [own.ModelNew.calls - before, why]
"""


def test_the_kernel_runs_where_it_was_verified_and_the_original_elsewhere(tmp_path: Path) -> None:
    export_to(tmp_path / "own.py", WHAT)
    found = ask(
        tmp_path,
        ASKING,
        """
    strided = torch.randn(40, 12).T
    with torch.no_grad():
        answers = {
            "own shape": same(torch.randn(6, 40)),
            "another number of rows": same(torch.randn(11, 40)),
            "one row": same(torch.randn(1, 40)),
            "no rows": same(torch.empty(0, 40)),
            "more axes": same(torch.randn(2, 6, 40)),
            "another dtype": same(torch.randn(6, 40, dtype=torch.float64)),
            "a subclass": same(torch.nn.Buffer(torch.randn(6, 40)).as_subclass(
                type("Mine", (torch.Tensor,), {}))),
        }
    answers["gradient"] = model.why_original(torch.randn(6, 40))
    model(torch.randn(6, 40)).sum().backward()
    answers["trained"] = model.weight.grad is not None
    try:
        with torch.no_grad():
            model(torch.randn(6, 39))
    except ValueError as error:
        answers["refused"] = str(error)
    other = own.TritonScaled(40, factor=3.0)
    with torch.no_grad():
        answers["constructor"] = other.why_original(torch.randn(6, 40))
        model.load_state_dict({"weight": torch.ones(40)})
        answers["new weights"] = same(torch.randn(6, 40))
        model.load_state_dict({"weight": torch.full((40,), 2.0)}, assign=True)
        answers["assigned weights"] = same(torch.randn(6, 40))
        model.double()
        answers["double"] = same(torch.randn(6, 40))
    answers["names"] = [list(model.state_dict()), [n for n, _ in model.named_modules()]]
    answers["text"] = own.NOTE
    print(json.dumps(answers))
    """,
    )
    assert found["own shape"] == [1, None]
    assert found["another number of rows"] == [1, None]
    for name in ("one row", "no rows", "more axes", "another dtype", "a subclass", "double"):
        calls, why = found[name]
        assert calls == 0, name
        assert why, name
    assert found["gradient"] == "a gradient is wanted"
    assert found["trained"]
    assert found["refused"] == "another width"
    assert "constructor" in found["constructor"]
    assert found["new weights"] == [1, None]
    assert found["assigned weights"] == [1, None]
    assert found["names"] == [["weight"], [""]]
    assert found["text"] == "two\n  lines"


def test_each_limit_of_the_verdict_is_one_of_the_module(tmp_path: Path) -> None:
    export_to(tmp_path / "own.py", warned("single_shape", "contiguous_only", "eval_mode_only"))
    found = ask(
        tmp_path,
        ASKING,
        """
    answers = [same(torch.randn(6, 40)), same(torch.randn(7, 40)), same(torch.randn(40, 6).T)]
    with torch.no_grad():
        answers.append(model.train().why_original(torch.randn(6, 40)))
    print(json.dumps(answers))
    """,
    )
    assert found[0] == [1, None]
    assert (found[1][0], found[2][0]) == (0, 0)
    assert "shapes" in found[1][1]
    assert "contiguous" in found[2][1]
    assert "eval mode" in found[3]


@pytest.mark.parametrize("how", ["inputs", "weights", "code"])
def test_formats_that_the_plain_interpreter_gets_wrong_run_on_a_gpu_only(how: str) -> None:
    what = {
        "inputs": replace(WHAT, verdict=replace(CORRECT, sizes=Sizes(("bfloat16[6, 40]",)))),
        "weights": replace(WHAT, weights_dtype="bfloat16"),
        "code": replace(WHAT, code=CODE.replace("x * w", "x.to(tl.bfloat16) * w")),
    }[how]
    made = exported(what, "own")
    assert "VERIFIED_DEVICES = ()" in made.module
    assert "NEEDS_GPU = True" in made.test
    assert "VERIFIED_DEVICES = ('cpu',)" in exported(WHAT, "own").module


def test_a_kernel_is_verified_where_its_record_says_so(tmp_path: Path) -> None:
    on_gpu = replace(CORRECT, device="cuda")
    assert "VERIFIED_DEVICES = ('cuda',)" in exported(replace(WHAT, verdict=on_gpu), "own").module
    both = exported(replace(WHAT, elsewhere=(on_gpu,)), "own").module
    assert "VERIFIED_DEVICES = ('cpu', 'cuda')" in both
    assert "On cuda: correct." in both
    # The limits are those of one verdict: what another device allows less of is left out.
    tied = replace(on_gpu, warnings=(Finding("single_shape", "tied"),))
    assert "VERIFIED_DEVICES = ('cpu',)" in exported(replace(WHAT, elsewhere=(tied,)), "own").module
    slow = replace(on_gpu, verdict="timeout")
    made = exported(replace(WHAT, elsewhere=(slow,)), "own").module
    assert "VERIFIED_DEVICES = ('cpu',)" in made
    assert "On cuda: timeout." in made
    in_bfloat16 = replace(WHAT, weights_dtype="bfloat16", elsewhere=(on_gpu,))
    assert "VERIFIED_DEVICES = ('cuda',)" in exported(in_bfloat16, "own").module


def test_what_is_wrong_on_one_device_is_verified_on_none(tmp_path: Path) -> None:
    def chosen(*verdicts: Verdict) -> Exported:
        records = Records(tmp_path)
        recording = records.begin("translate", WHAT.problem, "m", origin="notebook")
        assert recording is not None
        recording.candidate(0, Candidate(CODE, "", "m", "stop"))
        for verdict in verdicts:
            recording.verdict(CODE, verdict, 0)
        recording.end("done", chosen=0)
        assert recording.is_kept()
        return choose(records.find("last"))

    on_gpu = replace(CORRECT, device="cuda")
    assert chosen(CORRECT, on_gpu).verdict == on_gpu
    assert chosen(CORRECT, on_gpu).elsewhere == (CORRECT,)
    wrong = replace(on_gpu, verdict="incorrect")
    for order in ((CORRECT, wrong), (wrong, CORRECT)):
        what = chosen(*order)
        assert what.verdict == wrong
        with pytest.raises(UsageError, match="not correct"):
            exported(what, "own")
    # It was mended meanwhile (another driver, say): the latest of each device counts.
    assert chosen(wrong, CORRECT, on_gpu).verdict == on_gpu


@pytest.mark.parametrize("where", ["no interpreter", "no triton"])
def test_without_triton_the_original_is_used(where: str, tmp_path: Path) -> None:
    export_to(tmp_path / "own.py", WHAT)
    environment = {"TRITON_INTERPRET": "0"}
    if where == "no triton":
        (tmp_path / "triton.py").write_text("raise ImportError('no Triton here')\n")
        environment = {}
    script = "print(json.dumps([why for calls, why in [same(torch.randn(6, 40))] if not calls]))"
    code = ASKING.replace("own.ModelNew.calls", "getattr(own, 'ModelNew', own.Scaled).calls")
    code = "own.Scaled.calls = 0\n" + code
    [why] = ask(tmp_path, code, script, **environment)
    assert ("no Triton here" in why) if where == "no triton" else ("cannot run" in why)


def test_names_that_meet_are_kept_apart(tmp_path: Path) -> None:
    """The original's ``width`` is 40, the kernel's module has another."""
    code = CODE + "\n\nwidth = 7\n\n\nclass Scaled:\n    pass\n"
    export_to(tmp_path / "own.py", replace(WHAT, code=code))
    script = ASKING.replace("own.Scaled.forward", "own._original.Scaled.forward")
    assert ask(tmp_path, script, "print(json.dumps(same(torch.randn(6, 40))))") == [1, None]
    assert not can_share(REFERENCE, code)
    assert can_share(REFERENCE, CODE)


def run_test(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "test_own.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200)


def test_the_exported_test_repeats_the_check(tmp_path: Path) -> None:
    module, test = export_to(tmp_path / "own", WHAT)
    assert (module.name, test.name) == ("own.py", "test_own.py")
    ran = run_test(tmp_path)
    assert ran.returncode == 0, ran.stdout
    assert "3 passed" in ran.stdout
    # What the file says now is what is tested, also where our check is not installed.
    module.write_text(module.read_text().replace("x * w, 0.0", "x + w, 0.0"))
    (tmp_path / "conftest.py").write_text("import sys\nsys.modules['kernelllm_jupyter'] = None\n")
    ran = run_test(tmp_path)
    assert "1 failed, 1 passed, 1 skipped" in ran.stdout
    assert "the check is kernelllm-jupyter's" in ran.stdout


class Scaled(torch.nn.Module):
    """The same as a live one, with a weight that is tied to its own."""

    def __init__(self, width, factor=2.0):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(width))
        self.again = self.weight
        self.factor = factor

    def forward(self, x):
        return torch.relu(x * self.weight) * self.factor


LIVE_CODE = CODE.replace(
    "        self.factor", "        self.again = self.weight\n        self.factor"
)


@pytest.fixture(scope="module")
def live() -> Exported:
    """A live module in half precision and eval mode, with weights that no constructor draws."""
    module = Scaled(40).half().eval()
    with torch.no_grad():
        module.weight.copy_(torch.arange(40))
    inputs = [torch.randn(6, 40, dtype=torch.float16)]
    problem = problem_of(module, "module", LiveArguments(inputs=inputs))
    verdict = replace(CORRECT, sizes=Sizes(("float16[6, 40]",)))
    made = Candidate(LIVE_CODE, "", "m", "stop")
    return Exported.of(Translation(problem, (made,), 0, (verdict,)))


def test_a_live_module_s_weights_are_saved_where_asked_for_and_tested_with(
    live: Exported, tmp_path: Path
) -> None:
    _, test, weights = export_to(tmp_path / "own.py", live, with_weights=True)
    assert list(load_file(weights)) == ["weight"]
    assert torch.equal(load_file(weights)["weight"], torch.arange(40).half())
    ran = run_test(tmp_path)
    assert "3 passed" in ran.stdout, ran.stdout
    assert "saved beside this file" in " ".join(test.read_text().split())
    script = """
    model = own.TritonScaled(40).half().eval()
    x = torch.randn(6, 40, dtype=torch.float16)
    with torch.no_grad():
        answers = [model.why_original(x), model.train().why_original(x)]
        answers.append(model.float().eval().why_original(x))
    print(json.dumps(answers))
    """
    assert ask(tmp_path, script) == [
        None,
        "it was verified in eval mode only",
        "weights have another dtype",
    ]
    export_to(tmp_path / "own.py", live, with_weights=True)
    weights.write_bytes(b"mine")
    with pytest.raises(UsageError, match="there already"):
        export_to(tmp_path / "own.py", live, with_weights=True)
    # Without them the file is nothing to do with the test.
    export_to(tmp_path / "own.py", live)
    assert "WEIGHTS = None" in test.read_text()
    assert "drawn anew" in " ".join(test.read_text().split())


def test_weights_that_are_not_there_are_refused_and_what_is_drawn_is_said(
    live: Exported, tmp_path: Path
) -> None:
    records = Records(tmp_path / "records")
    recording = records.begin("translate", live.problem, "m", origin="notebook")
    assert recording is not None
    recording.candidate(0, Candidate(LIVE_CODE, "", "m", "stop"))
    recording.verdict(LIVE_CODE, CORRECT, 0)
    assert recording.end("done", chosen=0)
    kept = choose(records.find("last"))
    assert (kept.weights_dtype, kept.training) == ("float16", False)
    for what, why in ((kept, "in no record"), (WHAT, "constructor's")):
        with pytest.raises(UsageError, match=why):
            export_to(tmp_path / "own.py", what, with_weights=True)
    assert list(tmp_path.glob("*own*")) == []
    assert "--with-weights" in drawn_note(live)
    assert "drawn" not in drawn_note(WHAT)
    assert "draws its inputs and weights anew" in drawn_note(kept)
    assert "--with-weights" not in drawn_note(kept)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (replace(WHAT, verdict=None), "was not checked"),
        (replace(WHAT, verdict=replace(CORRECT, verdict="incorrect")), "not correct"),
        (warned("missing_names"), "no longer has"),
        (warned("input_not_updated"), "overwrites an input"),
        (warned(not_made=(Finding("weights", "not matched"),)), "names its weights"),
    ],
)
def test_what_is_not_verified_is_refused_or_marked(
    what: Exported, said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        export_to(tmp_path / "own.py", what)
    assert list(tmp_path.iterdir()) == []
    module, _ = export_to(tmp_path / "own.py", what, unverified=True)
    if what.verdict is None or not what.verdict.correct:
        assert "NOT VERIFIED" in module.read_text()
        assert "IS_VERIFIED = False" in module.read_text()


def test_a_module_built_with_values_of_the_session_is_refused(tmp_path: Path) -> None:
    source = REFERENCE.partition("def get_init_inputs")[0]
    live = replace(WHAT.problem, source=source, has_init_inputs=False)
    with pytest.raises(UsageError, match="--init"):
        export_to(tmp_path / "own.py", replace(WHAT, problem=live))


def test_an_unverified_kernel_runs_only_when_it_is_asked_for(tmp_path: Path) -> None:
    export_to(tmp_path / "own.py", replace(WHAT, verdict=None), unverified=True)
    script = "x = torch.randn(6, 40)\nprint(json.dumps([same(x), model.run_kernel(x).shape[0]]))"
    assert ask(tmp_path, ASKING, script) == [[0, "the kernel is not verified"], 6]


@pytest.mark.parametrize("code", ["def f(:\n", "x = 1\n", CODE + "\nos = 1\n"])
def test_code_that_makes_no_module_is_refused(code: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        export_to(tmp_path / "own.py", replace(WHAT, code=code), unverified=True)


@pytest.mark.parametrize("verdict", [None, CORRECT], ids=["unchecked", "correct"])
def test_names_and_messages_stay_text_in_what_is_exported(
    verdict: Verdict | None, tmp_path: Path
) -> None:
    payload = '\\N{x} """\nimport os\nos.environ["RAN"] = "1"\n"""\0'
    what = replace(WHAT, model=payload, verdict=verdict)
    if verdict is CORRECT:
        what = replace(what, verdict=replace(verdict, warnings=(Finding("single_shape", payload),)))
    export_to(tmp_path / "own.py", what, unverified=verdict is not CORRECT)
    assert ask(tmp_path, "import os\nprint(json.dumps('RAN' in os.environ))") is False


def test_other_files_are_not_overwritten(tmp_path: Path) -> None:
    export_to(tmp_path / "own.py", WHAT)
    export_to(tmp_path / "own.py", WHAT)
    (tmp_path / "test_own.py").write_text("mine = 1\n")
    with pytest.raises(UsageError, match="there already"):
        export_to(tmp_path / "own.py", WHAT)
    (tmp_path / "file").write_text("")
    for wrong in ("not-a-name.py", "file/own.py"):
        with pytest.raises(UsageError):
            export_to(tmp_path / wrong, WHAT)


def test_the_latest_code_found_correct_is_chosen(tmp_path: Path) -> None:
    records = Records(tmp_path)
    recording = records.begin("translate", WHAT.problem, "m", origin="notebook")
    assert recording is not None
    recording.candidate(0, Candidate(CODE, "", "m", "stop"))
    recording.verdict(CODE, CORRECT, 0)
    recording.end("done", chosen=0)
    assert choose(records.find("last")).code == CODE
    recording.verdict(CODE + "# wrong", replace(CORRECT, verdict="incorrect"))
    assert recording.is_kept()
    assert choose(records.find("last")).code == CODE
    recording.verdict(CODE + "# better", CORRECT)
    assert recording.is_kept()
    assert choose(records.find("last")).code == CODE + "# better"


def test_a_source_in_a_block_is_the_same_source() -> None:
    source = 'x = """a\n  b"""\ny = f"""{x}\n c"""\nz = (1,\n2)\n'
    source += 'def f():\n    """Doc\n\n      more."""\n'
    spaces: list[dict[str, Any]] = [{}, {}]
    exec(source, spaces[0])
    exec(textwrap.dedent(in_block(source)), spaces[1])
    names = ("x", "y", "z")
    assert [spaces[0][name] for name in names] == [spaces[1][name] for name in names]
    assert spaces[0]["f"].__doc__ == spaces[1]["f"].__doc__
    found = bindings(
        "import a.b\nfrom c import d as e\nfor i in []: pass\ndef f():\n    global g\n"
    )
    assert set(found) == {"a", "e", "i", "f", "g"}
