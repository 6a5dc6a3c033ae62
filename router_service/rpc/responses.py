"""The domain's decisions, receipts, events and deployments to protobuf.

Messages within messages are filled in place where every call has them: made apart and copied in, they cost twice.
"""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from llmrouter.v1 import chat_pb2, decision_pb2, model_pb2, receipt_pb2, router_service_pb2, stream_pb2
from router_service.domain import decision as decisions
from router_service.domain import event as events
from router_service.domain import receipt as receipts
from router_service.domain.deployment import DeploymentStatus
from router_service.domain.money import Cost, CostStatus, Usage
from router_service.domain.quality import Judgement, Quality
from router_service.rpc.chats import WIRE_FINISH_REASONS, message_to_wire
from router_service.rpc.logprobs import fill_logprobs

WIRE_ATTEMPT_REASONS = {
    reason: receipt_pb2.AttemptReason.Value(f"ATTEMPT_REASON_{reason.name}") for reason in receipts.AttemptReason
}
WIRE_OUTCOMES = {
    outcome: receipt_pb2.AttemptOutcome.Value(f"ATTEMPT_OUTCOME_{outcome.name}") for outcome in receipts.AttemptOutcome
}
WIRE_COST_STATUSES = {status: receipt_pb2.CostStatus.Value(f"COST_STATUS_{status.name}") for status in CostStatus}
WIRE_QUALITIES = {
    Quality.UNJUDGED: receipt_pb2.QUALITY_UNSPECIFIED,
    Quality.PASSED: receipt_pb2.QUALITY_PASSED,
    Quality.BELOW_THRESHOLD: receipt_pb2.QUALITY_BELOW_THRESHOLD,
}
WIRE_REJECTIONS = {
    reason: decision_pb2.RejectionReason.Value(f"REJECTION_REASON_{reason.name}")
    for reason in decisions.RejectionReason
}


def timestamp(seconds: float) -> Timestamp:
    """A point in time, given in seconds since the epoch, to the microsecond: a float holds no more."""
    wire = Timestamp()
    _fill_time(wire, seconds)
    return wire


def duration(seconds: float) -> Duration:
    """A span of time, to the microsecond; a clock that stepped back does not make it negative."""
    wire = Duration()
    _fill_time(wire, max(seconds, 0.0))
    return wire


def _fill_time(wire: Timestamp | Duration, seconds: float) -> None:
    whole, micros = divmod(round(seconds * 1_000_000), 1_000_000)
    wire.seconds = whole
    wire.nanos = micros * 1000


def decision_to_wire(decision: decisions.Decision) -> decision_pb2.Decision:
    """A decision as it is sent."""
    wire = decision_pb2.Decision(
        policy=decision.policy.name,
        rule=decision.rule_name,
        strategy=decision.strategy,
        signals=_signals(decision.signals),
        configuration_fingerprint=decision.fingerprint,
        cause=decision.cause,
    )
    for candidate in decision.candidates:
        deployment = candidate.deployment
        wire.candidates.add(
            deployment=deployment.id,
            model=deployment.model,
            provider=deployment.provider,
            estimated_cost_nano_usd=candidate.estimated_cost,
            max_output_tokens=candidate.token_limit.applied or 0,
        )
    for rejection in decision.rejections:
        wire.rejections.add(
            deployment=rejection.deployment.id, reason=WIRE_REJECTIONS[rejection.reason], detail=rejection.detail
        )
    if decision.candidates:
        _fill_token_limit(wire.token_limit, decision.candidates[0].token_limit)
    return wire


def _signals(signals: decisions.Signals) -> decision_pb2.Signals:
    return decision_pb2.Signals(
        input_tokens=signals.input_tokens,
        language=signals.language,
        complexity=signals.complexity,
        complexity_source=signals.complexity_source.value,
        complexity_score=signals.complexity_score,
        turns=signals.turns,
        capabilities=sorted(capability.value for capability in signals.needs),
        complexity_cause=signals.complexity_cause,
        classifier=signals.classifier,
    )


def _fill_token_limit(wire: decision_pb2.TokenLimit, limit: decisions.TokenLimit) -> None:
    if limit.requested is not None:
        wire.requested = limit.requested
    if limit.applied is not None:
        wire.applied = limit.applied
    wire.reason = limit.reason


def receipt_to_wire(receipt: receipts.Receipt) -> receipt_pb2.Receipt:
    """A receipt as it is sent."""
    wire = receipt_pb2.Receipt()
    _fill_receipt(wire, receipt)
    return wire


def _fill_receipt(wire: receipt_pb2.Receipt, receipt: receipts.Receipt) -> None:
    wire.request_id = receipt.request_id
    wire.tenant = receipt.tenant
    wire.feature = receipt.feature
    wire.tier = receipt.tier
    wire.cost_status = WIRE_COST_STATUSES[receipt.cost_status]
    wire.status = receipt.status
    wire.error_reason = receipt.error_reason
    wire.trace_id = receipt.trace_id
    if receipt.spent_budgets:
        wire.spent_budgets.extend(receipt.spent_budgets)
    for attempt in receipt.attempts:
        _add_attempt(wire, attempt)
    _fill_usage(wire.usage, receipt.usage)
    _fill_time(wire.started_at, receipt.started_at)
    _fill_time(wire.duration, max(receipt.duration, 0.0))
    if receipt.cost is not None:
        wire.cost_nano_usd = receipt.cost
    if receipt.baseline_cost is not None:
        wire.baseline_cost_nano_usd = receipt.baseline_cost
    if receipt.finish_reason is not None:
        wire.finish_reason = WIRE_FINISH_REASONS[receipt.finish_reason]
    if receipt.time_to_first_output is not None:
        _fill_time(wire.time_to_first_output, max(receipt.time_to_first_output, 0.0))
    if receipt.judgements:
        wire.verdicts.extend(verdict_to_wire(judgement) for judgement in receipt.judgements)
        wire.quality = WIRE_QUALITIES[receipt.quality]
    answered = receipt.answered_by
    if answered is not None:
        wire.answer_attempt = answered.number
        wire.deployment = answered.deployment.id
        wire.model = answered.deployment.model
        wire.provider = answered.deployment.provider
    if receipt.decision is not None:
        _add_decision(wire, receipt.decision, answered)


def _add_decision(wire: receipt_pb2.Receipt, decision: decisions.Decision, answered: receipts.Attempt | None) -> None:
    wire.policy = decision.policy.name
    wire.rule = decision.rule_name
    wire.complexity = decision.signals.complexity
    wire.signals.CopyFrom(_signals(decision.signals))
    wire.configuration_fingerprint = decision.fingerprint
    for candidate in decision.candidates:
        # The limit of whoever answered; of the first choice where nobody did.
        if answered is None or candidate.deployment.id == answered.deployment.id:
            _fill_token_limit(wire.token_limit, candidate.token_limit)
            break


def verdict_to_wire(judgement: Judgement) -> receipt_pb2.GateVerdict:
    """What gates made of an answer, as it is sent."""
    wire = receipt_pb2.GateVerdict(
        attempt=judgement.attempt, passed=judgement.passed, score=judgement.score, threshold=judgement.threshold
    )
    for verdict in judgement.verdicts:
        wire.gates.add(name=verdict.gate, passed=verdict.passed, score=verdict.score, reason=verdict.reason)
    return wire


def _add_attempt(receipt: receipt_pb2.Receipt, attempt: receipts.Attempt) -> None:
    deployment = attempt.deployment
    wire = receipt.attempts.add(
        number=attempt.number,
        attempt_id=attempt.attempt_id,
        deployment=deployment.id,
        model=deployment.model,
        provider=deployment.provider,
        reason=WIRE_ATTEMPT_REASONS[attempt.reason],
        outcome=WIRE_OUTCOMES[attempt.outcome],
        cost_status=WIRE_COST_STATUSES[attempt.cost_status],
        error_type=attempt.error_type,
        error_message=attempt.error_message,
        upstream_request_id=attempt.upstream_request_id,
        response_model=attempt.response_model,
        continues_attempt=attempt.continues,
    )
    _fill_time(wire.started_at, attempt.started_at)
    _fill_time(wire.duration, max(attempt.duration, 0.0))
    if attempt.usage is not None:
        _fill_usage(wire.usage, attempt.usage)
    if attempt.cost is not None:
        wire.cost_nano_usd = attempt.cost.total
        _fill_cost(wire.cost, attempt.cost)
    if attempt.time_to_first_output is not None:
        _fill_time(wire.time_to_first_output, max(attempt.time_to_first_output, 0.0))


def _fill_cost(wire: receipt_pb2.CostBreakdown, cost: Cost) -> None:
    wire.input_nano_usd = cost.input
    wire.output_nano_usd = cost.output
    wire.cache_read_nano_usd = cost.cache_read
    wire.cache_write_nano_usd = cost.cache_write
    wire.price_version = cost.price_version


def _fill_usage(wire: chat_pb2.Usage, usage: Usage) -> None:
    wire.input_tokens = usage.input_tokens
    wire.output_tokens = usage.output_tokens
    wire.cached_input_tokens = usage.cached_input_tokens
    wire.cache_write_tokens = usage.cache_write_tokens
    wire.reasoning_tokens = usage.reasoning_tokens
    wire.estimated = usage.estimated


def complete_response(answer: receipts.Answer) -> router_service_pb2.CompleteResponse:
    """A whole answer as it is sent."""
    wire = router_service_pb2.CompleteResponse(
        message=message_to_wire(answer.message), finish_reason=WIRE_FINISH_REASONS[answer.finish_reason]
    )
    _fill_receipt(wire.receipt, answer.receipt)
    if answer.logprobs is not None:
        fill_logprobs(wire.logprobs, answer.logprobs)
    return wire


def delta_response(sequence: int, attempt: int, delta: events.Delta) -> router_service_pb2.StreamCompleteResponse:
    """One piece of output as it is sent: setting fields costs half of passing submessages to constructors."""
    wire = router_service_pb2.StreamCompleteResponse()
    wire.sequence = sequence
    if isinstance(delta, events.TextDelta):
        text = wire.text_delta
        text.attempt = attempt
        text.text = delta.text
    elif isinstance(delta, events.ReasoningDelta):
        reasoning = wire.reasoning_delta
        reasoning.attempt = attempt
        reasoning.text = delta.text
    elif isinstance(delta, events.ToolCallDelta):
        call = wire.tool_call_delta
        call.attempt = attempt
        call.index = delta.index
        call.id = delta.id
        call.name = delta.name
        call.arguments_json = delta.arguments_json
    else:
        wire.logprobs_delta.attempt = attempt
        fill_logprobs(wire.logprobs_delta.logprobs, delta)
    return wire


def attempt_started_to_wire(started: events.AttemptStarted) -> stream_pb2.AttemptStarted:
    """An attempt's announcement as it is sent."""
    return stream_pb2.AttemptStarted(
        attempt=started.number,
        deployment=started.deployment.id,
        model=started.deployment.model,
        provider=started.deployment.provider,
        reason=WIRE_ATTEMPT_REASONS[started.reason],
        continues_attempt=started.continues,
    )


def finished_response(sequence: int, finished: events.Finished) -> router_service_pb2.StreamCompleteResponse:
    """The end of a stream as it is sent, with or without an answer."""
    wire = router_service_pb2.StreamCompleteResponse(sequence=sequence)
    end = wire.finished
    _fill_receipt(end.receipt, finished.receipt)
    if finished.message is not None:
        end.message.CopyFrom(message_to_wire(finished.message))
    if finished.finish_reason is not None:
        end.finish_reason = WIRE_FINISH_REASONS[finished.finish_reason]
    return wire


def deployment_to_wire(status: DeploymentStatus) -> model_pb2.Deployment:
    """A deployment and its health as they are sent."""
    deployment = status.deployment
    wire = model_pb2.Deployment(
        id=deployment.id,
        model=deployment.model,
        provider=deployment.provider,
        capabilities=sorted(capability.value for capability in deployment.capabilities),
        context_window=deployment.context_window,
        max_output_tokens=deployment.max_output_tokens,
        region=deployment.region,
        healthy=not status.cooling_reason,
        unhealthy_reason=status.cooling_reason,
    )
    if deployment.price is not None:
        price = deployment.price
        wire.price.CopyFrom(
            model_pb2.Price(
                input_nano_usd_per_million=price.input.base,
                output_nano_usd_per_million=price.output.base,
                cached_input_nano_usd_per_million=price.cached_input.base,
                cache_write_nano_usd_per_million=price.cache_write.base,
                source=price.version,
            )
        )
    return wire
