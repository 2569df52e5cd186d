"""One streamed reply: a request sent, its events read, its end told from a breaking off."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from kernelllm_jupyter.engines.http import Patience, Server
from kernelllm_jupyter.engines.openai_wire import Malformed, Piece, Reported, read_piece
from kernelllm_jupyter.engines.sse import EventReader, EventTooLong, ServerEvent
from kernelllm_jupyter.errors import ServerError
from kernelllm_jupyter.values import FinishReason

__all__ = ["stream"]

#: After the last piece some servers send a count, and not all of them close the connection.
LAST_WORDS_S = 5.0
#: Some servers send pieces smaller than a token, so a reply is only cut off as endless where it
#: has more characters than so many for each token that was asked for, too.
CHARACTERS_PER_TOKEN = 8


async def stream(server: Server, url: str, body: Mapping[str, Any]) -> AsyncIterator[Piece]:
    """The pieces of one reply; raises ``Refused`` before the first, ``ServerError`` at any time."""
    limits = server.timeouts
    patience = Patience(limits.first_s)
    reply = _Reply(body.get("max_tokens") or body.get("max_completion_tokens"))
    async with server.open("POST", url, body, limits.first_s) as response:
        kind = response.headers.get("content-type", "")
        whole = "json" in kind or "html" in kind
        try:
            async for event in _events(server.chunks(response, patience), whole):
                piece = reply.take(read_piece(event.data, event.kind))
                yield piece
                if reply.over:
                    return
                if reply.finish is not None:
                    patience.grant(LAST_WORDS_S)
                elif piece.text or piece.thought:
                    patience.grant(limits.silent_s, " since the last piece of text")
        except Reported as error:
            words = server.clean(str(error))
            raise ServerError(f"{body['model']} failed on {url}: {words}") from None
        except (Malformed, EventTooLong) as error:
            words = server.clean(str(error))
            raise ServerError(
                f"{url} sent what is no streamed completion: {words!r}. Is the address that of an "
                "OpenAI-compatible server?"
            ) from None
        except ServerError:
            if reply.finish is None:
                raise
    if reply.finish is None:
        raise server.broken_off()


async def _events(chunks: AsyncIterator[bytes], whole: bool) -> AsyncIterator[ServerEvent]:
    """Events as they come; a server that does not stream sends the ``whole`` answer at once."""
    reader = EventReader()
    body = bytearray()
    async for chunk in chunks:
        if whole:
            body += chunk
            continue
        for event in reader.feed(chunk):
            yield event
    if whole:
        yield ServerEvent(body.decode("utf-8", "replace"))
    for event in reader.flush():
        yield event


class _Reply:
    """What of a reply has come, and whether it is at its end."""

    def __init__(self, limit: int | None):
        self.finish: FinishReason | None = None
        self.over = False
        self._limit = limit
        self._pieces = 0
        self._characters = 0

    def take(self, piece: Piece) -> Piece:
        if piece.done:
            self.over = True
            piece = Piece(finish=self.finish or "stop")
        self.finish = piece.finish or self.finish
        written = len(piece.text) + len(piece.thought)
        self._pieces += bool(written)
        self._characters += written
        if self.finish is None and self._endless():
            self.over = True
            self.finish = "length"
            return Piece(piece.text, piece.thought, "length", piece.tokens)
        return piece

    def _endless(self) -> bool:
        """Whether a server goes on after all the tokens that it was asked for."""
        if self._limit is None or self._pieces <= self._limit:
            return False
        return self._characters > CHARACTERS_PER_TOKEN * self._limit
