"""HTTP with one model server: requests, retries, time limits, and failures put into words.

Coroutines, all to be run in one event loop; cancelling one closes its connection, which is how a
server learns that nobody waits for the rest. Redirects are not followed: a source goes where the
user said, and nowhere else. Knows nothing of completions.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from kernelllm_jupyter.address import ServerAddress
from kernelllm_jupyter.engines.keys import Key, find_key, redacted
from kernelllm_jupyter.engines.openai_wire import error_words
from kernelllm_jupyter.engines.retries import RETRIED_STATUSES, Retries, retry_after_s
from kernelllm_jupyter.errors import ServerError

if TYPE_CHECKING:
    import httpx

__all__ = ["Refused", "Server", "Timeouts"]

T = TypeVar("T")
MAX_TEXT_BYTES = 4 * 1024 * 1024
SHOWN_CHARACTERS = 300
#: vLLM, OpenAI, Ollama, transformers serve.
ABOUT_MODEL = re.compile(
    r"model\b.{0,120}?(?:does not|doesn't|not) (?:exist|found)|no such model|is pinned to", re.I
)


@dataclass(frozen=True)
class Timeouts:
    """How long to wait for the connection, for the first text, and between two pieces of text.

    The first text may take long: a busy server queues, a slow one reads the prompt.
    """

    connect_s: float = 10.0
    first_s: float = 300.0
    silent_s: float = 60.0


class Refused(Exception):
    """The server answered with an error; ``words`` are its own, without keys and control codes."""

    def __init__(self, status: int, words: str, retry_after_s: float | None = None):
        super().__init__(words)
        self.status = status
        self.words = words
        self.retry_after_s = retry_after_s

    @property
    def wrong(self) -> bool:
        """Whether it is the request's content that the server does not take."""
        return self.status in (400, 413, 422)

    @property
    def about_model(self) -> bool:
        """Whether it says that it has no such model."""
        return self.status in (400, 404) and ABOUT_MODEL.search(self.words) is not None


class Server:
    """One server as HTTP sees it. The key is looked up once, when the first request is made."""

    def __init__(
        self, address: ServerAddress, timeouts: Timeouts, retries: Retries, key: Key | None = None
    ):
        self.address = address
        self.timeouts = timeouts
        self._retries = retries
        self._client: httpx.AsyncClient | None = None
        self._given_key = key
        self._key = key

    async def get(self, url: str, within_s: float) -> tuple[str, Mapping[str, str]]:
        """The text and headers of a page; raises ``Refused`` or ``ServerError``."""
        async with self.open("GET", url, None, within_s) as response:
            return await self._text(response), response.headers

    async def post(self, url: str, body: Mapping[str, Any], within_s: float) -> str:
        """The text that answers a small request; raises ``Refused`` or ``ServerError``."""
        async with self.open("POST", url, body, within_s) as response:
            return await self._text(response)

    @asynccontextmanager
    async def open(
        self, method: str, url: str, body: Mapping[str, Any] | None, within_s: float
    ) -> AsyncIterator[httpx.Response]:
        """A response whose body is still to be read, tried again as often as is allowed.

        Raises ``Refused`` where the server answers with an error to the last, ``ServerError``
        where it does not answer within ``within_s``, waits for retries not counted.
        """
        response = await self._answer(method, url, body, within_s)
        try:
            yield response
        finally:
            await response.aclose()

    async def _answer(
        self, method: str, url: str, body: Mapping[str, Any] | None, within_s: float
    ) -> httpx.Response:
        waits = self._retries.waits()
        while True:
            try:
                response = await self._send_in_words(method, url, body, within_s)
            except _Interrupted as error:
                wait = next(waits, None)
                if wait is None:
                    raise error.told from None
            else:
                if response.status_code == 200:
                    return response
                try:
                    refusal = await self._refusal(response)
                finally:
                    await response.aclose()
                wait = self._wait_after(refusal, next(waits, None))
            await asyncio.sleep(wait)

    def _wait_after(self, refusal: Refused, wait: float | None) -> float:
        asked = refusal.retry_after_s
        too_long = asked is not None and asked > self._retries.longest_wait_s
        if refusal.status not in RETRIED_STATUSES or wait is None or too_long:
            raise refusal
        return wait if asked is None else max(asked, wait)

    async def _send(
        self, method: str, url: str, body: Mapping[str, Any] | None, within_s: float
    ) -> httpx.Response:
        client = self._connected()
        request = client.build_request(method, url, json=body)
        sending = asyncio.ensure_future(client.send(request, stream=True))
        try:
            return await _within(within_s, sending)
        except asyncio.TimeoutError:
            await _closed(sending)
            raise self.silent(within_s) from None
        except asyncio.CancelledError:
            await _closed(sending)
            raise

    async def _send_in_words(
        self, method: str, url: str, body: Mapping[str, Any] | None, within_s: float
    ) -> httpx.Response:
        """The same with failures of the connection in words."""
        import httpx

        try:
            return await self._send(method, url, body, within_s)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            raise self._unreachable(error) from None
        except httpx.RequestError as error:
            raise _Interrupted(self._unreachable(error)) from None

    def _connected(self) -> httpx.AsyncClient:
        import httpx

        if self._client is None:
            self._key = self._given_key or find_key(self.address)
            self._client = httpx.AsyncClient(
                headers=self._key.header() if self._key else None,
                # The time limits of whole requests are kept here, where cancelling is.
                timeout=httpx.Timeout(None, connect=self.timeouts.connect_s),
                # k streams at once are not to queue for a connection.
                limits=httpx.Limits(max_connections=None),
                follow_redirects=False,
                # A proxy is no way to this machine itself, whatever the environment says.
                trust_env=not self.address.on_this_machine,
            )
        return self._client

    async def close(self) -> None:
        """Close every connection; the next request makes new ones and looks for the key anew."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    # --- failures in words -------------------------------------------------------------------

    def clean(self, text: str) -> str:
        """A server's text as it may be shown: one line, no control codes, no key, not endless."""
        line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        line = redacted(line, self._key)
        return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"

    @property
    def key_source(self) -> str:
        return self._key.source if self._key else ""

    def silent(self, seconds: float, after: str = "") -> ServerError:
        what = f"has sent nothing for {seconds:.0f} s{after}"
        return ServerError(
            f"{self.address.base_url} {what}. It may be busy or overloaded: try again, or ask for "
            "fewer tokens or candidates."
        )

    def broken_off(self, error: object = "") -> ServerError:
        why = f" ({self.clean(str(error))})" if str(error) else ""
        return ServerError(
            f"The connection to {self.address.base_url} ended before the reply did{why}. What had "
            "arrived is kept; run the cell again."
        )

    def _unreachable(self, error: Exception) -> ServerError:
        why = self.clean(str(error)) or type(error).__name__
        return ServerError(
            f"{self.address.base_url} cannot be reached ({why}). Check the address and that the "
            "server is running; `kernelllm serve` starts one."
        )

    async def _refusal(self, response: httpx.Response) -> Refused:
        status = response.status_code
        if 300 <= status < 400:
            target = self.clean(response.headers.get("Location", "elsewhere"))
            return Refused(status, f"redirects to {target}, which is not followed")
        words = self.clean(error_words(await self._text(response)))
        return Refused(status, words, retry_after_s(response.headers.get("Retry-After")))

    async def _text(self, response: httpx.Response) -> str:
        """The body, as much of it as an error or a list of models can have."""
        import httpx

        found = bytearray()

        async def read() -> None:
            async for chunk in response.aiter_bytes():
                found.extend(chunk)
                if len(found) > MAX_TEXT_BYTES:
                    return

        with suppress(asyncio.TimeoutError, httpx.RequestError):  # What has come will do.
            await _within(self.timeouts.connect_s, read())
        return found.decode("utf-8", "replace")

    async def chunks(self, response: httpx.Response, patience: Patience) -> AsyncIterator[bytes]:
        """The body as it comes; raises ``ServerError`` where it breaks off or nothing comes."""
        import httpx

        body = response.aiter_bytes()
        while True:
            try:
                chunk = await _within(patience.left_s, body.__anext__())
            except StopAsyncIteration:
                return
            except asyncio.TimeoutError:
                raise self.silent(patience.granted_s, patience.after) from None
            except httpx.RequestError as error:
                raise self.broken_off(error) from None
            yield chunk


class Patience:
    """How long a stream may still be without text. Signs of life without text do not count."""

    def __init__(self, seconds: float):
        self.after = ""
        self.grant(seconds)

    def grant(self, seconds: float, after: str | None = None) -> None:
        self.granted_s = seconds
        self._until = time.monotonic() + seconds
        if after is not None:
            self.after = after

    @property
    def left_s(self) -> float:
        return max(0.001, self._until - time.monotonic())


async def _within(seconds: float, awaitable: Awaitable[T]) -> T:
    """What it gives; raises ``asyncio.TimeoutError`` after so long.

    Not ``asyncio.wait_for``, which up to Python 3.11 swallows a cancellation that comes together
    with the result: the connection would stay open and the server go on.
    """
    waited = asyncio.ensure_future(awaitable)
    try:
        done, _ = await asyncio.wait({waited}, timeout=seconds)
    except asyncio.CancelledError:
        await _ended(waited)
        raise
    if not done:
        await _ended(waited)
        raise asyncio.TimeoutError
    return waited.result()


async def _ended(waited: asyncio.Future[Any]) -> None:
    waited.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await waited


async def _closed(sending: asyncio.Future[httpx.Response]) -> None:
    """Close a response that came when nobody waited for it any more."""
    if sending.done() and not sending.cancelled() and sending.exception() is None:
        await sending.result().aclose()


class _Interrupted(Exception):
    """The connection broke before there was an answer, which may pass."""

    def __init__(self, told: ServerError):
        super().__init__(str(told))
        self.told = told
