"""The database away for a whole run, away for too long, and a disk that takes nothing: nothing is served unrecorded."""

from __future__ import annotations

import asyncio
import resource
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.postgres_server import PostgresServer
from benchmarks.soak.report import Row
from benchmarks.state.books import Books, compare, complete
from benchmarks.state.load import Made
from benchmarks.state.stage import Router, Setting, Stage, single, staged

CLIENTS = 16

_DEADLINE = 30.0
# A shipper that failed often looks again after 15 s; the journal's own thread after one.
_SHIPPED_WITHIN = 180.0
_SERVED_WITHIN = 120.0
_SMALL = 256 * 1024
_SHED = frozenset({("OK", ""), ("RESOURCE_EXHAUSTED", "OVERLOADED")})


async def away(postgres: PostgresServer, *, seconds: float) -> Row:
    """Down for the length of the run: calls are served, the journal grows, and all of it arrives once it is back."""
    row = Row(f"PostgreSQL down for the whole run of {seconds:g} s, 2 replicas, {CLIENTS} clients")
    async with staged(Setting(), None, postgres) as stage:
        empty = stage.journal_bytes()
        async with _without(postgres):
            async with stage.calling(1, clients=CLIENTS, deadline=_DEADLINE, pause=0.02, streams=0.3) as callers:
                await asyncio.sleep(seconds)
                made = await callers[0].stop()
            grown = stage.journal_bytes()
        row.figures["journal bytes, before and after the run"] = [empty, grown]
        row.claim(grown > empty, "the journal did not grow")
        row.claim({one.code for one in made} == {"OK"}, f"calls ended with {dict(Counter(one.code for one in made))}")
        books = await _arrived(row, stage, made, began=time.monotonic())
        row.claim(len(books.operations) == len(made), f"{len(books.operations)} rows for {len(made)} calls")
        await _drained(row, stage)
    return row


async def away_for_too_long(postgres: PostgresServer, *, seconds: float) -> Row:
    """Down until more waits than may: new calls are refused before they reach a provider, and served again later."""
    row = Row(f"PostgreSQL down beyond the bound of {_SMALL // 1024} KiB, {CLIENTS} clients")
    setting = single(Setting(ledger={"max_backlog": _SMALL}))
    async with staged(setting, None, postgres) as stage:
        async with stage.calling(1, clients=CLIENTS, deadline=_DEADLINE, pause=0.02) as callers:
            async with _without(postgres):
                shed = await _until_shed(stage, seconds)
                await asyncio.sleep(1.0)
            again = await _until_served(stage)
            made = await callers[0].stop()
        await _judge_shed(row, stage, made, shed, again)
    return row


async def disk_takes_nothing(*, seconds: float) -> Row:
    """The journal and SQLite may not grow any more: as on a full disk, and then they may again."""
    row = Row(f"a disk that takes nothing, SQLite, {CLIENTS} clients")
    async with staged(single(Setting())) as stage:
        async with stage.calling(1, clients=CLIENTS, deadline=_DEADLINE, pause=0.02, streams=0.3) as callers:
            await asyncio.sleep(1.0)
            with _no_more_bytes(stage.routers[0]):
                shed = await _until_shed(stage, seconds)
                await asyncio.sleep(1.0)
            again = await _until_served(stage)
            made = await callers[0].stop()
        await _judge_shed(row, stage, made, shed, again)
    return row


class _without:  # noqa: N801 - reads as what it is for
    """PostgreSQL is down within the block."""

    def __init__(self, postgres: PostgresServer) -> None:
        self._postgres = postgres

    async def __aenter__(self) -> None:
        await asyncio.to_thread(self._postgres.stop)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._postgres.start)


class _no_more_bytes:  # noqa: N801 - reads as what it is for
    """No file of a router may become longer than it is, within the block."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._before = (0, 0)

    def __enter__(self) -> None:
        # Logs go through a pipe: only what is kept is bounded.
        longest = min(path.stat().st_size for path in self._router.folder.rglob("*.journal"))
        self._before = resource.prlimit(self._router.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self._router.pid, resource.RLIMIT_FSIZE, (longest, self._before[1]))

    def __exit__(self, *_: object) -> None:
        resource.prlimit(self._router.pid, resource.RLIMIT_FSIZE, self._before)


async def _until_shed(stage: Stage, seconds: float) -> float:
    """When calls stop reaching the provider, at the latest after so many seconds."""
    ends = time.monotonic() + seconds
    asked = -1
    while time.monotonic() < ends:
        now = sum((await stage.provider.outcomes()).values())
        if now == asked:
            break
        asked = now
        await asyncio.sleep(0.5)
    return time.monotonic()


async def _until_served(stage: Stage) -> float:
    """When calls reach the provider again."""
    asked = sum((await stage.provider.outcomes()).values())
    ends = time.monotonic() + _SERVED_WITHIN
    while time.monotonic() < ends:
        if sum((await stage.provider.outcomes()).values()) >= asked + CLIENTS:
            break
        await asyncio.sleep(0.2)
    return time.monotonic()


async def _judge_shed(row: Row, stage: Stage, made: Sequence[Made], shed: float, again: float) -> None:
    codes = Counter(f"{one.code} {one.reason}".strip() for one in made)
    row.figures["how calls ended"] = dict(codes)
    others = {(one.code, one.reason) for one in made} - _SHED
    row.claim(not others, f"calls ended with {sorted(others)}")
    refused = [one for one in made if one.reason == "OVERLOADED"]
    row.claim(bool(refused), "no call was refused: nothing was tried")
    row.claim(any(one.code == "OK" and one.began > shed for one in made), "no call was served after it was over")
    row.figures["seconds from being refused to being served again"] = round(again - shed, 1)
    accepted = sum(one.code == "OK" for one in made)
    books = await _arrived(row, stage, [one for one in made if one.code == "OK"], began=again)
    row.claim(len(books.bills) == accepted, f"{len(books.bills)} requests reached the provider, {accepted} were served")
    await _drained(row, stage)


async def _arrived(row: Row, stage: Stage, served: Sequence[Made], *, began: float) -> Books:
    bills = await stage.provider.bills()
    books = await complete(stage.database, bills, calls=len(served), within=_SHIPPED_WITHIN)
    row.figures |= {"calls served": len(served), "seconds until all was there": round(time.monotonic() - began, 1)}
    compare(row, books)
    kept = {operation.request_id for operation in books.operations}
    lost = [one.request_id for one in served if one.request_id not in kept]
    row.claim(not lost, f"{len(lost)} calls that were served are not in the ledger")
    return books


async def _drained(row: Row, stage: Stage) -> None:
    """Nothing waits: routers that end well leave no folder of a journal behind."""
    for router in stage.routers:
        await router.stop()
    left = [path for router in stage.routers for path in _journals(router.folder)]
    row.figures["journals left after a stop"] = len(left)
    row.claim(not left, f"{len(left)} journals still wait to be shipped")


def _journals(folder: Path) -> list[Path]:
    return list(folder.glob("ledger/journal/*/*.journal"))
