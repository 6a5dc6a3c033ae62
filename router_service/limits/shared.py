"""Counters in Redis, shared by all replicas: scripts with the server's time, one round trip each."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files

from router_service.limits.meters import (
    MICROSECONDS,
    NEVER,
    Block,
    Charge,
    Kind,
    Lapse,
    MetersAway,
    Reading,
    Settlement,
    SpendFloor,
    Taken,
)
from router_service.limits.periods import PERIODS, seconds_left
from router_service.storage.redis import RedisAway, RedisConnection

logger = logging.getLogger(__name__)

_BATCH = 64
# How long settlements wait for others to share a round trip with, in seconds.
_GATHER = 0.002
_MOST_WAITING = 200_000
_MOST_SWEPT = 1000
_FITS = -2
_AT_END_OF_PERIOD = -3
_REFUSED, _GRANTED, _USED_UP = 0, 1, 2


def script_text(name: str) -> str:
    """A script of this package, with what all of them begin with."""
    folder = files("router_service.limits") / "scripts"
    return (folder / "calendar.lua").read_text("utf-8") + (folder / f"{name}.lua").read_text("utf-8")


class SharedMeters:
    """`Meters` in Redis. Make it inside a running event loop.

    Settlements are queued and sent in batches, in order, each batch exactly once; while the server is away they wait.
    `on_new_data` is awaited when the server's data is not what this process last counted in: at first, and after a
    restart that lost it. It is the time to `raise_spend` to what the ledger knows.
    """

    def __init__(self, redis: RedisConnection, *, on_new_data: Callable[[], Awaitable[None]] | None = None) -> None:
        self._redis = redis
        self._on_new_data = on_new_data
        self._writer = f"{redis.prefix}writer:{secrets.token_hex(8)}"
        self._leases = f"{redis.prefix}leases"
        self._records = f"{redis.prefix}hold:"
        self._born_key = f"{redis.prefix}born"
        self._take = redis.script(script_text("take"))
        self._settle = redis.script(script_text("settle"))
        self._sweep = redis.script(script_text("sweep"))
        self._raise = redis.script(script_text("raise"))
        self._queue: deque[Settlement] = deque()
        self._batch: list[Settlement] = []
        self._batches = 0
        self._flushing: asyncio.Task[None] | None = None
        self._planned: asyncio.TimerHandle | None = None
        self._born: bytes | None = None
        self._greeting: asyncio.Task[None] | None = None
        self._dropped = 0
        redis.when_back(self._start_flushing)

    @property
    def waiting(self) -> int:
        """How many settlements the server does not have yet."""
        return len(self._queue) + len(self._batch)

    async def take(self, ident: str, charges: Sequence[Charge], *, lease: float = 0.0, note: bytes = b"") -> Taken:
        taken = await self._try(ident, charges, lease, note)
        if taken.blocks and self.waiting:
            # What this process has settled may be the room that was missing.
            await self.flush()
            taken = await self._try(ident, charges, lease, note)
        return taken

    async def _try(self, ident: str, charges: Sequence[Charge], lease: float, note: bytes) -> Taken:
        keys = [self._born_key, self._leases, *self._own_keys(ident), *(self._key(one) for one in charges)]
        numbers = " ".join(
            f"{meter.kind.value} {amount} {meter.cap} {meter.span} {int(meter.enforced)}" for meter, amount in charges
        )
        arguments: list[str | bytes | int] = [ident, round(lease * MICROSECONDS), note, numbers]
        try:
            answer = await self._redis.run(self._take, keys, arguments)
        except RedisAway as exc:
            raise MetersAway from exc
        except asyncio.CancelledError:
            if lease:
                self.settle(Settlement(ident, charges, void=True))
            raise
        return self._taken(answer, charges)

    def settle(self, settlement: Settlement) -> None:
        if len(self._queue) >= _MOST_WAITING:
            self._queue.popleft()
            self._dropped += 1
            if self._dropped % 1000 == 1:
                logger.error("%d settlements dropped: redis is away too long; rebuild from the ledger", self._dropped)
        self._queue.append(settlement)
        if not self._redis.available:
            return
        if len(self._queue) >= _BATCH:
            self._start_flushing()
        elif self._planned is None:
            self._planned = asyncio.get_running_loop().call_later(_GATHER, self._start_flushing)

    async def flush(self) -> None:
        """Wait until the server has all settlements, or is away."""
        await asyncio.wait({self._start_flushing()})

    async def sweep(self) -> list[Lapse]:
        try:
            answer = await self._redis.run(self._sweep, [self._leases], [self._records, _MOST_SWEPT])
        except RedisAway as exc:
            raise MetersAway from exc
        lapses = []
        for ident, record in zip(answer[::2], answer[1::2], strict=True):
            at, _, note = record.partition(b"|")
            lapses.append(Lapse(ident.decode(), note, int(at) / MICROSECONDS))
        return lapses

    async def held(self) -> list[bytes]:
        records: list[bytes | None] = []
        try:
            idents: Sequence[bytes] = await self._redis.command("ZRANGE", self._leases, 0, -1)
            for start in range(0, len(idents), _BATCH):
                keys = [self._records + ident.decode() for ident in idents[start : start + _BATCH]]
                records += await self._redis.command("MGET", *keys)
        except RedisAway as exc:
            raise MetersAway from exc
        notes = [record.partition(b"|")[2] for record in records if record]
        return [note for note in notes if note]

    async def raise_spend(self, floors: Sequence[SpendFloor]) -> None:
        for start in range(0, len(floors), _BATCH):
            some = floors[start : start + _BATCH]
            arguments = [value for floor in some for value in (floor.meter.span, floor.number, floor.nano_usd)]
            keys = [f"{self._redis.prefix}{floor.meter.key}" for floor in some]
            try:
                await self._redis.run(self._raise, keys, arguments)
            except RedisAway as exc:
                raise MetersAway from exc

    async def aclose(self) -> None:
        if self.waiting and self._redis.available:
            await asyncio.wait({self._start_flushing()}, timeout=1.0)
        if self._planned is not None:
            self._planned.cancel()
        tasks = [task for task in (self._flushing, self._greeting) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.waiting:
            logger.error("%d settlements never reached redis; rebuild from the ledger", self.waiting)

    def _own_keys(self, ident: str) -> tuple[str, str]:
        return f"{self._records}{ident}", f"{self._redis.prefix}done:{ident}"

    def _key(self, charge: Charge) -> str:
        return f"{self._redis.prefix}{charge.meter.key}"

    def _taken(self, answer: list[int | bytes], charges: Sequence[Charge]) -> Taken:
        verdict, now, born = answer[0], int(answer[1]), answer[2]
        if born != self._born and (self._greeting is None or self._greeting.done()):
            self._greeting = asyncio.create_task(self._greet())
        if verdict == _USED_UP:
            raise MetersAway  # it was given up meanwhile, so that nobody may count on it
        counts = [int(value) for value in answer[3:]]
        readings = tuple(Reading(used, held) for used, held in zip(counts[::3], counts[1::3], strict=True))
        if verdict == _GRANTED:
            return Taken(readings)
        blocks = []
        for place, wait in enumerate(counts[2::3]):
            if wait == _FITS:
                continue
            if wait == _AT_END_OF_PERIOD:
                left = seconds_left(PERIODS[charges[place].meter.span], now / MICROSECONDS)
                blocks.append(Block(place, NEVER if left is None else int(left * MICROSECONDS)))
            else:
                blocks.append(Block(place, wait))
        return Taken(readings, tuple(blocks))

    async def _greet(self) -> None:
        """Get to know data that is not what this process last counted in: have it completed, then remember its mark."""
        try:
            mark = None
            while mark is None or mark != await self._redis.command("GET", self._born_key):
                await self._redis.command("SET", self._born_key, secrets.token_hex(8), "NX")
                mark = await self._redis.command("GET", self._born_key)
                if self._on_new_data is not None:
                    await self._on_new_data()
            self._born = mark
        except (RedisAway, MetersAway):
            return  # the next answer shows it again
        except Exception:
            logger.exception("budgets could not be rebuilt from the ledger; this is tried again at the next call")

    def _start_flushing(self) -> asyncio.Task[None]:
        if self._planned is not None:
            self._planned.cancel()
            self._planned = None
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        return self._flushing

    async def _flush(self) -> None:
        while self._batch or self._queue:
            if not self._batch:
                self._batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
                self._batches += 1
            keys = [self._writer, self._leases]
            words: list[str] = []
            for settlement in self._batch:
                keys += self._own_keys(settlement.ident)
                words.append(f"{settlement.ident} {int(settlement.lapsed)} {len(settlement.charges)}")
                for charge in settlement.charges:
                    meter = charge.meter
                    keys.append(self._key(charge))
                    reserved = 0 if meter.kind is Kind.SLOTS else charge.amount
                    words.append(f"{meter.kind.value} {reserved} {settlement.actual(charge)} {meter.span}")
            try:
                await self._redis.run(self._settle, keys, [self._batches, " ".join(words)])
            except RedisAway:
                return  # the batch keeps its number; it is sent again once the server is back
            self._batch = []
