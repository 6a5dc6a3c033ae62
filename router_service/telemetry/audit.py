"""One log record per request, for those who must account for calls: who, where to and how dear; never a prompt."""

from __future__ import annotations

import logging
from typing import Any

from router_service.domain.call import Call
from router_service.domain.receipt import Receipt
from router_service.telemetry import semconv

logger = logging.getLogger("llmrouter.audit")


def audit(call: Call, receipt: Receipt) -> None:
    """Log that a request ended, its facts as fields of the record. Free where the logger is off."""
    if logger.isEnabledFor(logging.INFO):
        # `logger.info` would first look for its caller and check each field against the record's own.
        record = logging.LogRecord(logger.name, logging.INFO, __file__, 0, semconv.AUDIT_RECORD, None, None)
        record.__dict__.update(_fields(call, receipt))
        logger.handle(record)


def _fields(call: Call, receipt: Receipt) -> dict[str, Any]:
    decision, answered_by, usage = receipt.decision, receipt.answered_by, receipt.usage
    return {
        "request_id": receipt.request_id,
        "trace_id": receipt.trace_id,
        "tenant": receipt.tenant,
        "feature": receipt.feature,
        "tier": receipt.tier,
        "stream": call.stream,
        "policy": decision.policy.name if decision is not None else "",
        "rule": decision.rule_name if decision is not None else "",
        "deployment": answered_by.deployment.id if answered_by is not None else "",
        "model": answered_by.deployment.model if answered_by is not None else "",
        "attempts": len(receipt.attempts),
        "retries": receipt.retries,
        "fallbacks": receipt.fallbacks,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_nano_usd": receipt.cost,
        "cost_status": receipt.cost_status.value,
        "baseline_cost_nano_usd": receipt.baseline_cost,
        "finish_reason": receipt.finish_reason.value if receipt.finish_reason is not None else "",
        "status": receipt.status,
        "error_reason": receipt.error_reason,
        "duration_seconds": round(receipt.duration, 6),
    }
