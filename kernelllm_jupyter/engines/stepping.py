"""The engine's own decoding: a cache at fixed places, captured passes, and guesses tried out.

One pass of the model reads the last token of each row and, where there is a guess how its text
goes on, the guessed tokens after it. From the distribution at each of these places the next token
is drawn, as it would be without any guess; as long as what is drawn is what was guessed, the next
place is right as well, and the first that is not ends the row's pass. So every token is drawn from
the model's own distribution, with the same number, whether there were guesses or not: for guesses
without a probability of their own this is what speculative sampling (Leviathan et al.,
arXiv:2211.17192) amounts to, and a seed gives the same reply. (As far as passes of one token and of
several round alike: in 16 bits, tokens that are as good as equally likely may change places.)

On a GPU a pass is captured in a CUDA graph, since launching its kernels one by one takes longer
than they run, and compiled in the background. Everything else is the same on a CPU.

Imports torch; only the model process imports this module.
"""

from __future__ import annotations

import inspect
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

from kernelllm_jupyter.engines.attention import use_grouped
from kernelllm_jupyter.engines.drawing import Rules, drawn
from kernelllm_jupyter.engines.lookup import Lookup
from kernelllm_jupyter.engines.slots import Slots

__all__ = ["Stepper", "Writer", "decode", "sees_everything", "stepper_for"]

#: Tokens in a pass where there are guesses: one that is known and those guessed.
WIDTH = 8
#: Room is given in steps of so many tokens, so that passes that were captured serve again. One row
#: alone has coarser ones: its cache is small beside the weights, and compiling takes a minute.
ROOM_STEP, ROOM_STEP_ALONE = 512, 4096
#: Captured passes are kept for so many sizes; each holds a cache.
KEPT = 2
#: ... as long as this share of the GPU's memory stays free.
FREE_AT_LEAST = 0.25
#: How alike the scores of a pass and of the plain model have to be, as a cosine.
ALIKE = 0.995


class Writer(Protocol):
    """One reply as the loop needs it."""

    prompt: tuple[int, ...]
    limit: int
    temperature: float
    top_p: float
    top_k: int

    @property
    def over(self) -> bool: ...

    def levels(self, count: int) -> list[float]:
        """The numbers that decide the next ``count`` tokens; ``take`` uses up one of them."""

    def take(self, token: int, now_s: float) -> bool: ...


class Stepper:
    """Passes of one model. ``lock`` is held by whoever decodes: a captured pass serves one batch.

    ``guesses`` tells whether several tokens in a pass cost about as much as one, as they do where
    reading the weights is what takes the time.
    """

    def __init__(self, model: Any, device: str, *, guesses: bool):
        self.lock = threading.Lock()
        self.guesses = guesses
        self.device = device
        self._model = model
        self._cache_name = _cache_name(model)
        self._captures = torch.device(device).type == "cuda"
        self._kept: dict[tuple[int, int], _Captured] = {}
        self._compiled: _Captured | None = None

    @property
    def way(self) -> str:
        """How passes are made, in a word."""
        if not self._captures:
            return "plain"
        return "captured" if self._compiled is None else "compiled"

    def run(self, slots: Slots, tokens: Any, last_only: bool = False) -> Any:
        """Scores [rows, tokens, vocabulary] after each of ``tokens``, which ``slots`` keeps."""
        keep = {"logits_to_keep": 1} if last_only else {}
        return self._model(
            input_ids=tokens,
            attention_mask=slots.mask(),
            position_ids=slots.positions,
            use_cache=True,
            **{self._cache_name: slots},
            **keep,
        ).logits

    def prefill(self, prompt: Sequence[int], rows: int, room: int) -> tuple[_Passes, Any]:
        """Read the prompt once for all rows; how to go on from it, and the scores after it [1, V].

        ``room`` is how many tokens there will be in all.
        """
        passes = self._passes(rows, room)
        return passes, self._read(passes.slots, prompt)

    def _read(self, slots: Slots, prompt: Sequence[int]) -> Any:
        one = slots if slots.rows == 1 else Slots(1, len(prompt), self.device)
        one.positions = torch.arange(len(prompt), device=self.device).unsqueeze(0)
        one.seen = len(prompt)
        scores = self.run(one, torch.tensor([list(prompt)], device=self.device), last_only=True)
        if slots.rows > 1:
            slots.take(one)
        slots.seen = slots.size
        return scores[:, -1]

    def _passes(self, rows: int, room: int) -> _Passes:
        step = ROOM_STEP_ALONE if rows == 1 and self._captures else ROOM_STEP
        size = -(-(room + WIDTH) // step) * step
        if not self._captures:
            return _Plain(self.run, Slots(rows, size, self.device))
        compiled = self._compiled
        if compiled is not None and (rows, size) == (compiled.slots.rows, compiled.slots.size):
            compiled.slots.take_up()
            return compiled
        if (rows, size) not in self._kept:
            while len(self._kept) >= KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[rows, size] = _Captured(self.run, Slots(rows, size, self.device))
        return self._kept[rows, size]

    def tidy(self) -> None:
        """Keep captured passes only where they are in nobody's way: checks need memory, too."""
        if self._captures:
            free, total = torch.cuda.mem_get_info(self.device)
            if free < FREE_AT_LEAST * total and self._kept:
                self._kept.clear()
                torch.cuda.empty_cache()

    def forget(self) -> None:
        """Give back the memory of captured passes; they are captured anew when they are needed."""
        self._kept.clear()
        self._compiled = None

    def cache_bytes(self) -> int:
        """What :meth:`let_go` frees at least; the memory of captured passes comes to it."""
        kept = [*self._kept.values(), *([self._compiled] if self._compiled else [])]
        return sum(captured.slots.nbytes for captured in kept)

    def let_go(self) -> None:
        """Give back the memory of caches and captured passes; what is compiled stays compiled."""
        with self.lock:
            self._kept.clear()
            if self._compiled is not None:
                self._compiled.let_go()

    def compile(self) -> None:
        """Compile and capture the passes of one row; takes a minute, beside whatever else runs.

        What cannot be compiled here (no C compiler, say) is decoded as before.
        """
        try:
            with torch.no_grad():
                self._compiled = self._compile()
        except Exception:
            traceback.print_exc()
            print("decoding goes on without compiled passes", flush=True)

    def _compile(self) -> _Captured:
        fused = torch.compile(
            self.run,
            fullgraph=True,
            dynamic=False,
            options={"coordinate_descent_tuning": True, "triton.cudagraphs": False},
        )
        made = _Captured(fused, Slots(1, ROOM_STEP_ALONE, self.device))
        # A plain pass makes the places: the compiled one is to find them made.
        self.run(made.slots, torch.zeros((1, 1), dtype=torch.long, device=self.device))
        for count in (1, WIDTH):
            made(torch.zeros((1, count), dtype=torch.long), torch.arange(count)[None])
        if not self._agree(made):
            raise RuntimeError("compiled passes do not agree with the model's own")
        return made

    def agrees(self) -> bool:
        """Whether rows at different positions, one and several tokens at a time, are read rightly.

        Compared with the model's plain pass over the whole text: what differs (windows, states of
        another kind than keys and values) is then decoded by ``generate``.
        """
        return self._agree(self._passes(2, 3 + 2 * WIDTH))

    def _agree(self, passes: _Passes) -> bool:
        rows, length = passes.slots.rows, 4 + WIDTH
        texts = [[3 + (at * step) % 7 for at in range(length)] for step in (3, 5)][:rows]
        texts = [[5, 9, *text[2:]] for text in texts]
        plain = [self._model(input_ids=torch.tensor([t], device=self.device)) for t in texts]
        self._read(passes.slots, texts[0][:2])
        pairs: list[tuple[Any, Any]] = []
        # One token; several, the second row one further back, as after a wrong guess; one again.
        for starts, count in (((2, 2), 1), ((3, 2), WIDTH), ((3 + WIDTH, 2 + WIDTH), 1)):
            read = [text[at : at + count] for text, at in zip(texts, starts, strict=False)]
            places = [list(range(at, at + count)) for at in starts[:rows]]
            scores = passes(torch.tensor(read), torch.tensor(places)).clone()
            for row, at in enumerate(starts[:rows]):
                pairs += zip(scores[row], plain[row].logits[0, at : at + count], strict=True)
        similar = [torch.cosine_similarity(a.float(), b.float(), dim=0).item() for a, b in pairs]
        return bool(min(similar) > ALIKE)


class _Passes(Protocol):
    slots: Slots

    def __call__(self, tokens: Any, positions: Any) -> Any:
        """Scores after each of ``tokens`` [rows, tokens] at ``positions``; valid until the next."""


class _Plain:
    """Passes as they come."""

    def __init__(self, run: Callable[[Slots, Any], Any], slots: Slots):
        self.slots = slots
        self._run = run

    def __call__(self, tokens: Any, positions: Any) -> Any:
        device = self.slots.places.device
        self.slots.positions = positions.to(device)
        return self._run(self.slots, tokens.to(device))


class _Captured:
    """Passes in CUDA graphs, one for each number of tokens; replayed on the same memory."""

    def __init__(self, run: Callable[[Slots, Any], Any], slots: Slots):
        self.slots = slots
        self._run = run
        self._graphs: dict[int, tuple[Any, Any, Any, Any]] = {}

    def __call__(self, tokens: Any, positions: Any) -> Any:
        count = tokens.shape[1]
        if count not in self._graphs:
            self._graphs[count] = self._capture(tokens, positions)
        graph, own_tokens, own_positions, scores = self._graphs[count]
        own_tokens.copy_(tokens, non_blocking=True)
        own_positions.copy_(positions, non_blocking=True)
        graph.replay()
        return scores

    def let_go(self) -> None:
        """Give the memory back, and with it the passes that were captured on it."""
        self._graphs.clear()
        self.slots.let_go()

    def _capture(self, tokens: Any, positions: Any) -> tuple[Any, Any, Any, Any]:
        """Run a few times beside the main stream, as PyTorch's notes on CUDA graphs ask, then once
        for the record. All write the same places, which the pass that is wanted writes again."""
        device = self.slots.places.device
        own_tokens, own_positions = tokens.to(device), positions.to(device)
        self.slots.positions = own_positions
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            for _ in range(3):
                self._run(self.slots, own_tokens)
        torch.cuda.current_stream(device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Other threads may allocate meanwhile: a second prompt is decoded beside this one.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            scores = self._run(self.slots, own_tokens)
        return graph, own_tokens, own_positions, scores


def stepper_for(model: Any, device: str, context: int) -> Stepper | None:
    """A stepper for a model on a GPU, or None where ``generate`` is to decode.

    On a CPU a cache at fixed places reads more than it saves: with the bundled model one reply
    takes as long as with ``generate``, and ten take half as long again.
    """
    if torch.device(device).type != "cuda" or context <= WIDTH or not sees_everything(model):
        return None
    try:
        use_grouped(model)
        stepper = Stepper(model, device, guesses=True)
        with torch.no_grad():
            agreed = stepper.agrees()
        stepper.forget()
        if agreed:
            return stepper
        print("this model is decoded by generate(): it keeps more than keys and values", flush=True)
    except Exception:
        traceback.print_exc()
        print("decoding goes on with generate()", flush=True)
    return None


def sees_everything(model: Any) -> bool:
    """Whether each token looks at all before it: a window would not show in a short text."""
    config = model.config.get_text_config()
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        return all(kind == "full_attention" for kind in kinds)
    return getattr(config, "sliding_window", None) is None


def _cache_name(model: Any) -> str:
    """What the model calls its cache: that changes from one transformers to the next."""
    names = inspect.signature(inspect.unwrap(type(model).forward)).parameters
    return "cache" if "cache" in names else "past_key_values"


# --- the loop ------------------------------------------------------------------------------------


def decode(stepper: Stepper, replies: Sequence[Writer]) -> bool:
    """Decode replies to *one* prompt side by side until all are over.

    False, and nothing was decoded, where there is no memory for a cache of that size.
    """
    prompt, device = replies[0].prompt, stepper.device
    rules = Rules(
        [reply.temperature for reply in replies],
        [reply.top_p for reply in replies],
        [reply.top_k for reply in replies],
        device,
    )
    room = len(prompt) + max(reply.limit for reply in replies)
    with torch.no_grad():
        try:
            passes, scores = stepper.prefill(prompt, len(replies), room)
        except torch.OutOfMemoryError:
            stepper.forget()
            return False
        first = scores.expand(len(replies), -1)
        # The prompt is looked through once, and while the GPU still reads it.
        lookup = Lookup(prompt) if stepper.guesses else None
        rows = [_Row(reply, lookup.copy() if lookup else None) for reply in replies]
        chosen = drawn(first, rules, [row.levels(1)[0] for row in rows]).tolist()
        _deliver(rows, [[token] for token in chosen])
        wide = rules.repeated(WIDTH)
        while not all(row.reply.over for row in rows):
            guesses = [row.guess() for row in rows]
            count = WIDTH if any(guesses) else 1
            tokens = torch.tensor([row.next_tokens(count) for row in rows])
            positions = torch.tensor([row.positions(count) for row in rows])
            scores = passes(tokens, positions).flatten(0, 1)
            levels = [level for row in rows for level in row.levels(count)]
            found = drawn(scores, wide if count > 1 else rules, levels).tolist()
            _deliver(rows, [found[at * count : (at + 1) * count] for at in range(len(rows))])
    return True


class _Row:
    """One reply's place in its text; its last token is not in the cache yet."""

    def __init__(self, reply: Writer, lookup: Lookup | None):
        self.reply = reply
        self.guessed: list[int] = []
        self._last = 0
        self._at = len(reply.prompt) - 1
        self._lookup = lookup

    def levels(self, count: int) -> list[float]:
        return [0.0] * count if self.reply.over else self.reply.levels(count)

    def guess(self) -> list[int]:
        over = self.reply.over or self._lookup is None
        self.guessed = [] if over or self._lookup is None else self._lookup.guess(WIDTH - 1)
        return self.guessed

    def next_tokens(self, count: int) -> list[int]:
        tokens = [self._last, *self.guessed][:count]
        return tokens + [0] * (count - len(tokens))

    def positions(self, count: int) -> list[int]:
        return list(range(self._at, self._at + count))

    def take(self, found: Sequence[int], now_s: float) -> None:
        """Take what was drawn, as far as it was drawn at places that are right."""
        true = 0
        for place, token in enumerate(found):
            self._last = token
            self._at += 1
            if self._lookup is not None:
                self._lookup.feed(token)
            if self.reply.take(token, now_s):
                break
            if place >= len(self.guessed) or token != self.guessed[place]:
                break
            true += 1
        if self._lookup is not None and self.guessed:
            self._lookup.settle(len(self.guessed), true)


def _deliver(rows: Sequence[_Row], found: Sequence[Sequence[int]]) -> None:
    now_s = time.monotonic()
    for row, tokens in zip(rows, found, strict=True):
        if not row.reply.over:
            row.take(tokens, now_s)
