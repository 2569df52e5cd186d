"""Streamed text is the text, whatever the tokens split."""

from __future__ import annotations

from typing import Any

import pytest
from engine_fixtures import llama3_like_tokenizer

from kernelllm_jupyter.engines.detokenize import detokenizers

TEXTS = (
    "import triton\n\n@triton.jit\ndef add(x_ptr, n, B: tl.constexpr):\n    return x_ptr , n .",
    "größer 内核 ядро 🚀👩‍🔬 naïve\ttabs  two spaces\r\n",
    "'don 't' , i 'm",  # What clean_up_tokenization_spaces would change.
)


@pytest.fixture(scope="module")
def byte_level() -> Any:
    return llama3_like_tokenizer()


@pytest.fixture(scope="module")
def sentencepiece_like() -> Any:
    """Spaces as ▁ and unknown characters as bytes, as Llama 2 and Gemma have it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "▁import", "▁x", "triton"]
    pieces += list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ()[]:,.'=_@@\n"[:-1])
    vocabulary = {piece: place for place, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=[], byte_fallback=True, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def pieces_of(tokenizer: Any, ids: list[int]) -> list[str]:
    detokenizer = detokenizers(tokenizer)()
    return [*(detokenizer.feed(token) for token in ids), detokenizer.flush()]


@pytest.mark.parametrize("text", TEXTS)
def test_streamed_pieces_join_to_the_text(byte_level: Any, text: str) -> None:
    ids = byte_level(text, add_special_tokens=False)["input_ids"]
    assert "".join(pieces_of(byte_level, ids)) == text


def test_only_an_incomplete_character_is_held_back(byte_level: Any) -> None:
    ids = byte_level("🚀", add_special_tokens=False)["input_ids"]
    single = byte_level("é", add_special_tokens=False)["input_ids"]
    assert len(single) > 1, "the test needs a character of several tokens"
    held = pieces_of(byte_level, single)
    assert held[len(single) - 1] == "é"
    assert not any(held[: len(single) - 1])
    text = "x = 1"
    plain = byte_level(text, add_special_tokens=False)["input_ids"]
    assert all(pieces_of(byte_level, plain)[:-1])
    assert "".join(pieces_of(byte_level, ids)) == "🚀"


def test_special_tokens_leave_no_text(byte_level: Any) -> None:
    ids = byte_level.convert_tokens_to_ids(["<|begin_of_text|>", "x", "<|eot_id|>"])
    assert "".join(pieces_of(byte_level, ids)) == "x"


def test_added_tokens_that_are_not_special_are_text(byte_level: Any) -> None:
    tokenizer = llama3_like_tokenizer()
    tokenizer.add_tokens(["tl.store(out_ptr"])
    ids = tokenizer("    tl.store(out_ptr + 1", add_special_tokens=False)["input_ids"]
    assert tokenizer.convert_tokens_to_ids("tl.store(out_ptr") in ids
    assert "".join(pieces_of(tokenizer, ids)) == "    tl.store(out_ptr + 1"


@pytest.mark.parametrize("text", ["import x", "x = größer 内核 (x)", "triton " * 40 + "é"])
def test_other_tokenizers_stream_their_own_decoding(sentencepiece_like: Any, text: str) -> None:
    ids = sentencepiece_like(text, add_special_tokens=False)["input_ids"]
    expected = sentencepiece_like.decode(ids, clean_up_tokenization_spaces=False)
    assert "".join(pieces_of(sentencepiece_like, ids)).strip() == expected.strip()
