from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from fabricated import (
    CLAUDE,
    GPT,
    LLAMA,
    SECRET,
    START,
    Episode,
    attempt,
    call,
    refused,
    retry_and_fallback,
    routed,
)
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags, TraceState

from router_service.config.configuration import TelemetrySettings
from router_service.domain.call import Wishes
from router_service.domain.error import AttemptsFailed, NoCandidate, NotFound
from router_service.domain.event import AttemptFinished, AttemptStarted, Observer
from router_service.domain.money import Cost, CostStatus
from router_service.domain.receipt import AttemptOutcome, AttemptReason
from router_service.telemetry.setup import Telemetry
from router_service.telemetry.tracing import current_trace_id
from router_service.telemetry.tree import SpanCollector

NANO = 10**9


class Stage:
    """A telemetry whose kept spans are collected, and a SERVER span around each episode."""

    def __init__(self, **settings: object) -> None:
        self.collector = SpanCollector()
        self.telemetry = Telemetry(
            TelemetrySettings(**settings),  # type: ignore[arg-type]
            span_exporter=self.collector,
            now=lambda: int(START * NANO),
        )

    def play(self, episode: Episode, *, parent: Context | None = None) -> list[ReadableSpan]:
        root = self.telemetry.tracer.start_span("svc/Complete", parent or Context(), SpanKind.SERVER)
        token = otel_context.attach(trace.set_span_in_context(root, Context()))
        try:
            observer = self.telemetry.observer(episode.call)
        finally:
            otel_context.detach(token)
        for event in episode.events():
            observer(event)
        root.end()
        return self.collector.spans

    def observe(self, episode: Episode, parent: Context) -> Observer:
        root = self.telemetry.tracer.start_span("svc/Complete", parent, SpanKind.SERVER)
        token = otel_context.attach(trace.set_span_in_context(root, Context()))
        try:
            return self.telemetry.observer(episode.call)
        finally:
            otel_context.detach(token)


def by_name(spans: list[ReadableSpan], name: str) -> ReadableSpan:
    (found,) = [span for span in spans if span.name == name]
    return found


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def test_a_call_is_one_root_one_route_and_a_client_span_per_attempt() -> None:
    spans = Stage().play(retry_and_fallback())
    root = by_name(spans, "svc/Complete")
    assert [(span.name, span.kind.name) for span in spans] == [
        ("svc/Complete", "SERVER"),
        ("llm_router.route", "INTERNAL"),
        ("chat gpt-x-0901", "CLIENT"),
        ("chat gpt-x-0901", "CLIENT"),
        ("chat claude-y-2", "CLIENT"),
    ]
    assert all(span.parent == root.context for span in spans[1:])
    assert len({span.context.span_id for span in spans}) == 5


def test_the_root_says_what_the_request_came_to() -> None:
    root = by_name(Stage().play(retry_and_fallback()), "svc/Complete")
    assert attributes(root) == {
        "llm_router.request.id": "req-1",
        "llm_router.tenant.id": "acme",
        "llm_router.feature": "chat_reply",
        "llm_router.user.tier": "free",
        "llm_router.route.rule": "free tier",
        "llm_router.route.cause": "rule",
        "llm_router.route.model.requested": "",
        "llm_router.route.model.selected": "claude-y",
        "llm_router.request.cost.total": 0.001234567,
        "llm_router.request.cost.baseline": 0.005,
        "llm_router.request.cost.saved": 0.003765433,
        "llm_router.request.cost.status": "actual",
        "llm_router.fallback.path": ("gpt-x", "claude-y"),
        "llm_router.fallback.count": 1,
        "llm_router.retry.count": 1,
        "llm_router.sampling.reason": "fallback",
    }
    assert root.status.status_code is StatusCode.UNSET


def test_the_root_has_an_event_for_every_further_attempt_with_the_error_before_it() -> None:
    root = by_name(Stage().play(retry_and_fallback()), "svc/Complete")
    assert [(event.name, event.timestamp, dict(event.attributes or {})) for event in root.events] == [
        (
            "llm_router.retry",
            int((START + 2) * NANO),
            {"llm_router.attempt.number": 2, "llm_router.deployment.id": "gpt-x", "error.type": "429"},
        ),
        (
            "llm_router.fallback",
            int((START + 3) * NANO),
            {"llm_router.attempt.number": 3, "llm_router.deployment.id": "claude-y", "error.type": "429"},
        ),
    ]


def test_the_route_span_explains_the_decision_and_ends_when_it_was_made() -> None:
    route = by_name(Stage().play(Episode()), "llm_router.route")
    assert attributes(route) == {
        "llm_router.route.policy": "default",
        "llm_router.route.rule": "free tier",
        "llm_router.route.cause": "rule",
        "llm_router.route.strategy": "order",
        "llm_router.route.policy_fingerprint": "f00d",
        "llm_router.route.complexity.tier": "moderate",
        "llm_router.route.complexity.score": 0.4,
        "llm_router.route.complexity.source": "heuristic",
        "llm_router.route.complexity.cause": "its score 0.40",
        "llm_router.route.classifier": "heuristic",
        "llm_router.route.input_tokens": 118,
        "llm_router.route.candidates": ("gpt-x", "claude-y"),
        "llm_router.route.rejected": ("llama: CAPABILITY",),
        "llm_router.route.model.requested": "",
        "llm_router.route.model.selected": "gpt-x",
        "llm_router.limit.max_output_tokens.requested": 900,
        "llm_router.limit.max_output_tokens.applied": 800,
        "llm_router.limit.max_output_tokens.reason": "feature",
    }
    assert (route.end_time, route.start_time) == (int(START * NANO), int(START * NANO) - 2_000_000)


def test_routing_that_came_to_no_decision_has_its_span_with_the_reason_and_who_is_out() -> None:
    error = NoCandidate("Nobody.", metadata={"gpt-x": "CAPABILITY", "llama": "HEALTH", "policy": "default"})
    spans = Stage().play(refused(error))
    assert [span.name for span in spans] == ["svc/Complete", "llm_router.route"]
    assert attributes(spans[1]) == {
        "llm_router.route.cause": "NO_ELIGIBLE_CANDIDATE",
        "llm_router.route.rejected": ("gpt-x: CAPABILITY", "llama: HEALTH"),
        "llm_router.route.model.requested": "",
    }
    assert spans[1].status.status_code is StatusCode.UNSET
    assert spans[1].parent == spans[0].context
    assert (spans[1].end_time, spans[1].start_time) == (int(START * NANO), int((START - 3) * NANO))
    assert attributes(spans[0])["llm_router.request.error"] == "NO_ELIGIBLE_CANDIDATE"


def test_an_unknown_model_is_told_as_the_cause_of_no_decision() -> None:
    asked = replace(call(), wishes=Wishes(model="gpt-17", policy="default"))
    route = Stage().play(replace(refused(NotFound("No such model.", metadata={"model": "gpt-17"})), call=asked))[1]
    assert attributes(route) == {
        "llm_router.route.policy": "default",
        "llm_router.route.cause": "MODEL_NOT_FOUND",
        "llm_router.route.model.requested": "gpt-17",
    }


def test_a_call_that_fails_after_its_decision_keeps_the_decisions_span() -> None:
    spans = Stage().play(Episode((attempt(error="503"),), error=AttemptsFailed("No.")))
    assert [span.name for span in spans] == ["svc/Complete", "llm_router.route", "chat gpt-x-0901"]
    assert attributes(spans[1])["llm_router.route.cause"] == "rule"


def test_a_decision_alone_is_a_root_and_its_route() -> None:
    spans = Stage().play(routed())
    assert [span.name for span in spans] == ["svc/Complete", "llm_router.route"]
    assert attributes(spans[1])["llm_router.route.candidates"] == ("gpt-x", "claude-y")
    assert attributes(spans[0])["llm_router.request.cost.status"] == "unbilled"


def test_an_answered_attempt_follows_the_conventions_and_carries_its_cost() -> None:
    span = by_name(Stage().play(retry_and_fallback()), "chat claude-y-2")
    assert attributes(span) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "ours",
        "gen_ai.request.model": "claude-y-2",
        "gen_ai.request.stream": True,
        "gen_ai.request.max_tokens": 800,
        "gen_ai.request.temperature": 0.25,
        "gen_ai.request.seed": 7,
        "gen_ai.output.type": "json",
        "gen_ai.conversation.id": "conv-3",
        "server.address": "b.test",
        "server.port": 443,
        "gen_ai.response.id": "up-1",
        "gen_ai.response.model": "claude-y-2",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.usage.input_tokens": 120,
        "gen_ai.usage.output_tokens": 30,
        "gen_ai.usage.cache_read.input_tokens": 100,
        "gen_ai.usage.reasoning.output_tokens": 10,
        "llm_router.deployment.id": "claude-y",
        "llm_router.attempt.id": "at-3",
        "llm_router.attempt.number": 3,
        "llm_router.attempt.reason": "fallback",
        "llm_router.attempt.outcome": "success",
        "llm_router.cost.total": 0.001234567,
        "llm_router.cost.total_microusd": 1235,
        "llm_router.cost.input": 0.0002,
        "llm_router.cost.output": 0.001,
        "llm_router.cost.cache_read": 0.000034567,
        "llm_router.cost.cache_write": 0.0,
        "llm_router.cost.currency": "USD",
        "llm_router.cost.source": "local",
        "llm_router.cost.status": "actual",
        "llm_router.cost.price_version": "configuration",
    }
    assert span.status.status_code is StatusCode.UNSET
    assert (span.start_time, span.end_time) == (int((START + 3) * NANO), int((START + 4) * NANO))
    assert [(event.name, event.timestamp) for event in span.events] == [
        ("first_token", int(START + 3) * NANO + NANO // 4)
    ]


def test_a_failed_attempt_is_an_error_with_its_type_and_no_cost() -> None:
    span = Stage().play(retry_and_fallback())[2]
    seen = attributes(span)
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "The provider is over its rate limit"
    assert (seen["error.type"], seen["llm_router.attempt.outcome"]) == ("429", "error")
    assert seen["llm_router.cost.status"] == "unbilled"
    assert "llm_router.cost.total" not in seen
    assert span.events == ()


def test_a_cancelled_attempt_is_no_error_and_its_cost_is_partial() -> None:
    cancelled = attempt(outcome=AttemptOutcome.CANCELLED, cost_status=CostStatus.PARTIAL)
    spans = Stage().play(Episode((cancelled,), status="CANCELLED", error_reason="CANCELLED"))
    span, root = by_name(spans, "chat gpt-x-0901"), by_name(spans, "svc/Complete")
    assert span.status.status_code is StatusCode.UNSET
    assert attributes(span)["llm_router.attempt.outcome"] == "cancelled"
    assert attributes(span)["llm_router.cost.status"] == "partial"
    assert "error.type" not in attributes(span)
    assert attributes(root)["llm_router.request.error"] == "CANCELLED"
    assert "llm_router.route.model.selected" not in attributes(root)


def test_an_unpriced_attempt_has_a_status_and_no_amount() -> None:
    spans = Stage().play(Episode((attempt(cost=None, cost_status=CostStatus.UNPRICED),)))
    seen = attributes(by_name(spans, "chat gpt-x-0901"))
    assert seen["llm_router.cost.status"] == "unpriced"
    assert not [key for key in seen if key.startswith("llm_router.cost.") and key != "llm_router.cost.status"]
    assert "llm_router.request.cost.total" not in attributes(by_name(spans, "svc/Complete"))


def test_an_attempt_that_never_reported_back_is_an_error() -> None:
    stage, episode = Stage(sample_ratio=0.0), Episode()
    events = [event for event in episode.events() if not isinstance(event, AttemptFinished)]
    episode.events = lambda: iter(events)  # type: ignore[method-assign]
    span = by_name(stage.play(episode), "chat gpt-x-0901")
    assert (span.status.status_code, attributes(span)["error.type"]) == (StatusCode.ERROR, "_OTHER")


def test_no_attempt_is_mirrored_into_other_vendors_keys_unless_asked() -> None:
    plain = attributes(by_name(Stage().play(Episode()), "chat gpt-x-0901"))
    mirrored = attributes(by_name(Stage(mirror_cost_keys=True).play(Episode()), "chat gpt-x-0901"))
    assert {key: value for key, value in mirrored.items() if key not in plain} == {
        "gen_ai.cost.total_cost": 0.001234567,
        "gen_ai.cost.input_cost": 0.000234567,
        "gen_ai.cost.output_cost": 0.001,
        "llm.cost.total": 0.001234567,
        "llm.cost.prompt": 0.000234567,
        "llm.cost.completion": 0.001,
        "operation.cost": 0.001234567,
    }


def test_nothing_that_was_said_reaches_a_span_or_a_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for span in Stage().play(retry_and_fallback()):
        assert SECRET not in span.to_json()
    assert SECRET not in repr([record.__dict__ for record in caplog.records])


@pytest.mark.parametrize(
    ("episode", "reason"),
    [
        (Episode(), None),
        (retry_and_fallback(), "fallback"),
        (Episode((attempt(1, error="503"), attempt(2, GPT, AttemptReason.RETRY))), "error"),
        (Episode((attempt(1), attempt(2, CLAUDE, AttemptReason.ESCALATION))), "escalation"),
        (Episode((attempt(cost=Cost(total=2 * NANO)),)), "costly"),
    ],
)
def test_remarkable_calls_are_kept_at_a_share_of_zero(episode: Episode, reason: str | None) -> None:
    spans = Stage(sample_ratio=0.0).play(episode)
    kept = [attributes(span)["llm_router.sampling.reason"] for span in spans if span.kind is SpanKind.SERVER]
    assert kept == ([reason] if reason else [])


@pytest.mark.parametrize(("ratio", "flags"), [(1.0, "01"), (0.0, "00")])
def test_trace_headers_name_the_attempts_own_span(ratio: float, flags: str) -> None:
    stage, episode = Stage(sample_ratio=ratio), retry_and_fallback()
    root = stage.telemetry.tracer.start_span("svc/Complete", Context(), SpanKind.SERVER)
    token = otel_context.attach(trace.set_span_in_context(root, Context()))
    try:
        observer = stage.telemetry.observer(episode.call)
        assert current_trace_id() == f"{root.get_span_context().trace_id:032x}"
    finally:
        otel_context.detach(token)
    sent = {}
    for event in episode.events():
        observer(event)
        if isinstance(event, AttemptStarted):
            sent[event.number] = observer.trace_headers(event.number)["traceparent"]
    root.end()
    assert sent == {
        number: f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-{flags}"
        for number, span in enumerate(stage.collector.spans[2:], start=1)
    }


def test_trace_headers_pass_on_the_callers_trace_state() -> None:
    remote = SpanContext(
        0xA1, 0xB2, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED), trace_state=TraceState([("v", "1")])
    )
    parent = trace.set_span_in_context(NonRecordingSpan(remote), Context())
    headers = Stage(sample_ratio=0.0).observe(Episode(), parent).trace_headers(1)
    assert headers["tracestate"] == "v=1"
    assert headers["traceparent"].startswith(f"00-{0xA1:032x}-")
    assert headers["traceparent"].endswith("-01")


def test_without_a_current_span_a_call_is_observed_but_not_traced() -> None:
    stage = Stage()
    observer = stage.telemetry.observer(call())
    for event in retry_and_fallback().events():
        observer(event)
    assert observer.trace_headers(1) == {}
    assert stage.collector.spans == []
    assert current_trace_id() == ""


def test_a_failure_of_telemetry_never_reaches_the_call_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A receipt of the wrong shape breaks the observer at its end, and the story when it is told."""
    stage = Stage()
    for _ in range(2):
        episode = Episode()
        events = list(episode.events())
        events[-1] = replace(events[-1], receipt="not a receipt: " + SECRET)  # type: ignore[call-arg, type-var]
        caplog.set_level(logging.INFO)
        episode.events = lambda events=events: iter(events)  # type: ignore[method-assign, misc]
        stage.play(episode)
    assert [span.name for span in stage.collector.spans] == ["svc/Complete", "svc/Complete"]
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert SECRET not in record.getMessage()


def test_an_audit_record_has_the_facts_of_the_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="llmrouter.audit")
    observer = Telemetry(TelemetrySettings()).observer(call())
    for event in retry_and_fallback().events():
        observer(event)
    assert observer.trace_headers(1) == {}
    (record,) = caplog.records
    assert (record.name, record.getMessage()) == ("llmrouter.audit", "llm_router.request.completed")
    facts = record.__dict__
    assert (facts["tenant"], facts["deployment"], facts["rule"]) == ("acme", "claude-y", "free tier")
    assert (facts["attempts"], facts["retries"], facts["fallbacks"]) == (3, 1, 1)
    assert (facts["cost_nano_usd"], facts["baseline_cost_nano_usd"]) == (1_234_567, 5_000_000)
    assert (facts["status"], facts["finish_reason"], facts["stream"]) == ("OK", "stop", True)


@pytest.mark.parametrize("exported", [False, True])
def test_a_refused_key_is_warned_of_once_an_attempt(exported: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    telemetry = Stage().telemetry if exported else Telemetry(TelemetrySettings())
    observer = telemetry.observer(call())
    episode = Episode((attempt(1, error="401"), attempt(2, LLAMA, error="503"), attempt(3, CLAUDE, error="403")))
    for event in episode.events():
        observer(event)
    assert [(record.levelname, record.args) for record in caplog.records] == [
        ("WARNING", ("openai", "gpt-x")),
        ("WARNING", ("ours", "claude-y")),
    ]


def test_where_the_audit_logger_is_off_nothing_is_written(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="llmrouter.audit")
    observer = Telemetry(TelemetrySettings()).observer(call())
    for event in Episode().events():
        observer(event)
    assert caplog.records == []
