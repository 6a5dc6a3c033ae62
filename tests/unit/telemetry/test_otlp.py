from __future__ import annotations

import pytest
from fabricated import Episode, retry_and_fallback
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from opentelemetry.trace import use_span as using

from router_service.config.configuration import TelemetrySettings
from router_service.telemetry.otlp import SpanExporter, encode
from router_service.telemetry.setup import Telemetry
from router_service.telemetry.tree import SpanCollector

NEAR = SpanContext(2**128 - 1, 7, False, TraceFlags(1), TraceState([("vendor", "x"), ("other", "y")]))
FAR = SpanContext(5, 2**64 - 1, True, TraceFlags(1))


def told(*episodes: Episode) -> list[ReadableSpan]:
    """The spans that calls leave behind."""
    collector = SpanCollector()
    telemetry = Telemetry(TelemetrySettings(), span_exporter=collector)
    for episode in episodes:
        span = telemetry.tracer.start_span("svc/Complete", Context(), SpanKind.SERVER)
        with using(span, end_on_exit=True):
            observer = telemetry.observer(episode.call)
            for event in episode.events():
                observer(event)
    return collector.spans


def odd_spans() -> list[ReadableSpan]:
    scope = InstrumentationScope("scope", "1.2", "https://schema", {"of": "scope"})
    everything = ReadableSpan(
        "all",
        context=NEAR,
        parent=FAR,
        resource=Resource({"service.name": "x", "n": 1}, "https://resource"),
        attributes={"yes": True, "n": -1, "x": 0.5, "s": "é", "list": ("a", "b"), "mixed": [1, 2], "none": ()},
        events=[Event("e", {"at": 1}, 5), Event("bare", None, 6)],
        links=[Link(FAR, {"why": "because"}), Link(NEAR)],
        kind=SpanKind.PRODUCER,
        status=Status(StatusCode.ERROR, "bad"),
        start_time=1,
        end_time=2,
        instrumentation_scope=scope,
    )
    nothing = ReadableSpan("nothing", context=FAR)
    sibling = ReadableSpan("sibling", context=NEAR, resource=everything.resource, instrumentation_scope=scope)
    return [everything, nothing, sibling]


@pytest.mark.parametrize(
    "spans",
    [[], told(Episode()), told(Episode(chunks=3), retry_and_fallback()), odd_spans()],
    ids=["none", "a call", "calls with retries", "everything a span can have"],
)
def test_spans_are_encoded_as_the_sdk_encodes_them(spans: list[ReadableSpan]) -> None:
    assert encode(spans) == encode_spans(spans)


def test_what_cannot_be_encoded_is_left_out_alone(caplog: pytest.LogCaptureFixture) -> None:
    exporter = SpanExporter("http://127.0.0.1:1", insecure=True)
    span = ReadableSpan("s", context=NEAR, attributes={"good": "a", "surrogate": "\ud800", "huge": 2**80})
    (resource,) = exporter._translate_data([span]).resource_spans
    assert [pair.key for pair in resource.scope_spans[0].spans[0].attributes] == ["good"]
    exporter.shutdown()
