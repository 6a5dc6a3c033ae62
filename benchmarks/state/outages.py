"""Redis refused, silent, read-only, and back without its data: what callers see, and what the counters say after."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.postgres_server import PostgresServer
from benchmarks.redis_server import RedisServer
from benchmarks.soak.report import Row
from benchmarks.soak.watch import percentile
from benchmarks.state.books import compare, complete
from benchmarks.state.budget import cost_of_a_call, worth
from benchmarks.state.load import Made
from benchmarks.state.stage import Setting, Stage, staged

CLIENTS = 24
TIMEOUT = 0.25
"""The longest wait of a router for Redis, in seconds."""

_DEADLINE = 30.0
_BACK_WITHIN = 60.0
# Added by an absence, however busy the machine: a call that waits for longer is one that hangs.
_NEVER_LONGER = 15.0
# Routers raise counters to the ledger at once, and for the last time 15 s later.
_COUNTED_WITHIN = 90.0
_BOOKED_WITHIN = 120.0
_OPEN, _CLOSED, _TIGHT = "quick-open", "quick-closed", "quick-tight"


@dataclass(frozen=True, slots=True)
class Absence:
    """A way of being away, and the way back: `at_once`, or after a while. `loses_data` says that counters begin anew,
    `brief` that a short run tries it."""

    name: str
    begin: Callable[[RedisServer], object]
    end: Callable[[RedisServer], object]
    loses_data: bool = False
    at_once: bool = False
    brief: bool = False


ABSENCES = (
    Absence("refused, back without its data", RedisServer.kill, RedisServer.start, loses_data=True),
    Absence("paused", RedisServer.pause, RedisServer.resume),
    Absence(
        "read-only",
        lambda redis: redis.send("REPLICAOF", "127.0.0.1", "1"),
        lambda redis: redis.send("REPLICAOF", "NO", "ONE"),
    ),
    Absence(
        "restarted at once, without its data",
        RedisServer.kill,
        RedisServer.start,
        loses_data=True,
        at_once=True,
        brief=True,
    ),
)


async def redis_away(
    redis: RedisServer, postgres: PostgresServer, absence: Absence, *, seconds: float, timed: bool
) -> Row:
    """One absence for so many seconds, under load. `timed` tells by how much calls took longer."""
    lasts = 0.0 if absence.at_once else seconds
    row = Row(f"Redis {absence.name}: {lasts:g} s away, 2 replicas, {CLIENTS} clients")
    tight = max(20, round(seconds * 20))
    budgets = {
        "open": {"usd": 1000, "period": "total", "match": {"feature": _OPEN}, "fail": "open"},
        "closed": {"usd": 1000, "period": "total", "match": {"feature": _CLOSED}, "fail": "closed"},
        "tight": {"usd": worth(tight), "period": "total", "match": {"feature": _TIGHT}, "fail": "open"},
    }
    # Who is refused a connection waits for no timeout: it may be so long that a busy machine does not pass for absence.
    setting = Setting(budgets=budgets, redis={} if absence.at_once else {"timeout": TIMEOUT})
    async with staged(setting, redis, postgres) as stage:
        features = [_OPEN, _CLOSED, _TIGHT]
        async with stage.calling(1, clients=CLIENTS, deadline=_DEADLINE, pause=0.05, features=features) as callers:
            await asyncio.sleep(seconds)
            began = time.monotonic()
            await asyncio.to_thread(absence.begin, redis)
            try:
                await asyncio.sleep(lasts)
            finally:
                await asyncio.to_thread(absence.end, redis)
            ended = time.monotonic()
            back = await _back(stage)
            await asyncio.sleep(seconds / 2)
            made = await callers[0].stop()
        row.figures["seconds until Redis was used again"] = round(back - ended, 1)
        row.claim(back - ended < _BACK_WITHIN, f"after {_BACK_WITHIN:g} s Redis was not used again")
        _judge(row, made, began, ended if lasts else began, back, timed)
        bills = await stage.provider.bills()
        books = await complete(stage.database, bills, calls=len(made), within=_BOOKED_WITHIN)
        compare(row, books)
        while_away = Counter(one.feature for one in made if one.code == "OK" and began <= one.began + one.took <= back)
        await _counters(row, stage, made, while_away if absence.loses_data else Counter(), tight, absence)
    return row


async def _back(stage: Stage) -> float:
    """When both routers count in Redis again."""
    ends = time.monotonic() + _BACK_WITHIN
    for replica in range(len(stage.routers)):
        while time.monotonic() < ends:
            try:
                await stage.allowances(_CLOSED, replica=replica)
                break
            except Exception:
                await asyncio.sleep(0.1)
    return time.monotonic()


def _judge(row: Row, made: Sequence[Made], began: float, ended: float, back: float, timed: bool) -> None:
    phases = {
        "before": [one for one in made if one.began + one.took < began],
        "away": [one for one in made if began <= one.began and one.began + one.took < ended],
        "after": [one for one in made if one.began > back],
    }
    for phase, calls in phases.items():
        for feature in (_OPEN, _CLOSED, _TIGHT):
            some = [one for one in calls if one.feature == feature]
            if not some:
                continue
            codes = Counter(f"{one.code} {one.reason}".strip() for one in some)
            times = [round(percentile([one.took for one in some], share) * 1000) for share in (0.5, 0.99)]
            row.figures[f"{phase}, {feature}: ms p50 and p99, how they ended"] = f"{times} {dict(codes)}"
    longest = max((one.took for one in made), default=0.0)
    row.claim(not any(one.code == "DEADLINE_EXCEEDED" for one in made), "calls waited until their deadline")
    served = Counter(one.code for one in made if one.feature == _OPEN)
    row.claim(set(served) == {"OK"}, f"what fails open was refused: {dict(served)}")
    for phase in ("before", "after"):
        refused = [one for one in phases[phase] if one.feature == _CLOSED and one.code != "OK"]
        row.claim(not refused, f"what fails closed was refused {phase} the absence: {len(refused)} times")
    # The first to notice waits for its time-out; whoever comes later is refused at once.
    noticed = [one for one in phases["away"] if one.feature == _CLOSED and one.began > began + 2 * TIMEOUT]
    served_away = [one for one in noticed if one.code == "OK"]
    row.claim(not served_away, f"what fails closed was served {len(served_away)} times while Redis was away")
    others = {(one.code, one.reason) for one in made} - {
        ("OK", ""),
        ("RESOURCE_EXHAUSTED", "OVERLOADED"),
        ("RESOURCE_EXHAUSTED", "BUDGET_EXHAUSTED"),
    }
    row.claim(not others, f"calls ended with {sorted(others)}")
    usual = percentile([one.took for one in phases["before"] if one.code == "OK"], 0.99)
    row.claim(longest <= usual + _NEVER_LONGER, f"a call took {longest:.2f} s where {usual:.2f} s are usual")
    if timed:
        row.aim("longest call, s", longest, round(usual + 2 * TIMEOUT, 2))


async def _counters(
    row: Row, stage: Stage, made: Sequence[Made], uncertain: Counter[str], tight: int, absence: Absence
) -> None:
    """Once all is settled, Redis has what the ledger has. Where it lost its data, calls that ended while it was away
    may count twice, by the ledger and by the router that kept them for it; never less than once."""
    cost = cost_of_a_call()
    accepted = Counter(one.feature for one in made if one.code == "OK")
    for name, feature in (("open", _OPEN), ("closed", _CLOSED), ("tight", _TIGHT)):
        least = accepted[feature] * cost
        most = least + uncertain[feature] * cost
        ends = time.monotonic() + _COUNTED_WITHIN
        while True:
            kept = (await stage.allowances(feature))[name]
            if (least <= kept.used <= most and not kept.reserved) or time.monotonic() > ends:
                break
            await asyncio.sleep(0.2)
        counted = [round(kept.used / cost, 2), accepted[feature]]
        row.figures[f"{feature}: counted in Redis and in the ledger, in calls"] = counted
        row.claim(not kept.reserved, f"{name} still reserves {kept.reserved} nano-USD")
        row.claim(kept.used >= least, f"{name} has counted {kept.used} nano-USD, the ledger {least}")
        row.claim(kept.used <= most, f"{name} has counted {kept.used} nano-USD, at most {most} were spent")
    # Each of two replicas may spend half of what was left; what the other held or spent meanwhile is not known to it.
    # Counters that begin anew are raised to what the ledger has by then: on a busy machine that lacks the last seconds,
    # in which all of it may have been spent.
    bound = (2 * tight if absence.loses_data else tight) + CLIENTS
    row.figures["tight: calls accepted, worth, and most"] = [accepted[_TIGHT], tight, bound]
    row.claim(accepted[_TIGHT] <= bound, f"{accepted[_TIGHT]} calls of a budget worth {tight} were accepted")
