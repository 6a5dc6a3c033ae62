"""Thousands of calls of which most meet something bad: the ledger is the provider's journal wherever that was told."""

from __future__ import annotations

from collections import Counter, defaultdict

from benchmarks.postgres_server import PostgresServer
from benchmarks.redis_server import RedisServer
from benchmarks.soak.provider import FAULTS
from benchmarks.soak.report import Row
from benchmarks.state.books import Books, compare, complete
from benchmarks.state.stage import Setting, Stage, staged

CLIENTS = 64

_DEADLINE = 2.5
_RELEASED_WITHIN = 30.0
_BOOKED_WITHIN = 60.0
# Half of the calls meet no fault of the provider; some of those are left by their caller or pass their deadline.
_FEATURES = [*(name for name in FAULTS if name != "wide"), "only-down", *["quick"] * (len(FAULTS) - 1), "hold"]
_CODES = frozenset(
    {"OK", "CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "INTERNAL"}
)


async def chaos(
    redis: RedisServer, postgres: PostgresServer, *, calls: int, booked_within: float = _BOOKED_WITHIN, broken: str = ""
) -> Row:
    """So many calls: faults, streams, callers that leave, deadlines, retries, fallbacks and hedges."""
    row = Row(f"{calls} chaos calls: {len(_FEATURES)} kinds, {CLIENTS} clients, 2 replicas")
    budgets = {"money": {"usd": 1000, "period": "total"}}
    policy = {"hedge": {"after": "60ms", "max_cost_share": 1.0}, "recovery": "restart"}
    async with staged(Setting(budgets=budgets, policy=policy, broken=broken), redis, postgres) as stage:
        made = await stage.called(
            2,
            clients=CLIENTS // 2,
            calls=calls // 2,
            features=_FEATURES,
            deadline=_DEADLINE,
            streams=0.5,
            leavers=0.15,
            long_prompt=True,
        )
        still_open = await stage.provider.ended(_RELEASED_WITHIN)
        row.claim(not still_open, f"{still_open} upstream calls are still open")
        bills = await stage.provider.bills()
        # Who left at once may not have reached a router.
        least = sum(one.code not in {"CANCELLED", "DEADLINE_EXCEEDED"} for one in made)
        books = await complete(stage.database, bills, calls=least, within=booked_within)
        row.figures |= {
            "calls by status": dict(Counter(one.code for one in made)),
            "attempts": len(books.attempts),
            "upstream calls by outcome": dict(Counter(bill.outcome for bill in bills)),
            "cached prompt tokens, of which": sum(bill.cached_input_tokens for bill in bills),
        }
        unexpected = {one.code for one in made} - _CODES
        row.claim(not unexpected, f"calls ended with {sorted(unexpected)}")
        compare(row, books)
        _operations(row, books)
        await _usage(row, stage, books)
        kept = (await stage.settled())["money"]
        row.figures["reserved at the end, nano-USD"] = kept.reserved
        row.claim(not kept.reserved, f"{kept.reserved} nano-USD are still reserved")
    return row


def _operations(row: Row, books: Books) -> None:
    """Calls and attempts are apart, and agree."""
    attempts: defaultdict[str, list[int | None]] = defaultdict(list)
    for attempt in books.attempts:
        attempts[attempt.operation_id].append(attempt.cost)
    row.figures["calls, and those with more than one attempt"] = [
        len(books.operations),
        sum(len(costs) > 1 for costs in attempts.values()),
    ]
    differ = [one for one in books.operations if one.attempts != len(attempts[one.operation_id])]
    row.claim(not differ, f"{len(differ)} calls count other attempts than there are rows")
    known = {name: [cost for cost in costs if cost is not None] for name, costs in attempts.items()}
    wrong = [one for one in books.operations if (one.cost or 0) != sum(known.get(one.operation_id, []))]
    row.claim(not wrong, f"{len(wrong)} calls cost something else than their attempts")
    strangers = attempts.keys() - {one.operation_id for one in books.operations}
    row.claim(not strangers, f"{len(strangers)} calls with attempts have no row")


async def _usage(row: Row, stage: Stage, books: Books) -> None:
    """What `QueryUsage` says is the sum of the rows."""
    usage = await stage.usage()
    statuses = Counter(one.status for one in books.operations)
    wanted = {
        "calls": len(books.operations),
        "cancelled": statuses["CANCELLED"],
        "errors": len(books.operations) - statuses["CANCELLED"] - statuses["OK"],
        "attempts": len(books.attempts),
        "cost_nano_usd": books.cost,
        "settled_cost_nano_usd": sum(one.cost or 0 for one in books.of("settled")),
        "estimated_cost_nano_usd": sum(one.cost or 0 for one in books.of("estimated")),
        "indeterminate_attempts": len(books.of("indeterminate")),
        "input_tokens": sum(one.input_tokens or 0 for one in books.attempts),
        "output_tokens": sum(one.output_tokens or 0 for one in books.attempts),
    }
    for name, value in wanted.items():
        told = getattr(usage, name)
        row.claim(told == value, f"QueryUsage says {told} {name}, the rows {value}")
