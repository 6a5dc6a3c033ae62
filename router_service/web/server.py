"""The HTTP server: listens, serves, drains."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.server import ServerState

from router_service.config.configuration import HttpSettings
from router_service.config.identity import IdentitySettings
from router_service.edge.address import CannotServe, check_address, exposure
from router_service.web.api import Api, Readiness
from router_service.web.exchange import MAX_HEADER_BYTES
from router_service.web.protocol import Protocol
from router_service.web.tls import CertificateFiles

logger = logging.getLogger("llmrouter.web")

_BACKLOG = 1024
# For the last responses to leave.
_FLUSH = 0.5
_LOOK_EVERY = 0.02
# Of a connection in silence: when its other end is asked whether it is there, how often, and how many times, in vain.
_KEEPALIVE_IDLE, _KEEPALIVE_EVERY, _KEEPALIVE_TIMES = 60, 20, 3

Sleep = Callable[[float], Awaitable[None]]


class HttpServer:
    """Serves an API in the running event loop, on one port or two.

    `identity` says whether callers are known, without which it serves on loopback only. With `shared_port` other
    processes may listen there too, as the workers of one supervisor do.
    """

    def __init__(
        self,
        settings: HttpSettings,
        api: Api,
        readiness: Readiness,
        *,
        identity: IdentitySettings,
        shared_port: bool = False,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._api = api
        self._readiness = readiness
        self._identity = identity
        self._shared_port = shared_port
        self._sleep = sleep
        self._state = ServerState()
        self._servers: list[asyncio.Server] = []
        self.port = 0
        """Where it listens, once it has started."""
        self.admin_port: int | None = None

    async def start(self) -> int:
        """Listen and serve; return the port. Raises `CannotServe`."""
        settings, identity = self._settings, self._identity
        check_address(settings.address, authenticated=identity.authenticates, anonymous=identity.anonymous is not None)
        if warning := exposure(settings.address, tls=settings.tls is not None):
            logger.warning(warning)
        tls = None if settings.tls is None else CertificateFiles(settings.tls).context()
        try:
            self.port = await self._listen(settings.address, self._api.public, tls)
            if settings.admin_address is not None:
                self.admin_port = await self._listen(settings.admin_address, self._api.admin, None)
        except BaseException:
            await self.stop()
            raise
        self._readiness.ready = True
        return self.port

    def lame_duck(self) -> None:
        """Have callers look elsewhere: not ready, and every connection ends with its response."""
        self._readiness.ready = False
        self._readiness.draining = True

    async def stop(self) -> None:
        """Close. Calls have ended by then; responses that were not taken within half a second are given up."""
        for server in self._servers:
            server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        for _ in range(round(_FLUSH / _LOOK_EVERY)):
            if not self._state.connections:
                break
            await self._sleep(_LOOK_EVERY)
        for connection in list(self._state.connections):
            connection.transport.abort()
        self._servers.clear()

    async def _listen(self, address: str, application: ASGIApp, tls: ssl.SSLContext | None) -> int:
        config = Config(
            application,
            http=Protocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            # Whoever sends no HTTP is told so; the log of all others is ours.
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=self._settings.keep_alive,  # type: ignore[arg-type]  # it is given to call_later
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        )
        loop = asyncio.get_running_loop()
        port = 0
        for bound in _bound(address, shared=self._shared_port):
            server = await loop.create_server(
                lambda: Protocol(config, self._state, {}, loop), sock=bound, ssl=tls, backlog=_BACKLOG
            )
            self._servers.append(server)
            port = bound.getsockname()[1]
        return port


def _bound(address: str, *, shared: bool) -> list[socket.socket]:
    """Sockets that have the address, of each family that it has. Raises `CannotServe`."""
    host, _, port = address.rpartition(":")
    name = host.strip("[]")
    number = int(port)
    with contextlib.ExitStack() as unless_bound:
        sockets = []
        try:
            found = socket.getaddrinfo(name or None, number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, kind, protocol, _, where in dict.fromkeys(found):
                one = socket.socket(family, kind, protocol)
                unless_bound.callback(one.close)
                _set_options(one, shared=shared)
                # Of several families all get the port that the first got.
                one.bind((where[0], number, *where[2:]))
                number = one.getsockname()[1]
                sockets.append(one)
        except OSError as error:
            raise CannotServe(
                f"Cannot listen on {address}: {error.strerror or error}. If another program does already, stop it, or "
                "serve on another port."
            ) from error
        unless_bound.pop_all()
        return sockets


def _set_options(one: socket.socket, *, shared: bool) -> None:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if one.family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if shared:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    # Connections inherit these: a client that vanished is noticed, also while its answer is being made.
    one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", _KEEPALIVE_IDLE),
        ("TCP_KEEPINTVL", _KEEPALIVE_EVERY),
        ("TCP_KEEPCNT", _KEEPALIVE_TIMES),
    ):
        if hasattr(socket, option):
            one.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
