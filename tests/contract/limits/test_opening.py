"""Limits as the application opens them."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys

import pytest

from benchmarks.redis_server import RedisServer
from router_service.config.configuration import RedisSettings
from router_service.config.secret import LiteralSecret
from router_service.domain.error import LimitReached
from router_service.domain.limit import DeploymentRate, LimitRules
from router_service.limits.opening import Limits, RedisNotInstalled, open_limits
from tests.contract.limits.counters import CALLER, requests

RULES = LimitRules(limits=(requests(3),))
RATES = {"a": DeploymentRate(requests_per_minute=2)}


async def used_by(limits: Limits) -> int:
    return (await limits.limiter.state(CALLER))[0].used


async def test_replicas_share_limits_keys_and_rates(redis: RedisServer) -> None:
    settings = RedisSettings(
        url=LiteralSecret(redis.url), namespace=f"test-{secrets.token_hex(6)}", timeout=10.0, replicas=2
    )
    one, other = (open_limits(RULES, RATES, settings) for _ in range(2))
    for limits in (one, other, one):
        await limits.limiter.enter(CALLER)
    with pytest.raises(LimitReached):
        await other.limiter.enter(CALLER)
    for _ in range(2):
        one.rates.dispatched("a", 0)
    other.rates.dispatched("b", 0)
    other.rates.dispatched("a", 0)
    exchanged = asyncio.Semaphore(0)

    async def once(_: float) -> None:
        exchanged.release()
        await asyncio.sleep(0)

    for limits in (one, other):
        task = asyncio.create_task(limits.exchange_rates(once))
        async with asyncio.timeout(30):
            while not (limits is one or other.rates.saturated()):
                await exchanged.acquire()
            await exchanged.acquire()
            await exchanged.acquire()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert other.rates.saturated().keys() == {"a"}
    for limits in (one, other):
        await limits.aclose()


async def test_in_one_process_nothing_is_shared_and_nothing_needs_to_be() -> None:
    limits = open_limits(RULES, RATES)
    await limits.limiter.enter(CALLER)
    await limits.exchange_rates()
    limits.use(LimitRules(limits=(requests(1),)), {})
    with pytest.raises(LimitReached):
        await limits.limiter.enter(CALLER)
    await limits.aclose()


async def test_without_the_client_a_redis_is_refused_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("router_service.limits.guarded", "router_service.limits.shared", "router_service.storage.redis"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RedisNotInstalled, match=r"Install llmrouter\[redis\], or remove the section"):
        open_limits(RULES, RATES, RedisSettings(url=LiteralSecret("redis://x")))


def test_limits_in_process_do_without_the_client() -> None:
    check = "import sys, router_service.limits.opening; sys.exit('redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
