"""The Python API: the calls that users of the model's own script know."""

from __future__ import annotations

import io

import pytest

import kernelllm_jupyter
from kernelllm_jupyter import KernelLLM, check
from kernelllm_jupyter.errors import ProblemError
from kernelllm_jupyter.repl import Repl


@pytest.fixture(scope="module")
def model() -> KernelLLM:
    return KernelLLM()


def test_exported_names_are_these() -> None:
    assert sorted(kernelllm_jupyter.__all__) == [
        "KernelLLM",
        "__version__",
        "benchmark",
        "check",
        "load_ipython_extension",
    ]
    assert kernelllm_jupyter.__version__


def test_a_generated_module_is_checked(model: KernelLLM, small_module: str) -> None:
    code = model.generate_triton(small_module, max_new_tokens=512)
    assert check(small_module, code).verdict == "correct"


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
