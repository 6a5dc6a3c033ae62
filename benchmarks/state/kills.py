"""`kill -9` of one replica after another under load: nothing is lost, and what nobody can know is listed as such."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from benchmarks.postgres_server import PostgresServer
from benchmarks.redis_server import RedisServer
from benchmarks.soak.report import Row
from benchmarks.state.books import Books, compare, complete
from benchmarks.state.budget import hold_of_a_call
from benchmarks.state.load import Made
from benchmarks.state.stage import Setting, Stage, staged

CLIENTS = 60

_DEADLINE = 30.0
# How long after its deadline the owner of a hold counts as gone, and how often routers look, with a margin.
_GONE_AFTER = 60.0
_SWEPT_WITHIN = 40.0
_BOOKED_WITHIN = 60.0
_ENDS_OF_THE_KILLED = frozenset({"UNAVAILABLE"})


async def kills(redis: RedisServer, postgres: PostgresServer, *, times: int, every: float, hasten: bool) -> Row:
    """Kill a replica so many times, every so many seconds, and start it again at once. `hasten` lets the leases of
    what the dead held run out at once, instead of waiting for that."""
    row = Row(f"kill -9 of one of 2 replicas every {every:g} s, {times} times, {CLIENTS} clients")
    budgets = {"money": {"usd": 1000, "period": "total"}}
    async with staged(Setting(budgets=budgets), redis, postgres) as stage:
        fields = {"clients": CLIENTS // 2, "deadline": _DEADLINE, "pause": 0.02, "streams": 0.3}
        down = []
        async with stage.calling(2, **fields) as callers:
            for number in range(times):
                await asyncio.sleep(every)
                router = stage.routers[number % len(stage.routers)]
                began = time.monotonic()
                await router.kill()
                await router.start()
                down.append(time.monotonic() - began)
            await asyncio.sleep(every)
            made = [one for each in await asyncio.gather(*(one.stop() for one in callers)) for one in each]
        await stage.provider.ended(_DEADLINE)
        bills = await stage.provider.bills()
        # A replica that died before it wrote anything of a call has no row of it: those calls failed.
        least = sum(one.code == "OK" for one in made)
        books = await complete(stage.database, bills, calls=least, within=_BOOKED_WITHIN)
        row.figures |= {
            "calls": len(made),
            "calls by status": dict(Counter(one.code for one in made)),
            "seconds until a killed replica serves again": [round(seconds, 1) for seconds in down],
        }
        _judge(row, made, books)
        compare(row, books)
        await _holds(row, stage, books, hasten)
    return row


def _judge(row: Row, made: list[Made], books: Books) -> None:
    requests = {operation.operation_id: operation.request_id for operation in books.operations}
    ended = {one.request_id: one.code for one in made}
    swept = Counter(attempt.operation_id for attempt in books.attempts if attempt.writer == "sweep")
    row.figures["attempts that the sweep ended"] = swept.total()
    more = [operation for operation, count in swept.items() if count > 1]
    row.claim(not more, f"{len(more)} calls have more than one attempt that the sweep ended")
    alive = [operation for operation in swept if ended.get(requests.get(operation, "")) == "OK"]
    row.claim(not alive, f"the sweep ended attempts of {len(alive)} calls that were answered")
    row.claim(swept.total() > 0, "no kill met a call in flight: nothing was tried")
    unknown = {one.code for one in made} - {"OK"} - _ENDS_OF_THE_KILLED
    row.claim(not unknown, f"calls ended with {sorted(unknown)}")
    known = set(requests.values())
    lost = [one.request_id for one in made if one.code == "OK" and one.request_id not in known]
    row.claim(not lost, f"{len(lost)} answered calls are not in the ledger")
    twice = [request for request, count in Counter(requests.values()).items() if count > 1]
    row.claim(not twice, f"{len(twice)} calls have more than one row")


async def _holds(row: Row, stage: Stage, books: Books, hasten: bool) -> None:
    """What the dead held is settled with what the ledger has, or stands where it has nothing."""
    left = stage.holds()
    if hasten:
        stage.hasten_leases(_GONE_AFTER + _DEADLINE)
    ends = time.monotonic() + _SWEPT_WITHIN + (0.0 if hasten else _GONE_AFTER + _DEADLINE)
    while time.monotonic() < ends and stage.holds():  # noqa: ASYNC110 - what changes is elsewhere
        await asyncio.sleep(0.2)
    await asyncio.sleep(0.5)
    kept = (await stage.allowances())["money"]
    hold, unknown = hold_of_a_call(), len(books.of("indeterminate"))
    beyond = kept.used - books.cost
    row.figures |= {
        "holds of the dead, before and after the sweep": [left, stage.holds()],
        "reserved after the sweep, nano-USD": kept.reserved,
        "spent beyond the ledger's known cost, in holds": round(beyond / hold, 2),
        "indeterminate attempts": unknown,
    }
    row.claim(not stage.holds() and not kept.reserved, f"{stage.holds()} holds are left, {kept.reserved} nano-USD")
    # A hold without a row stands as spent: its owner died before it wrote the intent. One whose end is in the ledger
    # may count twice: a router that starts raises the counter to the ledger, and the sweep settles the hold as well.
    row.claim(beyond >= unknown * hold, f"{beyond} nano-USD are counted for {unknown} attempts that held {hold} each")
    row.claim(beyond <= left * hold, f"{beyond} nano-USD are counted beyond the ledger, {left} calls held {hold} each")
