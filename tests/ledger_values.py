"""Short ways to write the ledger's records, and to read a journal again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from router_service.domain.deployment import Deployment
from router_service.ledger.records import (
    AttemptIntent,
    AttemptTerminal,
    OperationClosed,
    OperationOpened,
    Record,
    TextRecord,
)
from router_service.ledger.segment import scans

GPT = Deployment(id="gpt-x", model="gpt", provider="openai", upstream_name="gpt-x-0901")
START_US = 1_800_000_000_000_000


def opened(operation_id: str = "op-1", **changes: Any) -> OperationOpened:
    known = {"request_id": f"req-{operation_id}", "started_us": START_US, "tenant": "acme", "feature": "chat"}
    return OperationOpened(operation_id=operation_id, **{**known, **changes})


def closed(operation_id: str = "op-1", **changes: Any) -> OperationClosed:
    known = {"status": "OK", "deployment": "gpt-x", "model": "gpt", "provider": "openai", "duration_us": 1_000_000}
    return OperationClosed(operation_id=operation_id, **{**known, **changes})


def intent(attempt_id: str = "op-1-1", **changes: Any) -> AttemptIntent:
    return AttemptIntent(attempt_id=attempt_id, **{**_attempt(attempt_id), **changes})


def terminal(attempt_id: str = "op-1-1", **changes: Any) -> AttemptTerminal:
    known = {"status": "settled", "cost_status": "actual", "outcome": "success", "cost_nano_usd": 1000}
    return AttemptTerminal(attempt_id=attempt_id, **{**_attempt(attempt_id), **known, **changes})


def text(operation_id: str = "op-1", **changes: Any) -> TextRecord:
    known = {
        "started_us": START_US,
        "expires_us": START_US + 86_400_000_000,
        "tenant": "acme",
        "feature": "chat",
        "prompt": '[{"role":"user","content":"Why?"}]',
        "answer": "Because.",
    }
    return TextRecord(operation_id=operation_id, **{**known, **changes})


def _attempt(attempt_id: str) -> dict[str, Any]:
    operation_id, _, number = attempt_id.rpartition("-")
    return {
        "operation_id": operation_id,
        "number": int(number),
        "kind": "completion",
        "reason": "primary",
        "deployment": "gpt-x",
        "model": "gpt",
        "provider": "openai",
        "started_us": START_US,
        "process": "router-1",
    }


def records_of(folder: Path) -> list[Record]:
    """All records of a process's folder in their order."""
    return [record for scanned in scans(folder) for record in scanned.records]
