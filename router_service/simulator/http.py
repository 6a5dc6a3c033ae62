"""HTTP/1.1 on a bare protocol, so that a response can also go wrong: cut, reset, dripped or never begun."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast

_LINGER_ZERO = struct.pack("ii", 1, 0)
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A whole request. `path` has no query; header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


Handle = Callable[[Request, "Exchange"], Awaitable[None]]
"""Answers one request; cancelled when the client goes away."""

AtOnce = Callable[[Request], bytes | None]
"""A whole response that needs no waiting, or `None`."""


class Exchange:
    """The response side of one request.

    `on_disconnect` is called at once, from the event loop, when the client leaves before the response is complete.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._chunked = False
        self.over = False
        self.bytes_sent = 0
        self.on_disconnect: Callable[[], None] | None = None

    def begin(self, status: int, headers: Mapping[str, str], *, length: int | None) -> bytes:
        """The head as bytes, for `send_raw`; `length` `None` makes the body chunked."""
        self._chunked = length is None
        framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
        lines = [f"HTTP/1.1 {status} {_PHRASES.get(status, 'Unknown')}", framing]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    async def send(self, data: bytes) -> None:
        """Send a piece of the body, framed; waits while the client reads too slowly."""
        await self.send_raw(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    async def send_raw(self, data: bytes) -> None:
        """Send bytes as they are; waits while the client reads too slowly."""
        self.bytes_sent += len(data)
        await self._connection.write(data)

    def complete(self) -> None:
        """End the response properly and keep the connection for the next request."""
        if self._chunked:
            self._connection.write_now(b"0\r\n\r\n")
            self.bytes_sent += 5
        self.over = True

    def close(self) -> None:
        """Break off with FIN, after what was sent."""
        self.over = True
        self._connection.close()

    def reset(self) -> None:
        """Break off with RST."""
        self.over = True
        self._connection.reset()


class Connection(asyncio.Protocol):
    """One client's connection: requests one after another."""

    def __init__(self, handle: Handle, at_once: AtOnce, connections: set[Connection]) -> None:
        self._handle = handle
        self._at_once = at_once
        self._connections = connections
        self._buffer = bytearray()
        self._writable: asyncio.Future[None] | None = None
        self._exchange: Exchange | None = None
        self._task: asyncio.Task[None] | None = None
        self._keep_alive = True
        self._continued = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one only by its methods
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        exchange, task = self._exchange, self._task
        self._exchange = self._task = None
        if exchange is not None and not exchange.over and exchange.on_disconnect is not None:
            exchange.on_disconnect()
        if task is not None:
            task.cancel()

    def eof_received(self) -> None:
        if self._exchange is not None:
            self._transport.abort()

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._task is None:
            self._next_request()

    def write_now(self, data: bytes) -> None:
        """Hand bytes to the socket."""
        self._transport.write(data)

    async def write(self, data: bytes) -> None:
        """Hand bytes to the socket; waits while its buffer is full."""
        self._transport.write(data)
        if self._writable is not None:
            await self._writable

    def close(self) -> None:
        """Send what is buffered, then FIN."""
        self._transport.close()

    def reset(self) -> None:
        """Drop the connection with RST."""
        sock: socket.socket = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self._transport.abort()

    def abort(self) -> None:
        """Drop the connection; what is buffered is lost."""
        self._transport.abort()

    def _next_request(self) -> None:
        while (request := self._take_request()) is not None:
            response = self._at_once(request)
            if response is None:
                self._exchange = Exchange(self)
                self._task = asyncio.get_running_loop().create_task(self._answer(request, self._exchange))
                return
            self._transport.write(response)

    async def _answer(self, request: Request, exchange: Exchange) -> None:
        try:
            await self._handle(request, exchange)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._transport.abort()
            asyncio.get_running_loop().call_exception_handler(
                {"message": "the simulated provider failed", "exception": error, "protocol": self}
            )
            return
        if self._exchange is not exchange:
            return
        self._exchange = self._task = None
        if not self._keep_alive:
            self._transport.close()
        elif not self._transport.is_closing():
            self._next_request()

    def _take_request(self) -> Request | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        taken = self._take_body(headers, end + 4)
        if taken is None:
            self._invite_body(headers)
            return None
        body, used = taken
        del self._buffer[:used]
        self._continued = False
        self._keep_alive = headers.get("connection", "").lower() != "close"
        method, url, _ = first.split(" ", 2)
        return Request(method=method, path=url.partition("?")[0], headers=headers, body=body)

    def _take_body(self, headers: Mapping[str, str], start: int) -> tuple[bytes, int] | None:
        """The body and how much of the buffer the request takes, or `None` until all of it is here."""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return _dechunk(self._buffer, start)
        end = start + int(headers.get("content-length") or 0)
        return (bytes(self._buffer[start:end]), end) if len(self._buffer) >= end else None

    def _invite_body(self, headers: Mapping[str, str]) -> None:
        if not self._continued and headers.get("expect", "").lower() == "100-continue":
            self._continued = True
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _dechunk(buffer: bytearray, start: int) -> tuple[bytes, int] | None:
    body = bytearray()
    while (line_end := buffer.find(b"\r\n", start)) >= 0:
        size = int(buffer[start:line_end].split(b";")[0], 16)
        start = line_end + 2
        if len(buffer) < start + size + 2:
            return None
        if size == 0:
            return bytes(body), start + 2
        body += buffer[start : start + size]
        start += size + 2
    return None
