"""What administrators and accountants send: questions about usage and budgets, and changes of API keys."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from llmrouter.options import BudgetOptions, KeyOptions, UsageOptions
from llmrouter.v1.admin_service_pb2 import CreateKeyRequest, Grants
from llmrouter.v1.call_pb2 import Caller
from llmrouter.v1.router_service_pb2 import GetBudgetRequest, QueryUsageRequest
from llmrouter.v1.usage_pb2 import UsageDimension, UsageFilter

_GRANTS = ("features", "models", "policies", "tiers", "roles")
_DIMENSIONS = {
    name.removeprefix("USAGE_DIMENSION_").lower(): number for name, number in UsageDimension.items() if number
}


def usage_request(page_token: str, options: UsageOptions) -> QueryUsageRequest:
    """A page of usage. Raises `ValueError` for a dimension that does not exist."""
    group_by = options.get("group_by") or ()
    return QueryUsageRequest(
        group_by=[_dimension(name) for name in ([group_by] if isinstance(group_by, str) else group_by)],
        filters=[
            UsageFilter(dimension=_dimension(name), values=[values] if isinstance(values, str) else values)
            for name, values in (options.get("only") or {}).items()
        ],
        since=_timestamp(options.get("since")),
        until=_timestamp(options.get("until")),
        page_size=1000,
        page_token=page_token,
    )


def budget_request(options: BudgetOptions) -> GetBudgetRequest:
    """How the caller stands with calls of this kind."""
    caller = Caller(feature=options.get("feature") or "", tier=options.get("tier") or "")
    return GetBudgetRequest(caller=caller, model=options.get("model") or "")


def key_request(name: str, options: KeyOptions) -> CreateKeyRequest:
    """A key that is to be made. Raises `ValueError` for a text where names belong."""
    given: Mapping[str, Any] = options
    return CreateKeyRequest(
        name=name,
        tenant=options.get("tenant") or "",
        grants=Grants(
            **{field: _names(field, given.get(field)) for field in _GRANTS},
            default_tier=options.get("default_tier") or "",
            max_concurrent_calls=options.get("max_concurrent_calls"),
        ),
        expires_at=_timestamp(options.get("expires_at")),
    )


def _names(field: str, names: Any) -> list[str]:
    if names == "*":
        return ["*"]
    if isinstance(names, str):
        raise ValueError(f'{field} is a list of names, or "*" for all, not {names!r}')
    return list(names or ())


def _dimension(name: str) -> UsageDimension.ValueType:
    if name not in _DIMENSIONS:
        raise ValueError(f"There is no dimension {name!r}: usage has {', '.join(_DIMENSIONS)}")
    return _DIMENSIONS[name]


def _timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone: write datetime(..., tzinfo=timezone.utc)")
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp
