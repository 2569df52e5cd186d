"""What is drawn from a model: exactly what was asked for, whoever else is in the batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from engine_fixtures import make_checkpoint

from kernelllm_jupyter.errors import EngineError
from kernelllm_jupyter.values import FinishReason, Sampling

PROMPT = "class ModelNew"
GREEDY = Sampling(temperature=0.0, max_new_tokens=24)


class Listener:
    """Keeps what a reply hands on; ``cancel_after`` cancels it from its own stream."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.ends: list[FinishReason] = []
        self.reply: Any = None
        self.cancel_after: int | None = None

    def text(self, piece: str, tokens: int) -> None:
        self.pieces.append(piece)
        if self.cancel_after is not None and tokens >= self.cancel_after:
            self.reply.cancelled = True

    def end(self, finish: FinishReason, tokens: int) -> None:
        self.ends.append(finish)

    def fail(self, message: str) -> None:
        raise AssertionError(message)


class AsNumbers:
    """A detokenizer that names the tokens, so that a test sees them."""

    def feed(self, token: int) -> str:
        return f"{token} "

    def flush(self) -> str:
        return ""


@pytest.fixture(scope="module", params=["generate", "own loop"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Decoded by transformers, and as on a GPU."""
    from kernelllm_jupyter.engines.attention import use_grouped
    from kernelllm_jupyter.engines.loading import load_checkpoint
    from kernelllm_jupyter.engines.stepping import Stepper

    folder = make_checkpoint(tmp_path_factory.mktemp("checkpoint"))
    found = load_checkpoint(folder, "cpu", "auto")
    if request.param == "generate":
        return found
    use_grouped(found.model)
    return replace(found, stepper=Stepper(found.model, "cpu", guesses=True))


def start(loaded: Any, sampling: Sampling, prompt: str = PROMPT) -> Listener:
    from kernelllm_jupyter.engines.decoding import reply_for

    listener = Listener()
    listener.reply = reply_for(loaded, prompt, sampling, listener)
    listener.reply.detokenizer = AsNumbers()
    return listener


def decode(loaded: Any, listeners: Sequence[Listener]) -> list[list[int]]:
    from kernelllm_jupyter.engines.decoding import decode_batch

    decode_batch(loaded, [listener.reply for listener in listeners])
    return [[int(token) for token in "".join(one.pieces).split()] for one in listeners]


def draw(loaded: Any, *samplings: Sampling) -> list[list[int]]:
    return decode(loaded, [start(loaded, sampling) for sampling in samplings])


def first_token_probabilities(loaded: Any, temperature: float) -> Any:
    import torch

    with torch.inference_mode():
        ids = torch.tensor([loaded.prompt_ids(PROMPT)])
        return torch.softmax(loaded.model(ids).logits[0, -1].double() / temperature, dim=-1)


def first_tokens(loaded: Any, count: int, **sampling: Any) -> Counter[int]:
    """The first token under ``count`` seeds; a reply of one token that ends counts as none."""
    found: Counter[int] = Counter()
    for at in range(0, count, 64):
        seeds = range(at, min(at + 64, count))
        samplings = [Sampling(max_new_tokens=1, seed=seed, **sampling) for seed in seeds]
        found.update(tokens[0] for tokens in draw(loaded, *samplings) if tokens)
    return found


def test_greedy_is_what_bare_generate_writes(loaded: Any) -> None:
    import torch

    ids = loaded.prompt_ids(PROMPT)
    bare = loaded.model.generate(
        torch.tensor([ids]), do_sample=False, max_new_tokens=24, pad_token_id=0
    )
    expected = bare[0, len(ids) :].tolist()
    ends = [place for place, token in enumerate(expected) if token in loaded.stop_ids]
    assert draw(loaded, GREEDY) == [expected[: ends[0]] if ends else expected]


def test_a_seed_gives_the_same_reply_alone_and_in_any_batch(loaded: Any) -> None:
    wanted = Sampling(temperature=1.0, top_p=0.97, seed=11, max_new_tokens=24)
    others = [
        Sampling(temperature=1.3, seed=5, max_new_tokens=9),
        GREEDY,
        Sampling(temperature=0.7, top_p=0.5, seed=6, max_new_tokens=30),
    ]
    (alone,) = draw(loaded, wanted)
    assert draw(loaded, others[0], wanted, *others[1:])[1] == alone
    assert draw(loaded, Sampling(temperature=1.0, top_p=0.97, seed=12, max_new_tokens=24)) != [
        alone
    ]


def test_greedy_and_sampled_replies_share_a_batch_without_touching_each_other(loaded: Any) -> None:
    sampled = Sampling(temperature=1.0, seed=1, max_new_tokens=24)
    assert draw(loaded, sampled, GREEDY)[1] == draw(loaded, GREEDY)[0]


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.5])
def test_tokens_are_drawn_at_the_temperature_asked_for(loaded: Any, temperature: float) -> None:
    """Pure sampling: neither transformers' top_k of 50 nor the checkpoint's top_p gets in."""
    count = 1920
    expected = first_token_probabilities(loaded, temperature)
    found = first_tokens(loaded, count, temperature=temperature, top_p=1.0, top_k=0)
    for token in expected.topk(8).indices.tolist():
        wanted = expected[token].item()
        spread = (wanted * (1 - wanted) / count) ** 0.5
        assert abs(found[token] / count - wanted) < 5 * spread + 1e-9
    # With top_k = 50 no token beyond the 50 likeliest would ever come.
    beyond = set(found) - set(expected.topk(50).indices.tolist())
    assert bool(beyond) == (expected.topk(50).values.sum().item() < 0.999)


@pytest.mark.parametrize("top_p", [0.3, 0.8])
def test_top_p_keeps_exactly_the_nucleus(loaded: Any, top_p: float) -> None:
    from transformers import TopPLogitsWarper

    probabilities = first_token_probabilities(loaded, 1.0)
    warped = TopPLogitsWarper(top_p)(None, probabilities.log().unsqueeze(0).float())[0]
    nucleus = {place for place, score in enumerate(warped.tolist()) if score != float("-inf")}
    found = first_tokens(loaded, 960, temperature=1.0, top_p=top_p)
    assert set(found) <= nucleus
    likely = {token for token in nucleus if probabilities[token] > 0.02} - loaded.stop_ids
    assert likely <= set(found)


def test_top_k_keeps_the_k_likeliest(loaded: Any) -> None:
    three = first_token_probabilities(loaded, 1.0).topk(3).indices.tolist()
    assert set(first_tokens(loaded, 200, temperature=1.0, top_k=3)) <= set(three)
    one = first_tokens(loaded, 30, temperature=1.5, top_k=1)
    assert set(one) == {three[0]}


def test_every_row_keeps_its_own_limit(loaded: Any) -> None:
    limits = [1, 7, 20]
    found = draw(loaded, *(Sampling(temperature=0, max_new_tokens=limit) for limit in limits))
    assert [len(tokens) for tokens in found] == limits


def test_cancelling_takes_effect_at_the_next_token_and_leaves_the_others_alone(loaded: Any) -> None:
    stopped, going = start(loaded, GREEDY), start(loaded, GREEDY)
    stopped.cancel_after = 1
    _, tokens = decode(loaded, [stopped, going])
    assert stopped.ends == ["cancelled"]
    assert stopped.reply.tokens <= 2
    assert going.ends == ["length"]
    assert tokens == draw(loaded, GREEDY)[0]


def test_a_batch_ends_when_all_of_it_is_cancelled(loaded: Any) -> None:
    listeners = [start(loaded, Sampling(temperature=0, max_new_tokens=400)) for _ in range(3)]
    for listener in listeners:
        listener.cancel_after = 1
    decode(loaded, listeners)
    assert all(listener.reply.tokens <= 2 for listener in listeners)


def test_replies_end_at_stop_tokens(loaded: Any) -> None:
    written = draw(loaded, GREEDY)[0]
    ending = replace(loaded, stop_ids=frozenset({written[5]}))
    listener = start(ending, GREEDY)
    (tokens,) = decode(ending, [listener])
    assert tokens == written[: written.index(written[5])]
    assert listener.ends == ["stop"]


def test_special_tokens_end_a_reply(loaded: Any) -> None:
    vocabulary = loaded.tokenizer.get_vocab()
    for token in ("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|start_header_id|>"):
        assert vocabulary[token] in loaded.stop_ids


@pytest.mark.parametrize("start_of_prompt", ["", "<|begin_of_text|>", "\n<|begin_of_text|>"])
def test_a_prompt_has_exactly_one_bos(loaded: Any, start_of_prompt: str) -> None:
    ids = loaded.prompt_ids(start_of_prompt + PROMPT)
    assert ids[0] == loaded.bos_id
    assert ids.count(loaded.bos_id) == 1
    assert ids == loaded.prompt_ids(PROMPT)


def test_special_tokens_in_a_users_code_are_plain_text(loaded: Any) -> None:
    text = 'x = "<|eot_id|>"  # not <|begin_of_text|>'
    ids = loaded.prompt_ids(text)
    assert not set(ids[1:]) & loaded.stop_ids
    assert loaded.tokenizer.decode(ids[1:], clean_up_tokenization_spaces=False) == text


def test_prompts_may_be_encoded_from_many_threads(loaded: Any) -> None:
    prompts = [f"class Model{number}: pass  # <|eot_id|>\n" * 20 for number in range(8)]
    expected = [
        [loaded.bos_id]
        + loaded.tokenizer(prompt, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        for prompt in prompts
    ]
    with ThreadPoolExecutor(len(prompts)) as pool:
        for _ in range(40):
            assert list(pool.map(loaded.prompt_ids, prompts)) == expected


def test_a_prompt_that_fills_the_window_is_refused_in_words(loaded: Any) -> None:
    with pytest.raises(EngineError, match="sees at most 512"):
        start(loaded, GREEDY, prompt="x = 1\n" * 600)


@pytest.mark.parametrize(
    "nonsense",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"top_k": -1},
        {"max_new_tokens": 0},
    ],
)
def test_sampling_that_means_nothing_is_refused(loaded: Any, nonsense: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match=next(iter(nonsense))):
        start(loaded, Sampling(**nonsense))


def test_a_reply_stays_within_the_window(loaded: Any) -> None:
    listener = start(loaded, Sampling(temperature=0, max_new_tokens=10_000))
    decode(loaded, [listener])
    assert len(listener.reply.prompt) + listener.reply.tokens <= loaded.context
