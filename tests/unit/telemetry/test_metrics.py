from __future__ import annotations

from dataclasses import replace

import pytest
from fabricated import CLAUDE, COST, GPT, Episode, attempt, call, refused, retry_and_fallback, routed
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint

from router_service.config.configuration import TelemetrySettings
from router_service.domain.error import NoCandidate, NotFound
from router_service.domain.event import CallStarted
from router_service.domain.feedback import Feedback, FeedbackSource, Thumbs
from router_service.domain.limit import LimitCounts
from router_service.domain.money import CostStatus
from router_service.domain.receipt import AttemptOutcome, AttemptReason
from router_service.telemetry import semconv
from router_service.telemetry.metrics import Bounded, Tally
from router_service.telemetry.setup import Telemetry

Point = NumberDataPoint | HistogramDataPoint


class Meters:
    """A telemetry that exports metrics only, and what it would export now."""

    def __init__(self, *features: str) -> None:
        self._reader = InMemoryMetricReader()
        self.telemetry = Telemetry(TelemetrySettings(), features=features, metric_reader=self._reader)

    def play(self, *episodes: Episode) -> None:
        for episode in episodes:
            observer = self.telemetry.observer(episode.call)
            for event in episode.events():
                observer(event)

    def points(self) -> dict[str, list[Point]]:
        data = self._reader.get_metrics_data()
        if data is None:
            return {}
        (resource,) = data.resource_metrics
        return {
            metric.name: list(metric.data.data_points)  # type: ignore[arg-type]
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def values(self, name: str) -> dict[tuple[object, ...], float]:
        """Sums by label values, in the order of the labels' names."""
        return {
            tuple(value for _, value in sorted((point.attributes or {}).items())): (
                point.sum if isinstance(point, HistogramDataPoint) else point.value
            )
            for point in self.points().get(name, [])
        }


def test_a_call_with_a_retry_and_a_fallback_is_counted_once_and_its_attempts_each() -> None:
    meters = Meters("chat_reply")
    meters.play(retry_and_fallback())
    # labels: feature, request status, rule, tier
    assert meters.values("llm_router.requests") == {("chat_reply", "OK", "free tier", "free"): 1}
    # labels: model, provider, outcome, reason, deployment (by the attributes' names)
    assert meters.values("llm_router.attempts") == {
        ("openai", "gpt-x-0901", "error", "primary", "gpt-x"): 1,
        ("openai", "gpt-x-0901", "error", "retry", "gpt-x"): 1,
        ("ours", "claude-y-2", "success", "fallback", "claude-y"): 1,
    }
    assert meters.values("llm_router.retries") == {("openai", "gpt-x-0901", "gpt-x"): 1}
    assert meters.values("llm_router.fallbacks") == {("ours", "claude-y-2", "claude-y"): 1}
    assert meters.values("llm_router.escalations") == {}
    assert meters.values("llm_router.active_requests") == {(): 0}


def test_money_and_tokens_are_counted_exactly() -> None:
    meters = Meters("chat_reply")
    meters.play(*[Episode() for _ in range(3)])
    assert meters.values("llm_router.cost") == {
        ("openai", "gpt-x-0901", "chat_reply", "free tier", "free"): 3 * COST.total / 1e9
    }
    assert meters.values("llm_router.cost.saved") == {
        ("chat_reply", "free tier", "free"): 3 * (5_000_000 - COST.total) / 1e9
    }
    tokens = {
        (point.attributes or {})["gen_ai.token.type"]: point.value  # type: ignore[union-attr]
        for point in meters.points()["llm_router.tokens"]
    }
    assert tokens == {"input": 360, "output": 90, "cached_input": 300, "reasoning": 30}
    assert meters.values("llm_router.cost.unpriced_requests") == {}


def test_an_unpriced_call_is_counted_and_not_taken_for_free() -> None:
    meters = Meters("chat_reply")
    meters.play(Episode((attempt(cost=None, cost_status=CostStatus.UNPRICED),)))
    assert meters.values("llm_router.cost.unpriced_requests") == {("chat_reply", "free tier", "free"): 1}
    assert meters.values("llm_router.cost") == {}
    assert meters.values("llm_router.cost.saved") == {}


def test_a_call_is_unpriced_by_any_attempt_without_a_price_and_not_by_one_of_unknown_outcome() -> None:
    unpriced = attempt(cost=None, cost_status=CostStatus.UNPRICED, outcome=AttemptOutcome.ERROR)
    fallback = attempt(2, CLAUDE, AttemptReason.FALLBACK)
    unknown = replace(attempt(), cost=None, usage=None, cost_status=CostStatus.INDETERMINATE)
    meters = Meters("chat_reply")
    meters.play(Episode((unpriced, fallback)), Episode((unknown,)), routed(), refused(NotFound("No.")))
    assert meters.values("llm_router.cost.unpriced_requests") == {("chat_reply", "free tier", "free"): 1}
    assert meters.values("llm_router.cost.saved") == {}


def test_decisions_without_calls_and_calls_without_decisions_are_counted_and_timed() -> None:
    meters = Meters("chat_reply")
    meters.play(routed(), refused(NoCandidate("Nobody.")))
    assert meters.values("llm_router.requests") == {
        ("chat_reply", "OK", "free tier", "free"): 1,
        ("chat_reply", "FAILED_PRECONDITION", "other", "free"): 1,
    }
    assert meters.values("llm_router.route.duration") == {("free tier",): 0.002, ("other",): 3.0}
    assert meters.values("llm_router.active_requests") == {(): 0}


def test_a_refused_key_is_an_alarm_by_provider() -> None:
    meters = Meters()
    refusals = (attempt(1, error="401"), attempt(2, CLAUDE, error="403"), attempt(3, CLAUDE, error="auth"))
    meters.play(Episode((*refusals, attempt(4, error="429"))))
    assert meters.values("llm_router.provider.key_refused") == {("openai",): 1, ("ours",): 2}


def test_latencies_follow_the_conventions_and_their_buckets() -> None:
    meters = Meters()
    meters.play(Episode(chunks=4))
    points = meters.points()
    base = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-x-0901"}
    for name, total in [
        (semconv.METRIC_OPERATION_DURATION, 1.0),
        (semconv.METRIC_FIRST_CHUNK, 0.25),
        (semconv.METRIC_OUTPUT_CHUNK, 0.25),
    ]:
        (point,) = points[name]
        assert isinstance(point, HistogramDataPoint)
        assert (point.attributes, point.sum, point.count) == (base, total, 1)
        assert tuple(point.explicit_bounds) == semconv.BUCKETS[name]
    usage = {(point.attributes or {})["gen_ai.token.type"]: point for point in points[semconv.METRIC_TOKEN_USAGE]}
    assert {kind: point.sum for kind, point in usage.items()} == {"input": 120, "output": 30}  # type: ignore[union-attr]
    (route,) = points[semconv.METRIC_ROUTE_DURATION]
    assert (route.attributes, route.sum) == ({"llm_router.route.rule": "free tier"}, 0.002)  # type: ignore[union-attr]


def test_chunk_latencies_are_those_of_streams_only() -> None:
    meters = Meters()
    meters.play(Episode(call=call(stream=False)))
    assert semconv.METRIC_FIRST_CHUNK not in meters.points()
    assert semconv.METRIC_OUTPUT_CHUNK not in meters.points()


def test_a_failed_attempts_duration_carries_its_error() -> None:
    meters = Meters()
    meters.play(retry_and_fallback())
    errors = {
        (point.attributes or {}).get("error.type") for point in meters.points()[semconv.METRIC_OPERATION_DURATION]
    }
    assert errors == {"429", None}


def test_a_stream_that_dies_after_its_first_output_is_interrupted() -> None:
    meters = Meters()
    died = replace(attempt(outcome=AttemptOutcome.ERROR), error_type="stream_interrupted")
    meters.play(Episode((died,), status="UNAVAILABLE"), Episode((attempt(error="503"),), status="UNAVAILABLE"))
    assert meters.values("llm_router.stream.interrupted") == {("openai", "gpt-x-0901", "gpt-x"): 1}


def test_feedback_is_counted_by_deployment_source_and_thumbs_and_its_scores_are_a_histogram() -> None:
    meters = Meters()
    heard = meters.telemetry.observe_feedback
    heard(Feedback(thumbs=Thumbs.UP, score=0.9, comment="canary", label="canary", author="canary"), "gpt-x")
    heard(Feedback(thumbs=Thumbs.UP), "gpt-x")
    heard(Feedback(score=0.25, source=FeedbackSource.REVIEWER), "gpt-x")
    # labels: deployment, source, thumbs
    assert meters.values("llm_router.feedback") == {
        ("gpt-x", "user", "up"): 2,
        ("gpt-x", "reviewer", "none"): 1,
    }
    assert meters.values("llm_router.feedback.score") == {("gpt-x", "user"): 0.9, ("gpt-x", "reviewer"): 0.25}
    assert "canary" not in str(meters.points())


def test_calls_in_flight_are_counted() -> None:
    meters = Meters()
    meters.telemetry.observer(call())(CallStarted(call=call(), started_at=0.0))
    assert meters.values("llm_router.active_requests") == {(): 1}


def test_a_feature_has_its_label_only_while_it_is_configured() -> None:
    meters = Meters("chat_reply")
    meters.play(Episode(), Episode(call=call(feature="invented")), Episode(call=call(feature="")))
    meters.telemetry.set_features(["invented"])
    meters.play(Episode(call=call(feature="invented")))
    counted = {key[0]: value for key, value in meters.values("llm_router.requests").items()}
    assert counted == {"chat_reply": 1, "other": 2, "invented": 1}


def test_tiers_that_callers_invent_do_not_multiply_labels() -> None:
    meters = Meters("chat_reply")
    meters.play(*[Episode(call=call(tier=f"tier {number}")) for number in range(200)])
    counted = {key[-1]: value for key, value in meters.values("llm_router.requests").items()}
    assert len(counted) == 51
    assert counted["other"] == 150


def test_no_metric_names_a_user_a_tenant_or_a_conversation() -> None:
    meters = Meters("chat_reply")
    meters.play(retry_and_fallback())
    labels = {key for points in meters.points().values() for point in points for key in (point.attributes or {})}
    values = {
        value for points in meters.points().values() for point in points for value in (point.attributes or {}).values()
    }
    assert labels <= {
        "error.type",
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.token.type",
        "llm_router.attempt.outcome",
        "llm_router.attempt.reason",
        "llm_router.deployment.id",
        "llm_router.feature",
        "llm_router.request.status",
        "llm_router.route.rule",
        "llm_router.user.tier",
    }
    assert not values & {"user-7", "acme", "conv-3", "req-1"}


def test_the_circuit_of_each_deployment_is_a_gauge() -> None:
    meters = Meters()
    meters.telemetry.observe_health(lambda: {"gpt-x": True, "claude-y": False})
    assert meters.values("llm_router.circuit.state") == {("gpt-x",): 1, ("claude-y",): 0}


def test_the_connections_of_each_provider_are_told_apart_by_state() -> None:
    meters = Meters()
    meters.telemetry.observe_connections(lambda: {"acme": (3, 1)})
    # labels: connection state, provider id
    assert meters.values("llm_router.upstream.connections") == {("active", "acme"): 3, ("idle", "acme"): 1}


def test_an_rpc_is_timed_by_method_status_and_error() -> None:
    meters = Meters()
    meters.telemetry.observe_rpc("svc/Complete", "OK", "", 12.0)
    meters.telemetry.observe_rpc("svc/Complete", "INTERNAL", "INTERNAL", 0.5)
    ok, failed = meters.points()["rpc.server.call.duration"]
    assert ok.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": "svc/Complete",
        "rpc.response.status_code": "OK",
    }
    assert (failed.attributes or {})["error.type"] == "INTERNAL"
    assert tuple(ok.explicit_bounds)[-1] > 300  # type: ignore[union-attr]


def test_unsampled_calls_are_counted_all_the_same() -> None:
    reader = InMemoryMetricReader()
    telemetry = Telemetry(TelemetrySettings(sample_ratio=0.0), metric_reader=reader)
    observer = telemetry.observer(call())
    for event in Episode().events():
        observer(event)
    data = reader.get_metrics_data()
    assert data is not None
    assert "llm_router.requests" in {it.name for it in data.resource_metrics[0].scope_metrics[0].metrics}


@pytest.mark.parametrize(
    ("vendor", "provider", "name"),
    [
        ("openai", "eu-openai", "openai"),
        ("xai", "grok", "x_ai"),
        ("gemini", "g", "gcp.gemini"),
        ("mistral", "m", "mistral_ai"),
        ("azure", "a", "azure.ai.openai"),
        ("custom", "my-vllm", "my-vllm"),
    ],
)
def test_providers_are_called_what_the_conventions_call_them(vendor: str, provider: str, name: str) -> None:
    assert semconv.provider_name(vendor, provider) == name


@given(st.lists(st.text(max_size=80)), st.integers(1, 5))
def test_a_bounded_label_has_at_most_its_limit_of_values_and_other(values: list[str], limit: int) -> None:
    bounded = Bounded(limit)
    labels = [bounded(value) for value in values]
    assert len(set(labels) - {"other"}) <= limit
    assert all(label in (value, "other") for label, value in zip(labels, values, strict=True))
    assert [bounded(label) for label in labels] == labels or "other" in values


@given(st.lists(st.tuples(st.integers(-(10**12), 10**12), st.integers(0, 3000))))
def test_a_tally_loses_nothing_however_many_labels_there_are(additions: list[tuple[int, int]]) -> None:
    tally = Tally("key")
    for amount, label in additions:
        tally.add(amount, str(label))
    assert sum(observation.value for observation in tally.observe()) == sum(amount for amount, _ in additions)


def test_a_tally_adds_up_what_is_beyond_its_bound_as_other() -> None:
    tally = Tally("key")
    for label in range(2500):
        tally.add(1, str(label))
    observed = {(it.attributes or {})["key"]: it.value for it in tally.observe()}
    assert (len(observed), observed["other"]) == (2001, 500)


def test_reasons_of_attempts_are_told_apart() -> None:
    meters = Meters()
    meters.play(Episode((attempt(1), attempt(2, GPT, AttemptReason.ESCALATION))))
    assert meters.values("llm_router.escalations") == {("openai", "gpt-x-0901", "gpt-x"): 1}


def test_what_limits_refused_and_how_full_budgets_are_is_exported() -> None:
    meters = Meters()
    counts = LimitCounts(refusals={("daily", "budget"): 3, ("burst", "limit"): 2}, used={"daily": 0.9})
    meters.telemetry.observe_limits(lambda: counts)
    assert meters.values("llm_router.limit.rejections") == {("budget", "daily"): 3, ("limit", "burst"): 2}
    assert meters.values("llm_router.budget.used") == {("daily",): 0.9}
