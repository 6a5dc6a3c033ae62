"""The HTTP transport: httpx2's errors and interface over aiohttp's faster HTTP/1.1 client.

Calls of providers go through `post`, which spares them httpx2's objects; anything else may use an `httpx2.AsyncClient`
over the same transport and its connections. Errors become httpx2's, by what had happened to the request rather than by
aiohttp's class:

not sent     pool full              PoolTimeout
             no answer in time      ConnectTimeout
             refused, DNS, TLS      ConnectError (ProxyError where the proxy is at fault)
maybe sent   silence                ReadTimeout, WriteTimeout
             connection gone        ReadError
             closed, not HTTP       RemoteProtocolError
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from ssl import SSLContext, create_default_context
from typing import Any

import aiohttp
import httpx2
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.tracing import Trace
from multidict import CIMultiDict
from yarl import URL

from router_service.config.configuration import ProviderSettings
from router_service.providers.resolver import OwnThreadsResolver

# A burst of chunks should be one read, and a slow reader must not hold the provider up for nothing.
_READ_BUFFER = 512 * 1024
# Longer than this, and servers that drop idle connections would lose requests on them.
_KEEPALIVE_SECONDS = 15.0

# Larger bodies are written piece by piece, so that copying one does not hold up the loop.
_ONE_WRITE = 1024 * 1024


@dataclass(slots=True)
class _Exchange:
    """How far one request has come. `socket` is set from the moment its bytes may leave."""

    bound: asyncio.Timeout
    connect: float | None
    answer: float | None
    on_dispatch: Callable[[], None] | None
    connecting: bool = False
    socket: asyncio.Transport | None = None

    def started_connecting(self) -> None:
        self.connecting = True
        self._limit(self.connect)

    def got(self, connection: Connection) -> None:
        self.socket = connection.transport
        self._limit(self.answer)
        if self.on_dispatch is not None:
            self.on_dispatch()

    def _limit(self, seconds: float | None) -> None:
        self.bound.reschedule(None if seconds is None else asyncio.get_running_loop().time() + seconds)

    def timed_out(self) -> httpx2.TimeoutException:
        if self.socket is None:
            if self.connecting:
                return httpx2.ConnectTimeout("No connection in time")
            return httpx2.PoolTimeout("No free connection in time")
        if self.socket.get_write_buffer_size():
            return httpx2.WriteTimeout("The request could not be sent in time")
        return httpx2.ReadTimeout("No answer in time")


_exchange: ContextVar[_Exchange] = ContextVar("exchange")


class _Protocol(ResponseHandler):
    """Tells the reader of a body that what follows is not HTTP. aiohttp closes the connection and leaves it waiting."""

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        if exc_cause is None:
            super().set_exception(exc)
        else:
            super().set_exception(exc, exc_cause)
        body = self._payload
        if isinstance(exc, HttpProcessingError) and body is not None and not body.is_eof():
            body.set_exception(aiohttp.ClientPayloadError("What follows is not HTTP"))


class _Connector(aiohttp.TCPConnector):
    """Tells the exchange of the current task when it leaves the queue and when it has a connection."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        protocol: type[ResponseHandler] = _Protocol
        self._factory = partial(protocol, loop=self._loop)

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        _exchange.get().got(connection)
        return connection

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> ResponseHandler:
        _exchange.get().started_connecting()
        return await super()._create_connection(req, traces, timeout)


@dataclass(slots=True, kw_only=True)
class Limits:
    """Bounds of one request in seconds, `None` for none; `connect` includes DNS and TLS."""

    pool: float | None = None
    connect: float | None = None
    write: float | None = None
    read: float | None = None


class AiohttpTransport(httpx2.AsyncBaseTransport):
    """Sends requests over a pool of keep-alive connections. Follows no redirects, keeps no cookies and takes no proxy
    from the environment.
    """

    def __init__(self, *, max_connections: int = 1000, tls: SSLContext | None = None, proxy: str | None = None) -> None:
        self._max_connections = max_connections
        self._tls = tls
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def post(
        self, url: URL, headers: Mapping[str, str], body: bytes, limits: Limits, on_dispatch: Callable[[], None]
    ) -> Incoming:
        """The response as soon as its headers are there; it must be closed. Raises `httpx2.TransportError`.

        `on_dispatch` is called right before the first bytes may leave.
        """
        return await self._send("POST", url, headers, body, limits, on_dispatch)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """httpx2's way in. Timeouts come in the request's extension `timeout`, as httpx2's clients put them there."""
        bounds = request.extensions.get("timeout", {})
        headers = CIMultiDict((name.decode("ascii"), value.decode("latin-1")) for name, value in request.headers.raw)
        body = await request.aread()
        try:
            incoming = await self._send(
                request.method, URL(str(request.url), encoded=True), headers, body, Limits(**bounds), None
            )
        except httpx2.TransportError as error:
            error.request = request
            raise
        return incoming.as_httpx2(request)

    async def _send(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        body: bytes,
        limits: Limits,
        on_dispatch: Callable[[], None] | None,
    ) -> Incoming:
        if self._closed:
            raise httpx2.ConnectError("The transport is closed")
        read, write = limits.read, limits.write
        bound = asyncio.timeout(limits.pool)
        exchange = _Exchange(
            bound=bound,
            connect=limits.connect,
            answer=None if read is None or write is None else read + write,
            on_dispatch=on_dispatch,
        )
        token = _exchange.set(exchange)
        try:
            async with bound:
                response = await self._open_session().request(
                    method,
                    url,
                    data=BytesIO(body) if len(body) > _ONE_WRITE else body,
                    headers=headers,
                    timeout=aiohttp.ClientTimeout(total=None, sock_read=read, ceil_threshold=math.inf),
                    allow_redirects=False,
                    proxy=self._proxy,
                )
        except BaseException as error:
            mapped = _mapped(error, exchange)
            if exchange.socket is not None:
                exchange.socket.abort()
            if mapped is None:
                raise
            raise mapped from error
        finally:
            _exchange.reset(token)
        return Incoming(response, exchange.socket)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=_Connector(
                    limit=self._max_connections,
                    ssl=True if self._tls is None else self._tls,
                    keepalive_timeout=_KEEPALIVE_SECONDS,
                    resolver=OwnThreadsResolver(),
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                read_bufsize=_READ_BUFFER,
                skip_auto_headers=("accept", "accept-encoding", "user-agent", "content-type"),
            )
        return self._session

    @property
    def connections(self) -> tuple[int, int]:
        """How many connections are in use, those being opened included, and how many are idle. From any thread."""
        connector = None if self._session is None else self._session.connector
        if connector is None:
            return 0, 0
        return len(connector._acquired), sum(map(len, tuple(connector._conns.values())))

    async def aclose(self) -> None:
        """Close every connection, also those in use."""
        self._closed = True
        if self._session is not None:
            await self._session.close()


class Incoming:
    """A response whose body is still on its way."""

    __slots__ = ("_content", "_response", "_socket")

    def __init__(self, response: aiohttp.ClientResponse, socket: asyncio.Transport | None) -> None:
        self._response = response
        self._content = response.content
        self._socket = socket

    @property
    def status(self) -> int:
        """The status code."""
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, by name in any case."""
        return self._response.headers

    async def read(self) -> bytes:
        """Everything that is there by now, as received; waits for a first byte. Empty at the end."""
        content = self._content
        if content.exception() is not None and content._buffer:
            # aiohttp tells of a lost connection before it gives out what had arrived, which may be a whole answer.
            return content._read_nowait(-1)
        try:
            return await content.readany()
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            raise _broken(error) from error

    @property
    def ended(self) -> bool:
        """Whether the whole body is here; its connection is then free already."""
        return self._content.is_eof()

    async def aclose(self) -> None:
        """Give the connection back if the body ended, else abort it: what is unread would come at our cost."""
        # Waiting for TLS to say goodbye would keep the provider generating.
        if not self.ended and self._socket is not None:
            self._socket.abort()
        self._response.close()

    def as_httpx2(self, request: httpx2.Request | None = None) -> httpx2.Response:
        """The same as a response of httpx2, which decodes a `content-encoding`."""
        return httpx2.Response(
            self._response.status,
            headers=list(self._response.raw_headers),
            stream=_Stream(self),
            request=request,
        )


class _Stream(httpx2.AsyncByteStream):
    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        data = await self._incoming.read()
        if not data:
            raise StopAsyncIteration
        return data

    async def aclose(self) -> None:
        await self._incoming.aclose()


_UNSENT: tuple[tuple[type[aiohttp.ClientError], type[httpx2.TransportError], str], ...] = (
    (aiohttp.InvalidURL, httpx2.UnsupportedProtocol, "The URL cannot be used"),
    (aiohttp.ClientProxyConnectionError, httpx2.ProxyError, "The proxy cannot be connected to"),
    (aiohttp.ClientHttpProxyError, httpx2.ProxyError, "The proxy refused"),
    (aiohttp.ClientConnectorDNSError, httpx2.ConnectError, "The host name cannot be resolved"),
    (aiohttp.ClientConnectorCertificateError, httpx2.ConnectError, "The certificate is not trusted"),
    (aiohttp.ClientSSLError, httpx2.ConnectError, "TLS failed"),
)


def _mapped(error: BaseException, exchange: _Exchange) -> httpx2.TransportError | None:
    """What httpx2 calls this error; `None` for what is not a failure of the request."""
    if isinstance(error, TimeoutError) and exchange.bound.expired():
        return exchange.timed_out()
    if exchange.socket is not None and isinstance(error, ValueError):
        return httpx2.LocalProtocolError("The request cannot be sent as HTTP")
    if not isinstance(error, aiohttp.ClientError | OSError):
        return None
    if exchange.socket is not None:
        return _broken(error)
    for kind, mapped, message in _UNSENT:
        if isinstance(error, kind):
            return mapped(message)
    return httpx2.ConnectError("No connection")


def _broken(error: Exception) -> httpx2.TransportError:
    """What httpx2 calls a failure after bytes may have left."""
    if isinstance(error, TimeoutError):
        return httpx2.ReadTimeout("The connection was silent for too long")
    if isinstance(error, OSError):
        return httpx2.ReadError("The connection was lost")
    return httpx2.RemoteProtocolError("The connection was closed before the response ended, or it was not HTTP")


def open_transport(settings: ProviderSettings) -> AiohttpTransport:
    """The transport of one provider. Raises `OSError` where a TLS file cannot be read."""
    tls = None
    if settings.ca_file is not None or settings.client_cert_file is not None:
        tls = create_default_context(cafile=settings.ca_file)
        if settings.client_cert_file is not None:
            tls.load_cert_chain(settings.client_cert_file, settings.client_key_file)
    return AiohttpTransport(max_connections=settings.max_connections, tls=tls, proxy=settings.proxy)
