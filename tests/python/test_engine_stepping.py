"""The engine's own loop, as a GPU decodes: what is written is what the model would write anyway."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from family_fixtures import DEEPSEEK, LLAMA, QWEN, Kind, make_family_checkpoint
from tape_graph import capturing

from kernelllm_jupyter.engines.lookup import TRIED, Lookup
from kernelllm_jupyter.values import FinishReason

SEED = 20_261_127


class Silent:
    """A sink and a detokenizer for replies that are looked at as numbers."""

    def __init__(self) -> None:
        self.tokens: list[int] = []

    def feed(self, token: int) -> str:
        self.tokens.append(token)
        return ""

    def flush(self) -> str:
        return ""

    def text(self, piece: str, tokens: int) -> None: ...

    def end(self, finish: FinishReason, tokens: int) -> None: ...

    def fail(self, message: str) -> None:
        raise AssertionError(message)


def reply(prompt: list[int], limit: int, seed: int = 0, **rules: Any) -> Any:
    from kernelllm_jupyter.engines.decoding import Reply

    silent = Silent()
    return Reply(
        prompt=tuple(prompt),
        temperature=rules.get("temperature", 1.0),
        top_p=rules.get("top_p", 1.0),
        top_k=rules.get("top_k", 0),
        limit=limit,
        uniform=random.Random(seed),
        sink=silent,
        stop_ids=frozenset(),
        detokenizer=silent,  # type: ignore[arg-type]
    )


def tokens(replies: list[Any]) -> list[list[int]]:
    return [each.detokenizer.tokens for each in replies]


def counting(stepper: Any) -> list[int]:
    """How many tokens each pass of the stepper reads, from now on."""
    counts: list[int] = []
    run = stepper.run

    def counted(slots: Any, read: Any, **more: Any) -> Any:
        counts.append(read.shape[1])
        return run(slots, read, **more)

    stepper.run = counted
    return counts


# --- guesses -------------------------------------------------------------------------------------


def test_a_guess_is_what_came_after_the_same_tokens_the_last_time() -> None:
    text = Lookup([1, 2, 3, 4, 5, 9, 9, 1, 2, 3, 7, 8])
    assert text.guess(4) == []
    for token in (1, 2, 3):
        text.feed(token)
    assert text.guess(4) == [7, 8, 1, 2], "the last time, not the first"
    text.feed(4)
    assert text.guess(2) == [5, 9], "the longest agreement, not the nearest"
    assert Lookup([1, 2]).guess(3) == []
    assert Lookup([]).guess(3) == []


def test_guesses_that_never_come_true_end() -> None:
    text = Lookup([1, 2, 3, 4, 1, 2, 3])
    for _ in range(TRIED // 4):
        assert text.guess(4) == [4, 1, 2, 3]
        text.settle(4, 0)
    assert text.guess(4) == []
    lucky = Lookup([1, 2, 3, 4, 1, 2, 3])
    lucky.settle(1000, 200)
    assert lucky.guess(1) == [4]


# --- the same text -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [LLAMA, QWEN, DEEPSEEK], ids=["llama", "qwen2", "deepseek"])
def test_every_family_is_decoded_as_by_generate(tmp_path: Path, kind: Kind) -> None:
    """Rows at different places, guesses and none, greedy and sampled, prompt read once for all."""
    from kernelllm_jupyter.engines.attention import use_grouped
    from kernelllm_jupyter.engines.decoding import generate
    from kernelllm_jupyter.engines.loading import load_checkpoint
    from kernelllm_jupyter.engines.stepping import Stepper, decode, sees_everything

    loaded = load_checkpoint(make_family_checkpoint(tmp_path / "m", kind), "cpu", "float32")
    assert sees_everything(loaded.model)
    prompt = loaded.prompt_ids("import torch\nimport triton\nimport torch\nimport triton\n")

    def replies(count: int) -> list[Any]:
        limits = [40, 9, 23]
        return [
            reply(prompt, limits[at], seed=at, temperature=0.0 if at == 0 else 0.6, top_p=0.9)
            for at in range(count)
        ]

    for count in (1, 3):
        expected = replies(count)
        generate(loaded, expected)
        for guesses in (False, True):
            stepper = Stepper(loaded.model, "cpu", guesses=guesses)
            read = counting(stepper)
            found = replies(count)
            assert decode(stepper, found)
            assert tokens(found) == tokens(expected)
            assert read[0] == len(prompt)
            assert (max(read[1:]) > 1) == guesses
            if guesses:
                assert len(read) < 40, "guesses that came true saved passes"
    use_grouped(loaded.model)
    assert loaded.model.config._attn_implementation != "sdpa"
    again = replies(3)
    assert decode(Stepper(loaded.model, "cpu", guesses=True), again)
    assert tokens(again) == tokens(expected)
    grouped = replies(3)
    generate(loaded, grouped)
    assert tokens(grouped) == tokens(expected)


def llama(vocabulary: int = 6, **settings: Any) -> Any:
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.3,
        **settings,
    )
    model = LlamaForCausalLM(config).eval()
    model.generation_config = GenerationConfig()  # As the engine loads it: no end token but ours.
    return model


def test_a_pass_can_be_traced_whole_and_checks_itself() -> None:
    """What is compiled and captured on a GPU has no break in its graph, and no surprise in it."""
    import torch

    from kernelllm_jupyter.engines.attention import use_grouped
    from kernelllm_jupyter.engines.slots import Slots
    from kernelllm_jupyter.engines.stepping import Stepper, stepper_for

    model = llama(vocabulary=16)
    assert stepper_for(model, "cpu", 256) is None, "on a CPU, generate() is as fast"
    use_grouped(model)
    stepper = Stepper(model, "cpu", guesses=True)
    with torch.no_grad():
        assert stepper.agrees()
        slots = Slots(1, 64, "cpu")
        stepper.run(slots, torch.zeros((1, 1), dtype=torch.long))
        traced = torch.compile(stepper.run, fullgraph=True, dynamic=False, backend="eager")
        slots.positions = torch.arange(4)[None]
        read = torch.tensor([[3, 1, 4, 1]])
        torch.testing.assert_close(traced(slots, read), stepper.run(slots, read))
        # A model whose rows disturb each other is found out.
        mask = Slots.mask
        try:
            Slots.mask = lambda self: torch.ones_like(mask(self))  # type: ignore[method-assign]
            assert not stepper.agrees()
        finally:
            Slots.mask = mask  # type: ignore[method-assign]


def test_a_captured_pass_reads_everything_from_its_own_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a GPU, with tapes for CUDA graphs: other prompts, places and guesses each time."""
    import torch

    from kernelllm_jupyter.engines import decoding
    from kernelllm_jupyter.engines.attention import use_grouped
    from kernelllm_jupyter.engines.stepping import KEPT, Stepper, decode

    model, free = llama(vocabulary=16), [90]
    use_grouped(model)
    loaded: Any = SimpleNamespace(model=model, device="cpu", stepper=None)
    capturing(monkeypatch, free)
    stepper = Stepper(model, "cpu", guesses=True)
    stepper._captures = True
    with torch.no_grad():
        assert stepper.agrees()
    ran = counting(stepper)

    def written(count: int, first: int) -> list[list[int]]:
        prompt = [first, 2, 3, 4, first, 2, 3]
        expected, found = [
            [reply(prompt, 9 + 3 * at, seed=at, temperature=0.5) for at in range(count)]
            for _ in range(2)
        ]
        decoding.generate(loaded, expected)
        assert decode(stepper, found)
        assert tokens(found) == tokens(expected)
        return tokens(found)

    for count in (3, 1):
        assert written(count, 1) != written(count, 5)
        before = len(ran)
        written(count, 7)
        assert len(ran) == before + 1, "only the prompt is read by a pass that is not captured"
    assert stepper.way == "captured"
    written(2, 1)
    assert len(stepper._kept) == KEPT
    # Compiling is another test's: here it is that what is compiled is captured and used.
    monkeypatch.setattr(torch, "compile", lambda run, **_: run)
    stepper.compile()
    assert stepper.way == "compiled"
    before = len(ran)
    written(1, 3)
    assert len(ran) == before + 1
    stepper.tidy()
    assert stepper._kept
    free.append(10)
    stepper.tidy()
    assert not stepper._kept, "checks need the memory"
    # What does not agree with the model is not used.
    stepper.forget()
    monkeypatch.setattr(torch, "compile", lambda run, **_: lambda slots, read: run(slots, read + 1))
    stepper.compile()
    assert stepper.way == "captured"
    written(1, 3)


def test_a_model_with_a_window_is_left_to_generate() -> None:
    from kernelllm_jupyter.engines.stepping import sees_everything

    def seen(**settings: Any) -> bool:
        config = SimpleNamespace(**settings)
        config.get_text_config = lambda: config
        return sees_everything(SimpleNamespace(config=config))

    assert seen()
    assert seen(sliding_window=None)
    assert seen(layer_types=["full_attention"] * 2, sliding_window=4096)
    assert not seen(sliding_window=4096)
    assert not seen(layer_types=["full_attention", "sliding_attention"])


def test_the_benchmark_of_a_gpu_runs_to_its_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import generation_gpu

    options = ["--tiny", "--tokens", "8", "--prompt", "30", "--rounds", "1"]
    monkeypatch.setattr("sys.argv", ["generation_gpu.py", *options])
    assert generation_gpu.main() == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-2])
    assert {"transformers", "captured", "with_lookup", "first_token_ms", "k10_over_k1"} <= set(
        found
    )
    assert found["tokens_per_pass"] > 1.2, "this repository's own candidates repeat their prompt"


def test_a_second_prompt_does_not_wait_for_the_first() -> None:
    from kernelllm_jupyter.engines import decoding
    from kernelllm_jupyter.engines.stepping import Stepper

    model = llama(vocabulary=16)
    stepper = Stepper(model, "cpu", guesses=True)
    loaded: Any = SimpleNamespace(model=model, device="cpu", stepper=stepper)
    read = counting(stepper)
    alone, beside = [[reply([1, 2, 3, 4], 9, seed) for seed in range(2)] for _ in range(2)]
    decoding.decode_batch(loaded, alone)
    own = len(read)
    assert own
    with stepper.lock:  # As while it decodes the first.
        decoding.decode_batch(loaded, beside)
    assert len(read) == own
    assert tokens(beside) == tokens(alone)


def test_without_memory_for_the_cache_generate_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from kernelllm_jupyter.engines import decoding
    from kernelllm_jupyter.engines.slots import Slots
    from kernelllm_jupyter.engines.stepping import Stepper

    model = llama(vocabulary=16)
    loaded: Any = SimpleNamespace(model=model, device="cpu", stepper=None)
    own: Any = SimpleNamespace(
        model=model, device="cpu", stepper=Stepper(model, "cpu", guesses=True)
    )
    prompt = [1, 2, 3, 4, 1, 2, 3]
    expected, found = [[reply(prompt, 12, seed) for seed in range(3)] for _ in range(2)]
    decoding.decode_batch(loaded, expected)

    def full(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(Slots, "update", full)
    decoding.decode_batch(own, found)
    assert tokens(found) == tokens(expected)
    assert not own.stepper.lock.locked()


# --- the same distribution -----------------------------------------------------------------------

PROMPT = [1, 2, 3, 5, 5, 5, 1, 2, 3]
GUESS = 5
LENGTH = 3
DRAWS = 4000


def exact(model: Any, temperature: float) -> dict[tuple[int, ...], float]:
    """The probability of every text of ``LENGTH`` tokens, from the plain model's scores."""
    import torch

    found = {(): 1.0}
    for _ in range(LENGTH):
        longer = {}
        with torch.inference_mode():
            texts = list(found)
            scores = model(input_ids=torch.tensor([[*PROMPT, *text] for text in texts])).logits
        after = torch.softmax(scores[:, -1].double() / temperature, dim=-1).tolist()
        for text, row in zip(texts, after, strict=True):
            for token, probability in enumerate(row):
                longer[(*text, token)] = found[text] * probability
        found = longer
    return found


def p_value(found: Counter[tuple[int, ...]], expected: dict[tuple[int, ...], float]) -> float:
    """Pearson's chi-square test; cells that are expected less than five times are one."""
    import torch

    count = sum(found.values())
    cells, rest = [], [0.0, 0.0]
    for text, probability in expected.items():
        if probability * count >= 5:
            cells.append((found[text], probability * count))
        else:
            rest = [rest[0] + found[text], rest[1] + probability * count]
    if rest[1] > 0:
        cells.append((int(rest[0]), rest[1]))
    statistic = sum((seen - wanted) ** 2 / wanted for seen, wanted in cells)
    half = torch.tensor([(len(cells) - 1) / 2, statistic / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(half[0], half[1]))


def sampled(decode: Any, temperature: float, **rules: Any) -> Counter[tuple[int, ...]]:
    found: Counter[tuple[int, ...]] = Counter()
    for start in range(0, DRAWS, 500):
        seeds = range(SEED + start, SEED + start + 500)
        batch = [reply(PROMPT, LENGTH, seed, temperature=temperature, **rules) for seed in seeds]
        decode(batch)
        found.update(tuple(each) for each in tokens(batch))
    return found


def test_a_sampled_stream_keeps_the_models_distribution_whatever_the_speed_up() -> None:
    """All texts of three tokens, 4,000 draws; the guess after this prompt is often right."""
    from kernelllm_jupyter.engines import decoding
    from kernelllm_jupyter.engines.stepping import Stepper, decode

    model, temperature = llama(), 0.7
    loaded: Any = SimpleNamespace(model=model, device="cpu", stepper=None)
    stepper = Stepper(model, "cpu", guesses=True)
    expected = exact(model, temperature)
    plain = sampled(lambda batch: decoding.decode_batch(loaded, batch), temperature)
    assert p_value(plain, expected) > 0.01
    read = counting(stepper)
    guessed = sampled(lambda batch: decode(stepper, batch), temperature)
    assert p_value(guessed, expected) > 0.01
    assert guessed == plain, "token for token"
    assert max(read[1:]) > 1, "guesses were tried"
    assert 0.1 < sum(n for text, n in guessed.items() if text[0] == GUESS) / DRAWS < 0.9


def test_the_test_of_the_distribution_finds_wrong_samplers() -> None:
    from kernelllm_jupyter.engines import stepping

    model = llama()
    expected = exact(model, 1.0)

    stepper = stepping.Stepper(model, "cpu", guesses=True)

    def p_of(change: Any = lambda batch: batch, **rules: Any) -> float:
        return p_value(
            sampled(lambda b: stepping.decode(stepper, change(b)), 1.0, **rules), expected
        )

    # What transformers leaves on (50 of 128,256; here 5 of 6), and a checkpoint's temperature.
    assert p_of(top_k=5) < 1e-6
    assert p_value(sampled(lambda b: stepping.decode(stepper, b), 0.8), expected) < 1e-6

    class Trusting(type(reply([1], 1))):  # type: ignore[misc]
        """Takes the guess for right where it is at all likely: what sounds plausible is wrong."""

        def take(self, token: int, now_s: float) -> bool:
            return bool(super().take(GUESS if token == 3 and not self.tokens else token, now_s))

    def trusting(batch: list[Any]) -> list[Any]:
        for each in batch:
            each.__class__ = Trusting
        return batch

    assert p_of(trusting) < 1e-6

    class Repeating(type(reply([1], 1))):  # type: ignore[misc]
        """Decides all places of a pass by one number: each token is right, their texts are not."""

        def levels(self, count: int) -> list[float]:
            return super().levels(count)[:1] * count

    def repeating(batch: list[Any]) -> list[Any]:
        for each in batch:
            each.__class__ = Repeating
        return batch

    assert p_of(repeating) < 1e-6


def test_what_is_only_looked_at_decides_the_next_token() -> None:
    seen = reply([1], 5, seed=3)
    first = seen.levels(4)
    seen.take(2, 0.0)
    assert seen.levels(4)[:3] == first[1:]
    assert replace(seen, temperature=0.0).levels(2) == [0.0, 0.0]
