"""One limiter over either kind of counters, with a clock that tests turn."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from redis.commands.core import AsyncScript

from router_service.config.configuration import RedisSettings
from router_service.config.secret import LiteralSecret
from router_service.domain.limit import Budget, Dimension, Limit, LimitRules, Period, Scope, Subject, Unit
from router_service.limits.limiter import Entry, Hold, Limiter
from router_service.limits.local import LocalMeters
from router_service.limits.meters import Meters
from router_service.limits.shared import SharedMeters
from router_service.storage.redis import RedisConnection

NOON = datetime(2026, 11, 25, 12, 30, tzinfo=UTC).timestamp()
CALLER = Subject(tenant="acme", key="k1", feature="chat", tier="free")
PER_TENANT = Scope(per=(Dimension.TENANT,))


class ClockedRedis(RedisConnection):
    """A connection whose scripts read the time from a key that the test sets."""

    def script(self, text: str) -> AsyncScript:
        read = f"local at = redis.call('GET', '{self.prefix}clock')"
        told = f"(function() {read} return {{math.floor(at / 1000000), at % 1000000}} end)()"
        return super().script(text.replace("redis.call('TIME')", told))


class Counters:
    """Counters and their clock, in seconds since 1970."""

    def __init__(self, url: str | None) -> None:
        self.now = NOON
        self.namespace = f"test-{secrets.token_hex(6)}"
        self._url = url
        self._opened: list[RedisConnection] = []
        self.meters: Meters = LocalMeters(lambda: self.now, lambda: self.now)

    async def open(self) -> None:
        if self._url is not None:
            self.meters = await self.connect()

    async def connect(self) -> SharedMeters:
        """What another replica counts with."""
        assert self._url is not None
        options = RedisSettings(url=LiteralSecret(self._url), namespace=self.namespace, timeout=30.0)
        connection = ClockedRedis(options)
        self._opened.append(connection)
        await connection.command("SET", f"{connection.prefix}clock", round(self.now * 1_000_000))
        return SharedMeters(connection)

    async def advance(self, seconds: float) -> None:
        self.now += seconds
        for connection in self._opened[:1]:
            await connection.command("SET", f"{connection.prefix}clock", round(self.now * 1_000_000))

    async def set(self, moment: datetime) -> None:
        await self.advance(moment.timestamp() - self.now)

    async def counted(self) -> None:
        """Wait until everything settled is counted."""
        if isinstance(self.meters, SharedMeters):
            await self.meters.flush()

    def limiter(self, *rules: Limit | Budget) -> Limiter:
        limits = tuple(rule for rule in rules if isinstance(rule, Limit))
        budgets = tuple(rule for rule in rules if isinstance(rule, Budget))
        return Limiter(LimitRules(limits=limits, budgets=budgets), self.meters, wall=lambda: self.now)

    async def aclose(self) -> None:
        await self.meters.aclose()
        for connection in self._opened:
            await connection.aclose()


@asynccontextmanager
async def opened(url: str | None) -> AsyncIterator[Counters]:
    """Counters in process, or in the Redis at `url`."""
    counters = Counters(url)
    try:
        await counters.open()
        yield counters
    finally:
        await counters.aclose()


def requests(amount: int, window: float = 60.0, scope: Scope = PER_TENANT, name: str = "rate") -> Limit:
    return Limit(name=name, unit=Unit.REQUESTS, amount=amount, window=window, scope=scope)


def tokens(amount: int, window: float = 60.0, scope: Scope = PER_TENANT, name: str = "tokens") -> Limit:
    return Limit(name=name, unit=Unit.TOKENS, amount=amount, window=window, scope=scope)


def concurrent(amount: int, scope: Scope = PER_TENANT) -> Limit:
    return Limit(name="at-once", unit=Unit.CONCURRENT, amount=amount, scope=scope)


def budget(nano_usd: int, period: Period = Period.DAY, **others: object) -> Budget:
    return Budget(name="money", nano_usd=nano_usd, period=period, **{"scope": PER_TENANT, **others})


_made = 0


async def hold(
    limiter: Limiter,
    *,
    subject: Subject = CALLER,
    model: str = "gpt-x",
    tokens: int = 0,
    nano_usd: int = 0,
    attempt_id: str = "",
    lease: float = 60.0,
) -> Hold:
    """Hold for an attempt of a call that entered for it."""
    global _made  # noqa: PLW0603 - attempt ids are unique
    _made += 1
    entry: Entry = await limiter.enter(subject)
    return await limiter.hold(
        entry,
        model=model,
        tokens=tokens,
        nano_usd=nano_usd,
        attempt_id=attempt_id or f"attempt-{_made}",
        lease=lease,
    )
