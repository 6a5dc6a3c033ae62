"""What the ledger keeps: a call opened and closed, an attempt intended and ended. Never a prompt, never an answer,
except as the one record of texts, which only an operator who asks for it gets.

OperationOpened ─ ( AttemptIntent ─ AttemptTerminal )* ─ OperationClosed

Operations and attempts are apart: a call is one operation however many attempts it took. Times are microseconds, since
the epoch (`started_us`) or long; money is nano-USD; ids and names are text, empty where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from router_service.domain.call import Call
from router_service.domain.decision import Decision
from router_service.domain.event import AttemptStarted
from router_service.domain.money import CostStatus, Usage
from router_service.domain.quality import Quality
from router_service.domain.receipt import Attempt, Receipt

_LONGEST_UPSTREAM_TEXT = 200
_NO_LABELS: frozenset[str] = frozenset()


class AttemptKind(StrEnum):
    """What an upstream call was for. Whatever costs money is booked, also where no caller sees its answer."""

    COMPLETION = "completion"
    CLASSIFIER = "classifier"
    JUDGE = "judge"
    SHADOW = "shadow"
    HEDGE = "hedge"
    EMBEDDING = "embedding"


class TerminalStatus(StrEnum):
    """What is known of what an attempt was billed.

    `settled`: the provider reported its usage. `estimated`: the router counted, or the report may not have been the
    last one. `indeterminate`: it may have been billed and nobody knows how much. `unbilled`: it was not.
    """

    SETTLED = "settled"
    ESTIMATED = "estimated"
    INDETERMINATE = "indeterminate"
    UNBILLED = "unbilled"


class Writer(StrEnum):
    """Who wrote the end of an attempt or call: the router that made it, or the sweep after that router's death."""

    ROUTER = "router"
    SWEEP = "sweep"


class OperationOpened(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, tag="opened"):
    """A call is about to be served: who asked, what was decided, and all that a policy needs to decide it again.

    `process` names the router process, `fingerprint` the configuration. `asked_model` and `asked_deployment` are what
    the caller named, `asked_complexity` what they called the call, `asked_output_tokens` their own ceiling. `labels`
    are those that the operator has recorded. `arm_honoured` says whether the arm's choice was asked first, `arm_key`
    is a hash of what keeps the arm. A `shadow`'s call is a copy of the call that `parent_id` names, and none of its
    caller's.
    """

    operation_id: str
    request_id: str
    started_us: int
    process: str = ""
    tenant: str = ""
    key_id: str = ""
    feature: str = ""
    tier: str = ""
    task_type: str = ""
    policy: str = ""
    rule: str = ""
    fingerprint: str = ""
    asked_model: str = ""
    asked_deployment: str = ""
    asked_output_tokens: int | None = None
    max_cost_nano_usd: int | None = None
    stream: bool = False
    input_tokens: int = 0
    turns: int = 0
    language: str = ""
    complexity: str = ""
    complexity_source: str = ""
    asked_complexity: str = ""
    needs: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    experiment: str = ""
    arm: str = ""
    arm_honoured: bool = False
    arm_key: str = ""
    shadow: str = ""
    parent_id: str = ""


class OperationClosed(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, tag="closed"):
    """A call ended. `deployment`, `model` and `provider` answered it; they are empty where nobody did.

    `quality_score` is what gates gave the answer, from 0 to 1, and `parent_score` what the gates of a shadow call gave
    the answer it is compared with; `None` where nothing was judged.
    """

    operation_id: str
    status: str
    error_reason: str = ""
    deployment: str = ""
    model: str = ""
    provider: str = ""
    finish_reason: str = ""
    attempts: int = 0
    retries: int = 0
    fallbacks: int = 0
    cost_nano_usd: int | None = None
    cost_status: str = ""
    baseline_nano_usd: int | None = None
    duration_us: int | None = None
    first_output_us: int | None = None
    trace_id: str = ""
    quality: str = ""
    quality_score: float | None = None
    parent_score: float | None = None
    writer: str = Writer.ROUTER.value


class AttemptIntent(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, tag="intent"):
    """An upstream call is about to leave. `reserved_nano_usd` and `reserved_tokens` are what is held for it."""

    attempt_id: str
    operation_id: str
    number: int
    kind: str
    reason: str
    deployment: str
    model: str
    provider: str
    started_us: int
    process: str = ""
    reserved_nano_usd: int | None = None
    reserved_tokens: int | None = None
    price_version: str = ""


class AttemptTerminal(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, tag="terminal"):
    """An upstream call ended, one way or another; it tells all that the intent told, should that be lost.

    Token counts and `cost_nano_usd` are `None` where nothing is known. `outcome` is "unknown" in a sweep's row.
    """

    attempt_id: str
    operation_id: str
    number: int
    kind: str
    reason: str
    deployment: str
    model: str
    provider: str
    started_us: int
    status: str
    cost_status: str
    outcome: str
    process: str = ""
    error_type: str = ""
    finish_reason: str = ""
    upstream_request_id: str = ""
    response_model: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_nano_usd: int | None = None
    price_version: str = ""
    duration_us: int | None = None
    first_output_us: int | None = None
    writer: str = Writer.ROUTER.value


class TextRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, tag="text"):
    """What was asked and answered, where the operator has it recorded; deleted from `expires_us` on.

    `prompt` is a JSON list of {"role": ..., "content": ...}, empty where prompts are not recorded; `answer` likewise.
    """

    operation_id: str
    started_us: int
    expires_us: int
    tenant: str
    feature: str = ""
    prompt: str = ""
    answer: str = ""
    is_cut: bool = False


Record = OperationOpened | OperationClosed | AttemptIntent | AttemptTerminal | TextRecord


def operation_opened(
    call: Call,
    decision: Decision | None,
    *,
    operation_id: str,
    started_at: float,
    process: str = "",
    key_id: str = "",
    recorded_labels: frozenset[str] = _NO_LABELS,
) -> OperationOpened:
    """The opening of a call; without a decision where it failed before one. `started_at` is in seconds."""
    caller, wishes = call.caller, call.wishes
    signals = decision.signals if decision is not None else None
    assignment = decision.assignment if decision is not None else None
    shadow_of = call.shadow_of
    return OperationOpened(
        operation_id=operation_id,
        request_id=call.request_id,
        started_us=microseconds(started_at),
        process=process,
        tenant=call.tenant,
        key_id=key_id,
        feature=caller.feature,
        tier=caller.tier,
        task_type=caller.task_type,
        policy=decision.policy.name if decision is not None else wishes.policy,
        rule=decision.rule_name if decision is not None else "",
        fingerprint=decision.fingerprint if decision is not None else "",
        asked_model=wishes.model,
        asked_deployment=wishes.deployment,
        asked_output_tokens=call.chat.parameters.max_output_tokens,
        max_cost_nano_usd=wishes.max_cost_nano_usd,
        stream=call.stream,
        input_tokens=signals.input_tokens if signals is not None else 0,
        turns=signals.turns if signals is not None else 0,
        language=signals.language if signals is not None else caller.language,
        complexity=signals.complexity if signals is not None else caller.complexity,
        complexity_source=signals.complexity_source.value if signals is not None else "",
        asked_complexity=caller.complexity,
        needs=tuple(sorted(need.value for need in signals.needs)) if signals is not None and signals.needs else (),
        labels=_recorded(caller.labels, recorded_labels) if recorded_labels and caller.labels else {},
        experiment=assignment.experiment if assignment is not None else "",
        arm=assignment.arm if assignment is not None else "",
        arm_honoured=assignment.honoured if assignment is not None else False,
        arm_key=assignment.key if assignment is not None else "",
        shadow=shadow_of.shadow if shadow_of is not None else "",
        parent_id=shadow_of.parent if shadow_of is not None else "",
    )


def operation_closed(receipt: Receipt, *, operation_id: str) -> OperationClosed:
    """The end of a call, however it ended."""
    answered_by = receipt.answered_by
    return OperationClosed(
        operation_id=operation_id,
        status=receipt.status,
        error_reason=receipt.error_reason,
        deployment=answered_by.deployment.id if answered_by is not None else "",
        model=answered_by.deployment.model if answered_by is not None else "",
        provider=answered_by.deployment.provider if answered_by is not None else "",
        finish_reason=receipt.finish_reason.value if receipt.finish_reason is not None else "",
        attempts=len(receipt.attempts),
        retries=receipt.retries,
        fallbacks=receipt.fallbacks,
        cost_nano_usd=receipt.cost,
        cost_status=receipt.cost_status.value,
        baseline_nano_usd=receipt.baseline_cost,
        duration_us=microseconds(receipt.duration),
        first_output_us=_us_or_none(receipt.time_to_first_output),
        trace_id=receipt.trace_id,
        quality=receipt.quality.value if receipt.quality is not Quality.UNJUDGED else "",
        quality_score=receipt.quality_score,
        parent_score=receipt.compared.score if receipt.compared is not None else None,
    )


def attempt_intent(
    started: AttemptStarted,
    *,
    operation_id: str,
    process: str = "",
    kind: AttemptKind = AttemptKind.COMPLETION,
    reserved_nano_usd: int | None = None,
    reserved_tokens: int | None = None,
) -> AttemptIntent:
    """The intent of an attempt that is about to be dispatched, with what the budgets and limits hold for it."""
    deployment = started.deployment
    return AttemptIntent(
        attempt_id=started.attempt_id,
        operation_id=operation_id,
        number=started.number,
        kind=kind.value,
        reason=started.reason.value,
        deployment=deployment.id,
        model=deployment.model,
        provider=deployment.provider,
        started_us=microseconds(started.started_at),
        process=process,
        reserved_nano_usd=reserved_nano_usd,
        reserved_tokens=reserved_tokens,
        price_version=deployment.price.version if deployment.price is not None else "",
    )


def attempt_terminal(
    attempt: Attempt, *, operation_id: str, process: str = "", kind: AttemptKind = AttemptKind.COMPLETION
) -> AttemptTerminal:
    """The terminal row of an ended attempt."""
    deployment, usage, cost = attempt.deployment, attempt.usage, attempt.cost
    version = cost.price_version if cost is not None else ""
    return AttemptTerminal(
        attempt_id=attempt.attempt_id,
        operation_id=operation_id,
        number=attempt.number,
        kind=kind.value,
        reason=attempt.reason.value,
        deployment=deployment.id,
        model=deployment.model,
        provider=deployment.provider,
        started_us=microseconds(attempt.started_at),
        status=terminal_status(attempt.cost_status, usage).value,
        cost_status=attempt.cost_status.value,
        outcome=attempt.outcome.value,
        process=process,
        error_type=attempt.error_type,
        finish_reason=attempt.finish_reason.value if attempt.finish_reason is not None else "",
        upstream_request_id=_bounded(attempt.upstream_request_id),
        response_model=_bounded(attempt.response_model),
        input_tokens=usage.input_tokens if usage is not None else None,
        output_tokens=usage.output_tokens if usage is not None else None,
        cached_input_tokens=usage.cached_input_tokens if usage is not None else None,
        cache_write_tokens=usage.cache_write_tokens if usage is not None else None,
        reasoning_tokens=usage.reasoning_tokens if usage is not None else None,
        cost_nano_usd=cost.total if cost is not None else None,
        price_version=version or (deployment.price.version if deployment.price is not None else ""),
        duration_us=microseconds(attempt.duration),
        first_output_us=_us_or_none(attempt.time_to_first_output),
    )


def swept_terminal(intent: AttemptIntent) -> AttemptTerminal:
    """The end of an attempt whose router died: it may have been billed, nobody knows how much."""
    return AttemptTerminal(
        attempt_id=intent.attempt_id,
        operation_id=intent.operation_id,
        number=intent.number,
        kind=intent.kind,
        reason=intent.reason,
        deployment=intent.deployment,
        model=intent.model,
        provider=intent.provider,
        started_us=intent.started_us,
        status=TerminalStatus.INDETERMINATE.value,
        cost_status=CostStatus.INDETERMINATE.value,
        outcome="unknown",
        process=intent.process,
        error_type="router_died",
        price_version=intent.price_version,
        writer=Writer.SWEEP.value,
    )


def swept_closing(operation_id: str) -> OperationClosed:
    """The end of a call whose router died; its caller saw the connection break."""
    return OperationClosed(
        operation_id=operation_id,
        status="UNAVAILABLE",
        error_reason="ROUTER_DIED",
        cost_status=CostStatus.INDETERMINATE.value,
        writer=Writer.SWEEP.value,
    )


def terminal_status(cost_status: CostStatus, usage: Usage | None) -> TerminalStatus:
    """How an attempt's cost was come by. Without a price the usage decides: it is the price that is not known."""
    match cost_status:
        case CostStatus.UNBILLED:
            return TerminalStatus.UNBILLED
        case CostStatus.ACTUAL:
            return TerminalStatus.SETTLED
        case CostStatus.ESTIMATED | CostStatus.PARTIAL:
            return TerminalStatus.ESTIMATED
        case CostStatus.UNPRICED if usage is not None:
            return TerminalStatus.ESTIMATED if usage.estimated else TerminalStatus.SETTLED
    return TerminalStatus.INDETERMINATE


def _recorded(labels: Mapping[str, str], names: frozenset[str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name in names}


def _bounded(text: str) -> str:
    """What an upstream calls something, as far as it fits and as far as it is text at all."""
    text = text[:_LONGEST_UPSTREAM_TEXT]
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def microseconds(seconds: float) -> int:
    """A time or a duration as the ledger keeps it."""
    return round(seconds * 1_000_000)


def _us_or_none(seconds: float | None) -> int | None:
    return None if seconds is None else microseconds(seconds)
