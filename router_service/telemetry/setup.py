"""Builds the telemetry of one process from its settings. Nothing global is set: providers are passed on by hand."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.environment_variables import (
    OTEL_EXPORTER_OTLP_ENDPOINT,
    OTEL_EXPORTER_OTLP_METRICS_ENDPOINT,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
)
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import (
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NoOpTracer, Tracer

from router_service.config.configuration import TelemetrySettings
from router_service.domain.call import Call
from router_service.domain.event import Observer
from router_service.domain.feedback import Feedback
from router_service.domain.limit import LimitCounts
from router_service.domain.receipt import ShadowCounts
from router_service.telemetry import otlp, semconv
from router_service.telemetry.export import BatchSink, DirectSink, Rarely
from router_service.telemetry.histogram import prefers_deltas, show_histograms
from router_service.telemetry.loop_lag import LoopLag
from router_service.telemetry.metrics import Metrics
from router_service.telemetry.observer import AuditObserver, CallObserver, Failures
from router_service.telemetry.sampling import TailSampler
from router_service.telemetry.shadow import ShadowObserver
from router_service.telemetry.tracing import Tracing

if TYPE_CHECKING:
    from router_service.telemetry.exposition import Exposed

logger = logging.getLogger(__name__)


class Workers(Protocol):
    """The workers of one supervisor, as one of them knows them."""

    @property
    def number(self) -> int:
        """Which of them this one is, from 1."""

    async def ask_others(self, question: bytes) -> Mapping[int, bytes | None]:
        """What each of the others answers, by its number."""


# The exporters and their queue log once a batch while a collector is away.
_NOISY_LOGGERS = ("opentelemetry.exporter.otlp.proto.grpc.exporter", "opentelemetry.sdk._shared_internal")
_rarely = Rarely(300.0)


class Telemetry:
    """Traces, metrics and the audit record of one process.

    Spans go to `settings.otlp_endpoint` (or `OTEL_EXPORTER_OTLP_ENDPOINT`) and, at once and as objects, to
    `span_exporter` if given; metrics likewise to the endpoint and `metric_reader`, and with `exposes_metrics` whoever
    asks gets them from `exposition`, those of all `workers` where it is one of several. Without any of them a call
    costs next to nothing, and only its audit record is written. `features` are the configured ones: others share one
    label.
    `now` is nanoseconds since the epoch.
    """

    def __init__(
        self,
        settings: TelemetrySettings,
        *,
        version: str = "",
        features: Iterable[str] = (),
        span_exporter: SpanExporter | None = None,
        metric_reader: MetricReader | None = None,
        exposes_metrics: bool = False,
        workers: Workers | None = None,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self._settings = settings
        self._workers = workers
        self._failures = Failures()
        self._sinks: list[BatchSink | DirectSink] = []
        self._otlp_exporters: list[otlp.SpanExporter | OTLPMetricExporter] = []
        self._sampler = TailSampler(self._hand_on, ratio=settings.sample_ratio, slow_seconds=settings.slow_seconds)
        resource = _resource(settings.service_name, version, None if workers is None else workers.number)
        self._exposed = _exposed() if exposes_metrics else None
        self._meter_provider = self._metering(resource, metric_reader)
        self._metrics = self._make_metrics(features)
        if span_exporter is not None:
            self._sinks.append(DirectSink(span_exporter))
        if endpoint := _endpoint(settings, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT):
            _quieten()
            exporter = otlp.SpanExporter(endpoint, _insecure(settings), headers=_headers(settings))
            self._otlp_exporters.append(exporter)
            self._sinks.append(BatchSink(exporter, self._meter_provider))
        self._tracing = self._make_tracing(resource, now) if self._sinks else None
        self._loop_lag: LoopLag | None = None

    @property
    def enabled(self) -> bool:
        """Whether anything is exported."""
        return self._tracing is not None or self._metrics is not None

    @property
    def tracer(self) -> Tracer:
        """Starts spans that this telemetry exports."""
        return self._tracing.tracer if self._tracing is not None else NoOpTracer()

    def observer(self, call: Call) -> Observer:
        """An observer of `call`, whose spans become children of the current span: the RPC's."""
        if not self.enabled:
            return AuditObserver(call, self._failures)
        span = trace.get_current_span()
        return CallObserver(
            call,
            root=span.get_span_context() if span.is_recording() else None,
            tracing=self._tracing,
            metrics=self._metrics,
            failures=self._failures,
        )

    def shadow_observer(self, call: Call) -> Observer:
        """An observer of a shadow call, whose trace is linked to the current span: the RPC's of the caller's call."""
        parent = trace.get_current_span().get_span_context()
        return ShadowObserver(call, parent=parent, tracing=self._tracing, failures=self._failures)

    def observe_shadows(self, counts: Callable[[], ShadowCounts]) -> None:
        """Export what became of shadow calls. `counts` is called from another thread."""
        if self._metrics is not None:
            self._metrics.shadows = counts

    def observe_rpc(self, method: str, status: str, error: str, seconds: float) -> None:
        """Record the duration of an RPC; `error` is empty where `status` is not the server's failure."""
        if self._metrics is not None:
            self._metrics.rpc_ended(method, status, error, seconds)

    def observe_feedback(self, feedback: Feedback, deployment: str) -> None:
        """Count feedback that was kept. Its label, comment and author are in no metric."""
        if self._metrics is not None:
            self._metrics.feedback_given(feedback, deployment)

    def observe_http(self, method: str, route: str, status: str, error: str, seconds: float) -> None:
        """Record the duration of an HTTP request; `error` is empty where `status` is not the server's failure."""
        if self._metrics is not None:
            self._metrics.http_ended(method, route, status, error, seconds)

    @property
    def exposes_metrics(self) -> bool:
        """Whether there is an `exposition`."""
        return self._exposed is not None

    async def exposition(self, accept: str) -> tuple[bytes, str]:
        """All metrics in the Prometheus format that suits an Accept header, and its content type.

        One of several workers asks the others for theirs: nobody knows which of them a scrape reaches.
        """
        if self._workers is None:
            return await self._own(accept)
        (own, kind), others = await asyncio.gather(self._own(accept), self._workers.ask_others(accept.encode()))
        from router_service.telemetry.exposition import side_by_side  # noqa: PLC0415 - as in _exposed

        return side_by_side({**others, self._workers.number: own}), kind

    async def tell(self, question: bytes) -> bytes:
        """This worker's part of an exposition, for another one; nothing where it keeps no metrics."""
        if self._exposed is None:
            return b""
        text, _ = await self._own(question.decode())
        return text

    async def _own(self, accept: str) -> tuple[bytes, str]:
        assert self._exposed is not None
        return await asyncio.to_thread(self._exposed.text, accept)

    def observe_health(self, health: Callable[[], Mapping[str, bool]]) -> None:
        """Export of each deployment id whether its circuit is open. `health` is called from another thread."""
        if self._metrics is not None:
            self._metrics.health = health

    def observe_connections(self, connections: Callable[[], Mapping[str, tuple[int, int]]]) -> None:
        """Export of each provider id its connections in use and idle. `connections` is called from another thread."""
        if self._metrics is not None:
            self._metrics.connections = connections

    def observe_limits(self, counts: Callable[[], LimitCounts]) -> None:
        """Export what limits and budgets refused and how full budgets are. `counts` is called from another thread."""
        if self._metrics is not None:
            self._metrics.limits = counts

    def observe_ledger(self, lag: Callable[[], tuple[int, float]]) -> None:
        """Export how many bytes and seconds the ledger's database is behind. `lag` is called from another thread."""
        if self._metrics is not None:
            self._metrics.ledger = lag

    def watch_loop(self) -> None:
        """Export from now on how late the running event loop is, until shutdown."""
        if self._metrics is not None and self._loop_lag is None:
            self._loop_lag = LoopLag(asyncio.get_running_loop(), self._metrics.loop_lag.record)

    def set_features(self, features: Iterable[str]) -> None:
        """The features of a new configuration."""
        if self._metrics is not None:
            self._metrics.features = frozenset(features)

    def dropped_spans(self) -> Mapping[str, int]:
        """Spans lost so far, by reason. Those of traces that were not sampled are not lost."""
        dropped = Counter(self._sampler.dropped)
        dropped["export_failed"] += sum(sink.lost for sink in self._sinks)
        return +dropped

    async def flush(self, timeout: float = 5.0) -> bool:  # noqa: ASYNC109 - the bound is of a thread, which no cancel reaches
        """Export what is queued; false where that took longer than `timeout` seconds."""
        return await _in_thread(self._flush, timeout)

    async def shutdown(self, timeout: float = 5.0) -> bool:  # noqa: ASYNC109 - as above
        """Export what is queued and close; what takes longer than `timeout` seconds is given up, and false returned."""
        if self._loop_lag is not None:
            self._loop_lag.stop()
        self._sampler.shutdown()
        closed = await _in_thread(self._close, timeout)
        if not closed:
            for exporter in self._otlp_exporters:
                exporter.shutdown()  # ends its retries, and with them its thread
            logger.warning("Telemetry was not exported within %.0f s of shutdown; the rest is given up", timeout)
        return closed

    def _metering(self, resource: Resource, reader: MetricReader | None) -> MeterProvider:
        settings = self._settings
        readers: list[MetricReader] = [reader] if reader is not None else []
        if self._exposed is not None:
            readers.append(self._exposed.reader)
        if endpoint := _endpoint(settings, OTEL_EXPORTER_OTLP_METRICS_ENDPOINT):
            _quieten()
            exporter = OTLPMetricExporter(endpoint, _insecure(settings), headers=_headers(settings))
            self._otlp_exporters.append(exporter)
            readers.append(PeriodicExportingMetricReader(exporter, settings.metrics_interval * 1000))
        self._readers = readers
        return MeterProvider(
            readers,
            resource,
            shutdown_on_exit=False,
            # An exemplar would point to a trace that may not be kept.
            exemplar_filter=AlwaysOffExemplarFilter(),
        )

    def _make_metrics(self, features: Iterable[str]) -> Metrics | None:
        if not self._readers:
            return None
        meter = self._meter_provider.get_meter(semconv.SCOPE, schema_url=semconv.SCHEMA_URL)
        metrics = Metrics(meter, dropped_spans=self.dropped_spans, observer_failures=lambda: self._failures.count)
        metrics.features = frozenset(features)
        # A histogram forgets what it has told as a delta, so that others would see parts.
        wants_deltas = [reader for reader in self._readers if prefers_deltas(reader)]
        for reader in wants_deltas or self._readers:
            show_histograms(reader, semconv.SCOPE, metrics.histograms)
        if wants_deltas and self._exposed is not None:
            logger.warning("OTLP prefers deltas, so that /metrics shows no histograms: they go to OTLP alone")
        return metrics

    def _make_tracing(self, resource: Resource, now: Callable[[], int]) -> Tracing:
        ids = RandomIdGenerator()
        provider = TracerProvider(
            ALWAYS_ON, resource, shutdown_on_exit=False, id_generator=ids, meter_provider=self._meter_provider
        )
        provider.add_span_processor(self._sampler)
        return Tracing(
            tracer=provider.get_tracer(semconv.SCOPE, schema_url=semconv.SCHEMA_URL),
            sampler=self._sampler,
            new_span_id=ids.generate_span_id,
            costly_nano_usd=self._settings.costly_nano_usd,
            mirror_costs=self._settings.mirror_cost_keys,
            now=now,
        )

    def _hand_on(self, spans: Sequence[ReadableSpan]) -> bool:
        accepted = [sink(spans) for sink in self._sinks]
        return all(accepted)

    def _flush(self) -> None:
        for sink in self._sinks:
            sink.flush()
        self._meter_provider.force_flush()

    def _close(self) -> None:
        for sink in self._sinks:
            sink.close()
        self._meter_provider.shutdown()


async def _in_thread(work: Callable[[], None], seconds: float) -> bool:
    """Whether `work` ended in time. Its thread is a daemon: unlike an executor's, it cannot hold up the exit."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def run() -> None:
        try:
            work()
        finally:
            with contextlib.suppress(RuntimeError):  # the loop may be closed by then
                loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name="telemetry", daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            await done.wait()
    except TimeoutError:
        return False
    return True


def _resource(service_name: str, version: str, worker: int | None) -> Resource:
    # Counters of workers that are not told apart would overwrite one another where they are kept.
    attributes = {SERVICE_NAME: service_name, SERVICE_INSTANCE_ID: f"{socket.gethostname()}-{os.getpid()}"}
    if version:
        attributes[SERVICE_VERSION] = version
    if worker is not None:
        attributes[semconv.WORKER] = str(worker)
    for given in OTELResourceDetector().detect().attributes:  # OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES
        attributes.pop(given, None)
    return Resource.create(attributes)


def _exposed() -> Exposed:
    from router_service.telemetry.exposition import Exposed  # noqa: PLC0415 - nobody else waits for Prometheus

    return Exposed()


def _endpoint(settings: TelemetrySettings, variable: str) -> str | None:
    return settings.otlp_endpoint or os.environ.get(variable) or os.environ.get(OTEL_EXPORTER_OTLP_ENDPOINT) or None


def _insecure(settings: TelemetrySettings) -> bool | None:
    """Where the endpoint is from the environment, so is whether to trust it."""
    return settings.otlp_insecure if settings.otlp_endpoint else None


def _headers(settings: TelemetrySettings) -> dict[str, str] | None:
    return {name.lower(): value for name, value in settings.otlp_headers.items()} or None


def _quieten() -> None:
    for name in _NOISY_LOGGERS:
        logging.getLogger(name).addFilter(_rarely)
