"""Turns of a chat in tokens, in the model's own template.

Special tokens that the template writes count as such; those that stand in somebody's code are
plain text there. Knows tokenizers of transformers and no model; imports nothing heavy.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from kernelllm_jupyter.errors import EngineError
from kernelllm_jupyter.values import Message

__all__ = ["ChatTemplate", "is_thought_mark", "opened_thought"]

#: What a template may leave open at the end of the prompt: the reply then begins inside it.
OPENED = re.compile(r"[<\[](?:\w+:)?think(?:ing)?[>\]]\s*\Z", re.IGNORECASE)
THOUGHT_MARK = re.compile(r"[<\[]/?(?:\w+:)?think(?:ing)?[>\]]", re.IGNORECASE)
#: Where Unicode leaves characters to whoever needs some.
PRIVATE = range(0xE000, 0xF8FF)


def is_thought_mark(token: str) -> bool:
    """Whether a token marks the model's reasoning: such text is kept, special token or not."""
    return THOUGHT_MARK.fullmatch(token) is not None


def opened_thought(prompt: str) -> str:
    """The mark that ``prompt`` ends with, with the space after it; empty where there is none."""
    found = OPENED.search(prompt)
    return found.group() if found else ""


class ChatTemplate:
    """Renders turns and encodes them; may be used from several threads."""

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        self._encode = _encoder(tokenizer)
        self._special = _special(tokenizer)

    @property
    def exists(self) -> bool:
        """Whether the checkpoint brings a template; else turns are written as plain paragraphs."""
        return bool(getattr(self._tokenizer, "chat_template", None))

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt's text, up to where the model's turn begins.

        Raises ``EngineError`` where the template does not take these turns.
        """
        if not self.exists:
            return "\n\n".join(message.content.strip() for message in messages) + "\n\n"
        try:
            return self._rendered(messages)
        except Exception as error:
            joined = _without_system(messages)
            if joined == list(messages):
                raise _cannot(error) from error
        try:  # Some families know no system turn.
            return self._rendered(joined)
        except Exception as error:
            raise _cannot(error) from error

    def encode(self, messages: Sequence[Message]) -> tuple[list[int], str]:
        """The prompt in tokens with at most one BOS, and its text."""
        cut = _unused_character(messages)
        text = self.render([self._as_text(message, cut) for message in messages])
        ids = [token for piece in text.split(cut) for token in self._encode(piece)]
        bos = self._tokenizer.bos_token_id
        while bos is not None and ids[:2] == [bos, bos]:
            del ids[0]
        if not self.exists and bos is not None and ids[:1] != [bos]:
            ids.insert(0, bos)
        return ids, text.replace(cut, "")

    def _rendered(self, messages: Sequence[Message]) -> str:
        text = self._tokenizer.apply_chat_template(
            [asdict(message) for message in messages], tokenize=False, add_generation_prompt=True
        )
        return str(text)

    def _as_text(self, message: Message, cut: str) -> Message:
        """``message`` with the special tokens in it cut in two, so that they are encoded as text.

        The template sees the content else as it is: some look into it, and tokens may reach
        across its ends.
        """
        if self._special is None:
            return message
        return replace(message, content=self._special.sub(rf"\g<0>{cut}", message.content))


def _cannot(error: Exception) -> EngineError:
    return EngineError(
        f"The model's chat template does not take this prompt: {error}. Write a profile of the "
        "form 'raw' for this model (see docs/profiles.md), or update its tokenizer's files."
    )


def _without_system(messages: Sequence[Message]) -> list[Message]:
    """The same turns with what the system turn says at the start of the first one of the user."""
    if len(messages) < 2 or messages[0].role != "system":
        return list(messages)
    first = replace(messages[1], content=f"{messages[0].content}\n\n{messages[1].content}")
    return [first, *messages[2:]]


def _encoder(tokenizer: Any) -> Callable[[str], list[int]]:
    """Text to tokens, special tokens in it being what they are."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return lambda text: list(tokenizer(text, add_special_tokens=False)["input_ids"])
    own = copy.deepcopy(backend)
    own.encode_special_tokens = False
    own.no_truncation()
    own.no_padding()
    return lambda text: list(own.encode(text, add_special_tokens=False).ids)


def _special(tokenizer: Any) -> re.Pattern[str] | None:
    """Finds the first character of each special token in a text.

    Also of those that are not declared special but look like marks (``<think>``); not of the
    runs of spaces and such that some tokenizers add.
    """
    found = [
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if len(token.content) > 1 and (token.special or token.content[0] in "<[")
    ]
    if not found:
        return None
    return re.compile("(?=" + "|".join(map(re.escape, found)) + ")[\\s\\S]")


def _unused_character(messages: Sequence[Message]) -> str:
    used = set().union(*(message.content for message in messages))
    return next(chr(code) for code in PRIVATE if chr(code) not in used)
