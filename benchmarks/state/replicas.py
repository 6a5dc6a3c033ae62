"""Three replicas behind one name, with a Redis and a PostgreSQL: one is killed, then all are restarted in turn, under
load of clients with the published service config. No unary call fails, and no stream but those that were open on the
killed replica; the ledger has every call, and budgets count what all replicas spend together."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

from benchmarks.postgres_server import PostgresServer
from benchmarks.redis_server import RedisServer
from benchmarks.soak.report import Row
from benchmarks.state.books import Books, compare, complete
from benchmarks.state.budget import PATIENCE, cost_of_a_call, hold_of_a_call, worth
from benchmarks.state.load import Made
from benchmarks.state.stage import Setting, Stage, staged

REPLICAS = 3

_DEADLINE = 30.0
_LAME_DUCK = "300ms"
# Long enough for all callers to know all replicas before one of them leaves.
_SETTLES = 0.5
_BOOKED_WITHIN = 120.0
_COUNTED = "counted"
_REFUSED = "BUDGET_EXHAUSTED"


async def replicas(
    redis: RedisServer,
    postgres: PostgresServer,
    *,
    rounds: int,
    clients: int,
    calls: int,
    patience: float = PATIENCE,
) -> Row:
    """So many rounds of a kill and a roll, then one budget worth so many calls, spent at all replicas."""
    row = Row(f"{REPLICAS} replicas: {rounds} x (kill -9 of one, SIGTERM to each), {clients} clients, published config")
    setting = Setting(
        replicas=REPLICAS,
        server={"lame_duck": _LAME_DUCK},
        budgets={
            "money": {"usd": 1000, "period": "total"},
            _COUNTED: {"usd": worth(calls), "period": "total", "match": {"feature": _COUNTED}, "fail": "closed"},
        },
    )
    async with staged(setting, redis, postgres) as stage:
        fields = {"clients": clients // 2, "published": True, "deadline": _DEADLINE}
        killed_at = []
        async with stage.calling(2, **fields, pause=0.05, streams=0.3) as callers:
            for number in range(rounds):
                killed_at.append(await _kill(stage, number % REPLICAS))
                await _roll(stage)
            made = [one for each in await asyncio.gather(*(one.stop() for one in callers)) for one in each]
        spent = await stage.called(2, **fields, features=[_COUNTED], patience=patience)
        await stage.provider.ended(_DEADLINE)
        bills = await stage.provider.bills()
        answered = sum(one.code == "OK" for one in (*made, *spent))
        books = await complete(stage.database, bills, calls=answered, within=_BOOKED_WITHIN)
        _judge_calls(row, made, killed_at)
        _judge_ledger(row, [*made, *spent], books)
        compare(row, books)
        await _judge_budgets(row, stage, spent, books, calls)
    return row


async def _kill(stage: Stage, number: int) -> float:
    """Kill it amid the load, and start it again; returns when."""
    await _known(stage)
    at = time.monotonic()
    await stage.routers[number].kill()
    await stage.routers[number].start()
    return at


async def _roll(stage: Stage) -> None:
    """Restart all, each once the one before has proved itself: so does a deployment."""
    for router in stage.routers:
        await _known(stage)
        await router.stop()
        await router.start()
    await _known(stage)


async def _known(stage: Stage) -> None:
    await asyncio.gather(*(router.called() for router in stage.routers))
    await asyncio.sleep(_SETTLES)


def _judge_calls(row: Row, made: Sequence[Made], killed_at: Sequence[float]) -> None:
    failed = [one for one in made if one.code != "OK"]
    row.figures |= {
        "unary calls": sum(not one.stream for one in made),
        "streams": sum(one.stream for one in made),
        "failed unary calls": sum(not one.stream for one in failed),
        "streams that a kill broke": sum(one.stream for one in failed),
    }
    unary = Counter(f"{one.code} {one.reason}" for one in failed if not one.stream)
    row.claim(not unary, f"unary calls failed: {dict(unary)}")
    others = [
        one
        for one in failed
        if one.stream
        and (one.code != "UNAVAILABLE" or not any(one.began <= at <= one.began + one.took for at in killed_at))
    ]
    row.claim(not others, f"{len(others)} streams failed that no kill met: {Counter(one.code for one in others)}")
    row.claim(any(one.stream for one in made), "nobody streamed: nothing was tried")


def _judge_ledger(row: Row, made: Sequence[Made], books: Books) -> None:
    """Claim that each answered call was answered once. One that a killed replica had begun may have a row of that, too:
    its client repeated it under the same request id."""
    rows = Counter(one.request_id for one in books.operations if one.status == "OK")
    answered = [one.request_id for one in made if one.code == "OK"]
    lost = [request for request in answered if not rows[request]]
    twice = [request for request in answered if rows[request] > 1]
    row.claim(not lost, f"{len(lost)} answered calls are not in the ledger as such")
    row.claim(not twice, f"{len(twice)} calls were answered more than once")


async def _judge_budgets(row: Row, stage: Stage, spent: Sequence[Made], books: Books, calls: int) -> None:
    """Claim that exactly so many calls were accepted, and that the counter of all calls is the ledger's cost and, at
    most, what the killed replica held: what of that was swept meanwhile stands as spent where nobody knows its cost."""
    accepted = sum(one.code == "OK" for one in spent)
    others = Counter(f"{one.code} {one.reason}" for one in spent if one.code != "OK" and one.reason != _REFUSED)
    row.claim(accepted == calls, f"{accepted} calls were accepted on a budget worth {calls}")
    row.claim(not others, f"calls ended otherwise than accepted or refused: {dict(others)}")
    held, hold, cost = stage.holds(), hold_of_a_call(), cost_of_a_call()
    unknown = len(books.of("indeterminate"))
    row.figures |= {f"accepted on a budget worth {calls} calls": accepted, "holds of the killed": held}
    for number in range(len(stage.routers)):
        used = (await stage.allowances(_COUNTED, replica=number))[_COUNTED].used
        row.claim(used == calls * cost, f"replica {number} says {used} nano-USD of {_COUNTED}, not {calls * cost}")
        beyond = (await stage.allowances(replica=number))["money"].used - books.cost
        row.claim(
            0 <= beyond <= (held + unknown) * hold, f"replica {number} counts {beyond} nano-USD beyond the ledger"
        )
