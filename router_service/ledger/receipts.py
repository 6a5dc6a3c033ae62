"""Receipts made again from the ledger's rows, for calls that another process served or that are long ago.

What the ledger does not keep is not in them: the upstream's error texts in the router's words, the parts of a cost, the
token limit, and which attempt went on from which.
"""

from __future__ import annotations

from typing import Any

from router_service.domain.chat import FinishReason, Parameters
from router_service.domain.decision import Assignment, ComplexitySource, Decision, Signals
from router_service.domain.deployment import Capability, Deployment
from router_service.domain.money import Cost, CostStatus, Usage
from router_service.domain.policy import Policy, Rule, When
from router_service.domain.receipt import Attempt, AttemptOutcome, AttemptReason, Receipt
from router_service.ledger.records import AttemptKind, TerminalStatus
from router_service.ledger.store import ATTEMPT_COLUMNS, OPERATION_COLUMNS
from router_service.storage.database import Database

_MICROSECONDS = 1_000_000
# What served the call, and what the router asked for itself: all that its cost is made of.
_SHOWN = tuple(
    kind.value for kind in (AttemptKind.COMPLETION, AttemptKind.HEDGE, AttemptKind.CLASSIFIER, AttemptKind.JUDGE)
)

_CALL = (
    f"SELECT {', '.join(OPERATION_COLUMNS)} FROM ledger_operations "  # noqa: S608 - names of this file only
    "WHERE request_id = $1 AND tenant = $2 AND shadow = '' AND closed_by IS NOT NULL ORDER BY started_us DESC LIMIT 1"
)
_ATTEMPTS = (
    f"SELECT {', '.join(ATTEMPT_COLUMNS)} FROM ledger_attempts "  # noqa: S608 - names of this file only
    "WHERE operation_id = $1 AND closed_by IS NOT NULL AND kind IN ($2, $3, $4, $5) ORDER BY number"
)


async def recorded_receipt(database: Database, tenant: str, request_id: str) -> Receipt | None:
    """The receipt of a tenant's latest ended call under that id; `None` where the ledger has none (yet).

    Raises `StorageError`.
    """
    calls = await database.fetch(_CALL, request_id, tenant)
    if not calls:
        return None
    call = dict(zip(OPERATION_COLUMNS, calls[0], strict=True))
    rows = await database.fetch(_ATTEMPTS, call["operation_id"], *_SHOWN)
    attempts = tuple(_attempt(dict(zip(ATTEMPT_COLUMNS, row, strict=True))) for row in rows)
    return Receipt(
        request_id=call["request_id"],
        tenant=call["tenant"],
        feature=call["feature"],
        tier=call["tier"],
        decision=_decision(call) if call["fingerprint"] else None,
        attempts=attempts,
        usage=sum((attempt.usage for attempt in attempts if attempt.usage is not None), Usage()),
        cost=call["cost_nano_usd"],
        cost_status=CostStatus(call["cost_status"]),
        baseline_cost=call["baseline_nano_usd"],
        finish_reason=_finish_reason(call["finish_reason"]),
        status=call["status"],
        error_reason=call["error_reason"],
        started_at=call["started_us"] / _MICROSECONDS,
        duration=(call["duration_us"] or 0) / _MICROSECONDS,
        time_to_first_output=_seconds(call["first_output_us"]),
        trace_id=call["trace_id"],
        operation_id=call["operation_id"],
    )


def _decision(call: dict[str, Any]) -> Decision:
    """What a receipt shows of the decision."""
    return Decision(
        policy=Policy(name=call["policy"], rules=()),
        rule=Rule(name=call["rule"], when=When(), candidates=()) if call["rule"] else None,
        strategy="",
        candidates=(),
        rejections=(),
        signals=Signals(
            input_tokens=call["input_tokens"],
            language=call["language"],
            complexity=call["complexity"],
            complexity_source=ComplexitySource(call["complexity_source"]),
            complexity_score=None,
            turns=call["turns"],
            needs=frozenset(Capability(need) for need in call["needs"].split(",") if need),
        ),
        parameters=Parameters(),
        cause="",
        fingerprint=call["fingerprint"],
        assignment=Assignment(experiment=call["experiment"], arm=call["arm"], honoured=bool(call["arm_honoured"]))
        if call["experiment"]
        else None,
    )


def _attempt(row: dict[str, Any]) -> Attempt:
    known = row["input_tokens"] is not None
    cost = row["cost_nano_usd"]
    return Attempt(
        number=row["number"],
        attempt_id=row["attempt_id"],
        deployment=Deployment(
            id=row["deployment"], model=row["model"], provider=row["provider"], upstream_name=row["model"]
        ),
        reason=AttemptReason(row["reason"]),
        # A sweep knows of no outcome, except that nobody was answered.
        outcome=AttemptOutcome(row["outcome"]) if row["outcome"] != "unknown" else AttemptOutcome.ERROR,
        started_at=row["started_us"] / _MICROSECONDS,
        duration=(row["duration_us"] or 0) / _MICROSECONDS,
        time_to_first_output=_seconds(row["first_output_us"]),
        usage=_usage(row) if known else None,
        cost=None if cost is None else Cost(total=cost, price_version=row["price_version"]),
        cost_status=CostStatus(row["cost_status"]),
        error_type=row["error_type"],
        finish_reason=_finish_reason(row["finish_reason"]),
        upstream_request_id=row["upstream_request_id"],
        response_model=row["response_model"],
    )


def _usage(row: dict[str, Any]) -> Usage:
    return Usage(
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"] or 0,
        cached_input_tokens=row["cached_input_tokens"] or 0,
        cache_write_tokens=row["cache_write_tokens"] or 0,
        reasoning_tokens=row["reasoning_tokens"] or 0,
        estimated=row["status"] == TerminalStatus.ESTIMATED,
    )


def _finish_reason(text: str) -> FinishReason | None:
    return FinishReason(text) if text else None


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / _MICROSECONDS
