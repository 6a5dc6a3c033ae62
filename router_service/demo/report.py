"""What the demo shows: a table, totals and one trace; or the same as one JSON object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, format_trace_id
from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from llmrouter.v1 import chat_pb2, receipt_pb2
from llmrouter.v1.model_pb2 import Deployment
from llmrouter.v1.receipt_pb2 import Attempt, Receipt
from router_service.demo.counted import counted
from router_service.demo.prompts import titled
from router_service.demo.session import DemoCall, DemoResult
from router_service.spend.money import usd
from router_service.telemetry.tree import draw

_NANO = 1_000_000_000
_TITLE_WIDTH = 34


def as_json(result: DemoResult) -> dict[str, Any]:
    """The result as data. Amounts are USD (and exact in `*_nano_usd`), prices nano-USD per million tokens.

    A call's cost is the sum over its attempts of `uncached input x input + cached x cached_input + written x
    cache_write + output x output`, in millionths, rounded half-even for each attempt.
    """
    prices = {deployment.id: deployment for deployment in result.deployments}
    totals = _Totals(result.calls)
    return {
        "calls": [_call_json(call, prices) for call in result.calls],
        "total_cost_usd": totals.cost / _NANO,
        "baseline_cost_usd": totals.baseline / _NANO,
        "saved_ratio": totals.saved_ratio,
        "spans": _span_counts(result.spans),
        "fallbacks": totals.fallbacks,
        "retries": totals.retries,
        "failed": sum(bool(call.error) for call in result.calls),
    }


def as_table(result: DemoResult) -> Group:
    """The result for people."""
    headers = ("prompt", "feature", "tier", "model", "rule", "attempts", "tokens", "cost", "baseline", "saved")
    columns = (Column(header, overflow="fold") for header in headers)
    table = Table(*columns, header_style="bold", box=None, pad_edge=False)
    for call in result.calls:
        receipt = call.receipt
        table.add_row(
            titled(_short(call.title), call.turn),
            receipt.feature or "-",
            receipt.tier or "-",
            receipt.model or Text(call.error.partition(":")[0], style="red"),
            receipt.rule or "-",
            _path(receipt),
            f"{receipt.usage.input_tokens}+{receipt.usage.output_tokens}",
            usd(receipt.cost_nano_usd) if receipt.HasField("cost_nano_usd") else "unpriced",
            usd(receipt.baseline_cost_nano_usd) if receipt.HasField("baseline_cost_nano_usd") else "-",
            _saved(receipt),
        )
    totals = _Totals(result.calls)
    models = Counter(call.receipt.model for call in result.calls if call.receipt.model)
    summary = Text(
        f"{counted(len(result.calls), 'call')}, {counted(len(models), 'model')}, "
        f"{counted(totals.retries, 'retry', 'retries')}, {counted(totals.fallbacks, 'fallback')}. "
        f"Cost {usd(totals.cost)} instead of {usd(totals.baseline)}: {totals.saved_ratio:.0%} saved."
    )
    return Group(table, Text(), summary, *_one_trace(result))


class _Totals:
    def __init__(self, calls: Sequence[DemoCall]) -> None:
        receipts = [call.receipt for call in calls]
        self.cost = sum(receipt.cost_nano_usd for receipt in receipts)
        self.baseline = sum(receipt.baseline_cost_nano_usd for receipt in receipts)
        self.saved_ratio = (self.baseline - self.cost) / self.baseline if self.baseline else 0.0
        attempts = Counter(attempt.reason for receipt in receipts for attempt in receipt.attempts)
        self.fallbacks = attempts[receipt_pb2.ATTEMPT_REASON_FALLBACK]
        self.retries = attempts[receipt_pb2.ATTEMPT_REASON_RETRY]


def _call_json(call: DemoCall, deployments: Mapping[str, Deployment]) -> dict[str, Any]:
    receipt = call.receipt
    return {
        "prompt": titled(call.title, call.turn),
        "feature": receipt.feature,
        "tier": receipt.tier,
        "model": receipt.model,
        "provider": receipt.provider,
        "rule": receipt.rule,
        "attempts": len(receipt.attempts),
        "tokens": receipt.usage.input_tokens + receipt.usage.output_tokens,
        "cost_usd": receipt.cost_nano_usd / _NANO,
        "baseline_cost_usd": receipt.baseline_cost_nano_usd / _NANO,
        "finish_reason": chat_pb2.FinishReason.Name(receipt.finish_reason).removeprefix("FINISH_REASON_").lower(),
        "cost_nano_usd": receipt.cost_nano_usd,
        "baseline_cost_nano_usd": receipt.baseline_cost_nano_usd,
        "cost_status": receipt_pb2.CostStatus.Name(receipt.cost_status).removeprefix("COST_STATUS_").lower(),
        "error": call.error,
        "attempt_list": [_attempt_json(attempt, deployments[attempt.deployment]) for attempt in receipt.attempts],
    }


def _attempt_json(attempt: Attempt, deployment: Deployment) -> dict[str, Any]:
    price = deployment.price
    return {
        "deployment": attempt.deployment,
        "reason": receipt_pb2.AttemptReason.Name(attempt.reason).removeprefix("ATTEMPT_REASON_").lower(),
        "outcome": receipt_pb2.AttemptOutcome.Name(attempt.outcome).removeprefix("ATTEMPT_OUTCOME_").lower(),
        "error_type": attempt.error_type,
        "input_tokens": attempt.usage.input_tokens,
        "cached_input_tokens": attempt.usage.cached_input_tokens,
        "cache_write_tokens": attempt.usage.cache_write_tokens,
        "output_tokens": attempt.usage.output_tokens,
        "price_nano_usd_per_million": {
            "input": price.input_nano_usd_per_million,
            "cached_input": price.cached_input_nano_usd_per_million,
            "cache_write": price.cache_write_nano_usd_per_million,
            "output": price.output_nano_usd_per_million,
        },
        "cost_nano_usd": attempt.cost_nano_usd,
        "cost_status": receipt_pb2.CostStatus.Name(attempt.cost_status).removeprefix("COST_STATUS_").lower(),
    }


def _span_counts(spans: Sequence[ReadableSpan]) -> dict[str, int]:
    kinds = Counter(span.kind for span in spans)
    return {
        "total": len(spans),
        "server": kinds[SpanKind.SERVER],
        "route": sum(span.name == "llm_router.route" for span in spans),
        "client": kinds[SpanKind.CLIENT],
    }


def _one_trace(result: DemoResult) -> list[Text]:
    """The trace that has most to tell: of the call with the most attempts."""
    if not result.calls:
        return []
    call = max(result.calls, key=lambda call: len(call.receipt.attempts))
    spans = [span for span in result.spans if format_trace_id(span.context.trace_id) == call.receipt.trace_id]
    if not spans:
        return []
    return [
        Text(),
        Text(f"Trace of “{titled(_short(call.title), call.turn)}” ({call.receipt.trace_id})", style="bold"),
        Text(draw(spans)),
    ]


def _path(receipt: Receipt) -> str:
    """Attempts as people read them: a, then a again, then b."""
    if len(receipt.attempts) <= 1:
        return str(len(receipt.attempts))
    steps = [receipt.attempts[0].deployment + _failure(receipt.attempts[0])]
    for attempt in receipt.attempts[1:]:
        again = attempt.reason == receipt_pb2.ATTEMPT_REASON_RETRY
        steps.append(("again" if again else attempt.deployment) + _failure(attempt))
    return f"{len(receipt.attempts)}: {' → '.join(steps)}"


def _failure(attempt: Attempt) -> str:
    return f" ({attempt.error_type})" if attempt.error_type else ""


def _saved(receipt: Receipt) -> str:
    if not receipt.baseline_cost_nano_usd:
        return "-"
    return f"{1 - receipt.cost_nano_usd / receipt.baseline_cost_nano_usd:.0%}"


def _short(title: str) -> str:
    line = " ".join(title.split())
    return line if len(line) <= _TITLE_WIDTH else f"{line[: _TITLE_WIDTH - 1]}…"
