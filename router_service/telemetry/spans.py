"""A call's facts as finished spans. Pure: values in, spans out.

Spans are built when they are over and wanted, with the times they had. Nothing a caller or a model said is in them.
"""

from __future__ import annotations

from dataclasses import dataclass

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from router_service.domain.call import Call
from router_service.domain.chat import JsonObjectFormat, JsonSchemaFormat, Parameters
from router_service.domain.decision import Decision, RejectionReason
from router_service.domain.error import NoCandidate, RouterError
from router_service.domain.event import AttemptStarted, Judged
from router_service.domain.money import Cost, Usage
from router_service.domain.quality import Quality
from router_service.domain.receipt import Attempt, AttemptOutcome, AttemptReason, Receipt
from router_service.telemetry import semconv

Attributes = dict[str, AttributeValue]

_EVENT_NAMES = {
    AttemptReason.RETRY: semconv.EVENT_RETRY,
    AttemptReason.FALLBACK: semconv.EVENT_FALLBACK,
    AttemptReason.ESCALATION: semconv.EVENT_ESCALATE,
    AttemptReason.HEDGE: semconv.EVENT_HEDGE,
}
_REJECTION_REASONS = frozenset(RejectionReason)
_NO_PARAMETERS = Parameters()
_USD = 1e9


@dataclass(frozen=True, slots=True)
class Origin:
    """What the spans of one call share: their root, resource and scope."""

    root: SpanContext
    resource: Resource
    scope: InstrumentationScope | None

    def span(
        self,
        name: str,
        span_id: int,
        kind: SpanKind,
        times: tuple[int, int],
        attributes: Attributes,
        *,
        events: tuple[Event, ...] = (),
        status: Status | None = None,
        parent_id: int = 0,
    ) -> ReadableSpan:
        """A finished child of the root, or of the span `parent_id` beneath it; `times` are its start and end in
        nanoseconds since the epoch."""
        root = self.root
        return ReadableSpan(
            name=name,
            context=self._context(span_id),
            parent=self._context(parent_id) if parent_id else root,
            resource=self.resource,
            attributes=attributes,
            events=events,
            kind=kind,
            status=status or Status(StatusCode.UNSET),
            start_time=times[0],
            end_time=times[1],
            instrumentation_scope=self.scope,
        )

    def _context(self, span_id: int) -> SpanContext:
        root = self.root
        return SpanContext(root.trace_id, span_id, False, root.trace_flags, root.trace_state)


def nanoseconds(seconds: float) -> int:
    """Seconds as whole nanoseconds."""
    return int(seconds * 1e9)


def route_span(origin: Origin, span_id: int, call: Call, decision: Decision, times: tuple[int, int]) -> ReadableSpan:
    """The span of the decision: what was asked, why which rule won, and who is out."""
    signals = decision.signals
    attributes: Attributes = {
        semconv.ROUTE_POLICY: decision.policy.name,
        semconv.ROUTE_RULE: decision.rule_name,
        semconv.ROUTE_CAUSE: decision.cause,
        semconv.ROUTE_STRATEGY: decision.strategy,
        semconv.ROUTE_FINGERPRINT: decision.fingerprint,
        semconv.ROUTE_COMPLEXITY: signals.complexity,
        semconv.ROUTE_COMPLEXITY_SOURCE: signals.complexity_source.value,
        semconv.ROUTE_COMPLEXITY_CAUSE: signals.complexity_cause,
        semconv.ROUTE_CLASSIFIER: signals.classifier,
        semconv.ROUTE_INPUT_TOKENS: signals.input_tokens,
        semconv.ROUTE_CANDIDATES: tuple(candidate.deployment.id for candidate in decision.candidates),
        semconv.ROUTE_REJECTED: tuple(
            f"{rejection.deployment.id}: {rejection.reason.value}" for rejection in decision.rejections
        ),
        semconv.ROUTE_REQUESTED: call.wishes.deployment or call.wishes.model,
    }
    if signals.classified_by:
        attributes[semconv.ROUTE_CLASSIFIER_DEPLOYMENT] = signals.classified_by
    if signals.complexity_score is not None:
        attributes[semconv.ROUTE_COMPLEXITY_SCORE] = signals.complexity_score
    _add_assignment(attributes, decision)
    if decision.candidates:
        first = decision.candidates[0]
        attributes[semconv.ROUTE_SELECTED] = first.deployment.model
        attributes[semconv.LIMIT_REASON] = first.token_limit.reason
        if first.token_limit.requested is not None:
            attributes[semconv.LIMIT_REQUESTED] = first.token_limit.requested
        if first.token_limit.applied is not None:
            attributes[semconv.LIMIT_APPLIED] = first.token_limit.applied
    return origin.span(semconv.ROUTE_SPAN, span_id, SpanKind.INTERNAL, times, attributes)


def refusal_span(
    origin: Origin, span_id: int, call: Call, refused: RouterError, times: tuple[int, int]
) -> ReadableSpan:
    """The span of routing that came to no decision: what was asked, why nobody may serve it, and who is out."""
    attributes: Attributes = {
        semconv.ROUTE_CAUSE: refused.reason.value,
        semconv.ROUTE_REQUESTED: call.wishes.deployment or call.wishes.model,
    }
    if call.wishes.policy:
        attributes[semconv.ROUTE_POLICY] = call.wishes.policy
    if isinstance(refused, NoCandidate):
        attributes[semconv.ROUTE_REJECTED] = tuple(
            f"{deployment}: {reason}" for deployment, reason in refused.metadata.items() if reason in _REJECTION_REASONS
        )
    return origin.span(semconv.ROUTE_SPAN, span_id, SpanKind.INTERNAL, times, attributes)


def attempt_span(
    origin: Origin,
    span_id: int,
    call: Call,
    *,
    started: AttemptStarted,
    ended: Attempt | None,
    ended_at: int,
    mirror_costs: bool = False,
    parent_id: int = 0,
) -> ReadableSpan:
    """The span of one upstream call, under the root or under `parent_id`. Where `ended` is missing, the call broke off
    at `ended_at` (nanoseconds)."""
    attributes = _request(call, started)
    name = f"{semconv.CHAT} {started.deployment.upstream_name}"
    start = nanoseconds(started.started_at)
    if ended is None:
        attributes[semconv.ERROR_TYPE] = semconv.ERROR_OTHER
        return origin.span(
            name,
            span_id,
            SpanKind.CLIENT,
            (start, max(start, ended_at)),
            attributes,
            status=Status(StatusCode.ERROR),
            parent_id=parent_id,
        )
    _add_response(attributes, ended, stream=call.stream and not started.reason.is_question)
    if ended.usage is not None:
        _add_usage(attributes, ended.usage)
    attributes[semconv.COST_STATUS] = ended.cost_status.value
    if ended.cost is not None:
        _add_cost(attributes, ended.cost)
        if mirror_costs:
            _mirror_cost(attributes, ended.cost)
    first_output = ended.time_to_first_output
    return origin.span(
        name,
        span_id,
        SpanKind.CLIENT,
        (start, start + nanoseconds(ended.duration)),
        attributes,
        events=()
        if first_output is None
        else (Event(semconv.EVENT_FIRST_TOKEN, {}, start + nanoseconds(first_output)),),
        status=Status(StatusCode.ERROR, ended.error_message or None) if ended.outcome is AttemptOutcome.ERROR else None,
        parent_id=parent_id,
    )


def judgement_span(origin: Origin, span_id: int, judged: Judged) -> ReadableSpan:
    """The span of what gates made of one attempt's answer. It quotes nothing of the answer."""
    judgement = judged.judgement
    attributes: Attributes = {
        semconv.ATTEMPT_NUMBER: judgement.attempt,
        semconv.GATE_PASSED: judgement.passed,
        semconv.GATE_SCORE: judgement.score,
        semconv.GATE_THRESHOLD: judgement.threshold,
        semconv.GATE_REFUSED_BY: judgement.refused_by,
    }
    start = nanoseconds(judged.judged_at)
    times = (start, start + nanoseconds(judged.duration))
    return origin.span(semconv.QUALITY_SPAN, span_id, SpanKind.INTERNAL, times, attributes)


def root_attributes(call: Call, receipt: Receipt) -> Attributes:
    """What the whole call came to, for the local root."""
    attributes: Attributes = {
        semconv.REQUEST_ID: receipt.request_id,
        semconv.TENANT: receipt.tenant,
        semconv.FEATURE: receipt.feature,
        semconv.TIER: receipt.tier,
        semconv.FALLBACK_COUNT: receipt.fallbacks,
        semconv.RETRY_COUNT: receipt.retries,
        semconv.REQUEST_COST_STATUS: receipt.cost_status.value,
        semconv.ROUTE_REQUESTED: call.wishes.deployment or call.wishes.model,
    }
    if receipt.cost is not None:
        attributes[semconv.REQUEST_COST_TOTAL] = receipt.cost / _USD
        if receipt.baseline_cost is not None:
            attributes[semconv.REQUEST_COST_BASELINE] = receipt.baseline_cost / _USD
            attributes[semconv.REQUEST_COST_SAVED] = (receipt.baseline_cost - receipt.cost) / _USD
    if receipt.decision is not None:
        attributes[semconv.ROUTE_RULE] = receipt.decision.rule_name
        attributes[semconv.ROUTE_CAUSE] = receipt.decision.cause
        _add_assignment(attributes, receipt.decision)
    if receipt.answered_by is not None:
        attributes[semconv.ROUTE_SELECTED] = receipt.answered_by.deployment.model
    if receipt.quality is not Quality.UNJUDGED:
        attributes[semconv.QUALITY] = receipt.quality.value
        attributes[semconv.ESCALATION_COUNT] = receipt.escalations
    if receipt.fallbacks or receipt.escalations:
        attributes[semconv.FALLBACK_PATH] = _path(receipt)
    if receipt.error_reason:
        attributes[semconv.REQUEST_ERROR] = receipt.error_reason
    return attributes


def root_event(started: AttemptStarted, before: Attempt | None) -> Event | None:
    """The event on the root that says why another attempt was made; none for the first."""
    name = _EVENT_NAMES.get(started.reason)
    if name is None:
        return None
    attributes: Attributes = {
        semconv.ATTEMPT_NUMBER: started.number,
        semconv.DEPLOYMENT: started.deployment.id,
    }
    if before is not None and before.error_type:
        attributes[semconv.ERROR_TYPE] = before.error_type
    return Event(name, attributes, nanoseconds(started.started_at))


def _add_assignment(attributes: Attributes, decision: Decision) -> None:
    if (assignment := decision.assignment) is not None:
        attributes[semconv.EXPERIMENT] = assignment.experiment
        attributes[semconv.EXPERIMENT_ARM] = assignment.arm
        attributes[semconv.EXPERIMENT_HONOURED] = assignment.honoured


def _path(receipt: Receipt) -> tuple[str, ...]:
    path: list[str] = []
    for attempt in receipt.attempts:
        if attempt.reason.is_question:
            continue
        if not path or path[-1] != attempt.deployment.id:
            path.append(attempt.deployment.id)
    return tuple(path)


def _request(call: Call, started: AttemptStarted) -> Attributes:
    deployment, is_question = started.deployment, started.reason.is_question
    attributes: Attributes = {
        semconv.OPERATION: semconv.CHAT,
        semconv.PROVIDER: semconv.provider_name(deployment.vendor, deployment.provider),
        semconv.REQUEST_MODEL: deployment.upstream_name,
        semconv.REQUEST_STREAM: call.stream and not is_question,
        semconv.DEPLOYMENT: deployment.id,
        semconv.ATTEMPT_ID: started.attempt_id,
        semconv.ATTEMPT_NUMBER: started.number,
        semconv.ATTEMPT_REASON: started.reason.value,
    }
    if started.judges:
        attributes[semconv.ATTEMPT_JUDGES] = started.judges
    if started.continues:
        attributes[semconv.ATTEMPT_CONTINUES] = started.continues
    if deployment.server_address:
        attributes[semconv.SERVER_ADDRESS] = deployment.server_address
        attributes[semconv.SERVER_PORT] = deployment.server_port
    if started.max_output_tokens is not None:
        attributes[semconv.REQUEST_MAX_TOKENS] = started.max_output_tokens
    if call.caller.conversation_id:
        attributes[semconv.CONVERSATION] = call.caller.conversation_id
    if isinstance(call.chat.response_format, JsonObjectFormat | JsonSchemaFormat) and not is_question:
        attributes[semconv.OUTPUT_TYPE] = "json"
    if started.parameters != _NO_PARAMETERS:
        _add_parameters(attributes, started.parameters)
    return attributes


def _add_parameters(attributes: Attributes, parameters: Parameters) -> None:
    if parameters.temperature is not None:
        attributes[semconv.REQUEST_TEMPERATURE] = parameters.temperature
    if parameters.top_p is not None:
        attributes[semconv.REQUEST_TOP_P] = parameters.top_p
    if parameters.seed is not None:
        attributes[semconv.REQUEST_SEED] = parameters.seed
    if parameters.stop:
        attributes[semconv.REQUEST_STOP] = parameters.stop


def _add_response(attributes: Attributes, ended: Attempt, *, stream: bool) -> None:
    attributes[semconv.ATTEMPT_OUTCOME] = ended.outcome.value
    if ended.outcome is AttemptOutcome.ERROR:
        attributes[semconv.ERROR_TYPE] = ended.error_type or semconv.ERROR_OTHER
    if ended.upstream_request_id:
        attributes[semconv.RESPONSE_ID] = ended.upstream_request_id
    if ended.response_model:
        attributes[semconv.RESPONSE_MODEL] = ended.response_model
    if ended.finish_reason is not None:
        attributes[semconv.RESPONSE_FINISH_REASONS] = (ended.finish_reason.value,)
    if stream and ended.time_to_first_output is not None:
        attributes[semconv.RESPONSE_FIRST_CHUNK] = ended.time_to_first_output


def _add_usage(attributes: Attributes, usage: Usage) -> None:
    attributes[semconv.USAGE_INPUT] = usage.input_tokens
    attributes[semconv.USAGE_OUTPUT] = usage.output_tokens
    if usage.cached_input_tokens:
        attributes[semconv.USAGE_CACHE_READ] = usage.cached_input_tokens
    if usage.cache_write_tokens:
        attributes[semconv.USAGE_CACHE_CREATION] = usage.cache_write_tokens
    if usage.reasoning_tokens:
        attributes[semconv.USAGE_REASONING] = usage.reasoning_tokens


def _add_cost(attributes: Attributes, cost: Cost) -> None:
    attributes[semconv.COST_TOTAL] = cost.total / _USD
    attributes[semconv.COST_TOTAL_MICROUSD] = (cost.total + 500) // 1000
    attributes[semconv.COST_INPUT] = cost.input / _USD
    attributes[semconv.COST_OUTPUT] = cost.output / _USD
    attributes[semconv.COST_CACHE_READ] = cost.cache_read / _USD
    attributes[semconv.COST_CACHE_WRITE] = cost.cache_write / _USD
    attributes[semconv.COST_CURRENCY] = "USD"
    attributes[semconv.COST_SOURCE] = "local"
    if cost.price_version:
        attributes[semconv.COST_PRICE_VERSION] = cost.price_version


def _mirror_cost(attributes: Attributes, cost: Cost) -> None:
    attributes.update(dict.fromkeys(semconv.MIRRORED_TOTAL, cost.total / _USD))
    attributes.update(dict.fromkeys(semconv.MIRRORED_INPUT, (cost.input + cost.cache_read + cost.cache_write) / _USD))
    attributes.update(dict.fromkeys(semconv.MIRRORED_OUTPUT, cost.output / _USD))
