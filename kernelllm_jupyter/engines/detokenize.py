"""From token ids to text, one token at a time, without waiting for more than a character needs.

Decoding a token on its own loses characters that are spread over several tokens; decoding the
whole reply anew at each token is quadratic. For byte-level BPE (Llama 3, Qwen, GPT-2, the starter)
the bytes of each token are known, so an incremental UTF-8 decoder is exact and takes a
microsecond; every other tokenizer decodes a short window.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from kernelllm_jupyter.engines.chat import is_thought_mark

__all__ = ["Detokenizer", "detokenizers"]

#: What decoders write for bytes that are no UTF-8 (yet).
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class Detokenizer(Protocol):
    """The text of one reply, as far as it is certain."""

    def feed(self, token: int) -> str: ...

    def flush(self) -> str: ...


def detokenizers(tokenizer: Any) -> Callable[[], Detokenizer]:
    """What makes a detokenizer for one reply, from a transformers tokenizer."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        parts = json.loads(backend.to_str())
        if (parts.get("decoder") or {}).get("type") == "ByteLevel":
            table = _byte_table(tokenizer, parts.get("added_tokens") or [])
            return lambda: _Bytes(table)
    return lambda: _Window(tokenizer)


def _byte_table(tokenizer: Any, added: list[Mapping[str, Any]]) -> dict[int, bytes]:
    alphabet = _byte_of_character()
    table = {}
    for text, number in tokenizer.get_vocab().items():
        try:
            table[number] = bytes(alphabet[character] for character in text)
        except KeyError:
            table[number] = text.encode()
    for token in added:
        shown = not token["special"] or is_thought_mark(token["content"])
        table[token["id"]] = token["content"].encode() if shown else b""
    return table


def _byte_of_character() -> dict[str, int]:
    """Byte-level BPE writes each byte as a printable character: itself, or one from 256 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in set(printable)]
    table = {chr(byte): byte for byte in printable}
    table.update({chr(256 + place): byte for place, byte in enumerate(rest)})
    return table


class _Bytes:
    """Byte-level BPE: only an incomplete character is held back."""

    def __init__(self, table: Mapping[int, bytes]):
        self._table = table
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token: int) -> str:
        return self._utf8.decode(self._table.get(token, b""))

    def flush(self) -> str:
        return self._utf8.decode(b"", final=True)


class _Window:
    """Any tokenizer: what a token adds to the text of the few tokens before it."""

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        self._tokens: list[int] = []
        self._said = 0

    def feed(self, token: int) -> str:
        self._tokens.append(token)
        text = self._decode(self._tokens)
        if text.endswith(REPLACEMENT):
            return ""
        new = text[self._said :]
        # Leading spaces depend on the token before: keep some as context, forget the rest.
        if len(self._tokens) > 16:
            del self._tokens[:-8]
            text = self._decode(self._tokens)
        self._said = len(text)
        return new

    def flush(self) -> str:
        return self._decode(self._tokens)[self._said :]

    def _decode(self, tokens: list[int]) -> str:
        text = self._tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(text)
