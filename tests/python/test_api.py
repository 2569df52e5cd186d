"""The Python API: the calls that users of the model's own script know."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest
from model_server import event, serving, streaming

import kernelllm_jupyter
from kernelllm_jupyter import KernelLLM, benchmark, check
from kernelllm_jupyter.errors import ProblemError, UsageError
from kernelllm_jupyter.records import Records
from kernelllm_jupyter.repl import Repl
from kernelllm_jupyter.values import Translation


@pytest.fixture(scope="module")
def model() -> KernelLLM:
    return KernelLLM()


def test_exported_names_are_these() -> None:
    assert sorted(kernelllm_jupyter.__all__) == [
        "KernelLLM",
        "__version__",
        "benchmark",
        "capture",
        "check",
        "load_ipython_extension",
    ]
    assert kernelllm_jupyter.__version__


def test_a_generated_module_is_checked_and_the_check_recorded(
    model: KernelLLM, small_module: str
) -> None:
    code = model.generate_triton(small_module, max_new_tokens=512)
    assert check(small_module, code, seed=5, cancel=threading.Event()).verdict == "correct"
    kept = Records().find("last")
    assert (kept.kind, kept.origin, kept.state, kept.code) == ("check", "python", "done", code)
    assert kept.options == {"compile_for": "auto", "seed": 5}
    assert kept.verdict is not None
    assert kept.verdict.correct


def test_a_timing_is_recorded_unless_it_is_not_wanted(small_module: str) -> None:
    # Of code that does not get so far, on any machine.
    for wanted in (True, False):
        assert not benchmark(small_module, f"wanted = {wanted}", records=wanted).measured
        kept = Records().find("last")
        assert (kept.kind, kept.code) == ("benchmark", "wanted = True")
        assert kept.timing is not None


def test_a_check_goes_on_where_records_cannot_be_kept(
    small_module: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KERNELLLM_DATA", str(tmp_path / "file" / "data"))
    for _ in range(2):
        assert check(small_module, "no = 'kernel'").verdict == "compile_error"
    [said] = caplog.messages
    assert said.startswith("Records are not kept in ")


SLIPS = """\
import torch
import triton.language as tl


@triton.jit
def double_relu(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(out_ptr + at, tl.maximum(x, 0.0) * 2.5, mask=at < n)


class ModelNEW(torch.nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        double_relu[(triton.cdiv(x.numel(), 256),)](x, out, x.numel(), BLOCK=256)
        return out
"""


def test_a_translation_holds_all_candidates_with_their_verdicts_and_mends(
    small_module: str,
) -> None:
    said: list[str] = []
    with serving() as server:
        wrong = SLIPS.replace("2.5", "2.4")
        server.answers = [streaming(event(code, finish="stop")) for code in (wrong, SLIPS)]
        made = KernelLLM(server.name()).translate(
            small_module, k=2, repair=1, temperature=0.7, seed=3, progress=said.append
        )
        assert [request.body["temperature"] for request in server.asked] == [0.7, 0.7]
    assert made.verdict is not None
    assert made.verdict.correct
    assert made.code == made.candidate.code
    assert made.candidate.mends == ("ModelNEW is now called ModelNew", "added: import triton")
    assert len(made.candidates) == len(made.verdicts) == 2
    assert "candidate 1: " in "\n".join(said)
    assert check(small_module, made.code).correct


def test_every_form_of_reply_ends_as_it_should(small_module: str) -> None:
    """Nothing but talk; several blocks with talk around; a class of another name."""
    good = SLIPS.replace("NEW", "New").replace("import triton.l", "import triton\nimport triton.l")
    kernel = good[: good.index("class ModelNew")]
    several = (
        f"First the kernel:\n```python\n{kernel}```\nInstall it:\n```bash\npip install triton\n"
        f"```\nAll of it:\n```python\n{good}```\nHope it helps.\n"
    )
    named = f"Sure!\n```python\n{good.replace('ModelNew', 'FastRelu')}```\n"
    with serving() as server:
        model = KernelLLM(server.name())

        def answered(text: str, **options: int) -> Translation:
            server.seen.clear()
            server.answers = [streaming(event(text, finish="stop"))]
            return model.translate(small_module, **options)

        nothing = answered("I am sorry, but I cannot do that.")
        whole = answered(several)
        refused, mended = answered(named), answered(named, repair=1)
    assert "holds no code: the model wrote something else" in nothing.candidate.no_code
    assert nothing.verdict is not None
    assert nothing.verdict.verdict == "compile_error"
    assert whole.code == good
    assert whole.verdict is not None
    assert whole.verdict.correct
    assert refused.verdict is not None
    assert "its classes are FastRelu" in refused.verdict.reasons[0].message
    assert mended.verdict is not None
    assert mended.verdict.correct
    assert mended.candidate.mends == ("FastRelu is now called ModelNew",)


def test_a_translation_can_leave_the_check_out_and_refuses_nonsense(
    model: KernelLLM, small_module: str
) -> None:
    without_inputs = small_module.split("def get_inputs")[0]
    made = model.translate(without_inputs, check=False)
    assert made.verdict is None
    assert "class ModelNew" in made.code
    with pytest.raises(ProblemError, match="get_inputs"):
        model.translate(without_inputs)
    for wrong in ({"k": 0}, {"repair": -1}, {"k": 2, "temperature": 0}, {"top_p": 0}):
        with pytest.raises(UsageError):
            model.translate(small_module, **wrong)


def test_raw_text_is_what_the_model_wrote_after_the_prompt(
    model: KernelLLM, small_module: str
) -> None:
    from kernelllm_jupyter.problem import parse_problem
    from kernelllm_jupyter.prompts import profile_for

    prompt = profile_for("starter").prompt(parse_problem(small_module))
    pieces = list(model.stream_raw(prompt, temperature=0.0))
    assert len(pieces) > 1
    assert "".join(pieces) == model.generate_raw(prompt, temperature=0.0)
    assert not "".join(pieces).startswith(prompt)
    seeded = [model.generate_raw(prompt, temperature=1.5, seed=7) for _ in range(2)]
    assert seeded[0] == seeded[1]


def test_a_source_that_is_no_problem_raises(model: KernelLLM) -> None:
    with pytest.raises(ProblemError):
        model.generate_triton("x = 1")


def test_the_repl_uses_what_the_user_typed(model: KernelLLM, small_module: str) -> None:
    sink = io.StringIO()
    other = small_module.replace("torch.relu(x) * 2.5", "torch.sigmoid(x) - 7.25")
    Repl(model._engine, model._profile, source=io.StringIO(other + ":go\n"), sink=sink).run()
    assert "7.25" in sink.getvalue()
