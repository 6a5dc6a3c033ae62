"""What becomes of limits while Redis is refused, paused, read-only, slow or back without its data."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest

from benchmarks.redis_server import RedisServer
from router_service.config.configuration import RedisSettings
from router_service.config.secret import LiteralSecret
from router_service.domain.error import BudgetSpent, LimitReached, Overloaded
from router_service.domain.limit import FailMode, LimitRules, SettledSpend
from router_service.limits.guarded import GuardedMeters
from router_service.limits.limiter import Limiter
from router_service.limits.local import LocalMeters
from router_service.limits.shared import SharedMeters
from router_service.storage.redis import RedisAway, RedisConnection
from tests.contract.limits.counters import CALLER, budget, concurrent, hold, requests, tokens

# Generous: machines that run tests are busy.
TIMEOUT = 1.0
PATIENT = 30.0
# What a call may take besides where nothing hangs. One that hangs takes for ever, a hundred that each wait for the
# timeout take a hundred of it.
SLACK = 30.0
USD = 10**9


class Replica:
    """A limiter whose pauses between probes end when the test says so."""

    def __init__(self, url: str, rules: LimitRules, replicas: int, timeout: float) -> None:
        self.probe = asyncio.Event()
        self.connection = RedisConnection(RedisSettings(url=LiteralSecret(url), timeout=timeout), sleep=self._sleep)
        self.shared = SharedMeters(self.connection, on_new_data=self._rebuild)
        guarded = GuardedMeters(
            self.shared, local=lambda: LocalMeters(time.monotonic, time.time), replicas=replicas, wall=time.time
        )
        self.limiter = Limiter(rules, guarded, wall=time.time)
        self.ledger: list[SettledSpend] = []
        self.rebuilt = asyncio.Event()

    async def _sleep(self, _: float) -> None:
        await self.probe.wait()
        await asyncio.sleep(0.01)

    async def _rebuild(self) -> None:
        await self.limiter.rebuild(self.ledger)
        self.rebuilt.set()

    async def back(self) -> None:
        """Wait until the server is found to be back and has every settlement."""
        returned = asyncio.Event()
        self.connection.when_back(returned.set)
        self.probe.set()
        async with asyncio.timeout(30):
            await returned.wait()
        self.probe.clear()
        await self.shared.flush()


@asynccontextmanager
async def replica(
    server: RedisServer, *rules: object, replicas: int = 2, patience: float = TIMEOUT
) -> AsyncIterator[Replica]:
    limits = tuple(rule for rule in rules if hasattr(rule, "amount"))
    budgets = tuple(rule for rule in rules if hasattr(rule, "nano_usd"))
    made = Replica(server.url, LimitRules(limits=limits, budgets=budgets), replicas, patience)
    try:
        yield made
    finally:
        await made.limiter.aclose()
        await made.connection.aclose()


async def timed(limiter: Limiter) -> float:
    """How long a call takes to be let in or refused, in seconds."""
    began = time.perf_counter()
    with suppress(LimitReached, Overloaded):
        await limiter.enter(CALLER)
    return time.perf_counter() - began


def killed(server: RedisServer) -> None:
    server.kill()


def paused(server: RedisServer) -> None:
    server.pause()


def read_only(server: RedisServer) -> None:
    assert server.send("REPLICAOF", "127.0.0.1", "1").startswith(b"+OK")


def client_paused(server: RedisServer) -> None:
    assert server.send("CLIENT", "PAUSE", "60000", "WRITE").startswith(b"+OK")


OUTAGES = pytest.mark.parametrize("outage", [killed, paused, read_only, client_paused])
Outage = Callable[[RedisServer], None]


def repaired(server: RedisServer, outage: Outage) -> None:
    if outage is killed:
        server.start()
    elif outage is paused:
        server.resume()
    elif outage is read_only:
        server.send("REPLICAOF", "NO", "ONE")
    else:
        server.send("CLIENT", "UNPAUSE")


@OUTAGES
async def test_an_outage_costs_one_timeout_and_then_nothing(own_redis: RedisServer, outage: Outage) -> None:
    """LiteLLM #35273: without socket timeouts a silent Redis hung every request."""
    async with replica(own_redis, requests(1000)) as one:
        await timed(one.limiter)
        outage(own_redis)
        assert await timed(one.limiter) < TIMEOUT + SLACK
        began = time.perf_counter()
        for _ in range(100):
            await timed(one.limiter)
        assert time.perf_counter() - began < SLACK
        repaired(own_redis, outage)


@OUTAGES
async def test_calls_under_way_at_once_all_come_back_in_time(own_redis: RedisServer, outage: Outage) -> None:
    async with replica(own_redis, requests(1000)) as one:
        await timed(one.limiter)
        outage(own_redis)
        assert max(await asyncio.gather(*(timed(one.limiter) for _ in range(100)))) < TIMEOUT + SLACK
        repaired(own_redis, outage)


@OUTAGES
async def test_open_limits_let_a_replicas_share_through(own_redis: RedisServer, outage: Outage) -> None:
    async with replica(own_redis, requests(10), replicas=2) as one:
        await timed(one.limiter)
        outage(own_redis)
        passed = 0
        for _ in range(20):
            try:
                await one.limiter.enter(CALLER)
            except LimitReached:
                continue
            passed += 1
        assert passed == 5
        repaired(own_redis, outage)


@OUTAGES
async def test_closed_limits_let_nothing_through_and_say_why(own_redis: RedisServer, outage: Outage) -> None:
    async with replica(own_redis, replace(requests(10), fail=FailMode.CLOSED)) as one:
        await timed(one.limiter)
        outage(own_redis)
        with pytest.raises(Overloaded, match="cannot be reached, and rate lets nothing through") as caught:
            await one.limiter.enter(CALLER)
        assert caught.value.retry_after == 1.0
        repaired(own_redis, outage)
        await one.back()
        await one.limiter.enter(CALLER)


@OUTAGES
async def test_nothing_that_was_settled_meanwhile_is_lost(own_redis: RedisServer, outage: Outage) -> None:
    async with replica(own_redis, budget(100), tokens(1000)) as one:
        before = await hold(one.limiter, tokens=10, nano_usd=10)
        outage(own_redis)
        meanwhile = await hold(one.limiter, tokens=20, nano_usd=20)
        one.limiter.settle(before, tokens=1, nano_usd=1)
        one.limiter.settle(meanwhile, tokens=2, nano_usd=2)
        repaired(own_redis, outage)
        await one.back()
        states = {state.name: (state.used, state.reserved) for state in await one.limiter.state(CALLER)}
        assert states == {"money": (3, 0), "tokens": (3, 0)}


@OUTAGES
async def test_a_hold_that_the_server_carried_out_unheard_is_given_back(own_redis: RedisServer, outage: Outage) -> None:
    async with replica(own_redis, replace(budget(100), fail=FailMode.CLOSED)) as one:
        await hold(one.limiter, nano_usd=10)
        outage(own_redis)
        with pytest.raises(Overloaded):
            await hold(one.limiter, nano_usd=50)
        repaired(own_redis, outage)
        await one.back()
        (state,) = await one.limiter.state(CALLER)
        assert state.reserved == (0 if outage is killed else 10)


async def test_a_budget_goes_on_from_what_was_left_of_it(own_redis: RedisServer) -> None:
    async with replica(own_redis, budget(100), replicas=2, patience=PATIENT) as one:
        one.limiter.settle(await hold(one.limiter, nano_usd=60), tokens=1, nano_usd=60)
        await hold(one.limiter, nano_usd=0)
        own_redis.kill()
        await hold(one.limiter, nano_usd=20)
        with pytest.raises(BudgetSpent):
            await hold(one.limiter, nano_usd=1)


async def test_a_restart_without_data_has_the_budgets_rebuilt(own_redis: RedisServer) -> None:
    async with replica(own_redis, budget(USD), patience=PATIENT) as one:
        async with asyncio.timeout(30):
            await hold(one.limiter, nano_usd=1)
            await one.rebuilt.wait()
        one.ledger.append(SettledSpend(subject=CALLER, model="m", at=time.time(), nano_usd=USD))
        one.rebuilt.clear()
        own_redis.kill()
        own_redis.start()
        async with asyncio.timeout(30):
            await hold(one.limiter, nano_usd=1)
            await one.rebuilt.wait()
        with pytest.raises(BudgetSpent):
            await hold(one.limiter, nano_usd=1)


async def test_a_restart_between_two_calls_is_no_outage(own_redis: RedisServer) -> None:
    async with replica(own_redis, replace(requests(10), fail=FailMode.CLOSED), patience=PATIENT) as one:
        await one.limiter.enter(CALLER)
        own_redis.kill()
        own_redis.start()
        await one.limiter.enter(CALLER)
        assert one.connection.available


async def test_a_slow_server_that_answers_in_time_is_waited_for(own_redis: RedisServer) -> None:
    async with replica(own_redis, requests(10), patience=PATIENT) as one:
        await one.limiter.enter(CALLER)
        own_redis.pause()
        waiting = asyncio.create_task(one.limiter.enter(CALLER))
        assert not (await asyncio.wait({waiting}, timeout=0.1))[0]
        own_redis.resume()
        await waiting
        assert one.connection.available


async def test_a_caller_that_leaves_while_it_waits_holds_nothing(own_redis: RedisServer) -> None:
    async with replica(own_redis, budget(100), concurrent(1)) as one:
        entry = await one.limiter.enter(CALLER)
        own_redis.pause()
        waiting = asyncio.create_task(one.limiter.hold(entry, model="m", tokens=1, nano_usd=60, attempt_id="left"))
        await asyncio.sleep(0.02)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        one.limiter.leave(entry)
        own_redis.resume()
        if not one.connection.available:
            await one.back()
        await one.shared.flush()
        states = {state.name: state.used for state in await one.limiter.state(CALLER)}
        assert states == {"money": 0, "at-once": 0}


async def test_settlements_wait_for_a_server_that_is_not_there_at_the_start(own_redis: RedisServer) -> None:
    own_redis.kill()
    async with replica(own_redis, budget(100), patience=PATIENT) as one:
        one.limiter.settle(await hold(one.limiter, nano_usd=7), tokens=1, nano_usd=7)
        own_redis.start()
        await one.back()
        (state,) = await one.limiter.state(CALLER)
        assert (state.used, state.reserved) == (7, 0)


async def test_what_is_under_way_when_all_is_closed_connects_no_more(own_redis: RedisServer) -> None:
    connection = RedisConnection(RedisSettings(url=LiteralSecret(own_redis.url), timeout=PATIENT))
    await connection.command("PING")
    own_redis.pause()
    under_way = [asyncio.create_task(connection.command("PING")) for _ in range(3)]
    assert not (await asyncio.wait(under_way, timeout=0.05))[0]
    await connection.aclose()
    own_redis.resume()
    for ended in await asyncio.gather(*under_way, return_exceptions=True):
        assert isinstance(ended, RedisAway)
    async with asyncio.timeout(30):
        while own_redis.send("CLIENT", "LIST").count(b"cmd=") > 1:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)
