"""Usage, limits and budgets as they are asked for and answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration

from llmrouter.v1 import router_service_pb2, usage_pb2
from router_service.domain.error import PermissionDenied
from router_service.domain.identity import Identity
from router_service.domain.limit import MeterState
from router_service.edge.violations import Violations
from router_service.ledger.usage import Usage, UsageBy, UsageQuery, UsageRow
from router_service.rpc.pages import page_size_of, start_of, start_token
from router_service.rpc.requests import seconds_of
from router_service.rpc.responses import duration

_DIMENSIONS: Mapping[int, UsageBy] = {
    usage_pb2.USAGE_DIMENSION_FEATURE: UsageBy.FEATURE,
    usage_pb2.USAGE_DIMENSION_TIER: UsageBy.TIER,
    usage_pb2.USAGE_DIMENSION_TENANT: UsageBy.TENANT,
    usage_pb2.USAGE_DIMENSION_MODEL: UsageBy.MODEL,
    usage_pb2.USAGE_DIMENSION_PROVIDER: UsageBy.PROVIDER,
    usage_pb2.USAGE_DIMENSION_KEY: UsageBy.KEY,
    usage_pb2.USAGE_DIMENSION_DAY: UsageBy.DAY,
    usage_pb2.USAGE_DIMENSION_EXPERIMENT: UsageBy.EXPERIMENT,
    usage_pb2.USAGE_DIMENSION_ARM: UsageBy.ARM,
    usage_pb2.USAGE_DIMENSION_SHADOW: UsageBy.SHADOW,
}
_WIRE_DIMENSIONS = {dimension: usage_pb2.UsageDimension.ValueType(number) for number, dimension in _DIMENSIONS.items()}
_MICROSECONDS = 1e6


def usage_query_of(request: router_service_pb2.QueryUsageRequest, identity: Identity, *, now: float) -> UsageQuery:
    """The request as a query, of the caller's own tenant unless it may see others. `now` is in epoch seconds.

    Raises `InvalidRequest` with every bad field, `PermissionDenied` where it asks for tenants that are not its own,
    or for shadow calls.
    """
    violations = Violations()
    by: list[UsageBy] = []
    for number, dimension in enumerate(request.group_by):
        known = _DIMENSIONS.get(dimension)
        if known is None or known in by:
            violations.add(f"group_by[{number}]", "must be a dimension, each at most once")
        else:
            by.append(known)
    only: dict[UsageBy, frozenset[str]] = {}
    for number, filtered in enumerate(request.filters):
        known = _DIMENSIONS.get(filtered.dimension)
        if known is None or known is UsageBy.DAY or known in only:
            violations.add(f"filters[{number}].dimension", "must be a dimension other than the day, each at most once")
        elif not filtered.values:
            violations.add(f"filters[{number}].values", "must have a value")
        else:
            only[known] = frozenset(filtered.values)
    until = seconds_of(request.until) if request.HasField("until") else now
    since = seconds_of(request.since) if request.HasField("since") else _month_begins(now)
    if since >= until:
        violations.add("since", "must be before until")
    violations.raise_any()
    if UsageBy.SHADOW in {*by, *only} and not identity.may_administer(""):
        raise PermissionDenied("Shadow calls are the operator's: an administrator sees their usage.")
    return UsageQuery(
        since=since,
        until=until,
        by=tuple(by),
        only=_seen_by(identity, only),
        start=start_of(request.page_token),
        page_size=page_size_of(request.page_size),
    )


def _seen_by(identity: Identity, only: Mapping[UsageBy, frozenset[str]]) -> Mapping[UsageBy, frozenset[str]]:
    """The filters, narrowed to what the caller may see."""
    if identity.may_administer(""):
        return only
    asked = only.get(UsageBy.TENANT, frozenset({identity.tenant}))
    if asked != {identity.tenant}:
        raise PermissionDenied(
            "The caller sees the usage of its own tenant only; an administrator sees that of others.",
            metadata={"tenant": identity.tenant},
        )
    return {**only, UsageBy.TENANT: asked}


def usage_response(usage: Usage) -> router_service_pb2.QueryUsageResponse:
    """A page of usage as it is sent."""
    return router_service_pb2.QueryUsageResponse(
        rows=[_row(row) for row in usage.rows],
        total=_row(usage.total),
        next_page_token=start_token(usage.next_start),
    )


def allowances_response(
    states: Sequence[MeterState], shadow_caps: Sequence[MeterState]
) -> router_service_pb2.GetBudgetResponse:
    """How a caller stands, and the shadows with their caps, as it is sent."""
    return router_service_pb2.GetBudgetResponse(
        allowances=[_allowance(state) for state in states], shadow_caps=[_allowance(state) for state in shadow_caps]
    )


def _allowance(state: MeterState) -> usage_pb2.Allowance:
    return usage_pb2.Allowance(
        name=state.name,
        unit=state.unit,
        scope=state.scope,
        amount=state.amount,
        used=state.used,
        reserved=state.reserved,
        window=state.window,
        mode=state.mode.value if state.mode is not None else "",
        resets_in=None if state.resets_in is None else duration(state.resets_in),
    )


def _row(row: UsageRow) -> usage_pb2.UsageRow:
    return usage_pb2.UsageRow(
        group=[
            usage_pb2.UsageGroupValue(dimension=_WIRE_DIMENSIONS[dimension], value=value)
            for dimension, value in row.group.items()
        ],
        calls=row.calls,
        errors=row.errors,
        cancelled=row.cancelled,
        fallback_calls=row.fallback_calls,
        attempts=row.attempts,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cached_input_tokens=row.cached_input_tokens,
        reasoning_tokens=row.reasoning_tokens,
        cost_nano_usd=row.cost,
        settled_cost_nano_usd=row.settled_cost,
        estimated_cost_nano_usd=row.estimated_cost,
        indeterminate_attempts=row.indeterminate,
        unpriced_attempts=row.unpriced,
        saved_nano_usd=row.saved,
        latency_p50=_latency(row.p50_us),
        latency_p95=_latency(row.p95_us),
        latency_p99=_latency(row.p99_us),
        feedbacks=row.feedbacks,
        mean_score=row.mean_score,
        thumbs_up=row.thumbs_up,
        thumbs_down=row.thumbs_down,
    )


def _latency(microseconds: int | None) -> Duration | None:
    return None if microseconds is None else duration(microseconds / _MICROSECONDS)


def _month_begins(now: float) -> float:
    return datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
