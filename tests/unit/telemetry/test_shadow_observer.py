from __future__ import annotations

from dataclasses import replace

from fabricated import SECRET, attempt, call
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.trace import INVALID_SPAN_CONTEXT

from router_service.config.configuration import TelemetrySettings
from router_service.domain.call import ShadowOf
from router_service.domain.event import AttemptStarted, CallStarted, Finished
from router_service.domain.receipt import AttemptReason, ShadowCounts
from router_service.telemetry import semconv
from router_service.telemetry.observer import Failures
from router_service.telemetry.setup import Telemetry
from router_service.telemetry.shadow import ShadowObserver
from router_service.telemetry.tree import SpanCollector

COPY = replace(call(), shadow_of=ShadowOf(shadow="default/try", parent="op-1"))
STARTED = AttemptStarted(
    number=1,
    attempt_id="a-1",
    deployment=attempt(1).deployment,
    reason=AttemptReason.SHADOW,
    started_at=1_800_000_000.0,
    max_output_tokens=10,
)


def test_what_became_of_shadow_calls_is_exported_with_their_cost() -> None:
    reader = InMemoryMetricReader()
    telemetry = Telemetry(TelemetrySettings(), metric_reader=reader)
    counts = ShadowCounts(
        {("default/try", "answered"): 3, ("default/try", "dropped_cap"): 2}, {"default/try": 7 * 10**8}
    )
    telemetry.observe_shadows(lambda: counts)
    data = reader.get_metrics_data()
    assert data is not None
    points = {
        (metric.name, *dict(point.attributes or {}).values()): point.value  # type: ignore[union-attr]
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        if metric.name.startswith("llm_router.shadow")
        for point in metric.data.data_points
    }
    assert points == {
        (semconv.METRIC_SHADOW_CALLS, "default/try", "answered"): 3,
        (semconv.METRIC_SHADOW_CALLS, "default/try", "dropped_cap"): 2,
        (semconv.METRIC_SHADOW_COST, "default/try"): 0.7,
    }


def test_a_shadow_call_that_is_dropped_leaves_no_span_and_is_no_request_of_the_metrics() -> None:
    reader, spans = InMemoryMetricReader(), SpanCollector()
    telemetry = Telemetry(TelemetrySettings(sample_ratio=1.0), metric_reader=reader, span_exporter=spans)
    telemetry.shadow_observer(COPY)(CallStarted(call=COPY, started_at=0.0))
    data = reader.get_metrics_data()
    assert data is not None
    points = [
        point
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        if metric.name == semconv.METRIC_ACTIVE_REQUESTS
        for point in metric.data.data_points
    ]
    assert [point.value for point in points] == [0]  # type: ignore[union-attr]
    assert list(spans.spans) == []


def test_an_upstream_that_is_told_of_the_trace_hears_of_the_shadows_own() -> None:
    spans = SpanCollector()
    telemetry = Telemetry(TelemetrySettings(sample_ratio=1.0), span_exporter=spans)
    observer = telemetry.shadow_observer(COPY)
    assert observer.trace_headers(1) == {}
    observer(STARTED)
    headers = observer.trace_headers(1)
    assert headers["traceparent"].endswith("-01")
    assert len(headers["traceparent"].split("-")[1]) == 32


def test_where_nothing_is_traced_nothing_is_told_and_failures_are_counted() -> None:
    failures = Failures()
    observer = ShadowObserver(COPY, parent=INVALID_SPAN_CONTEXT, tracing=None, failures=failures)
    observer(STARTED)
    assert observer.trace_headers(1) == {}
    observer(Finished(receipt=None))  # type: ignore[arg-type]
    assert failures.count == 0
    assert SECRET not in repr(observer.reason_to_keep())
