from __future__ import annotations

from fabricated import retry_and_fallback
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind

from router_service.config.configuration import TelemetrySettings
from router_service.telemetry.setup import Telemetry
from router_service.telemetry.tree import SpanCollector, draw

START = 1_800_000_000 * 10**9


def collected(count: int = 1, limit: int = 1000) -> SpanCollector:
    collector = SpanCollector(limit)
    telemetry = Telemetry(TelemetrySettings(), span_exporter=collector, now=lambda: START + 10**7)
    for _ in range(count):
        episode = retry_and_fallback()
        root = telemetry.tracer.start_span("svc/Complete", Context(), SpanKind.SERVER, start_time=START)
        token = otel_context.attach(trace.set_span_in_context(root, Context()))
        observer = telemetry.observer(episode.call)
        otel_context.detach(token)
        for event in episode.events():
            observer(event)
        root.end(START + 4 * 10**9)
    return collector


def test_a_trace_is_drawn_as_a_tree_with_times_errors_costs_and_events() -> None:
    assert draw(collected().spans) == (
        "svc/Complete  SERVER  4000.0 ms  rule=free tier feature=chat_reply tier=free cost=$0.001235 saved=$0.003765"
        " path=gpt-x → claude-y kept=fallback\n"
        "│  · llm_router.retry after 2000.0 ms\n"
        "│  · llm_router.fallback after 3000.0 ms\n"
        "├─ llm_router.route  INTERNAL  2.0 ms  rule=free tier complexity=moderate candidates=gpt-x,claude-y"
        " rejected=llama: CAPABILITY\n"
        "├─ chat gpt-x-0901  CLIENT  1000.0 ms ERROR  reason=primary error=429\n"
        "├─ chat gpt-x-0901  CLIENT  1000.0 ms ERROR  reason=retry error=429\n"
        "└─ chat claude-y-2  CLIENT  1000.0 ms  reason=fallback in=120 out=30 cost=$0.001235\n"
        "      · first_token after 250.0 ms"
    )


def test_a_span_without_its_parent_is_drawn_as_a_root() -> None:
    spans = [span for span in collected().spans if span.kind is SpanKind.CLIENT]
    assert [line.split("  ")[0] for line in draw(spans).splitlines() if "CLIENT" in line] == [
        "chat gpt-x-0901",
        "chat gpt-x-0901",
        "chat claude-y-2",
    ]


def test_no_spans_are_an_empty_drawing() -> None:
    assert draw([]) == ""


def test_the_collector_finds_the_spans_of_a_trace_and_keeps_the_latest_traces() -> None:
    collector = collected(count=3, limit=2)
    traces = {f"{span.context.trace_id:032x}" for span in collector.spans}
    assert len(traces) == 2
    assert {len(collector.trace(trace_id)) for trace_id in traces} == {5}
    assert collector.trace("0" * 32) == []
