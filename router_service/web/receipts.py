"""What a call was: the `llmrouter` object of answers, and the headers that say the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from router_service.domain.money import Usage
from router_service.domain.receipt import Attempt, AttemptOutcome, AttemptReason, Receipt

_NANO = 1e9


def account(receipt: Receipt) -> dict[str, Any]:
    """The `llmrouter` object: cost, path and decision, names as in the receipt of the gRPC API."""
    answered, decision = receipt.answered_by, receipt.decision
    told: dict[str, Any] = {
        "request_id": receipt.request_id,
        "cost_usd": None if receipt.cost is None else receipt.cost / _NANO,
        "cost_nano_usd": receipt.cost,
        "cost_status": receipt.cost_status.value,
        "baseline_cost_usd": None if receipt.baseline_cost is None else receipt.baseline_cost / _NANO,
        "deployment": None if answered is None else answered.deployment.id,
        "model": None if answered is None else answered.deployment.model,
        "provider": None if answered is None else answered.deployment.provider,
        "policy": None if decision is None else decision.policy.name,
        "rule": None if decision is None else decision.rule_name,
        "complexity": None if decision is None else decision.signals.complexity,
        "usage": usage(receipt.usage),
        "attempts": [_attempt(attempt) for attempt in receipt.attempts],
    }
    if decision is not None and (assignment := decision.assignment) is not None:
        told["experiment"] = assignment.experiment
        told["arm"] = assignment.arm
        told["arm_honoured"] = assignment.honoured
    if receipt.trace_id:
        told["trace_id"] = receipt.trace_id
    if receipt.judgements:
        told["quality"] = receipt.quality.value
    if receipt.spent_budgets:
        told["spent_budgets"] = list(receipt.spent_budgets)
    return told


def answer_usage(receipt: Receipt) -> dict[str, Any]:
    """The `usage` of an answer: of the attempt that gave it. What all attempts used is in the account."""
    answered = receipt.answered_by
    return usage(receipt.usage if answered is None or answered.usage is None else answered.usage)


def usage(counted: Usage) -> dict[str, Any]:
    """Token counts in OpenAI's words."""
    return {
        "prompt_tokens": counted.input_tokens,
        "completion_tokens": counted.output_tokens,
        "total_tokens": counted.input_tokens + counted.output_tokens,
        "prompt_tokens_details": {"cached_tokens": counted.cached_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": counted.reasoning_tokens},
    }


def account_headers(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """An account as headers: cost, path and deployment; also of a call that failed. What the router asked models for
    itself is no step of the path."""
    steps = [attempt for attempt in told["attempts"] if not AttemptReason(attempt["reason"]).is_question]
    headers = [("x-llmrouter-attempts", str(len(steps)))]
    if steps:
        headers.append(("x-llmrouter-path", ", ".join(map(_step, steps))))
    if told["cost_nano_usd"] is not None:
        headers.append(("x-llmrouter-cost-usd", dollars(told["cost_nano_usd"])))
    headers.append(("x-llmrouter-cost-status", told["cost_status"]))
    return headers + choice_headers(told["policy"], told["deployment"])


def choice_headers(policy: str | None, deployment: str | None) -> list[tuple[str, str]]:
    """By which policy a call was routed, and who answered it; as far as that is known."""
    chosen = (("policy", policy), ("deployment", deployment))
    return [(f"x-llmrouter-{name}", header_text(value)) for name, value in chosen if value]


def dollars(nano_usd: int) -> str:
    """An amount in USD with all its digits, such as 0.000123."""
    whole, rest = divmod(abs(nano_usd), 10**9)
    digits = f"{rest:09d}".rstrip("0")
    return f"{'-' if nano_usd < 0 else ''}{whole}{'.' if digits else ''}{digits}"


def header_text(text: str) -> str:
    """A name as a header can hold it: percent-encoded where it is not printable ASCII."""
    return quote(text, safe="/:@!$&'()*+;~ ")


def _step(attempt: Mapping[str, Any]) -> str:
    how = "ok" if attempt["outcome"] == AttemptOutcome.SUCCESS else attempt.get("error_type") or attempt["outcome"]
    return f"{header_text(attempt['deployment'])}={header_text(how)}"


def _attempt(attempt: Attempt) -> dict[str, Any]:
    told: dict[str, Any] = {
        "number": attempt.number,
        "deployment": attempt.deployment.id,
        "reason": attempt.reason.value,
        "outcome": attempt.outcome.value,
        "cost_usd": None if attempt.cost is None else attempt.cost.total / _NANO,
        "cost_status": attempt.cost_status.value,
    }
    if attempt.error_type:
        told["error_type"] = attempt.error_type
    return told
