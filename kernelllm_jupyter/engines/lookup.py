"""Guesses how a text goes on from how it went on before: prompt lookup.

Triton code repeats its prompt and itself. Where the last few tokens stand in the text already, what
came after them then is the guess; a model reads several guessed tokens in about the time of one.
(Saxena, "Prompt Lookup Decoding", 2023.) A guess changes nothing about what is written: see
:mod:`kernelllm_jupyter.engines.stepping`. Knows tokens as numbers, and no model.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Lookup"]

#: So many tokens have to agree, at least and at most: longer agreement guesses better.
LEAST, MOST = 3, 6
#: Where of the guesses so far fewer than this came true, a reply gets no more of them.
WORTH_IT = 0.15
#: ... which is known after so many guessed tokens.
TRIED = 64


class Lookup:
    """The text so far; ``guess`` says what may come next."""

    def __init__(self, tokens: Sequence[int]):
        self._tokens: list[int] = []
        #: For each length, where the text went on after those tokens, the last time they came.
        self._after: list[dict[tuple[int, ...], int]] = [{} for _ in range(MOST + 1)]
        self._guessed = 0
        self._true = 0
        for token in tokens:
            self.feed(token)

    def copy(self) -> Lookup:
        """The same text, to be gone on with in another way."""
        made = Lookup(())
        made._tokens = self._tokens.copy()
        made._after = [known.copy() for known in self._after]
        return made

    def feed(self, token: int) -> None:
        """The text goes on with ``token``."""
        self._tokens.append(token)
        end = len(self._tokens)
        # What ends *before* this token goes on with it; the present end has no continuation yet.
        for length in range(LEAST, min(MOST, end - 1) + 1):
            key = tuple(self._tokens[end - 1 - length : end - 1])
            self._after[length][key] = end - 1

    def guess(self, count: int) -> list[int]:
        """Up to ``count`` tokens that came after the last ones before; empty where nothing did."""
        if self._guessed >= TRIED and self._true < WORTH_IT * self._guessed:
            return []
        end = len(self._tokens)
        for length in range(min(MOST, end), LEAST - 1, -1):
            at = self._after[length].get(tuple(self._tokens[end - length :]))
            if at is not None:
                return self._tokens[at : at + count]
        return []

    def settle(self, guessed: int, true: int) -> None:
        """Of ``guessed`` tokens so many came true."""
        self._guessed += guessed
        self._true += true
