"""The engine for a server that speaks OpenAI's protocol: vLLM, SGLang, llama.cpp, Ollama, ….

A prompt that is text goes to ``/completions``, one that is messages to ``/chat/completions``, each
over a connection of its own, streamed. Closing a completion closes the connection, and servers
stop working on a stream that nobody reads.
"""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet  # The built-in one from 3.11 on.
from dataclasses import replace
from typing import Any, TypeVar

from kernelllm_jupyter.address import server_address
from kernelllm_jupyter.engines import LoadProgress, ProgressCallback
from kernelllm_jupyter.engines.context import count_here
from kernelllm_jupyter.engines.http import Refused, Server, Timeouts
from kernelllm_jupyter.engines.keys import KEYRING_SERVICE, Key
from kernelllm_jupyter.engines.loop import LoopThread
from kernelllm_jupyter.engines.openai_wire import (
    Listing,
    Piece,
    context_room,
    endpoint,
    read_listing,
    refused_parameter,
    request_body,
)
from kernelllm_jupyter.engines.retries import Retries
from kernelllm_jupyter.engines.streaming import stream
from kernelllm_jupyter.errors import (
    EngineError,
    ModelNotFound,
    PromptTooLong,
    ServerError,
    UsageError,
)
from kernelllm_jupyter.values import FinishReason, Prompt, Sampling

__all__ = ["RemoteCompletion", "RemoteEngine"]

T = TypeVar("T")

LIST_WITHIN_S = 20.0
COUNT_WITHIN_S = 20.0
DEFAULT_MAX_NEW_TOKENS = 2048
#: Parameters whose refusal changes no reply.
UNTOLD = ("stream_options", "max_tokens")
NAMES_SHOWN = 8
#: A consumer that waits looks up so often, so that an interrupt gets through.
SLICE_S = 0.2


class RemoteEngine:
    """An engine for ``URL#name``. Making one sends nothing; only ``load`` and ``generate`` do.

    Without ``key`` it is looked for (:func:`kernelllm_jupyter.engines.keys.find_key`).
    """

    def __init__(
        self,
        model: str,
        *,
        timeouts: Timeouts | None = None,
        retries: Retries | None = None,
        key: Key | None = None,
    ):
        address = server_address(model)
        if address is None:
            raise UsageError(f"{model} is no URL of a server: the form is http://HOST:PORT#NAME.")
        self.model = model
        self._address = address
        self._server = Server(address, timeouts or Timeouts(), retries or Retries(), key)
        self._loop = LoopThread("kernelllm-http")
        self._listing: Listing | None = None
        self._name = address.model
        #: Parameters that this server does not take.
        self._refused: set[str] = set()

    @property
    def destination(self) -> str:
        """Where prompts are sent, in words; empty where that is this machine."""
        return self._address.destination

    # --- the Engine protocol -------------------------------------------------------------------

    def load(self, progress: ProgressCallback | None = None) -> None:
        """Ask the server whether it has the model.

        Raises ``ServerError`` where it cannot be reached or refuses, ``ModelNotFound`` where it
        lists others only. A server that lists none is taken at its word when it generates.
        """
        if self._listing is None:
            if progress is not None:
                step = f"Asking {self._address.base_url} for {self._address.model or 'its model'}"
                progress(LoadProgress("starting", step))
            self._wait(self._loop.submit(self._look()))
        if progress is not None:
            words = f"{self._name} is ready at {self._address.base_url}"
            progress(LoadProgress("ready", words))

    def generate(self, prompt: Prompt, sampling: Sampling) -> RemoteCompletion:
        """Start one completion; it is a connection of its own."""
        limit = sampling.max_new_tokens or DEFAULT_MAX_NEW_TOKENS
        return RemoteCompletion(self, prompt, replace(sampling, max_new_tokens=limit))

    def status(self) -> dict[str, Any]:
        """What the server says of itself now, within seconds."""
        found: dict[str, Any] = {"model": self.model, "server": self._address.base_url}
        try:
            self._wait(self._loop.submit(self._look()))
        except EngineError as error:
            return {**found, "state": "not usable", "reason": str(error)}
        context = self._context()
        return {
            **found,
            "state": "ready",
            "context": context,
            "key": self._server.key_source or "none",
        }

    def unload(self) -> None:
        """Close the connections; what a server keeps in memory is its own affair."""
        self._listing = None
        self._refused.clear()
        self._wait(self._loop.submit(self._server.close()))

    # --- for completions -----------------------------------------------------------------------

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Future[None]:
        """Run a completion's coroutine."""
        return self._loop.submit(work())

    async def pieces(
        self, prompt: Prompt, sampling: Sampling, tell: Callable[[str], None]
    ) -> AsyncIterator[Piece]:
        """The reply's pieces, the last one with its ``finish``; ``tell`` is told what was changed.

        Raises ``EngineError``.
        """
        if self._listing is None:
            await self._look()
        sampling = await self._fitted(prompt, sampling, tell)
        shortened = False
        while True:
            kind = self._listing.kind if self._listing else ""
            body = request_body(self._name, prompt, sampling, kind, self._refused)
            try:
                async for piece in self._stream(prompt, body):
                    yield piece
                return
            except Refused as refusal:
                room = None if shortened else self._room(refusal, body)
                if room is not None:
                    shortened = True
                    sampling = replace(sampling, max_new_tokens=room)
                    tell(f"The model's context leaves room for a reply of {room} tokens.")
                    continue
                name = refused_parameter(refusal.words, body) if refusal.wrong else None
                if name is None:
                    raise self._told(refusal) from None
                known = name in self._refused  # By a stream beside this one.
                self._refused.add(name)
                if not known and name not in UNTOLD:
                    tell(f"The server does not take {name}, which is left out: {refusal.words}")

    # --- asking the server ---------------------------------------------------------------------

    async def _look(self) -> None:
        """Learn what the server has, and which of it is meant."""
        url = f"{self._address.base_url}/models"
        listing: Listing | None = None
        try:
            body, headers = await self._server.get(url, LIST_WITHIN_S)
            listing = read_listing(body, headers.get("server", ""))
        except Refused as refusal:
            if refusal.status in (401, 403) or 300 <= refusal.status < 400:
                raise self._told(refusal) from None
        self._name = self._chosen(listing)
        self._listing = listing or Listing({})

    def _chosen(self, listing: Listing | None) -> str:
        wanted = self._address.model
        names = list(listing.models) if listing else []
        if wanted and (not names or wanted in names):
            return wanted
        tagged = f"{wanted}:latest"  # Ollama lists names with a tag and takes them without.
        if wanted and tagged in names:
            return tagged
        shown = ", ".join(self._server.clean(name) for name in names[:NAMES_SHOWN])
        more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        has = f"It has {shown}{more}: " if names else ""
        example = self._server.clean(names[0]) if names else "NAME"
        what = f"has no model {wanted!r}" if wanted else "needs the name of a model"
        raise ModelNotFound(
            f"{self._address.base_url} {what}. {has}name one as {self._address.base_url}#{example}."
        )

    def _context(self) -> int | None:
        return self._listing.models.get(self._name) if self._listing else None

    async def _fitted(
        self, prompt: Prompt, sampling: Sampling, tell: Callable[[str], None]
    ) -> Sampling:
        """``sampling`` with no more tokens than there is room for, as far as that is known."""
        text = prompt if isinstance(prompt, str) else "\n".join(turn.content for turn in prompt)
        listed = self._context()
        here = await asyncio.to_thread(count_here, self._name, text, self._address.on_this_machine)
        contexts = [count for count in (listed, here and here.context) if count]
        if not contexts:
            return sampling
        tokens = here.tokens if here else await self._count(text)
        if tokens is None:
            return sampling
        room = min(contexts) - tokens
        if room <= 0:
            raise _too_long(self._name, tokens, min(contexts))
        limit = sampling.max_new_tokens
        if limit is not None and limit > room:
            tell(f"The model's context leaves room for a reply of {room} tokens.")
            return replace(sampling, max_new_tokens=room)
        return sampling

    async def _count(self, text: str) -> int | None:
        """The tokens of ``text`` as the server counts them, where it has a route for that."""
        kind = self._listing.kind if self._listing else ""
        asked = {"vllm": {"model": self._name, "prompt": text}, "llamacpp": {"content": text}}
        if kind not in asked:
            return None
        url = f"{self._address.root_url}/tokenize"
        try:
            answer = json.loads(await self._server.post(url, asked[kind], COUNT_WITHIN_S))
            return len(answer["tokens"])
        except (Refused, ServerError, ValueError, KeyError, TypeError):
            return None

    def _stream(self, prompt: Prompt, body: Mapping[str, Any]) -> AsyncIterator[Piece]:
        return stream(self._server, f"{self._address.base_url}/{endpoint(prompt)}", body)

    # --- refusals ------------------------------------------------------------------------------

    def _room(self, refusal: Refused, body: Mapping[str, Any]) -> int | None:
        """How long a reply may be, where the refusal is that prompt and reply are too long."""
        found = context_room(refusal.words) if refusal.wrong else None
        if found is None:
            return None
        context, prompt_tokens = found
        room = context - (prompt_tokens if prompt_tokens is not None else context)
        asked = body.get("max_tokens") or body.get("max_completion_tokens") or 0
        if 0 < room < asked:
            return room
        raise PromptTooLong(
            f"The prompt is too long for {self._name}: {refusal.words} Shorten the module, or "
            "leave parts out of the cell that it does not need."
        )

    def _told(self, refusal: Refused) -> EngineError:
        """A refusal in words, with what to do about it."""
        where, words, status = self._address.base_url, refusal.words, refusal.status
        said = f": {words}" if words else ""
        if status in (401, 403):
            source = self._server.key_source
            had = f"the key from {source}" if source else "a request without a key"
            return ServerError(
                f"{where} refused {had} ({status}){said}. Put a key for it into KERNELLLM_API_KEY "
                "before starting Jupyter, or into your keyring: keyring set "
                f"{KEYRING_SERVICE} {self._address.authority}",
                status,
            )
        if refusal.about_model or (status == 404 and self._listed_others()):
            return ModelNotFound(f"{where} does not serve {self._name!r}{said}.")
        if status == 429:
            wait = refusal.retry_after_s
            when = f"in {wait:.0f} s" if wait else "later"
            return ServerError(
                f"{where} takes no more requests now (429){said}. Try again {when}, or ask for "
                "fewer candidates.",
                status,
            )
        if status >= 500:
            return ServerError(
                f"{where} failed ({status}){said}. Its own log says why: a model without a chat "
                "template, or too little memory, are usual.",
                status,
            )
        return ServerError(f"{where} refused the request ({status}){said}.", status)

    def _listed_others(self) -> bool:
        listed = self._listing.models if self._listing else {}
        return bool(listed) and self._name not in listed

    def _wait(self, future: Future[T]) -> T:
        """The result, waited for in slices, so that an interrupt gets through and cancels."""
        try:
            while True:
                try:
                    return future.result(timeout=SLICE_S)
                except NotYet:
                    if future.done():
                        raise
        except BaseException:
            future.cancel()
            raise


class RemoteCompletion:
    """One reply of a server, over a connection of its own.

    ``notes`` say what was changed of the request so that this server would take it.
    """

    def __init__(self, engine: RemoteEngine, prompt: Prompt, sampling: Sampling):
        self.tokens = 0
        self.finish: FinishReason | None = None
        self.notes: list[str] = []
        self._engine = engine
        self._prompt = prompt
        self._sampling = sampling
        # Pieces, then the error if there was one, then None.
        self._arrived: queue.SimpleQueue[Piece | EngineError | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._last: FinishReason | None = None
        self._thinking = False
        self._work = engine.start(self._receive)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while self.finish is None:
            try:
                item = self._arrived.get(timeout=SLICE_S)
            except queue.Empty:
                continue
            if item is None:
                self._end(self._last or "stop")
            elif isinstance(item, EngineError):
                if self._end("failed"):
                    raise item
            else:
                text = self._take(item)
                if text:
                    return text
        raise StopIteration

    def _take(self, piece: Piece) -> str:
        if piece.tokens is not None:
            self.tokens = piece.tokens
        elif piece.text or piece.thought:
            self.tokens += 1  # A piece is a token on most servers; the last word is theirs.
        self._last = piece.finish or self._last
        opening = closing = ""
        if piece.thought and not self._thinking:
            self._thinking, opening = True, "<think>\n"
        if self._thinking and (piece.text or piece.finish):
            self._thinking, closing = False, "\n</think>\n"
        return opening + piece.thought + closing + piece.text

    def close(self) -> None:
        """Cancel, from any thread: the connection is closed, whatever it is waiting for."""
        self._end("cancelled")

    def _end(self, finish: FinishReason) -> bool:
        """Settle how it ended; false where that was settled before."""
        with self._lock:
            first = self.finish is None
            if first:
                self.finish = finish
        self._work.cancel()
        return first

    async def _receive(self) -> None:
        try:
            async for piece in self._engine.pieces(self._prompt, self._sampling, self.notes.append):
                self._arrived.put(piece)
        except EngineError as error:
            self._arrived.put(error)
        except Exception as error:
            self._arrived.put(EngineError(f"{self._engine.model}: {type(error).__name__}: {error}"))
        self._arrived.put(None)


def _too_long(name: str, tokens: int, context: int) -> PromptTooLong:
    return PromptTooLong(
        f"The prompt has {tokens} tokens and {name} sees at most {context} with its answer: "
        "shorten the module, or leave parts out of the cell that it does not need."
    )
