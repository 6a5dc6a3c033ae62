"""What limits cost a call: entering, holding, settling and leaving, in process and over a real Redis.

Run `python -m benchmarks.limits`; it takes a few seconds. Prints microseconds per call, and calls per second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.redis_server import RedisMissing, redis_server
from router_service.config.configuration import RedisSettings
from router_service.config.secret import LiteralSecret
from router_service.domain.limit import Budget, Dimension, Limit, LimitRules, Period, Scope, Subject, Unit
from router_service.limits.limiter import Limiter
from router_service.limits.local import LocalMeters
from router_service.limits.meters import Meters
from router_service.limits.shared import SharedMeters
from router_service.storage.redis import RedisConnection

_PER = Scope(per=(Dimension.TENANT, Dimension.FEATURE))
_RULES = LimitRules(
    limits=(
        Limit(name="rpm", unit=Unit.REQUESTS, amount=10**9, window=60.0, scope=_PER),
        Limit(name="tpm", unit=Unit.TOKENS, amount=10**12, window=60.0, scope=_PER),
        Limit(name="at-once", unit=Unit.CONCURRENT, amount=10**6, scope=_PER),
    ),
    budgets=(
        Budget(name="day", nano_usd=10**15, period=Period.DAY, scope=_PER),
        Budget(name="month", nano_usd=10**15, period=Period.MONTH, scope=_PER, degrade_from=0.8),
    ),
)
_TENANTS = 100


async def _calls(limiter: Limiter, calls: int, client: int) -> None:
    for number in range(calls):
        entry = await limiter.enter(Subject(tenant=f"t{number % _TENANTS}", feature="chat"))
        attempt_id = f"{client}-{number}"
        hold = await limiter.hold(entry, model="m", tokens=1000, nano_usd=10**6, attempt_id=attempt_id)
        limiter.settle(hold, tokens=500, nano_usd=5 * 10**5)
        limiter.leave(entry)


async def _measure(name: str, meters: Meters, clients: int, calls: int) -> None:
    limiter = Limiter(_RULES, meters, wall=time.time)
    await _calls(limiter, 100, -1)
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(_calls(limiter, calls // clients, client) for client in range(clients)))
    await limiter.aclose()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(
        f"{name:<12} {clients:>4} clients  {cpu / calls * 1e6:>7.1f} us CPU a call  "
        f"{seconds * clients / calls * 1e6:>8.1f} us latency  {calls / seconds:>8.0f} calls/s"
    )


@asynccontextmanager
async def _shared(url: str) -> AsyncIterator[SharedMeters]:
    redis = RedisConnection(RedisSettings(url=LiteralSecret(url), timeout=5.0))
    try:
        yield SharedMeters(redis)
    finally:
        await redis.aclose()


async def main() -> None:
    """Print one line per way of counting."""
    print("a call: 3 limits, 2 budgets; enter, hold, settle, leave")
    await _measure("in process", LocalMeters(time.monotonic, time.time), 1, 20_000)
    try:
        with redis_server() as server:
            for clients in (1, 16):
                async with _shared(server.url) as meters:
                    await _measure("redis", meters, clients, 3000)
    except RedisMissing as missing:
        print(f"redis: skipped, {missing}")


if __name__ == "__main__":
    asyncio.run(main())
