"""The starter's way from module to prompt and from answer to code, without a model.

The answers come from the teacher in ``tools/starter``, so that what is tested here is everything
but the weights.
"""

from __future__ import annotations

import ast
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kernelllm_jupyter.errors import UnsupportedModule
from kernelllm_jupyter.starter import StarterProfile
from kernelllm_jupyter.starter.trace import trace
from kernelllm_jupyter.values import Problem
from kernelllm_jupyter.verify.check import check

TOOLS = Path(__file__).parents[2] / "tools" / "starter"
PROFILE = StarterProfile()


@pytest.fixture
def corpus(monkeypatch: pytest.MonkeyPatch):
    """The generator, which lives outside the package."""
    monkeypatch.syspath_prepend(str(TOOLS))
    import corpus

    return corpus


def module(forward: str, init: str = "", arguments: str = "x", extra: str = "") -> Problem:
    """A problem whose constructor and forward have these bodies."""
    source = f"""\
import math
import torch
import torch.nn as nn
import torch.nn.functional as F
{extra}

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        {init or "pass"}

    def forward(self, {arguments}):
        {forward}


def get_inputs():
    return [{", ".join("torch.randn(4, 6)" for _ in arguments.split(","))}]


def get_init_inputs():
    return []
"""
    return Problem(source, "Model")


def code_of(problem: Problem, answer: str) -> str:
    reader = PROFILE.reader(problem)
    return reader.feed(answer) + reader.flush()


@pytest.mark.parametrize(
    "family",
    [
        *("graph", "reduction", "norm", "loss", "gate", "matmul", "convolution", "pooling"),
        *("channel norm", "cumulative", "classes", "composed"),
    ],
)
def test_pairs_of_the_corpus_pass_the_check(corpus, family: str) -> None:
    for seed in range(1):
        example = corpus.draw(seed, "train", family)
        problem = Problem(example.source, "Model")
        verdict = check(problem, code_of(problem, example.answer), device="cpu")
        assert verdict.correct, (example.source, verdict.reasons)


def test_a_held_out_problem_has_a_pair_of_operations_that_no_training_module_has(corpus) -> None:
    trained = {
        pair for seed in range(150) for pair in corpus.pairs_of(corpus.draw(seed, "train").plan)
    }
    for seed in range(30):
        unseen = corpus.pairs_of(corpus.draw(seed, "test").plan) - trained
        assert any(corpus.held("pair", *pair) for pair in unseen)
    assert not any(corpus.held("pair", *pair) for pair in trained)


def test_the_corpus_is_the_same_every_time(corpus) -> None:
    assert corpus.draw(7, "train") == corpus.draw(7, "train")
    assert corpus.draw(7, "train").source != corpus.draw(8, "train").source


def test_the_code_is_the_same_however_the_answer_is_cut(corpus) -> None:
    cut = random.Random(0)
    for seed in range(12):
        example = corpus.draw(seed, "test")
        problem = Problem(example.source, "Model")
        whole = code_of(problem, example.answer)
        ast.parse(whole)
        assert "$" not in whole
        assert "@0" not in whole
        for sizes in ([1], [2, 3], [cut.randint(1, 40) for _ in range(50)]):
            reader, text, pieces = PROFILE.reader(problem), example.answer, []
            while text:
                size = cut.choice(sizes)
                pieces.append(reader.feed(text[:size]))
                text = text[size:]
            assert "".join(pieces) + reader.flush() == whole
            assert reader.done


@pytest.mark.parametrize("name", ["t", "u", "z", "flatten"])
def test_a_name_of_the_users_is_no_part_of_another_word(corpus, name: str) -> None:
    problem = Problem(
        f"""\
import torch
import torch.nn.functional as F
from torch import nn


class Model(nn.Module):
    def forward(self, x):
        {name} = torch.tanh(F.max_pool2d(x, 2))
        return {name}


def get_inputs():
    return [torch.randn(2, 3, 8, 8)]
""",
        "Model",
    )
    answer = corpus.answers.answer(trace(problem).plan)
    assert "        out = out.squeeze(2)\n        return out\n" in code_of(problem, answer)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "$",
        "@",
        "@9",
        "@77 relu $1\n$0 = $5\n",
        "---",
        "---\n",
        "$x9 = $\n---\n$",
        "a\n---\n---\n",
    ],
)
def test_a_malformed_answer_comes_out_without_a_crash(answer: str) -> None:
    problem = module("return torch.relu(x)")
    code = code_of(problem, answer)
    assert code.startswith("import torch")
    assert "@triton.jit" in code


def test_the_answer_streams_before_it_is_complete(corpus) -> None:
    example = corpus.draw(3, "train", "pointwise")
    reader = PROFILE.reader(Problem(example.source, "Model"))
    first = reader.feed(example.answer[: len(example.answer) // 2])
    assert "@triton.jit" in first
    assert "tl.load" in first
    assert not reader.done


@pytest.mark.parametrize(
    ("problem", "named"),
    [
        (module("return self.rnn(x)", "self.rnn = nn.LSTM(3, 4)"), "nn.LSTM in line 10"),
        (module("return torch.linalg.inv(x)"), "torch.linalg.inv in line 13"),
        (module("return x.sort(-1)"), "the method sort() in line 13"),
        (module("return torch.einsum('ij,jk,kl->il', x, y, x)", arguments="x, y"), "einsum("),
        (module("return torch.foo(x)"), "torch.foo in line 13"),
        (module("return x * 2 if x.sum() > 0 else x"), "an if on a tensor"),
        (module("return x / x.sum(-1)"), "without keepdim"),
        (module("return x, x + 1"), "more than one result"),
        (module("return x"), "a forward that computes nothing"),
        (module("return self.d(x)", "self.d = nn.Dropout(0.5)"), "nn.Dropout (random"),
    ],
)
def test_a_module_outside_the_families_is_named_and_the_way_to_kernelllm_shown(
    problem: Problem, named: str
) -> None:
    with pytest.raises(UnsupportedModule) as caught:
        PROFILE.prompt(problem)
    message = str(caught.value)
    assert named in message
    assert "softmax" in message
    assert "%%kernelllm -m facebook/KernelLLM" in message


def test_integer_inputs_are_refused() -> None:
    source = module("return x * 2").source.replace("torch.randn(4, 6)", "torch.randint(0, 9, (4,))")
    with pytest.raises(UnsupportedModule, match="dtype int64"):
        PROFILE.prompt(Problem(source, "Model"))


def test_lines_are_counted_in_the_users_own_text() -> None:
    source = "import torch.nn as nn\n" * 3 + module("return x.sort()").source
    with pytest.raises(UnsupportedModule, match=r"sort\(\) in line 13"):
        PROFILE.prompt(Problem(source, "Model", first_line=4))


def test_names_numbers_comments_and_layout_do_not_reach_the_model() -> None:
    plain = module("return F.leaky_relu(x, 0.2) * torch.sigmoid(x) + y", arguments="x, y")
    other = Problem(
        '''
import torch as th
from torch import nn, Tensor
from torch.nn import functional as TF
SLOPE = 0.37
class Gate(nn.Module):
    """Has a docstring."""
    def forward(self,
                features: Tensor,   # and comments
                skip: Tensor) -> Tensor:
        """And another."""
        leaky = TF.leaky_relu(features,
                              negative_slope=SLOPE)

        gate = features.sigmoid()
        leaky *= gate
        return th.add(leaky, skip)
def get_inputs():
    return [th.rand(3, 5, 7), th.rand(3, 5, 7)]
''',
        "Gate",
    )
    assert PROFILE.prompt(plain) == PROFILE.prompt(other)


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("return x ** 2", "return torch.square(x)"),
        ("return x.pow(2)", "return torch.pow(x, 2)"),
        ("return F.elu(x)", "return F.elu(x, alpha=1.0)"),
        ("return F.softmax(x, -1)", "return x.softmax(dim=1)"),
        ("return torch.clamp(x, 0.1, 2)", "return F.hardtanh(x, 0.1, max_val=2)"),
        ("return x.amax(-1, keepdim=True)", "return torch.max(x, dim=1, keepdim=True)[0]"),
        ("return nn.functional.relu(x) - 1", "return F.relu(x, inplace=True) - 1"),
        ("return 1 / (1 + x)", "return 1.0 / (x + 1)"),
        ("return x.mean(-1, True)", "return torch.mean(x, axis=-1, keepdims=True)"),
    ],
)
def test_spellings_of_one_function_give_one_prompt(one: str, same: str) -> None:
    assert PROFILE.prompt(module(one)) == PROFILE.prompt(module(same))


def test_a_change_in_place_is_seen_through_every_name_but_not_by_a_copy() -> None:
    changed = module("y = x * 3\n        z = y\n        z.add_(1)\n        return y")
    assert PROFILE.prompt(changed) == PROFILE.prompt(module("return x * 3 + 1"))
    copied = module("y = x * 3\n        z = y.clone()\n        z.add_(1)\n        return y")
    assert PROFILE.prompt(copied) == PROFILE.prompt(module("return x * 3"))


def test_what_a_constructor_argument_decides_is_checked_again_at_run_time(corpus) -> None:
    from answers import answer

    from kernelllm_jupyter.starter.trace import trace

    source = (
        module("return torch.relu(x) if self.kind == 'relu' else torch.tanh(x)")
        .source.replace("def __init__(self):", "def __init__(self, kind):")
        .replace("pass", "self.kind = kind")
        .replace("return []", "return ['relu']")
    )
    problem = Problem(source, "Model")
    code = code_of(problem, answer(trace(problem).plan))
    assert "if self.kind != 'relu':" in code
    run = f"{code}\n\nprint(ModelNew('relu')(torch.ones(3)))\nModelNew('tanh')(torch.ones(3))\n"
    done = run_interpreted(run)
    assert "tensor([1., 1., 1.])" in done.stdout
    assert "ValueError: this Triton kernel was written for self.kind == 'relu'" in done.stderr


def test_a_dtype_that_the_triton_kernel_was_not_written_for_raises(corpus) -> None:
    from answers import answer

    from kernelllm_jupyter.starter.trace import trace

    problem = module("return torch.exp(x)")
    code = code_of(problem, answer(trace(problem).plan))
    done = run_interpreted(f"{code}\n\nModelNew()(torch.ones(3, dtype=torch.int32))\n")
    assert "TypeError: this Triton kernel takes" in done.stderr


def run_interpreted(code: str) -> subprocess.CompletedProcess[str]:
    # Triton reads a jitted function's source from its file.
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(code)
        file.flush()
        return subprocess.run(
            [sys.executable, file.name],
            env={"TRITON_INTERPRET": "1", "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
            capture_output=True,
            text=True,
            timeout=120,
        )


def test_reading_a_module_imports_no_torch() -> None:
    code = (
        "import sys; from kernelllm_jupyter.starter import StarterProfile;"
        "from kernelllm_jupyter.values import Problem;"
        "StarterProfile().prompt(Problem(sys.stdin.read(), 'Model'));"
        "assert not {'torch', 'triton', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=module("return torch.relu(x) + 1").source,
        text=True,
        capture_output=True,
        cwd=Path(__file__).parents[2],
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_the_candidate_keeps_the_users_constructor_names_and_arguments(corpus) -> None:
    from answers import answer

    from kernelllm_jupyter.starter.trace import trace

    source = (TOOLS / "handwritten" / "06_rms_norm_llama.py").read_text()
    problem = Problem(source, "RMSNorm")
    code = code_of(problem, answer(trace(problem).plan))
    assert "def __init__(self, dim: int, eps: float = 1e-6):" in code
    assert "self.weight = nn.Parameter(torch.ones(dim))" in code
    assert re.search(
        r"def rms_norm_kernel\(x_ptr, weight_ptr, eps, out_ptr, weight_size, n_cols", code
    )
    assert check(problem, code, device="cpu").correct
