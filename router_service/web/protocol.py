"""HTTP/1.1 connections: uvicorn's, with bounds on slow clients and with what else a router asks of a connection."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from router_service.web.errors import BadHttp, refusal
from router_service.web.exchange import ABORT, CERTIFICATE_URIS, MAX_HEADER_BYTES, headers_too_large
from router_service.web.responses import encoded

# A connection that has not said a whole request's headers by then, in seconds, is closed.
_HEADERS_TIMEOUT = 10.0


class Protocol(H11Protocol):
    """One connection. `headers_timeout` is in seconds."""

    headers_timeout = _HEADERS_TIMEOUT

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._waiting_for_headers: asyncio.TimerHandle | None = None
        self._app = self.app
        self.app = self._extended

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        """Read on, and see whether a request is being served now."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._await_headers()
        else:
            self._stop_waiting()
            self._watch_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._stop_waiting()
        super().on_response_complete()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; one whose client does not even take the last response is cut."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP/1.1, in the API's own form."""
        too_large = len(self.conn.trailing_data[0]) > MAX_HEADER_BYTES
        error = headers_too_large() if too_large else BadHttp(400, "The request is no valid HTTP/1.1.")
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if cycle.response_started:
                # The response that is under way cannot be interrupted by another.
                self._cut()
                return
            # The rest of its body is no HTTP: whoever waits for that has nothing to say any more.
            cycle.disconnected = True
            cycle.message_event.set()
        refused = refusal(error, request_id="")
        body = encoded({"error": refused.envelope})
        head = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        try:
            said = [
                self.conn.send(h11.Response(status_code=refused.status, headers=head)),
                self.conn.send(h11.Data(data=body)),
                self.conn.send(h11.EndOfMessage()),
            ]
        except h11.LocalProtocolError:
            self.transport.abort()
            return
        self.transport.write(b"".join(piece for piece in said if piece))
        self.transport.close()

    def _should_upgrade(self) -> bool:
        return False

    async def _extended(self, scope: Any, receive: Any, send: Any) -> None:
        """The application, told how to cut the connection and whose certificate it came with."""
        scope["extensions"] = {ABORT: self._cut, CERTIFICATE_URIS: self._certificate_uris}
        await self._app(scope, receive, send)

    def _watch_on(self) -> None:
        """Read on where that was paused for a request that came before the last one was answered: who does not read
        does not see either that the caller left. What comes next is kept, up to a bound."""
        if self.conn.their_state is h11.DONE and len(self.conn.trailing_data[0]) <= MAX_HEADER_BYTES:
            self.flow.resume_reading()

    def _cut(self) -> None:
        """End the connection now, with what is being said on it."""
        if self.cycle is not None and not self.cycle.response_complete:
            # Else it would be logged that the application left its response incomplete.
            self.cycle.disconnected = True
        self.transport.abort()

    def _certificate_uris(self) -> tuple[str, ...]:
        """The URIs of the client certificate that TLS verified."""
        tls: ssl.SSLObject | None = self.transport.get_extra_info("ssl_object")
        certificate = None if tls is None else tls.getpeercert()
        names: Any = (certificate or {}).get("subjectAltName", ())
        return tuple(value for kind, value in names if kind == "URI")

    def _await_headers(self) -> None:
        if self._waiting_for_headers is None:
            self._waiting_for_headers = self.loop.call_later(self.headers_timeout, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waiting_for_headers is not None:
            self._waiting_for_headers.cancel()
            self._waiting_for_headers = None

    def _give_up(self) -> None:
        self.transport.abort()
