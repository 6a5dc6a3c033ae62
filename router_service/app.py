"""The composition root: the only place that wires the parts together."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.export import SpanExporter

from router_service.config.configuration import Configuration, HttpSettings, ServerSettings
from router_service.config.load import from_environment, load
from router_service.config.problem import ConfigurationError, Problem
from router_service.config.watch import ConfigurationHolder
from router_service.edge.address import CannotServe, check_address, is_local
from router_service.edge.admission import Admission
from router_service.engine.complete import Engine, Runtime
from router_service.engine.receipts import ReceiptStore
from router_service.engine.run import Clock
from router_service.engine.token import TokenSigner
from router_service.providers.open import ProviderPool
from router_service.routing.table import RoutingTable
from router_service.rpc.admin_servicer import AdminServicer
from router_service.rpc.authentication import Authentication
from router_service.rpc.server import GrpcServer
from router_service.rpc.servicer import RouterServicer
from router_service.rpc.tracing import TracingInterceptor
from router_service.spend.catalogue import catalogue_facts
from router_service.state import State
from router_service.telemetry.setup import Telemetry
from router_service.workers.line import Line

if TYPE_CHECKING:
    from router_service.web.server import HttpServer

logger = logging.getLogger("llmrouter")


# New objects before young ones are looked at, such collections before the middle-aged are, and those before all are.
_COLLECT_AFTER = (5_000, 10, 20)


async def _either(one: asyncio.Event, other: asyncio.Event) -> None:
    """Wait until one of them is set."""
    waits = [asyncio.create_task(event.wait()) for event in (one, other)]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


def _collect_rarely() -> None:
    """Keep the garbage collector from stopping the event loop for long.

    A full collection looks at every object, receipts of old calls among them, and holds up all calls for 100 ms and
    more. By default there is one every few seconds, for next to nothing: what calls leave is young.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def read_configuration(file: Path | None, environ: Mapping[str, str]) -> Configuration:
    """The configuration of a file, or without one of the provider keys in the environment.

    Raises `ConfigurationError` with every problem found.
    """
    if file is None:
        return from_environment(environ, catalogue_facts)
    return load(file, catalogue_facts, environ)


def routing_table(configuration: Configuration) -> RoutingTable:
    """The part of a configuration that decides."""
    return RoutingTable(
        policies=configuration.policies,
        deployments=configuration.deployments,
        models=configuration.models,
        features=configuration.features,
        default_policy=configuration.default_policy,
        fingerprint=configuration.fingerprint,
        weights=configuration.weights,
    )


class Application:
    """One router process. Make it inside a running event loop; then `start` and `stop`, or `serve` for both.

    `file` None serves what the environment offers. `address` overrides the file's; `http_port` serves HTTP there, on
    the file's host for it, or else on that of `address`. With a `line` it is one of several workers: the others listen
    there too, and it drains where the line ends.
    `span_exporter` also gets the spans that are kept. Raises `ConfigurationError`, and
    `CannotServe` where a provider's TLS file cannot be read.
    """

    def __init__(
        self,
        file: Path | None,
        *,
        environ: Mapping[str, str] = os.environ,
        address: str | None = None,
        http_port: int | None = None,
        line: Line | None = None,
        span_exporter: SpanExporter | None = None,
    ) -> None:
        self._line = line
        self._holder = ConfigurationHolder(lambda: read_configuration(file, environ), on_change=self._use)
        configuration = self._holder.current
        server = configuration.server if address is None else replace(configuration.server, address=address)
        if http_port is not None:
            server = replace(server, http=_on_port(http_port, server))
        self.settings = server
        self._providers = ProviderPool(configuration.providers)
        self._state = State(configuration)
        self._telemetry = Telemetry(
            configuration.telemetry,
            version=version("llmrouter"),
            features=configuration.features,
            span_exporter=span_exporter,
            exposes_metrics=server.http is not None and server.http.metrics,
            workers=line,
        )
        key = configuration.decision_tokens.key
        self.engine = Engine(
            self._runtime(configuration),
            observe=self._telemetry.observer,
            signer=TokenSigner(key.reveal if key else None, configuration.decision_tokens.ttl, time.time),
            receipts=ReceiptStore(server.receipts_kept),
            clock=Clock(monotonic=time.monotonic, wall=time.time),
            random=random.random,
            limiter=self._state.limits.limiter,
            rates=self._state.limits.rates,
            book=self._state.book,
            observe_shadow=self._telemetry.shadow_observer,
        )
        self._telemetry.observe_health(self.engine.open_circuits)
        self._telemetry.observe_ledger(self._state.ledger_lag)
        self._telemetry.observe_shadows(self.engine.shadows.counts)
        self._telemetry.observe_limits(self._state.limits.limiter.counts)
        self._telemetry.observe_connections(self._providers.connections)
        servicer = RouterServicer(
            self.engine,
            identity_of=Authentication(self._state.identify),
            accounts=self._state,
            idempotency=self._state.limits.idempotency,
            on_feedback=self._telemetry.observe_feedback,
        )
        admission = Admission(
            max_calls=server.max_concurrent_calls, max_per_tenant=server.max_concurrent_calls_per_tenant
        )
        self._server = GrpcServer(
            server,
            servicer,
            admission=admission,
            identity=configuration.identity,
            admin=AdminServicer(self._state.administration, identity_of=servicer.identity_of),
            interceptors=[TracingInterceptor(self._telemetry)],
            shared_port=line is not None,
        )
        self._http: HttpServer | None = None
        if server.http is not None:
            self._http = self._http_server(server.http, configuration, admission)
        self._watching: asyncio.Task[None] | None = None

    @property
    def http_port(self) -> int | None:
        """Where HTTP is served, once it is."""
        return None if self._http is None else self._http.port

    @property
    def admin_port(self) -> int | None:
        """Where health and metrics are served apart, once they are."""
        return None if self._http is None else self._http.admin_port

    async def start(self) -> int:
        """Listen and serve; returns the port. Raises `CannotServe`, `StorageError` for a database that cannot be."""
        if self._line is not None:
            await self._line.open(self._telemetry.tell)
        await self._state.start()
        try:
            port = await self._server.start()
            if self._http is not None:
                await self._start_http(self._http)
        except BaseException:
            await self._state.aclose()
            raise
        self._watching = asyncio.create_task(self._holder.watch())
        self._telemetry.watch_loop()
        return port

    async def reload(self) -> ConfigurationError | None:
        """Read the configuration again; returns why the old one keeps serving, where it does."""
        return await self._holder.reload()

    async def stop(self) -> None:
        """Drain, then close everything. Shadow calls have as long to end as callers' calls have."""
        if self._http is not None:
            self._http.lame_duck()
        self.engine.shadows.close()
        await self._server.drain()
        if self._http is not None:
            await self._http.stop()
        await self.engine.shadows.aclose()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self._providers.aclose()
        await self._state.aclose()
        if self._line is not None:
            await self._line.aclose()
        await self._telemetry.shutdown()

    async def serve(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain; a second one ends the process at once. SIGHUP reloads.

        A worker tells its supervisor once calls are served; where the supervisor leaves the line the process drains as
        well, and only the supervisor ends it at once. Call it in the main thread.
        """
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        ends = (signal.SIGTERM, signal.SIGINT)

        def drain() -> None:
            stopping.set()
            if self._line is not None:
                # The signal may come from a terminal or service manager to all processes, and from the supervisor too.
                return
            for signal_number in ends:
                loop.remove_signal_handler(signal_number)
                # Whoever asks a second time will not wait for calls in flight.
                signal.signal(signal_number, signal.SIG_DFL)

        for signal_number in ends:
            loop.add_signal_handler(signal_number, drain)
        self._holder.reload_on_hangup(loop)
        port = await self.start()
        address, current = self.settings.address, self._holder.current
        host = address if address.startswith("unix") else f"{address.rpartition(':')[0]}:{port}"
        tls = "with TLS" if self.settings.tls else "without TLS"
        logger.info("serving on %s %s from %s, fingerprint %s", host, tls, current.source, current.fingerprint)
        if self.settings.http is not None:
            where = self.settings.http.address.rpartition(":")[0]
            scheme = "https" if self.settings.http.tls else "http"
            logger.info("serving the OpenAI-compatible API at %s://%s:%s/v1", scheme, where, self.http_port)
        if current.source == "environment":
            logger.info("found in the environment: %s", ", ".join(current.deployments))
        _collect_rarely()
        if self._line is None:
            await stopping.wait()
        else:
            self._line.say_ready()
            await _either(stopping, self._line.ended)
        force = "" if self._line is not None else "; a second signal stops at once"
        logger.info("draining: %d calls in flight%s", self._server.in_flight, force)
        await self.stop()
        logger.info("stopped")

    def _http_server(self, settings: HttpSettings, configuration: Configuration, admission: Admission) -> HttpServer:
        # Only here: a router without HTTP need not load its server.
        from router_service.web.api import Api, Readiness  # noqa: PLC0415
        from router_service.web.completions import ChatCompletions  # noqa: PLC0415
        from router_service.web.names import Names  # noqa: PLC0415
        from router_service.web.server import HttpServer  # noqa: PLC0415

        names = Names(lambda: self.engine.table, created=int(time.time()))
        readiness = Readiness()
        completions = ChatCompletions(
            self.engine,
            names,
            allowances=self._state,
            idempotency=self._state.limits.idempotency,
            max_body=settings.max_body_bytes,
            default_deadline=configuration.server.default_deadline,
        )
        api = Api(
            completions,
            names,
            authenticate=self._state.identify,
            admission=admission,
            telemetry=self._telemetry,
            readiness=readiness,
            metrics_for_all=is_local(settings.address) and settings.admin_address is None,
        )
        return HttpServer(settings, api, readiness, identity=configuration.identity, shared_port=self._line is not None)

    async def _start_http(self, server: HttpServer) -> None:
        try:
            await server.start()
        except BaseException:
            await self._server.drain()
            raise

    def _runtime(self, configuration: Configuration) -> Runtime:
        return Runtime(
            table=routing_table(configuration),
            providers=dict(self._providers),
            tracing_providers=frozenset(
                name for name, settings in configuration.providers.items() if settings.propagate_trace
            ),
            default_deadline=configuration.server.default_deadline,
            retry_allowance=configuration.retry_allowance,
        )

    def _check_callers(self, configuration: Configuration) -> None:
        """Raise `ConfigurationError` where this address may not be served to whom the configuration lets in."""
        identity, http = configuration.identity, self.settings.http
        try:
            for address in [self.settings.address, *([] if http is None else [http.address])]:
                check_address(address, authenticated=identity.authenticates, anonymous=identity.anonymous is not None)
        except CannotServe as error:
            problem = Problem(file=configuration.source, line=1, column=1, path="identity", message=str(error))
            raise ConfigurationError([problem]) from error

    def _use(self, configuration: Configuration) -> None:
        """Put a reloaded configuration to use for new calls; all of it or, where a provider cannot be opened, none."""
        self._check_callers(configuration)
        self._providers.update(configuration.providers)
        self.engine.use(self._runtime(configuration))
        self._state.use(configuration)
        self._telemetry.set_features(configuration.features)
        current = self._holder.current
        for section in ("server", "telemetry", "decision_tokens", "storage", "ledger", "redis"):
            if getattr(configuration, section) != getattr(current, section):
                logger.warning("changes under `%s` take effect at the next start", section)


def _on_port(port: int, server: ServerSettings) -> HttpSettings:
    """HTTP on this port, whatever the file says of it."""
    settings = server.http or HttpSettings(tls=server.tls)
    address = server.address if server.http is None else settings.address
    host = "127.0.0.1" if address.startswith("unix") else address.rpartition(":")[0]
    return replace(settings, address=f"{host}:{port}")
