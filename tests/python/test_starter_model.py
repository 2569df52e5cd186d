"""The bundled checkpoint: what it is made of, and that it translates."""

from __future__ import annotations

import ast
import itertools
import json
from pathlib import Path

import pytest

from kernelllm_jupyter.starter import CHECKPOINT, StarterProfile
from kernelllm_jupyter.starter.trace import trace
from kernelllm_jupyter.values import Problem
from kernelllm_jupyter.verify.check import check

TOOLS = Path(__file__).parents[2] / "tools" / "starter"
PROFILE = StarterProfile()


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(CHECKPOINT)


@pytest.fixture(scope="module")
def model():
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    return AutoModelForCausalLM.from_pretrained(CHECKPOINT, dtype=torch.float32)


@pytest.fixture
def corpus(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import corpus

    return corpus


@pytest.fixture
def evaluation(corpus):
    """``tools/starter/evaluate.py``."""
    import evaluate

    return evaluate


def answered(model, tokenizer, prompt: str) -> str:
    """The greedy answer, as an engine asks for it."""
    import torch

    ids = tokenizer(prompt, add_special_tokens=False, split_special_tokens=True).input_ids
    inputs = torch.tensor([[tokenizer.bos_token_id, *ids]])
    with torch.no_grad():
        output = model.generate(
            inputs,
            attention_mask=torch.ones_like(inputs),
            do_sample=False,
            max_new_tokens=PROFILE.single.max_new_tokens,
        )
    return tokenizer.decode(output[0, inputs.shape[1] :], skip_special_tokens=True)


def test_the_checkpoint_is_small_and_complete() -> None:
    files = {path.name: path.stat().st_size for path in CHECKPOINT.iterdir()}
    assert sum(files.values()) < 20_000_000
    assert {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "profile.json",
        "README.md",
    } <= set(files)
    assert json.loads((CHECKPOINT / "profile.json").read_text()) == {"profile": "starter"}


def test_it_is_a_llama_that_knows_its_ends(model, tokenizer) -> None:
    assert type(model).__name__ == "LlamaForCausalLM"
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert model.config.vocab_size == len(tokenizer)
    assert tokenizer("relu", add_special_tokens=False).input_ids[0] != tokenizer.bos_token_id


def test_answers_and_any_other_text_survive_the_tokenizer(tokenizer, corpus) -> None:
    texts = ["", "\n", "def f(x):\n    return x\n", "Grüße → 你好 🚀 <|eos|> $v3 @5", "a  b\t\r\n"]
    for seed in range(60):
        example = corpus.draw(seed, "test")
        texts += [example.prompt, example.answer]
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_an_answer_takes_few_tokens(tokenizer, corpus) -> None:
    """No operation of the grammar falls back to bytes."""
    for seed in range(60):
        answer = corpus.draw(seed, "train").answer
        ids = tokenizer(answer, add_special_tokens=False).input_ids
        assert len(ids) < 2 * answer.count("\n")


def test_held_out_problems_of_one_family_have_what_no_training_had(evaluation, corpus) -> None:
    seen = []
    for family, problem, answer in evaluation.held_out(2, ("classes",), 500):
        assert family == "classes"
        assert any(corpus.held("pair", *pair) for pair in corpus.pairs_of(trace(problem).plan))
        assert evaluation.verdict_of(problem, answer)[0] == "correct"
        seen.append(problem.source)
    assert len(set(seen)) == 2


def test_no_drill_has_what_is_held_out_and_stages_come_in_every_order(corpus) -> None:
    after: set[tuple[str, str]] = set()
    for seed in range(300):
        plan = corpus.drilled(seed).plan
        assert not any(corpus.held("pair", *pair) for pair in corpus.pairs_of(plan))
        kinds = ["block" if graph.stored == "block" else "number" for graph in plan.graphs]
        after |= set(itertools.pairwise(kinds))
    assert len(after) == 4


@pytest.mark.parametrize(
    "name",
    [
        "03_sequential_of_activations",
        "06_rms_norm_llama",
        "09_hard_swish_by_hand",
        "10_gated_sum",
        "21_mse_loss",
        "29_activation_by_name",
        "38_helper_function",
        "47_tensor4d_einsum",
        "58_sum_over_dim",
        "62_argmax",
        "65_long_softmax",
        "71_masked_cumsum",
        "73_group_norm",
        "80_max_pool2d",
        "85_cross_entropy",
        "92_conv2d_square",
        "98_conv_transpose2d",
        "103_sdpa",
        "105_swiglu",
    ],
)
def test_a_module_written_by_hand_is_translated_and_proved(model, tokenizer, name: str) -> None:
    source = (TOOLS / "handwritten" / f"{name}.py").read_text()
    classes = [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    problem = Problem(source, "Model" if "Model" in classes else classes[-1])
    reader = PROFILE.reader(problem)
    answer = answered(model, tokenizer, PROFILE.prompt(problem))
    code = reader.feed(answer) + reader.flush()
    verdict = check(problem, code, device="cpu")
    assert verdict.correct, (code, verdict.reasons)
