"""Decisions, receipts and budgets as people read them in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import timedelta

from rich.console import Console, Group
from rich.table import Column, Table
from rich.text import Text

from llmrouter.v1 import chat_pb2, decision_pb2, model_pb2, receipt_pb2, usage_pb2
from router_service.demo.counted import counted
from router_service.spend.money import usd

_UNBOUNDED = 10_000


def decision_view(decision: decision_pb2.Decision) -> Group:
    """Candidates in order, rejections with their reasons, and what the decision rests on."""
    signals = decision.signals
    lines = [
        Text.assemble(
            ("rule ", "dim"), decision.rule or "(chosen by the caller)", ("  policy ", "dim"), decision.policy
        ),
        Text.assemble(("why  ", "dim"), decision.cause),
        Text(
            f"about {signals.input_tokens} input tokens, {counted(signals.turns, 'turn')}, "
            f"language {signals.language or 'unknown'}, {signals.complexity} "
            f"({signals.complexity_source.lower()}), output limit {_limit(decision.token_limit)}",
            style="dim",
        ),
    ]
    if decision.provisional:
        lines.append(Text("provisional: a call asks a model how complex it is, which may choose another rule"))
    table = plain_table("", "deployment", "provider", "estimate", "note")
    for position, candidate in enumerate(decision.candidates, start=1):
        priced = candidate.HasField("estimated_cost_nano_usd")
        estimate = usd(candidate.estimated_cost_nano_usd) if priced else "unpriced"
        table.add_row(str(position), candidate.deployment, candidate.provider, estimate, "")
    for rejection in decision.rejections:
        reason = decision_pb2.RejectionReason.Name(rejection.reason).removeprefix("REJECTION_REASON_")
        table.add_row("✗", rejection.deployment, "", "", f"{reason}: {rejection.detail}", style="dim")
    return Group(*lines, table)


def receipt_view(receipt: receipt_pb2.Receipt) -> Group:
    """Every attempt with its outcome and cost, then the totals."""
    table = plain_table("", "deployment", "why", "outcome", "in", "out", "cost", "seconds")
    for attempt in receipt.attempts:
        reason = receipt_pb2.AttemptReason.Name(attempt.reason).removeprefix("ATTEMPT_REASON_").lower()
        outcome = receipt_pb2.AttemptOutcome.Name(attempt.outcome).removeprefix("ATTEMPT_OUTCOME_").lower()
        table.add_row(
            str(attempt.number),
            attempt.deployment,
            reason,
            f"{outcome} {attempt.error_type}".strip(),
            str(attempt.usage.input_tokens) if attempt.HasField("usage") else "-",
            str(attempt.usage.output_tokens) if attempt.HasField("usage") else "-",
            cost_text(attempt),
            f"{attempt.duration.ToTimedelta().total_seconds():.2f}",
            style="" if attempt.outcome == receipt_pb2.ATTEMPT_OUTCOME_SUCCESS else "yellow",
        )
    finish = chat_pb2.FinishReason.Name(receipt.finish_reason).removeprefix("FINISH_REASON_").lower()
    total = [f"{receipt.status}, {finish}" if receipt.status == "OK" else receipt.status, f"cost {cost_text(receipt)}"]
    if receipt.HasField("baseline_cost_nano_usd"):
        total.append(f"baseline {usd(receipt.baseline_cost_nano_usd)}")
    total.append(f"request {receipt.request_id}")
    if receipt.spent_budgets:
        total.append(f"spent: {', '.join(receipt.spent_budgets)}")
    if receipt.trace_id:
        total.append(f"trace {receipt.trace_id}")
    return Group(table, Text("  ".join(total), style="dim"))


def models_view(deployments: list[model_pb2.Deployment]) -> Table:
    """What can be called, with prices per million tokens."""
    table = plain_table("deployment", "model", "provider", "in $/M", "out $/M", "window", "can", "health")
    for deployment in deployments:
        price = deployment.price
        priced = deployment.HasField("price")
        table.add_row(
            deployment.id,
            deployment.model,
            deployment.provider,
            f"{price.input_nano_usd_per_million / 1e9:.2f}" if priced else "unpriced",
            f"{price.output_nano_usd_per_million / 1e9:.2f}" if priced else "",
            str(deployment.context_window) if deployment.HasField("context_window") else "?",
            ", ".join(deployment.capabilities),
            "ok" if deployment.healthy else deployment.unhealthy_reason,
        )
    return table


def allowances_view(allowances: Iterable[usage_pb2.Allowance], shadow_caps: Iterable[usage_pb2.Allowance]) -> Table:
    """How a caller stands with limits and budgets, then shadows with their caps."""
    table = plain_table("", "name", "of", "window", "used", "reserved", "amount", "unit", "renews in")
    rows = [("budget" if one.mode else "limit", one) for one in allowances] + [("shadow", one) for one in shadow_caps]
    for kind, one in rows:
        money = one.unit == "nano_usd"
        amounts = [usd(count) if money else str(count) for count in (one.used, one.reserved, one.amount)]
        renews = str(timedelta(seconds=one.resets_in.seconds)) if one.HasField("resets_in") else ""
        spent = kind != "limit" and one.used >= one.amount
        table.add_row(
            *(kind, one.name, one.scope or "all", one.window, *amounts, "USD" if money else one.unit, renews),
            style="yellow" if spent else "",
        )
    return table


def cost_text(account: receipt_pb2.Attempt | receipt_pb2.Receipt) -> str:
    """A cost with its status where that is anything but certain."""
    status = receipt_pb2.CostStatus.Name(account.cost_status).removeprefix("COST_STATUS_").lower()
    if not account.HasField("cost_nano_usd"):
        return status
    amount = usd(account.cost_nano_usd)
    return amount if status in {"actual", "unbilled"} else f"{amount} ({status})"


def _limit(limit: decision_pb2.TokenLimit) -> str:
    return f"{limit.applied} ({limit.reason})" if limit.HasField("applied") else "none"


def plain_table(*headers: str) -> Table:
    """A table without lines."""
    # Folded and never cut: an id that lost its end names nothing.
    columns = (Column(header, overflow="fold") for header in headers)
    return Table(*columns, box=None, pad_edge=False, header_style="dim")


def terminal() -> Console:
    """Where results go: plain and as wide as they are when piped, for programs that read lines."""
    return _console(stderr=False)


def account() -> Console:
    """Where is told how an answer came about: beside it for people, but not in the file that it is written to."""
    return _console(stderr=not sys.stdout.isatty())


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, highlight=False, soft_wrap=True, width=None if stream.isatty() else _UNBOUNDED)
