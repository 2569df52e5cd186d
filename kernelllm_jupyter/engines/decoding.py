"""Completions through ``model.generate``: k at once in one batch, each with its own sampling.

On a GPU the engine's own loop decodes (:mod:`kernelllm_jupyter.engines.stepping`). Elsewhere every
step of a batch passes through one stopping criterion of ``generate``, which takes the new token of
each reply, hands its text on and says which replies are finished. No streamer thread, so nothing
can wait for a generation that failed. Knows tokens and replies, not sockets.

Imports torch and transformers; only the model process imports this module.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from kernelllm_jupyter.engines import stepping
from kernelllm_jupyter.engines.detokenize import Detokenizer
from kernelllm_jupyter.engines.drawing import Rules, drawn
from kernelllm_jupyter.engines.loading import LoadedModel
from kernelllm_jupyter.errors import EngineError, PromptTooLong
from kernelllm_jupyter.values import FinishReason, Prompt, Sampling

__all__ = ["Reply", "Sink", "decode_batch", "reply_for", "warm_up"]

DEFAULT_MAX_NEW_TOKENS = 2048
#: A reply that has to end after fewer tokens than this is no translation of anything.
LEAST_ROOM = 32
#: Text is handed on at most this often: faster models send several tokens at once.
EMIT_EVERY_S = 0.016


class Sink(Protocol):
    """Where the text of one reply goes; neither call may block."""

    def text(self, piece: str, tokens: int) -> None: ...

    def end(self, finish: FinishReason, tokens: int) -> None: ...

    def fail(self, message: str) -> None: ...


@dataclass
class Reply:
    """One completion on its way. ``cancelled`` may be set from any thread."""

    prompt: tuple[int, ...]
    temperature: float
    top_p: float
    top_k: int
    limit: int
    uniform: random.Random
    sink: Sink
    stop_ids: frozenset[int]
    detokenizer: Detokenizer
    cancelled: bool = False
    tokens: int = 0
    finish: FinishReason | None = None
    _pending: list[str] = field(default_factory=list)
    _emitted_s: float = 0.0
    _levels: list[float] = field(default_factory=list)

    @property
    def over(self) -> bool:
        return self.finish is not None

    def take(self, token: int, now_s: float) -> bool:
        """Take the next token; true when the completion is over."""
        if self.cancelled:
            return self._end("cancelled")
        self.tokens += 1
        del self._levels[:1]
        if token in self.stop_ids:
            return self._end("stop")
        text = self.detokenizer.feed(token)
        if text:
            self._pending.append(text)
        if self.tokens >= self.limit:
            return self._end("length")
        if self._pending and now_s - self._emitted_s >= EMIT_EVERY_S:
            self._emit()
            self._emitted_s = now_s
        return False

    def levels(self, count: int) -> list[float]:
        """The numbers that decide the next tokens: in [0, 1), and 0 for the likeliest.

        Each token uses up one, when it is taken: what was only looked at decides the next.
        """
        if self.temperature == 0:
            return [0.0] * count
        while len(self._levels) < count:
            self._levels.append(self.uniform.random())
        return self._levels[:count]

    def _end(self, finish: FinishReason) -> bool:
        self._pending.append(self.detokenizer.flush())
        self._emit()
        self.finish = finish
        self.sink.end(finish, self.tokens)
        return True

    def fail(self, message: str) -> None:
        """Tell the listener that there will be no more, unless it was told that already."""
        if self.finish is None:
            self.finish = "failed"
            self.sink.fail(message)

    def _emit(self) -> None:
        text = "".join(self._pending)
        self._pending.clear()
        if text:
            self.sink.text(text, self.tokens)


def reply_for(loaded: LoadedModel, prompt: Prompt, sampling: Sampling, sink: Sink) -> Reply:
    """A completion ready to be decoded; raises ``PromptTooLong`` where it would have no room."""
    _refuse_nonsense(sampling)
    ids, begun = loaded.encoded(prompt)
    wanted = DEFAULT_MAX_NEW_TOKENS if sampling.max_new_tokens is None else sampling.max_new_tokens
    room = loaded.context - len(ids)
    if room < min(wanted, LEAST_ROOM):
        raise PromptTooLong(
            f"The prompt has {len(ids)} tokens and the model sees at most {loaded.context} with "
            "its answer: shorten the module, or leave parts out of the cell that it does not need."
        )
    if not ids:
        raise EngineError("The prompt is empty.")
    return Reply(
        prompt=tuple(ids),
        temperature=1.0 if sampling.temperature is None else sampling.temperature,
        top_p=1.0 if sampling.top_p is None else sampling.top_p,
        top_k=sampling.top_k or 0,
        limit=min(wanted, room),
        uniform=random.Random(sampling.seed),
        sink=sink,
        stop_ids=loaded.stop_ids,
        detokenizer=loaded.new_detokenizer(),
        _pending=[begun] if begun else [],
    )


def _refuse_nonsense(sampling: Sampling) -> None:
    limits = (
        ("temperature", sampling.temperature, 0.0, math.inf, "0 (greedy) or more"),
        ("top_p", sampling.top_p, 1e-9, 1.0, "above 0 and at most 1"),
        ("top_k", sampling.top_k, 0, math.inf, "0 (off) or more"),
        ("max_new_tokens", sampling.max_new_tokens, 1, math.inf, "1 or more"),
    )
    for name, value, least, most, wanted in limits:
        if value is not None and not least <= value <= most:
            raise EngineError(f"{name} is {value}; it must be {wanted}.")


def warm_up(loaded: LoadedModel) -> None:
    """Generate a little, so that the first reply does not pay for what is set up on first use.

    Also because several threads would else import parts of transformers at the same time.
    """
    sampling = Sampling(temperature=1.0, max_new_tokens=2, seed=0)
    decode_batch(loaded, [reply_for(loaded, "import torch", sampling, _Nobody())])


class _Nobody:
    """Listens to a reply that nobody asked for."""

    def text(self, piece: str, tokens: int) -> None: ...

    def end(self, finish: FinishReason, tokens: int) -> None: ...

    def fail(self, message: str) -> None: ...


def decode_batch(loaded: LoadedModel, replies: Sequence[Reply]) -> None:
    """Decode completions of *one* prompt side by side until all are over.

    One prompt, because replies of different lengths would have to be padded, which changes
    their numbers. On a GPU by the engine's own loop, unless that is decoding another prompt.
    """
    stepper = loaded.stepper
    if stepper is not None and stepper.lock.acquire(blocking=False):
        try:
            done = stepping.decode(stepper, replies)
            stepper.tidy()
        finally:
            stepper.lock.release()
        if done:
            return
    generate(loaded, replies)


def generate(loaded: LoadedModel, replies: Sequence[Reply]) -> None:
    """The same by transformers' ``generate``."""
    prompt = torch.tensor([replies[0].prompt] * len(replies), device=loaded.device)
    processors = []
    if any(reply.temperature > 0 for reply in replies):
        processors.append(_Draw(replies, loaded.device))
    with torch.inference_mode():
        loaded.model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            generation_config=GenerationConfig(
                do_sample=False,
                max_new_tokens=max(reply.limit for reply in replies),
                pad_token_id=0,
                use_cache=True,
            ),
            logits_processor=LogitsProcessorList(processors),
            stopping_criteria=StoppingCriteriaList([_Deliver(replies, loaded.device)]),
        )


class _Deliver(StoppingCriteria):  # type: ignore[misc]
    """Hands each reply its token, and tells ``generate`` which are over."""

    def __init__(self, replies: Sequence[Reply], device: str):
        self._replies = replies
        self._over = torch.zeros(len(replies), dtype=torch.bool, device=device)

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        now_s = time.monotonic()
        for row, token in enumerate(input_ids[:, -1].tolist()):
            reply = self._replies[row]
            if reply.finish is None and reply.take(token, now_s):
                self._over[row] = True
        return self._over


class _Draw(LogitsProcessor):  # type: ignore[misc]
    """Draws the next token of each row and leaves it as the only one that ``generate`` can take.

    ``generate`` itself samples with one generator for the whole batch, so that a completion would
    depend on its neighbours, and takes one temperature and top-p for all rows.
    """

    def __init__(self, replies: Sequence[Reply], device: str):
        self._replies = replies
        self._rules = Rules(
            [reply.temperature for reply in replies],
            [reply.top_p for reply in replies],
            [reply.top_k for reply in replies],
            device,
        )

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        levels = [reply.levels(1)[0] for reply in self._replies]
        chosen = drawn(scores, self._rules, levels).unsqueeze(1)
        return torch.full_like(scores, float("-inf")).scatter_(1, chosen, 0.0)
