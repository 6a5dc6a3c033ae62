"""What was used and what it cost, from the ledger's rows: the same figures from SQLite and PostgreSQL.

A call counts where and when it began, for the model that answered it; an attempt for its own model, when it began.
Latencies are exact: the nearest rank among the rows, of calls that were answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from router_service.domain.limit import SettledSpend, Subject
from router_service.ledger.records import AttemptKind, microseconds
from router_service.storage.database import Database, Row, Value

# SQLite takes a thousand and more, PostgreSQL many more.
_IDS_AT_ONCE = 500
_DAY_US = 86_400_000_000
_HOUR_US = 3_600_000_000


class UsageBy(StrEnum):
    """What usage can be grouped by and limited to. Days are UTC, written 2026-11-25.

    Shadow calls are no caller's usage: they count only in queries that name `SHADOW`.
    """

    FEATURE = "feature"
    TIER = "tier"
    TENANT = "tenant"
    MODEL = "model"
    PROVIDER = "provider"
    KEY = "key"
    DAY = "day"
    EXPERIMENT = "experiment"
    ARM = "arm"
    SHADOW = "shadow"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """What began from `since` to before `until` (seconds since the epoch), grouped by each of `by`.

    `only` limits a dimension to some values; days are limited by the times instead. `kinds`, where not empty, counts
    only attempts of these kinds, such as completion or judge. The dearest groups come first; of them, `page_size` from
    the offset `start` on.
    """

    since: float
    until: float
    by: tuple[UsageBy, ...] = ()
    only: Mapping[UsageBy, frozenset[str]] = field(default_factory=dict)
    kinds: frozenset[str] = frozenset()
    start: int = 0
    page_size: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """One group. Money is nano-USD, latencies microseconds, `None` where no call was answered.

    `errors` are calls that ended in another status than OK, callers that left (`cancelled`) aside. `fallback_calls` are
    those that another candidate had to serve. `cost` is what is known: `settled_cost` reported by providers and
    `estimated_cost` counted by the router. Not in it are `indeterminate` attempts, which may have been billed, and
    `unpriced` ones. `saved` is the baseline's cost less the call's own, over calls of which both are known. `feedbacks`
    are those on these calls, whenever they were given; `mean_score` is over those with a score, `None` without any.
    """

    group: Mapping[UsageBy, str]
    calls: int = 0
    errors: int = 0
    cancelled: int = 0
    fallback_calls: int = 0
    saved: int = 0
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0
    cost: int = 0
    settled_cost: int = 0
    estimated_cost: int = 0
    indeterminate: int = 0
    unpriced: int = 0
    p50_us: int | None = None
    p95_us: int | None = None
    p99_us: int | None = None
    feedbacks: int = 0
    mean_score: float | None = None
    thumbs_up: int = 0
    thumbs_down: int = 0

    @property
    def thumbs_up_share(self) -> float | None:
        """The share of thumbs that are up, from 0 to 1; `None` without any."""
        thumbs = self.thumbs_up + self.thumbs_down
        return self.thumbs_up / thumbs if thumbs else None

    @property
    def error_rate(self) -> float:
        """The share of calls that failed, from 0 to 1."""
        return self.errors / self.calls if self.calls else 0.0

    @property
    def fallback_rate(self) -> float:
        """The share of calls that fell back, from 0 to 1."""
        return self.fallback_calls / self.calls if self.calls else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """A page of groups, the sum over all groups, and where the next page starts (`None`: this is the last)."""

    rows: Sequence[UsageRow]
    total: UsageRow
    next_start: int | None


@dataclass(frozen=True, slots=True)
class Booked:
    """What an ended attempt used: tokens of input and output, and nano-USD; `None` where nobody knows."""

    tokens: int | None
    nano_usd: int | None


class UsageReader:
    """Asks the ledger. Every method raises `StorageError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def usage(self, query: UsageQuery) -> Usage:
        """The groups of a query and their sum."""
        [total] = await self._rows(query, ()) or [UsageRow(group={})]
        rows = await self._rows(query, query.by) if query.by else [total]
        rows.sort(key=lambda row: (-row.cost, -row.calls, tuple(row.group.values())))
        end = query.start + query.page_size
        return Usage(rows=rows[query.start : end], total=total, next_start=end if end < len(rows) else None)

    async def settled_spend(self, since: float, *, without: Collection[str] = ()) -> list[SettledSpend]:
        """What was spent on attempts that began at `since` or later (seconds since the epoch), by subject, model and
        hour: what budgets' counters are made of anew. `at` is the hour's beginning. Attempts of the ids in `without`
        are left out."""
        since_us = microseconds(since)
        every = await self._database.fetch(_SPEND.format(only=""), since_us)
        spent = Counter({row[:-1]: _number(row[-1]) for row in every})
        left_out = sorted(without)
        for start in range(0, len(left_out), _IDS_AT_ONCE):
            some = left_out[start : start + _IDS_AT_ONCE]
            marks = ", ".join(f"${number}" for number in range(2, len(some) + 2))
            only = f"AND a.attempt_id IN ({marks})"
            for row in await self._database.fetch(_SPEND.format(only=only), since_us, *some):
                # One that ended after the first look was no part of it, and may be all there is of its place.
                spent[row[:-1]] -= _number(row[-1])
        return [
            SettledSpend(
                subject=Subject(tenant=tenant, key=key, feature=feature, tier=tier, shadow=shadow),
                model=model,
                at=hour * 3600.0,
                nano_usd=nano_usd,
            )
            for (tenant, key, feature, tier, shadow, model, hour), nano_usd in spent.items()
            if nano_usd > 0
        ]

    async def booked(self, attempt_id: str) -> Booked | None:
        """What one attempt was booked with; `None` where it has no end yet."""
        found = await self._database.fetch(_BOOKED, attempt_id)
        return Booked(*found[0]) if found else None

    async def _rows(self, query: UsageQuery, by: tuple[UsageBy, ...]) -> list[UsageRow]:
        groups: dict[tuple[Value, ...], dict[str, int | float | None]] = {}
        for part in (_CALLS, _LATENCIES, _ATTEMPTS, _FEEDBACK):
            sql, args = part.sql(query, by)
            for row in await self._database.fetch(sql, *args):
                key = tuple(row[: len(by)])
                groups.setdefault(key, {}).update(part.figures(row[len(by) :]))
        return [
            UsageRow(group=_named(by, key), **figures)  # type: ignore[arg-type]
            for key, figures in groups.items()
            if figures.get("calls") or figures.get("attempts")
        ]


_BOOKED = (
    "SELECT CASE WHEN status = 'unbilled' THEN 0 ELSE input_tokens + output_tokens END, "
    "CASE WHEN status = 'unbilled' THEN 0 ELSE cost_nano_usd END "
    "FROM ledger_attempts WHERE attempt_id = $1 AND closed_by IS NOT NULL"
)


def _number(value: Value) -> int:
    assert isinstance(value, int)
    return value


def _named(by: tuple[UsageBy, ...], key: tuple[Value, ...]) -> dict[UsageBy, str]:
    return {one: _day(value) if one is UsageBy.DAY else str(value) for one, value in zip(by, key, strict=True)}


def _day(number: Value) -> str:
    return datetime.fromtimestamp(_number(number) * 86_400, UTC).strftime("%Y-%m-%d")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One statement of a query: its columns by their names in `UsageRow`, with the table's own names of dimensions."""

    columns: Mapping[str, str]
    table: str
    dimensions: Mapping[UsageBy, str]
    began: str
    of_callers: str
    condition: str = ""
    kind: str = ""
    ranked: bool = False

    def figures(self, row: Row) -> dict[str, int | float | None]:
        return dict(zip(self.columns, row, strict=True))

    def sql(self, query: UsageQuery, by: tuple[UsageBy, ...]) -> tuple[str, list[Value]]:
        args: list[Value] = [microseconds(query.since), microseconds(query.until)]
        conditions = [f"{self.began} >= $1", f"{self.began} < $2"]
        if self.condition:
            conditions.append(self.condition)
        if UsageBy.SHADOW not in {*query.by, *query.only}:
            conditions.append(self.of_callers)
        only = [(self.dimensions[one], values) for one, values in query.only.items()]
        if self.kind and query.kinds:
            only.append((self.kind, query.kinds))
        for column, values in only:
            marks = []
            for value in sorted(values):
                args.append(value)
                marks.append(f"${len(args)}")
            conditions.append(f"{column} IN ({', '.join(marks)})" if marks else "1 = 0")
        named = [f"{self.dimensions[one]} AS by_{one}" for one in by]
        names = [f"by_{one}" for one in by]
        source = f"{self.table} WHERE {' AND '.join(conditions)}"
        if self.ranked:
            partition = ", ".join(self.dimensions[one] for one in by)
            over = f"PARTITION BY {partition}" if partition else ""
            ranks = f"row_number() OVER ({over} ORDER BY duration_us) AS place, count(*) OVER ({over}) AS size"
            source = f"(SELECT {', '.join([*named, 'duration_us', ranks])} FROM {source}) AS ranked"  # noqa: S608 - names of this file only
            named = names
        columns = [*named, *self.columns.values()]
        grouped = f" GROUP BY {', '.join(names)}" if names else ""
        return f"SELECT {', '.join(columns)} FROM {source}{grouped}", args  # noqa: S608 - names of this file only


def _count(condition: str) -> str:
    return f"coalesce(sum(CASE WHEN {condition} THEN 1 ELSE 0 END), 0)"


def _sum(column: str, condition: str = "") -> str:
    return f"coalesce(sum(CASE WHEN {condition} THEN {column} END), 0)" if condition else f"coalesce(sum({column}), 0)"


_OF_CALLS = {
    UsageBy.FEATURE: "feature",
    UsageBy.TIER: "tier",
    UsageBy.TENANT: "tenant",
    UsageBy.MODEL: "model",
    UsageBy.PROVIDER: "provider",
    UsageBy.KEY: "key_id",
    UsageBy.DAY: f"started_us / {_DAY_US}",
    UsageBy.EXPERIMENT: "experiment",
    UsageBy.ARM: "arm",
    UsageBy.SHADOW: "shadow",
}

_OF_ATTEMPTS = {
    UsageBy.FEATURE: "coalesce(o.feature, '')",
    UsageBy.TIER: "coalesce(o.tier, '')",
    UsageBy.TENANT: "coalesce(o.tenant, '')",
    UsageBy.MODEL: "a.model",
    UsageBy.PROVIDER: "a.provider",
    UsageBy.KEY: "coalesce(o.key_id, '')",
    UsageBy.DAY: f"a.started_us / {_DAY_US}",
    UsageBy.EXPERIMENT: "coalesce(o.experiment, '')",
    UsageBy.ARM: "coalesce(o.arm, '')",
    UsageBy.SHADOW: "coalesce(o.shadow, '')",
}

_CALLS = _Part(
    columns={
        "calls": "count(*)",
        "errors": _count("status NOT IN ('', 'OK', 'CANCELLED')"),
        "cancelled": _count("status = 'CANCELLED'"),
        "fallback_calls": _count("fallbacks > 0"),
        "saved": _sum("baseline_nano_usd - cost_nano_usd"),
    },
    table="ledger_operations",
    dimensions=_OF_CALLS,
    began="started_us",
    of_callers="shadow = ''",
)

_LATENCIES = _Part(
    columns={
        f"p{share}_us": f"min(CASE WHEN place * 100 >= size * {share} THEN duration_us END)" for share in (50, 95, 99)
    },
    table="ledger_operations",
    dimensions=_OF_CALLS,
    began="started_us",
    of_callers="shadow = ''",
    condition="status = 'OK' AND duration_us IS NOT NULL",
    ranked=True,
)

_ATTEMPTS = _Part(
    columns={
        "attempts": "count(*)",
        "input_tokens": _sum("a.input_tokens"),
        "output_tokens": _sum("a.output_tokens"),
        "cached_input_tokens": _sum("a.cached_input_tokens"),
        "reasoning_tokens": _sum("a.reasoning_tokens"),
        "cost": _sum("a.cost_nano_usd"),
        "settled_cost": _sum("a.cost_nano_usd", "a.status = 'settled'"),
        "estimated_cost": _sum("a.cost_nano_usd", "a.status = 'estimated'"),
        "indeterminate": _count("a.status = 'indeterminate'"),
        "unpriced": _count("a.cost_status = 'unpriced'"),
    },
    table="ledger_attempts a LEFT JOIN ledger_operations o ON o.operation_id = a.operation_id",
    dimensions=_OF_ATTEMPTS,
    began="a.started_us",
    of_callers=f"a.kind <> '{AttemptKind.SHADOW}'",
    kind="a.kind",
)

_FEEDBACK = _Part(
    columns={
        "feedbacks": "count(*)",
        "mean_score": "avg(f.score)",
        "thumbs_up": _count("f.thumbs = 'up'"),
        "thumbs_down": _count("f.thumbs = 'down'"),
    },
    table="ledger_feedback f JOIN ledger_operations o ON o.operation_id = f.operation_id",
    dimensions={one: f"o.{column}" for one, column in _OF_CALLS.items()},
    began="f.started_us",
    of_callers="o.shadow = ''",
)

_SPEND = f"""
SELECT coalesce(o.tenant, ''), coalesce(o.key_id, ''), coalesce(o.feature, ''), coalesce(o.tier, ''),
    coalesce(o.shadow, ''), a.model, a.started_us / {_HOUR_US} AS hour, sum(a.cost_nano_usd)
FROM ledger_attempts a LEFT JOIN ledger_operations o ON o.operation_id = a.operation_id
WHERE a.started_us >= $1 AND a.cost_nano_usd IS NOT NULL {{only}}
GROUP BY o.tenant, o.key_id, o.feature, o.tier, o.shadow, a.model, a.started_us / {_HOUR_US}
ORDER BY hour, 1, 2, 3, 4, 5, 6
"""  # noqa: S608 - names of this file only
