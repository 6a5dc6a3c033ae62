"""The gRPC server: listens, serves, drains."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from llmrouter.v1 import admin_service_pb2_grpc, router_service_pb2_grpc
from router_service.config.configuration import ServerSettings
from router_service.config.identity import EVERYBODY, IdentitySettings
from router_service.edge.address import CannotServe, check_address, exposure, is_local
from router_service.edge.admission import Admission
from router_service.rpc.admin_servicer import ADMIN_SERVICE, AdminServicer
from router_service.rpc.admission import AdmissionLayer
from router_service.rpc.catch_all import CatchAll
from router_service.rpc.handlers import Layers
from router_service.rpc.health import Health
from router_service.rpc.servicer import SERVICE, RouterServicer
from router_service.rpc.tls import CertificateFiles

logger = logging.getLogger("llmrouter.rpc")

_MAX_METADATA_BYTES = 16 * 1024
# Calls outlive the connection's age: a shorter grace would cut them.
_OLD_CONNECTION_GRACE = 600.0
_KEEPALIVE_EVERY = 60.0
_KEEPALIVE_TIMEOUT = 20.0
_LEAST_BETWEEN_PINGS = 10.0
_MAX_PING_STRIKES = 2
# A connection that has not said what HTTP/2 begins with by then, or not agreed to our settings, is closed.
_HANDSHAKE_TIMEOUT = 10.0
# Just over the calls that are served at once by default, so that one connection can bring them all and hear of it when
# they are too many: past this, clients wait without being told. Streams that were reset count until disposed of.
_MAX_STREAMS_PER_CONNECTION = 2048
# Calls that arrived and that no handler has taken yet, of all connections. Past 1,000, gRPC's default, some are
# cancelled at random: a flood of resets on one connection would then fail other clients' calls.
_MAX_PENDING_CALLS = 20_000
# It is quiet when no call came for a quarter of the lame duck.
_QUIET = 0.25
_LONGEST_WAIT_FOR_QUIET = 5.0
# For the last responses to leave, and for cancelled calls to be accounted for.
_FLUSH = 0.5
_ACCOUNTING = 5.0

_UNKNOWN_CALLERS = IdentitySettings(anonymous=EVERYBODY)

Sleep = Callable[[float], Awaitable[None]]


class GrpcServer:
    """One server in the running event loop.

    `interceptors` come before the router's own and so see every call's final status. `admin` is served beside the
    router; without one administrators have no service. `identity` says whether callers are known, without which it
    serves on loopback only. `admission` is given where other edges count their calls in it too: `drain` then ends
    theirs as well. With `shared_port` other processes may listen there too, as the workers of one supervisor do.
    """

    def __init__(
        self,
        settings: ServerSettings,
        servicer: RouterServicer,
        *,
        admin: AdminServicer | None = None,
        identity: IdentitySettings = _UNKNOWN_CALLERS,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        admission: Admission | None = None,
        shared_port: bool = False,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._sleep = sleep
        self._health = Health([SERVICE])
        self._admission = admission or Admission(
            max_calls=settings.max_concurrent_calls, max_per_tenant=settings.max_concurrent_calls_per_tenant
        )
        counted = AdmissionLayer(SERVICE, ADMIN_SERVICE, admission=self._admission, identity_of=servicer.identity_of)
        self._server = grpc.aio.server(
            interceptors=[*interceptors, Layers(CatchAll(), counted)],
            options=_options(settings, shared_port=shared_port),
        )
        router_service_pb2_grpc.add_RouterServiceServicer_to_server(servicer, self._server)
        names = [SERVICE]
        if admin is not None:
            admin_service_pb2_grpc.add_AdminServiceServicer_to_server(admin, self._server)
            names.append(ADMIN_SERVICE)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if _reflects(settings):
            names += [health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME]
            reflection.enable_server_reflection(names, self._server)

    @property
    def in_flight(self) -> int:
        """Calls being served."""
        return self._admission.in_flight

    async def start(self) -> int:
        """Listen and serve; return the port. Raises `CannotServe`."""
        settings = self._settings
        identity = self._identity
        check_address(settings.address, authenticated=identity.authenticates, anonymous=identity.anonymous is not None)
        if warning := exposure(settings.address, tls=settings.tls is not None):
            logger.warning(warning)
        _check_unix_socket(settings.address)
        try:
            if settings.tls is None:
                port = self._server.add_insecure_port(settings.address)
            else:
                port = self._server.add_secure_port(settings.address, CertificateFiles(settings.tls).credentials())
        except RuntimeError as error:
            raise CannotServe(
                f"Cannot listen on {settings.address}: most likely another program does already. "
                "Stop it, or serve on another port (`server.address`, --address)."
            ) from error
        await self._server.start()
        self._health.set_serving(True)
        return port

    async def wait(self) -> None:
        """Wait until the server has stopped."""
        await self._server.wait_for_termination()

    async def drain(self) -> None:
        """Stop without failing a call, as far as the grace allows.

        First clients learn to look elsewhere, until calls cease to come; then new ones are sent elsewhere, and the
        rest is waited for. What outlasts the grace is ended with a status of its own: clients would repeat a mere
        reset, and pay twice. `stop` comes last: calls it finds received but not yet begun would be cancelled, which no
        client retries.
        """
        self._health.set_serving(False)
        await self._sleep(self._settings.lame_duck)
        await self._quiet()
        self._admission.drain()
        try:
            async with asyncio.timeout(self._settings.grace):
                await self._admission.idle()
        except TimeoutError:
            logger.warning("%d calls did not end within %g s.", self.in_flight, self._settings.grace)
            self._admission.end()
            await self._accounted()
        await self._server.stop(_FLUSH)

    async def _quiet(self) -> None:
        """Wait for the calls that clients had sent before they learnt to look elsewhere: on a busy machine they are
        late, and refusing many at once uses up the clients' retries. Clients that never look are not waited for."""
        pause = self._settings.lame_duck * _QUIET
        patience = min(_LONGEST_WAIT_FOR_QUIET, self._settings.grace * _QUIET)
        while patience > 0:
            arrived = self._admission.arrived
            await self._sleep(pause)
            if self._admission.arrived == arrived:
                return
            patience -= pause or patience

    async def _accounted(self) -> None:
        try:
            async with asyncio.timeout(_ACCOUNTING):
                await self._admission.idle()
        except TimeoutError:
            logger.error("%d cancelled calls could not be accounted for.", self.in_flight)


def _options(settings: ServerSettings, *, shared_port: bool) -> list[tuple[str, int]]:
    return [
        # Otherwise a second process listens on the same port without an error, and gets half of the calls.
        ("grpc.so_reuseport", int(shared_port)),
        # Answers are not limited: one that was paid for shall arrive.
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", _MAX_METADATA_BYTES),
        ("grpc.max_connection_age_ms", _milliseconds(settings.max_connection_age)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(max(settings.grace, _OLD_CONNECTION_GRACE))),
        ("grpc.keepalive_time_ms", _milliseconds(_KEEPALIVE_EVERY)),
        ("grpc.keepalive_timeout_ms", _milliseconds(_KEEPALIVE_TIMEOUT)),
        # gRPC never starts the timer of the former; this one, a minute by default, is what closes a dead connection.
        ("grpc.http2.ping_timeout_ms", _milliseconds(_KEEPALIVE_TIMEOUT)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _milliseconds(_LEAST_BETWEEN_PINGS)),
        ("grpc.http2.max_ping_strikes", _MAX_PING_STRIKES),
        ("grpc.server_handshake_timeout_ms", _milliseconds(_HANDSHAKE_TIMEOUT)),
        ("grpc.http2.settings_timeout", _milliseconds(_HANDSHAKE_TIMEOUT)),
        ("grpc.max_concurrent_streams", _MAX_STREAMS_PER_CONNECTION),
        ("grpc.server.max_pending_requests", _MAX_PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", _MAX_PENDING_CALLS),
    ]


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _reflects(settings: ServerSettings) -> bool:
    if settings.reflection is not None:
        return settings.reflection
    try:
        return is_local(settings.address)
    except CannotServe:
        return False


def _check_unix_socket(address: str) -> None:
    """Raise where another program listens on the socket: gRPC would take the path away from it."""
    path = address.removeprefix("unix:")
    if path == address:
        return
    path = path.removeprefix("//")
    if not Path(path).is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except OSError:
            return
    raise CannotServe(f"Cannot listen on {address}: another program does already. Stop it, or choose another path.")
