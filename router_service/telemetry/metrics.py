"""The metrics of calls, attempts and RPCs. They count every call, sampled or not.

Counters and histograms are plain integers read when metrics are collected: an addition to one of the SDK's synchronous
instruments costs about 6 µs. Labels never hold users, and what callers choose freely is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from router_service.domain.call import Call
from router_service.domain.feedback import Feedback
from router_service.domain.limit import LimitCounts
from router_service.domain.money import CostStatus
from router_service.domain.quality import Judgement
from router_service.domain.receipt import Attempt, AttemptOutcome, AttemptReason, Receipt, ShadowCounts
from router_service.telemetry import semconv
from router_service.telemetry.alarm import refused_key
from router_service.telemetry.histogram import Histogram, Labels

OTHER: Final = "other"
_MAX_TIERS = 50
_MAX_RULES = 500
_MAX_LABEL_SETS = 2000
_REPEATS: Final = {
    AttemptReason.FALLBACK: semconv.METRIC_FALLBACKS,
    AttemptReason.RETRY: semconv.METRIC_RETRIES,
    AttemptReason.ESCALATION: semconv.METRIC_ESCALATIONS,
}


def _observing(tally: Tally, scale: float | None) -> Callable[[CallbackOptions], list[Observation]]:
    return lambda _: tally.observe(scale)


def _nothing_behind() -> tuple[int, float]:
    return 0, 0.0


class Bounded:
    """Lets the first `limit` distinct values through and calls all others "other"."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        if value in self._known:
            return value
        if value and len(value) <= 64 and len(self._known) < self._limit:
            self._known.add(value)
            return value
        return OTHER


class Tally:
    """Totals by label values, bounded: label sets beyond the bound are added up as "other"."""

    def __init__(self, *keys: str) -> None:
        self._keys = keys
        self._overflow = (OTHER,) * len(keys)
        self._totals: dict[Labels, int] = {}

    def add(self, amount: int, *labels: str) -> None:
        """Add to the total of these label values, given in the order of the keys."""
        totals = self._totals
        if labels not in totals and len(totals) >= _MAX_LABEL_SETS:
            labels = self._overflow
        totals[labels] = totals.get(labels, 0) + amount

    def observe(self, scale: float | None = None) -> list[Observation]:
        """The totals, divided by `scale` if given. Called from the exporter's thread."""
        return [
            Observation(total if scale is None else total / scale, dict(zip(self._keys, labels, strict=True)))
            for labels, total in list(self._totals.items())
        ]


class Metrics:
    """All instruments. `health` says of each deployment id whether its circuit is open, `connections` of each provider
    id how many of its connections are in use and how many idle; both are set once there is somebody to ask.
    """

    def __init__(
        self, meter: Meter, *, dropped_spans: Callable[[], Mapping[str, int]], observer_failures: Callable[[], int]
    ) -> None:
        self.features: frozenset[str] = frozenset()
        self.health: Callable[[], Mapping[str, bool]] = dict
        self.ledger: Callable[[], tuple[int, float]] = _nothing_behind
        self.connections: Callable[[], Mapping[str, tuple[int, int]]] = dict
        self.shadows: Callable[[], ShadowCounts] = ShadowCounts
        self.limits: Callable[[], LimitCounts] = LimitCounts
        self._tier = Bounded(_MAX_TIERS)
        self._rule = Bounded(_MAX_RULES)
        self._active = 0
        self._dropped_spans = dropped_spans

        who = (semconv.FEATURE, semconv.TIER)
        route = (*who, semconv.ROUTE_RULE)
        model = (semconv.PROVIDER, semconv.REQUEST_MODEL)
        self._requests = Tally(*route, semconv.REQUEST_STATUS)
        self._saved = Tally(*route)
        self._unpriced = Tally(*route)
        self._attempts = Tally(*model, semconv.DEPLOYMENT, semconv.ATTEMPT_REASON, semconv.ATTEMPT_OUTCOME)
        self._key_refused = Tally(semconv.PROVIDER_ID)
        self._interrupted = Tally(*model, semconv.DEPLOYMENT)
        self._repeats = {reason: Tally(*model, semconv.DEPLOYMENT) for reason in _REPEATS}
        self._gates = Tally(semconv.DEPLOYMENT, semconv.GATE, semconv.GATE_PASSED)
        self._feedback = Tally(semconv.DEPLOYMENT, semconv.FEEDBACK_SOURCE, semconv.FEEDBACK_THUMBS)
        self._cost = Tally(*model, *route)
        self._tokens = Tally(*model, *who, semconv.TOKEN_TYPE)

        def counter(name: str, unit: str, tally: Tally, scale: float | None = None) -> None:
            meter.create_observable_counter(name, [_observing(tally, scale)], unit=unit)

        counter(semconv.METRIC_REQUESTS, "{request}", self._requests)
        counter(semconv.METRIC_ATTEMPTS, "{attempt}", self._attempts)
        for reason, name in _REPEATS.items():
            counter(name, "{attempt}", self._repeats[reason])
        counter(semconv.METRIC_GATES, "{verdict}", self._gates)
        counter(semconv.METRIC_FEEDBACK, "{feedback}", self._feedback)
        counter(semconv.METRIC_KEY_REFUSED, "{attempt}", self._key_refused)
        counter(semconv.METRIC_INTERRUPTED, "{stream}", self._interrupted)
        counter(semconv.METRIC_COST, "USD", self._cost, 1e9)
        counter(semconv.METRIC_UNPRICED, "{request}", self._unpriced)
        counter(semconv.METRIC_TOKENS, "{token}", self._tokens)
        self._observe_state(meter, observer_failures)

        def histogram(name: str, unit: str, *keys: str) -> Histogram:
            return Histogram(name, unit, semconv.BUCKETS[name], *keys)

        operation = (semconv.OPERATION, *model)
        self._token_usage = histogram(semconv.METRIC_TOKEN_USAGE, "{token}", *operation, semconv.TOKEN_TYPE)
        self._operation_duration = histogram(semconv.METRIC_OPERATION_DURATION, "s", *operation, semconv.ERROR_TYPE)
        self._first_chunk = histogram(semconv.METRIC_FIRST_CHUNK, "s", *operation)
        self._output_chunk = histogram(semconv.METRIC_OUTPUT_CHUNK, "s", *operation)
        self._route_duration = histogram(semconv.METRIC_ROUTE_DURATION, "s", semconv.ROUTE_RULE)
        rpc = (semconv.RPC_SYSTEM, semconv.RPC_METHOD, semconv.RPC_STATUS, semconv.ERROR_TYPE)
        self._rpc_duration = histogram(semconv.METRIC_RPC_DURATION, "s", *rpc)
        self._feedback_score = histogram(
            semconv.METRIC_FEEDBACK_SCORE, "1", semconv.DEPLOYMENT, semconv.FEEDBACK_SOURCE
        )
        self._http_duration = histogram(
            semconv.METRIC_HTTP_DURATION,
            "s",
            semconv.HTTP_METHOD,
            semconv.HTTP_ROUTE,
            semconv.HTTP_STATUS,
            semconv.ERROR_TYPE,
        )
        self.loop_lag = histogram(semconv.METRIC_LOOP_LAG, "s")
        self.histograms = (
            self._token_usage,
            self._operation_duration,
            self._first_chunk,
            self._output_chunk,
            self._route_duration,
            self._rpc_duration,
            self._feedback_score,
            self._http_duration,
            self.loop_lag,
        )

    def _observe_state(self, meter: Meter, observer_failures: Callable[[], int]) -> None:
        """What is not counted but is as it is when metrics are collected."""
        # A request dearer than its baseline saves a negative amount, so this total may fall.
        meter.create_observable_up_down_counter(semconv.METRIC_SAVED, [_observing(self._saved, 1e9)], unit="USD")
        meter.create_observable_up_down_counter(
            semconv.METRIC_ACTIVE_REQUESTS, [lambda _: [Observation(self._active)]], unit="{request}"
        )
        meter.create_observable_gauge(
            semconv.METRIC_LEDGER_BACKLOG,
            [lambda _: [Observation(self.ledger()[0])]],
            unit="By",
            description="Journal that is not in the ledger's database yet",
        )
        meter.create_observable_gauge(
            semconv.METRIC_LEDGER_LAG,
            [lambda _: [Observation(self.ledger()[1])]],
            unit="s",
            description="Time since the ledger's database had all of the journal",
        )
        meter.create_observable_gauge(
            semconv.METRIC_CIRCUIT, [self._observe_health], description="1 where a deployment's circuit is open"
        )
        meter.create_observable_counter(
            semconv.METRIC_LIMIT_REFUSALS,
            [self._observe_refusals],
            unit="{refusal}",
            description="Calls and attempts that a limit or budget had no room for",
        )
        meter.create_observable_gauge(
            semconv.METRIC_BUDGET_USED,
            [self._observe_budgets],
            unit="1",
            description="Share of a budget that its fullest subject has used or reserved, as this process last saw it",
        )
        meter.create_observable_up_down_counter(
            semconv.METRIC_CONNECTIONS, [self._observe_connections], unit="{connection}"
        )
        meter.create_observable_counter(
            semconv.METRIC_SHADOW_CALLS,
            [self._observe_shadows],
            unit="{call}",
            description="Shadow calls by what became of them, those that were dropped included",
        )
        meter.create_observable_counter(semconv.METRIC_SHADOW_COST, [self._observe_shadow_cost], unit="USD")
        meter.create_observable_counter(semconv.METRIC_DROPPED_SPANS, [self._observe_dropped], unit="{span}")
        meter.create_observable_counter(
            semconv.METRIC_OBSERVER_FAILURES, [lambda _: [Observation(observer_failures())]], unit="{failure}"
        )

    def feature(self, name: str) -> str:
        """A feature's label: only features of the file have their own."""
        return name if name in self.features else OTHER

    def call_started(self) -> None:
        """One more call in flight."""
        self._active += 1

    def decided(self, rule: str, duration: float) -> None:
        """Record how long routing took, in seconds; `rule` is empty where it came to no decision."""
        self._route_duration.record(duration, self._rule(rule))

    def attempt_ended(self, attempt: Attempt, call: Call, rule: str, chunks: int) -> None:
        """Count an attempt of `call`, with its tokens, cost and latencies; its output came in `chunks`."""
        deployment = attempt.deployment
        model = (semconv.provider_name(deployment.vendor, deployment.provider), deployment.upstream_name)
        self._attempts.add(1, *model, deployment.id, attempt.reason, attempt.outcome)
        if refused_key(attempt):
            self._key_refused.add(1, deployment.provider)
        if (repeated := self._repeats.get(attempt.reason)) is not None:
            repeated.add(1, *model, deployment.id)
        self._operation_duration.record(attempt.duration, semconv.CHAT, *model, attempt.error_type)
        if call.stream and attempt.time_to_first_output is not None and not attempt.reason.is_question:
            self._first_chunk.record(attempt.time_to_first_output, semconv.CHAT, *model)
            if chunks > 1:
                after_first = attempt.duration - attempt.time_to_first_output
                self._output_chunk.record(after_first / (chunks - 1), semconv.CHAT, *model)
            if attempt.outcome is AttemptOutcome.ERROR:
                self._interrupted.add(1, *model, deployment.id)
        who = (self.feature(call.caller.feature), self._tier(call.caller.tier))
        if (usage := attempt.usage) is not None:
            self._token_usage.record(usage.input_tokens, semconv.CHAT, *model, "input")
            self._token_usage.record(usage.output_tokens, semconv.CHAT, *model, "output")
            self._tokens.add(usage.input_tokens, *model, *who, "input")
            self._tokens.add(usage.output_tokens, *model, *who, "output")
            if usage.cached_input_tokens:
                self._tokens.add(usage.cached_input_tokens, *model, *who, "cached_input")
            if usage.reasoning_tokens:
                self._tokens.add(usage.reasoning_tokens, *model, *who, "reasoning")
        if attempt.cost is not None:
            self._cost.add(attempt.cost.total, *model, *who, self._rule(rule))

    def feedback_given(self, feedback: Feedback, deployment: str) -> None:
        """Count feedback on a deployment's answer, a repeat as well."""
        self._feedback.add(1, deployment, feedback.source, feedback.thumbs or "none")
        if feedback.score is not None:
            self._feedback_score.record(feedback.score, deployment, feedback.source)

    def judged(self, judgement: Judgement, deployment: str) -> None:
        """Count what each gate made of a deployment's answer, and under `combined` what all made of it together."""
        for verdict in judgement.verdicts:
            self._gates.add(1, deployment, verdict.gate, str(verdict.passed).lower())
        self._gates.add(1, deployment, "combined", str(judgement.passed).lower())

    def call_finished(self, receipt: Receipt) -> None:
        """Count a finished call, with what it saved against the baseline."""
        self._active -= 1
        rule = receipt.decision.rule_name if receipt.decision is not None else ""
        route = (self.feature(receipt.feature), self._tier(receipt.tier), self._rule(rule))
        self._requests.add(1, *route, receipt.status)
        if any(attempt.cost_status is CostStatus.UNPRICED for attempt in receipt.attempts):
            self._unpriced.add(1, *route)
        elif receipt.cost is not None and receipt.baseline_cost is not None:
            self._saved.add(receipt.baseline_cost - receipt.cost, *route)

    def rpc_ended(self, method: str, status: str, error: str, duration: float) -> None:
        """Record an RPC of `duration` seconds; `error` is empty where `status` is not an error of the server."""
        self._rpc_duration.record(duration, "grpc", method, status, error)

    def http_ended(self, method: str, route: str, status: str, error: str, duration: float) -> None:
        """Record an HTTP request of `duration` seconds; `error` is empty where the server did not fail. `status` is
        empty where nobody was left to be told one."""
        self._http_duration.record(duration, method, route, status, error)

    def _observe_health(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(int(is_open), {semconv.DEPLOYMENT: name}) for name, is_open in self.health().items()]

    def _observe_refusals(self, _: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(count, {semconv.LIMIT_NAME: name, semconv.LIMIT_KIND: kind})
            for (name, kind), count in self.limits().refusals.items()
        ]

    def _observe_budgets(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(share, {semconv.BUDGET_NAME: name}) for name, share in self.limits().used.items()]

    def _observe_connections(self, _: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(count, {semconv.PROVIDER_ID: provider, semconv.CONNECTION_STATE: state})
            for provider, counts in self.connections().items()
            for state, count in zip(("active", "idle"), counts, strict=True)
        ]

    def _observe_shadows(self, _: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(count, {semconv.SHADOW: shadow, semconv.SHADOW_OUTCOME: outcome})
            for (shadow, outcome), count in self.shadows().calls.items()
        ]

    def _observe_shadow_cost(self, _: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(nano_usd / 1e9, {semconv.SHADOW: shadow}) for shadow, nano_usd in self.shadows().cost.items()
        ]

    def _observe_dropped(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(count, {semconv.DROP_REASON: reason}) for reason, count in self._dropped_spans().items()]
