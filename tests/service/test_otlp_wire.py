"""Traces and metrics as a collector receives them: over OTLP/gRPC, from a real server of that protocol."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.trace import SpanKind

from router_service.config.configuration import TelemetrySettings
from router_service.domain.call import Call, Caller
from router_service.domain.chat import Chat, FinishReason, Message, Parameters, Role, TextPart
from router_service.domain.decision import Candidate, ComplexitySource, Decision, Signals, TokenLimit
from router_service.domain.deployment import Deployment
from router_service.domain.event import AttemptFinished, AttemptStarted, CallStarted, Decided, Event, Finished
from router_service.domain.money import Cost, CostStatus, Usage
from router_service.domain.policy import Policy, Rule, When
from router_service.domain.receipt import Attempt, AttemptOutcome, AttemptReason, Receipt
from router_service.telemetry.setup import Telemetry

PROMPT = "a prompt that must stay in the house"


@dataclass
class Received:
    """What the collector was sent."""

    endpoint: str = ""
    traces: list[trace_service_pb2.ExportTraceServiceRequest] = field(default_factory=list)
    metrics: list[metrics_service_pb2.ExportMetricsServiceRequest] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)

    def spans(self) -> list[Span]:
        return [span for it in self.traces for res in it.resource_spans for sc in res.scope_spans for span in sc.spans]

    def resource(self) -> dict[str, object]:
        return values(self.traces[0].resource_spans[0].resource.attributes)

    def metric_names(self) -> set[str]:
        return {
            metric.name
            for it in self.metrics
            for res in it.resource_metrics
            for sc in res.scope_metrics
            for metric in sc.metrics
        }


def values(attributes: Any) -> dict[str, object]:
    def value(pair: KeyValue) -> object:
        kind = pair.value.WhichOneof("value")
        if kind == "array_value":
            return [item.string_value for item in pair.value.array_value.values]
        return getattr(pair.value, kind) if kind else None

    return {pair.key: value(pair) for pair in attributes}


@pytest.fixture
async def collector() -> AsyncIterator[Received]:
    received = Received()

    class Traces(trace_service_pb2_grpc.TraceServiceServicer):
        async def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
            received.traces.append(request)
            received.metadata.append(dict(context.invocation_metadata()))
            return trace_service_pb2.ExportTraceServiceResponse()

    class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
        async def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
            received.metrics.append(request)
            return metrics_service_pb2.ExportMetricsServiceResponse()

    server = grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(), server)
    received.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield received
    await server.stop(None)


CHEAP = Deployment(id="cheap", model="m1", provider="openai", vendor="openai", upstream_name="m1-0901")
STRONG = Deployment(
    id="strong", model="m2", provider="deepseek", vendor="deepseek", upstream_name="m2-chat", server_address="ds.test"
)
USAGE = Usage(input_tokens=11, output_tokens=5)
COST = Cost(total=2_500_000, input=500_000, output=2_000_000, price_version="configuration")
CALL = Call(
    request_id="r-1",
    tenant="acme",
    caller=Caller(feature="summary", tier="paid", user="u-1"),
    chat=Chat(messages=(Message(role=Role.USER, parts=(TextPart(PROMPT),)),)),
)


def attempt(number: int, deployment: Deployment, reason: AttemptReason, *, ok: bool) -> Attempt:
    return Attempt(
        number=number,
        attempt_id=f"a-{number}",
        deployment=deployment,
        reason=reason,
        outcome=AttemptOutcome.SUCCESS if ok else AttemptOutcome.ERROR,
        started_at=1_800_000_000.0 + number,
        duration=0.5,
        time_to_first_output=0.25 if ok else None,
        usage=USAGE if ok else None,
        cost=COST if ok else None,
        cost_status=CostStatus.ACTUAL if ok else CostStatus.UNBILLED,
        error_type="" if ok else "503",
        finish_reason=FinishReason.STOP if ok else None,
    )


def fallback_with_retry() -> list[Event]:
    rule = Rule(name="paid", when=When(), candidates=(CHEAP, STRONG))
    limit = TokenLimit(requested=None, applied=300, reason="feature")
    decision = Decision(
        policy=Policy(name="default", rules=(rule,)),
        rule=rule,
        strategy="order",
        candidates=tuple(Candidate(deployment=it, token_limit=limit, estimated_cost=1) for it in (CHEAP, STRONG)),
        rejections=(),
        signals=Signals(
            input_tokens=11,
            language="en",
            complexity="simple",
            complexity_source=ComplexitySource.CALLER,
            complexity_score=None,
            turns=1,
            needs=frozenset(),
        ),
        parameters=Parameters(),
        cause="rule",
        fingerprint="f",
    )
    attempts = (
        attempt(1, CHEAP, AttemptReason.PRIMARY, ok=False),
        attempt(2, CHEAP, AttemptReason.RETRY, ok=False),
        attempt(3, STRONG, AttemptReason.FALLBACK, ok=True),
    )
    receipt = Receipt(
        request_id="r-1",
        tenant="acme",
        feature="summary",
        tier="paid",
        decision=decision,
        attempts=attempts,
        usage=USAGE,
        cost=COST.total,
        cost_status=CostStatus.ACTUAL,
        baseline_cost=10_000_000,
        finish_reason=FinishReason.STOP,
        status="OK",
        error_reason="",
        started_at=1_800_000_000.0,
        duration=4.0,
        time_to_first_output=3.25,
    )
    events: list[Event] = [
        CallStarted(call=CALL, started_at=1_800_000_000.0),
        Decided(decision=decision, duration=0.001),
    ]
    for it in attempts:
        events += [
            AttemptStarted(
                number=it.number,
                attempt_id=it.attempt_id,
                deployment=it.deployment,
                reason=it.reason,
                started_at=it.started_at,
                max_output_tokens=300,
            ),
            AttemptFinished(attempt=it),
        ]
    return [*events, Finished(receipt=receipt)]


def play(telemetry: Telemetry) -> str:
    """One call under a SERVER span; its trace id in hex."""
    root = telemetry.tracer.start_span("llmrouter.v1.RouterService/Complete", Context(), SpanKind.SERVER)
    token = otel_context.attach(trace.set_span_in_context(root, Context()))
    observer = telemetry.observer(CALL)
    otel_context.detach(token)
    for event in fallback_with_retry():
        observer(event)
    root.end()
    return f"{root.get_span_context().trace_id:032x}"


async def test_a_fallback_with_a_retry_arrives_as_one_tree_with_its_costs(collector: Received) -> None:
    telemetry = Telemetry(TelemetrySettings(otlp_endpoint=collector.endpoint, otlp_headers={"X-Key": "k"}))
    trace_id = play(telemetry)
    assert await telemetry.flush(timeout=60)

    root, route, first, second, third = spans = sorted(
        collector.spans(),
        key=lambda span: (
            span.kind != Span.SPAN_KIND_SERVER,
            span.name != "llm_router.route",
            span.start_time_unix_nano,
        ),
    )
    assert [(span.name, Span.SpanKind.Name(span.kind)) for span in spans] == [
        ("llmrouter.v1.RouterService/Complete", "SPAN_KIND_SERVER"),
        ("llm_router.route", "SPAN_KIND_INTERNAL"),
        ("chat m1-0901", "SPAN_KIND_CLIENT"),
        ("chat m1-0901", "SPAN_KIND_CLIENT"),
        ("chat m2-chat", "SPAN_KIND_CLIENT"),
    ]
    assert {span.trace_id.hex() for span in spans} == {trace_id}
    assert root.parent_span_id == b""
    assert all(span.parent_span_id == root.span_id for span in (route, first, second, third))
    assert [span.status.code for span in spans] == [
        Status.STATUS_CODE_UNSET,
        Status.STATUS_CODE_UNSET,
        Status.STATUS_CODE_ERROR,
        Status.STATUS_CODE_ERROR,
        Status.STATUS_CODE_UNSET,
    ]
    on_root = values(root.attributes)
    assert on_root["llm_router.request.cost.total"] == 0.0025
    assert on_root["llm_router.request.cost.saved"] == 0.0075
    assert on_root["llm_router.fallback.path"] == ["cheap", "strong"]
    assert (on_root["llm_router.fallback.count"], on_root["llm_router.retry.count"]) == (1, 1)
    assert on_root["llm_router.sampling.reason"] == "fallback"
    assert [event.name for event in root.events] == ["llm_router.retry", "llm_router.fallback"]
    assert values(route.attributes)["llm_router.route.rule"] == "paid"
    assert values(first.attributes)["error.type"] == "503"
    answered = values(third.attributes)
    assert answered["gen_ai.provider.name"] == "deepseek"
    assert (answered["gen_ai.usage.input_tokens"], answered["gen_ai.usage.output_tokens"]) == (11, 5)
    assert answered["llm_router.cost.total"] == 0.0025
    assert (answered["llm_router.cost.total_microusd"], answered["llm_router.cost.currency"]) == (2500, "USD")
    assert [event.name for event in third.events] == ["first_token"]

    assert collector.resource()["service.name"] == "llmrouter"
    assert collector.metadata[0]["x-key"] == "k"
    assert PROMPT not in str(collector.traces)
    assert await telemetry.shutdown(timeout=60)


async def test_metrics_arrive_with_the_last_ones_at_shutdown(collector: Received) -> None:
    telemetry = Telemetry(TelemetrySettings(otlp_endpoint=collector.endpoint, sample_ratio=0.0))
    play(telemetry)
    telemetry.observe_rpc("llmrouter.v1.RouterService/Complete", "OK", "", 4.0)
    assert await telemetry.shutdown(timeout=60)
    assert collector.metric_names() >= {
        "gen_ai.client.token.usage",
        "gen_ai.client.operation.duration",
        "rpc.server.call.duration",
        "llm_router.requests",
        "llm_router.active_requests",
        "llm_router.attempts",
        "llm_router.fallbacks",
        "llm_router.retries",
        "llm_router.route.duration",
        "llm_router.cost",
        "llm_router.cost.saved",
        "llm_router.tokens",
    }


async def test_the_endpoint_may_come_from_the_environment(collector: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "router-from-outside")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=t1")
    telemetry = Telemetry(TelemetrySettings())
    play(telemetry)
    assert await telemetry.shutdown(timeout=60)
    assert len(collector.spans()) == 5
    assert collector.resource()["service.name"] == "router-from-outside"
    assert collector.metadata[0]["x-tenant"] == "t1"


async def test_a_collector_that_is_away_costs_spans_and_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    telemetry = Telemetry(TelemetrySettings(otlp_endpoint="http://127.0.0.1:1", metrics_interval=3600.0))
    play(telemetry)
    began = asyncio.get_running_loop().time()
    assert await telemetry.shutdown(timeout=0.5) is False
    assert asyncio.get_running_loop().time() - began < 20.0
    noise = [record for record in caplog.records if record.name.startswith("opentelemetry")]
    assert len({record.msg for record in noise}) == len(noise)
