"""The one provider: anything that speaks OpenAI's chat completions, with its quirks as data."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import httpx2
from yarl import URL

from router_service.config.configuration import ProviderSettings
from router_service.config.secret import Secret
from router_service.domain.error import UpstreamError, UpstreamFault
from router_service.domain.upstream import Receive, Reply, UpstreamRequest
from router_service.domain.vendor import Auth, OnCancel
from router_service.providers.answer import AnswerReader
from router_service.providers.failure import MAX_ERROR_BYTES, http_failure
from router_service.providers.hints import rate_left
from router_service.providers.inflate import Inflating
from router_service.providers.keys import KEY_FAULTS, KeyPool
from router_service.providers.request import encode_request
from router_service.providers.stream import MAX_ANSWER_BYTES, StreamReader
from router_service.providers.transport import Incoming, Limits, open_transport

# How long a finished stream may take for its usage, an error for its body, and a last byte for freeing the connection.
_SETTLE_SECONDS = 2.0
# How long an abandoned answer is read on where the provider's calls are drained.
_DRAIN_SECONDS = 120.0


class OpenAICompatible:
    """A `Provider` made from its settings.

    Its keys are one pool: where a request is refused because of its key (unknown, used up, rate limited) before any
    output, the key rests and the request goes out again at once with the next, once for each key. These refusals are
    not billed, and only when no key is left does a failure leave: as a rate limit where a rate limited key is back
    first, with the time until then.

    `monotonic` (seconds) times the rest of refused keys, `wall` (epoch seconds) reads dates in `retry-after`;
    `settle_seconds` bounds the wait for what may follow a finished answer.
    """

    def __init__(
        self,
        settings: ProviderSettings,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        settle_seconds: float = _SETTLE_SECONDS,
    ) -> None:
        self._id = settings.id
        self._quirks = settings.quirks
        self._drains = settings.on_cancel is OnCancel.DRAIN
        self._transport = open_transport(settings)
        self._keys = KeyPool(settings.keys, monotonic)
        self._wall = wall
        self._settle_seconds = settle_seconds
        url = httpx2.URL(settings.base_url.rstrip("/") + settings.quirks.path)
        if settings.query:
            url = url.copy_merge_params(dict(settings.query))
        self._url = URL(str(url), encoded=True)
        headers = {
            "content-type": "application/json",
            "accept-encoding": "identity",
            "user-agent": "llmrouter",
            **{name.lower(): value for name, value in settings.headers.items()},
        }
        self._headers = {"accept": "application/json", **headers}
        self._stream_headers = {"accept": "text/event-stream", **headers}
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._leftovers: set[asyncio.Task[None]] = set()

    async def complete(self, request: UpstreamRequest, reply: Reply) -> None:
        """Send without streaming and fill `reply`."""

        async def read(next_piece: _NextPiece) -> None:
            answer = self._answer(request, reply)
            body = bytearray()
            left = MAX_ANSWER_BYTES
            while piece := await next_piece():
                left -= len(piece)
                if left < 0:
                    raise answer.malformed("more than any answer can be")
                # Blank lines may come for minutes before the answer.
                body += piece if body else piece.lstrip()
            answer.read_answer(bytes(body))

        await self._exchange(request, reply, read, stream=False)

    async def stream(self, request: UpstreamRequest, reply: Reply, receive: Receive) -> None:
        """Send streaming; fill `reply` and pass on output as it arrives."""

        async def read(next_piece: _NextPiece) -> None:
            answer = self._answer(request, reply)
            reader = StreamReader(answer)
            settled_at: float | None = None
            while not reader.done:
                if answer.finished:
                    settled_at = settled_at or asyncio.get_running_loop().time() + self._settle_seconds
                    piece = await _before(settled_at, next_piece)
                else:
                    piece = await next_piece()
                deltas = reader.feed(piece) if piece else reader.finish()
                if deltas:
                    await receive(deltas)
                if not piece:
                    return
            answer.ended(done=True)

        await self._exchange(request, reply, read, stream=True)

    def use_keys(self, keys: Sequence[Secret]) -> None:
        """Take keys from here from now on; connections stay."""
        self._keys.use(keys)

    @property
    def connections(self) -> tuple[int, int]:
        """How many connections are in use and how many idle. From any thread."""
        return self._transport.connections

    async def aclose(self) -> None:
        """Close all connections, also those in use."""
        # A task that is cancelled before its first step would never close its response.
        await asyncio.sleep(0)
        for task in self._leftovers:
            task.cancel()
        await asyncio.gather(*self._leftovers, return_exceptions=True)
        await self._transport.aclose()

    async def close_when_idle(self) -> None:
        """Let the calls in flight end, then close."""
        await self._idle.wait()
        await self.aclose()

    def _answer(self, request: UpstreamRequest, reply: Reply) -> AnswerReader:
        return AnswerReader(
            request,
            reply,
            requires_finish_reason=self._quirks.requires_finish_reason,
            echoes_prefix=self._quirks.echoes_prefix,
        )

    async def _exchange(self, request: UpstreamRequest, reply: Reply, read: _Read, *, stream: bool) -> None:
        """Send `request`, with one key after the other where keys are refused, and `read` the response to it."""
        key = self._key(request)
        body = encode_request(request, self._quirks, stream=stream)
        self._calls += 1
        self._idle.clear()
        tried: list[str] = []
        try:
            while True:
                try:
                    return await self._try(
                        request, reply, self._request_headers(request, key, stream=stream), body, read
                    )
                except UpstreamError as error:
                    if key is None or error.fault not in KEY_FAULTS:
                        raise
                    self._keys.failed(key, error)
                    if reply.has_output or reply.usage is not None:
                        raise
                    tried.append(key)
                    key = self._keys.another(tried)
                    if key is None:
                        raise self._keys.overall(error, f"{self._id} limits the request rate of our keys.") from None
                    reply.clear()
        finally:
            self._calls -= 1
            if self._calls == 0:
                self._idle.set()

    async def _try(
        self, request: UpstreamRequest, reply: Reply, headers: dict[str, str], body: bytes, read: _Read
    ) -> None:
        """Send once and `read` the response; its connection is then reused, drained or aborted."""
        try:
            response = await self._send(request, reply, headers, body)
            # With several keys each has a rate of its own, and the deployment none.
            reply.rate_left = rate_left(response.headers) if len(self._keys) < 2 else None
            try:
                if not 200 <= response.status < 300:
                    raise await self._refused(response)
                await read(_pieces(response))
            except asyncio.CancelledError:
                if self._drains:
                    self._later(_read_out(response, _DRAIN_SECONDS))
                else:
                    await response.aclose()
                raise
            except BaseException:
                await response.aclose()
                raise
            await self._free(response)
        except httpx2.HTTPError as error:
            raise self._lost(error, reply) from error

    def _key(self, request: UpstreamRequest) -> str | None:
        if self._quirks.auth is Auth.NONE:
            return None
        key = self._keys.take()
        if key is None and not request.deployment.has_credentials:
            raise UpstreamError(UpstreamFault.AUTH, f"{self._id} has no key: set its api_key in the configuration.")
        return key

    def _request_headers(self, request: UpstreamRequest, key: str | None, *, stream: bool) -> dict[str, str]:
        headers = dict(self._stream_headers if stream else self._headers)
        for name, value in request.headers.items():
            headers[name.lower()] = value
        if key is not None:
            if self._quirks.auth is Auth.API_KEY_HEADER:
                headers["api-key"] = key
            else:
                headers["authorization"] = f"Bearer {key}"
        return headers

    async def _send(self, request: UpstreamRequest, reply: Reply, headers: dict[str, str], body: bytes) -> Incoming:
        def dispatched() -> None:
            reply.dispatched = True

        limits = Limits(
            pool=request.connect_timeout,
            connect=request.connect_timeout,
            write=request.read_timeout,
            read=request.read_timeout,
        )
        posting = self._transport.post(self._url, headers, body, limits, dispatched)
        if not self._drains:
            return await posting
        sending = asyncio.create_task(posting)
        try:
            return await asyncio.shield(sending)
        except asyncio.CancelledError:
            self._later(_read_out(sending, _DRAIN_SECONDS))
            raise

    async def _refused(self, response: Incoming) -> UpstreamError:
        body = bytearray()
        next_piece = _pieces(response)
        try:
            async with asyncio.timeout(self._settle_seconds):
                while len(body) <= MAX_ERROR_BYTES and (piece := await next_piece()):
                    body += piece
        except (TimeoutError, httpx2.HTTPError):
            # Status and headers already say most of it.
            pass
        return http_failure(
            self._id,
            response.status,
            {name.lower(): value for name, value in response.headers.items()},
            bytes(body[:MAX_ERROR_BYTES]),
            now=self._wall(),
        )

    async def _free(self, response: Incoming) -> None:
        """Give the connection back; what ends a stream may still be on its way, and nobody should wait for it."""
        if response.ended:
            await response.aclose()
        else:
            self._later(_read_out(response, self._settle_seconds))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._leftovers.add(task)
        task.add_done_callback(self._leftovers.discard)

    def _lost(self, error: httpx2.HTTPError, reply: Reply) -> UpstreamError:
        fault, what = next((found for kind, found in _LOST if isinstance(error, kind)), _CLOSED)
        if fault is UpstreamFault.CONNECTION_LOST and reply.has_output:
            fault = UpstreamFault.TRUNCATED
        return UpstreamError(fault, f"{self._id} {what}.")


_NextPiece = Callable[[], Awaitable[bytes]]
_Read = Callable[[_NextPiece], Awaitable[None]]

_CLOSED = (UpstreamFault.CONNECTION_LOST, "closed the connection before the answer ended")
_LOST: tuple[tuple[type[httpx2.HTTPError], tuple[UpstreamFault, str]], ...] = (
    (httpx2.PoolTimeout, (UpstreamFault.CONNECT, "has no free connection: raise max_connections")),
    (httpx2.ConnectTimeout, (UpstreamFault.CONNECT, "did not accept a connection in time")),
    (httpx2.ConnectError, (UpstreamFault.CONNECT, "cannot be connected to (refused, unknown host, or TLS)")),
    (httpx2.ProxyError, (UpstreamFault.CONNECT, "cannot be reached through its proxy")),
    (httpx2.UnsupportedProtocol, (UpstreamFault.CONNECT, "has a base_url that cannot be used")),
    (httpx2.TimeoutException, (UpstreamFault.READ_TIMEOUT, "was silent for too long")),
    (httpx2.LocalProtocolError, (UpstreamFault.BAD_REQUEST, "was not asked: a header cannot be sent")),
    (httpx2.DecodingError, (UpstreamFault.MALFORMED, "sent an answer compressed in a way that cannot be read")),
)


def _pieces(response: Incoming) -> _NextPiece:
    """Reads the body as it arrives. Compressed answers were not asked for; they are read all the same."""
    coding = response.headers.get("content-encoding", "identity")
    return response.read if coding in ("", "identity") else Inflating(response.read, coding)


async def _before(when: float, next_piece: _NextPiece) -> bytes:
    """What may follow a finished answer, until `when` on the loop's clock. A failure loses nothing."""
    try:
        async with asyncio.timeout_at(when):
            return await next_piece()
    except (TimeoutError, httpx2.HTTPError):
        return b""


async def _read_out(response: Incoming | asyncio.Task[Incoming], seconds: float) -> None:
    """Read the rest of a response that nobody waits for, for at most `seconds`."""
    opened = None
    try:
        async with asyncio.timeout(seconds):
            opened = await response if isinstance(response, asyncio.Task) else response
            while await opened.read():
                pass
    except (TimeoutError, httpx2.HTTPError):
        pass
    finally:
        if opened is not None:
            await opened.aclose()
