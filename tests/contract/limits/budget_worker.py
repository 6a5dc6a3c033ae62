"""A process whose clients spend a shared budget. Arguments: url, namespace, clients, nano-USD a call, and whether to
die with all its holds open. Prints how many calls were accepted."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

from router_service.config.configuration import RedisSettings
from router_service.config.secret import LiteralSecret
from router_service.domain.error import BudgetSpent
from router_service.domain.limit import Budget, Dimension, LimitRules, Period, Scope, Subject
from router_service.limits.limiter import Limiter
from router_service.limits.shared import SharedMeters
from router_service.storage.redis import RedisConnection

CALLER = Subject(tenant="acme")
LEASE = 1.0


def spending(url: str, namespace: str, nano_usd: int) -> tuple[RedisConnection, Limiter]:
    """A limiter with one budget."""
    redis = RedisConnection(RedisSettings(url=LiteralSecret(url), namespace=namespace, timeout=20.0))
    money = Budget(name="money", nano_usd=nano_usd, period=Period.TOTAL, scope=Scope(per=(Dimension.TENANT,)))
    return redis, Limiter(LimitRules(budgets=(money,)), SharedMeters(redis), wall=time.time)


async def main(url: str, namespace: str, total: int, clients: int, cost: int, dies: bool) -> None:
    redis, limiter = spending(url, namespace, total)
    accepted = held = 0

    async def client(name: str) -> None:
        nonlocal accepted, held
        for call in range(sys.maxsize):
            entry = await limiter.enter(CALLER)
            try:
                hold = await limiter.hold(
                    entry, model="m", tokens=1, nano_usd=cost, attempt_id=f"{name}-{call}", lease=LEASE if dies else 600
                )
            except BudgetSpent:
                return
            held += 1
            if dies and held == clients:
                os.kill(os.getpid(), signal.SIGKILL)
            if dies:
                await asyncio.Event().wait()
            await asyncio.sleep(0)
            accepted += 1
            limiter.settle(hold, tokens=1, nano_usd=cost)
            limiter.leave(entry)

    await asyncio.gather(*(client(f"{os.getpid()}-{number}") for number in range(clients)))
    await limiter.aclose()
    await redis.aclose()
    print(accepted)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], *(int(one) for one in sys.argv[3:6]), sys.argv[6:] == ["dies"]))
