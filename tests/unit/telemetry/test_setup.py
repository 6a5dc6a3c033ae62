from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence

import pytest
from fabricated import Episode, call
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from router_service.config.configuration import TelemetrySettings
from router_service.telemetry.export import BatchSink
from router_service.telemetry.setup import Telemetry
from router_service.telemetry.tree import SpanCollector


@pytest.fixture(autouse=True)
def _no_otel_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """Set at the test's end, so that no thread outlives it."""
    released = threading.Event()
    yield released
    released.set()


class StuckReader(InMemoryMetricReader):
    def __init__(self, released: threading.Event) -> None:
        super().__init__()
        self._released = released

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:
        self._released.wait(30)


class Broken(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise OSError("no route to host")


class Refusing(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.FAILURE


def resource_of(telemetry: Telemetry, collector: SpanCollector) -> dict[str, object]:
    telemetry.tracer.start_span("x", Context()).end()
    return dict(collector.spans[0].resource.attributes)


def test_without_a_way_out_nothing_is_traced() -> None:
    telemetry = Telemetry(TelemetrySettings())
    assert not telemetry.enabled
    assert not telemetry.tracer.start_span("x", Context()).is_recording()
    telemetry.observe_rpc("svc/Complete", "OK", "", 0.1)
    telemetry.observe_health(dict)
    telemetry.set_features(["a"])


def test_no_provider_becomes_global() -> None:
    before = (trace.get_tracer_provider(), metrics.get_meter_provider())
    Telemetry(TelemetrySettings(), span_exporter=SpanCollector(), metric_reader=InMemoryMetricReader())
    assert (trace.get_tracer_provider(), metrics.get_meter_provider()) == before


def test_the_service_is_named_by_the_settings() -> None:
    collector = SpanCollector()
    resource = resource_of(
        Telemetry(TelemetrySettings(service_name="router-eu"), version="1.2.3", span_exporter=collector), collector
    )
    assert (resource["service.name"], resource["service.version"]) == ("router-eu", "1.2.3")


def test_processes_of_one_machine_are_told_apart_unless_the_environment_does(monkeypatch: pytest.MonkeyPatch) -> None:
    collector = SpanCollector()
    resource = resource_of(Telemetry(TelemetrySettings(), span_exporter=collector), collector)
    assert str(resource["service.instance.id"]).endswith(f"-{os.getpid()}")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=one")
    collector = SpanCollector()
    resource = resource_of(Telemetry(TelemetrySettings(), span_exporter=collector), collector)
    assert resource["service.instance.id"] == "one"


def test_the_environment_names_the_service_and_adds_to_the_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "from-outside")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging")
    collector = SpanCollector()
    resource = resource_of(Telemetry(TelemetrySettings(), span_exporter=collector), collector)
    assert resource["service.name"] == "from-outside"
    assert resource["deployment.environment.name"] == "staging"


async def test_shutdown_gives_up_after_its_bound(stuck: threading.Event) -> None:
    telemetry = Telemetry(TelemetrySettings(), metric_reader=StuckReader(stuck))
    assert await telemetry.shutdown(timeout=0.01) is False


async def test_shutdown_in_time_says_so() -> None:
    telemetry = Telemetry(TelemetrySettings(), span_exporter=SpanCollector(), metric_reader=InMemoryMetricReader())
    assert await telemetry.flush(timeout=60)
    assert await telemetry.shutdown(timeout=60)


@pytest.mark.parametrize("exporter", [Broken(), Refusing()])
def test_an_exporter_that_fails_costs_spans_and_no_call(exporter: SpanExporter) -> None:
    telemetry = Telemetry(TelemetrySettings(), span_exporter=exporter)
    telemetry.tracer.start_span("x", Context()).end()
    assert telemetry.dropped_spans() == {"refused": 1}


@pytest.mark.parametrize("exporter", [Broken(), Refusing()])
@pytest.mark.filterwarnings("ignore")
def test_a_batch_that_cannot_be_delivered_is_counted(exporter: SpanExporter) -> None:
    collector = SpanCollector()
    Telemetry(TelemetrySettings(), span_exporter=collector).tracer.start_span("x", Context()).end()
    sink = BatchSink(exporter, metrics.NoOpMeterProvider())
    assert sink(collector.spans)
    sink.flush()
    assert sink.lost == 1
    sink.close()


def test_a_full_queue_refuses_a_trace_whole(stuck: threading.Event) -> None:
    class Slow(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            stuck.wait(30)
            return SpanExportResult.SUCCESS

    collector = SpanCollector()
    Telemetry(TelemetrySettings(), span_exporter=collector).tracer.start_span("x", Context()).end()
    trace_of_64 = collector.spans * 64
    sink = BatchSink(Slow(), metrics.NoOpMeterProvider())
    accepted = [sink(trace_of_64) for _ in range(100)]
    assert accepted[0]
    assert not accepted[-1]
    assert sum(accepted) * 64 <= 4096 + 512
    stuck.set()
    sink.close()


def test_dropped_spans_are_a_metric() -> None:
    reader = InMemoryMetricReader()
    telemetry = Telemetry(TelemetrySettings(), span_exporter=Refusing(), metric_reader=reader)
    telemetry.tracer.start_span("x", Context()).end()
    data = reader.get_metrics_data()
    assert data is not None
    (metric,) = [
        it
        for it in data.resource_metrics[0].scope_metrics[0].metrics
        if it.name == "llm_router.telemetry.dropped_spans"
    ]
    assert [(point.value, point.attributes) for point in metric.data.data_points] == [  # type: ignore[union-attr]
        (1, {"llm_router.telemetry.reason": "refused"})
    ]


def test_an_observer_of_a_process_that_exports_nothing_does_not_fail() -> None:
    observer = Telemetry(TelemetrySettings()).observer(call())
    for event in Episode().events():
        observer(event)
