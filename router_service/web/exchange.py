"""One HTTP request and its response."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any

from starlette.types import Receive, Scope, Send

from router_service.edge.request_id import REQUEST_ID_KEY, is_request_id, new_request_id
from router_service.identity.authenticator import Credentials
from router_service.web.errors import BadHttp, invalid

ABORT, CERTIFICATE_URIS = "llmrouter.abort", "llmrouter.certificate_uris"
"""What `web.protocol` adds to a scope's extensions."""

Headers = Sequence[tuple[str, str]]

MAX_HEADER_BYTES = 16 * 1024
_CREDENTIALS = ("authorization", "x-api-key")


class CallerLeft(Exception):
    """The caller went away before the response was complete: there is nobody to tell anything."""


class Exchange:
    """A request that was received, and how far its response is.

    `headers` are by lower-case name; of one that came several times the first counts. `request_id` is the caller's own
    where it is fit, else a new one.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self.headers: Mapping[str, str] = {
            name.decode("latin-1"): _text(value) for name, value in reversed(scope["headers"])
        }
        named = self.headers.get(REQUEST_ID_KEY, "")
        self.request_id = named if is_request_id(named) else new_request_id()
        self._has_unfit_id = REQUEST_ID_KEY in self.headers and not is_request_id(named)
        self.status: int | None = None
        """What the caller was told; `None` before."""
        self.closes: Callable[[], bool] = lambda: False
        """Whether the connection is to end with the response that begins now."""
        self.broken = ""
        """Why the response ended early, where it did."""
        self._extensions: Mapping[str, Any] = scope.get("extensions") or {}

    def check(self) -> None:
        """Raise where headers are too large or contradict each other, or the caller's request id is unfit."""
        scope = self.scope
        size = len(scope["raw_path"]) + len(scope["query_string"])
        if size + sum([len(name) + len(value) for name, value in scope["headers"]]) > MAX_HEADER_BYTES:
            raise headers_too_large()
        if "transfer-encoding" in self.headers and "content-length" in self.headers:
            # Two readers may disagree on where such a request ends.
            closing = (("connection", "close"),)
            raise BadHttp(400, "A request has either content-length or transfer-encoding, not both.", headers=closing)
        if self._has_unfit_id:
            raise invalid(REQUEST_ID_KEY, "must be 1 to 128 printable ASCII characters")

    @property
    def method(self) -> str:
        method: str = self.scope["method"]
        return method

    @property
    def begun(self) -> bool:
        """Whether a response is on its way."""
        return self.status is not None

    def credentials(self) -> Credentials:
        """What the caller presents."""
        given = {
            wanted: tuple(_text(value) for name, value in self.scope["headers"] if name == wanted.encode())
            for wanted in _CREDENTIALS
        }
        uris = self._extensions.get(CERTIFICATE_URIS)
        return Credentials(
            authorization=given["authorization"],
            api_key=given["x-api-key"],
            certificate_uris=() if uris is None else uris(),
        )

    async def body(self, *, most: int, timeout: float) -> bytes:  # noqa: ASYNC109 - the bound is part of the request's reading
        """The whole body. Raises `BadHttp` where it is longer than `most` bytes or takes longer than `timeout` seconds,
        `CallerLeft` where it never ends."""
        declared = self.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > most:
            raise _too_long(most)
        pieces, size = [], 0
        try:
            async with asyncio.timeout(timeout):
                while True:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        raise CallerLeft
                    pieces.append(message.get("body", b""))
                    size += len(pieces[-1])
                    if size > most:
                        raise _too_long(most)
                    if not message.get("more_body", False):
                        return b"".join(pieces)
        except TimeoutError as error:
            closing = (("connection", "close"),)
            raise BadHttp(408, f"The request's body did not arrive within {timeout:g} s.", headers=closing) from error

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Cancel what runs in the context once the caller leaves; then `CallerLeft` is raised. The body was read."""
        task = asyncio.current_task()
        assert task is not None
        left = False

        async def watch() -> None:
            nonlocal left
            while (await self._receive())["type"] != "http.disconnect":
                pass
            left = True
            task.cancel()

        watching = asyncio.create_task(watch())
        try:
            yield
        except asyncio.CancelledError:
            if not left:
                raise
            task.uncancel()
            raise CallerLeft from None
        finally:
            watching.cancel()

    async def respond(self, status: int, body: bytes, headers: Headers = (), *, kind: str = "application/json") -> None:
        """The whole response."""
        length = ("content-length", str(len(body)))
        await self._begin(status, [("content-type", kind), length, *headers])
        await self._send({"type": "http.response.body", "body": body})

    async def begin(self, headers: Headers, *, kind: str) -> None:
        """The head of a response whose body is written in pieces."""
        await self._begin(200, [("content-type", kind), ("cache-control", "no-cache"), *headers])

    async def write(self, piece: bytes) -> None:
        """A piece of the body; waits for a reader that is slow."""
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        """The body is complete."""
        await self._send({"type": "http.response.body", "body": b""})

    def abort(self) -> None:
        """Cut the connection: its reader takes nothing any more."""
        abort = self._extensions.get(ABORT)
        if abort is not None:
            abort()

    async def _begin(self, status: int, headers: Headers) -> None:
        self.status = status
        head = [("date", formatdate(usegmt=True)), (REQUEST_ID_KEY, self.request_id), *headers]
        head.append(("x-llmrouter-request-id", self.request_id))
        if self.closes():
            head.append(("connection", "close"))
        sent = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in head]
        await self._send({"type": "http.response.start", "status": status, "headers": sent})


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def headers_too_large() -> BadHttp:
    """The refusal of a request whose headers are."""
    return BadHttp(431, f"The request's headers are larger than {MAX_HEADER_BYTES} bytes, which is all that is read.")


def _too_long(most: int) -> BadHttp:
    return BadHttp(413, f"The request's body is longer than {most} bytes, which is all that is read.")
