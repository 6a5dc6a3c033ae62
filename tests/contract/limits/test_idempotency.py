"""One call per idempotency key: the same over keys in process and in Redis."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable

import pytest

from benchmarks.redis_server import RedisServer
from router_service.config.configuration import RedisSettings
from router_service.config.secret import LiteralSecret
from router_service.domain.error import AlreadyExists, IdempotencyConflict, InvalidRequest, Overloaded
from router_service.limits.idempotency import Answered, Claim, Idempotency, KeyStore
from router_service.limits.local_keys import LocalKeys
from router_service.limits.shared_keys import SharedKeys
from router_service.storage.redis import RedisConnection

MakeProcess = Callable[[], Idempotency]
ANSWER = Answered(answer=b"\x00answer", receipt=b"receipt")
LEASE = 60.0


def connection(url: str, namespace: str = "llmrouter", timeout: float = 30.0) -> RedisConnection:
    return RedisConnection(RedisSettings(url=LiteralSecret(url), namespace=namespace, timeout=timeout))


@pytest.fixture(params=["in-process", "redis"])
async def process(request: pytest.FixtureRequest) -> AsyncIterator[MakeProcess]:
    """Makes processes: their keys are held in the same place, nothing else is shared."""
    opened: list[Idempotency] = []
    shared: KeyStore
    if request.param == "redis":
        redis = connection(request.getfixturevalue("redis").url, f"test-{secrets.token_hex(6)}")
        make: Callable[[], KeyStore] = lambda: SharedKeys(redis)  # noqa: E731
    else:
        shared = LocalKeys(time.monotonic)
        make = lambda: shared  # noqa: E731

    def process() -> Idempotency:
        opened.append(Idempotency(make()))
        return opened[-1]

    yield process
    for one in opened:
        await one.aclose()
    if request.param == "redis":
        await redis.aclose()


async def claimed(idempotency: Idempotency, key: str = "k", body: bytes = b"body", lease: float = LEASE) -> Claim:
    claim = await idempotency.claim("acme", key, body, lease=lease)
    assert isinstance(claim, Claim)
    return claim


async def test_a_repeat_gets_the_stored_answer(process: MakeProcess) -> None:
    one, other = process(), process()
    (await claimed(one)).finish(answer=ANSWER.answer, receipt=ANSWER.receipt)
    assert await one.claim("acme", "k", b"body", lease=LEASE) == ANSWER
    await one.aclose()
    assert await other.claim("acme", "k", b"body", lease=LEASE) == ANSWER
    assert ANSWER.stored() == b"\x00answer"


async def test_an_answer_that_is_not_kept_leaves_its_receipt(process: MakeProcess) -> None:
    one = process()
    (await claimed(one)).finish(answer=b"answer", receipt=b"receipt", keep_answer=False)
    again = await one.claim("acme", "k", b"body", lease=LEASE)
    assert again == Answered(answer=None, receipt=b"receipt")
    with pytest.raises(AlreadyExists) as caught:
        again.stored()
    assert caught.value.receipt == b"receipt"


async def test_a_repeat_joins_the_call_that_runs_in_its_process(process: MakeProcess) -> None:
    one = process()
    claim = await claimed(one)
    joining = [asyncio.create_task(one.claim("acme", "k", b"body", lease=LEASE)) for _ in range(20)]
    await asyncio.sleep(0)
    claim.finish(answer=ANSWER.answer, receipt=ANSWER.receipt, keep_answer=False)
    assert await asyncio.gather(*joining) == [ANSWER] * 20


async def test_of_many_at_once_one_runs_the_call(process: MakeProcess) -> None:
    one = process()
    runs = 0

    async def call() -> Answered:
        nonlocal runs
        claim = await one.claim("acme", "k", b"body", lease=LEASE)
        if isinstance(claim, Answered):
            return claim
        runs += 1
        await asyncio.sleep(0)
        claim.finish(answer=ANSWER.answer, receipt=ANSWER.receipt)
        return ANSWER

    assert await asyncio.gather(*(call() for _ in range(100))) == [ANSWER] * 100
    assert runs == 1


async def test_a_repeat_elsewhere_is_told_when_to_ask_again(process: MakeProcess) -> None:
    one, other = process(), process()
    claim = await claimed(one)
    with pytest.raises(IdempotencyConflict, match="running in another process") as caught:
        await other.claim("acme", "k", b"body", lease=LEASE)
    assert caught.value.retry_after == 5.0
    claim.finish(answer=ANSWER.answer, receipt=ANSWER.receipt)
    await one.aclose()
    assert await other.claim("acme", "k", b"body", lease=LEASE) == ANSWER


async def test_another_request_under_the_key_is_refused_running_or_finished(process: MakeProcess) -> None:
    one, other = process(), process()
    claim = await claimed(one)
    for asked in (one, other):
        with pytest.raises(InvalidRequest, match="idempotency_key: belongs to another request"):
            await asked.claim("acme", "k", b"other body", lease=LEASE)
    claim.finish(answer=b"", receipt=b"")
    for asked in (one, other):
        with pytest.raises(InvalidRequest):
            await asked.claim("acme", "k", b"other body", lease=LEASE)


async def test_tenants_do_not_share_keys(process: MakeProcess) -> None:
    one = process()
    await claimed(one)
    assert isinstance(await one.claim("acm", "ek", b"body", lease=LEASE), Claim)
    assert isinstance(await one.claim("other", "k", b"body", lease=LEASE), Claim)


async def test_an_abandoned_key_is_taken_over_by_one_who_waits(process: MakeProcess) -> None:
    one = process()
    claim = await claimed(one)
    joining = [asyncio.create_task(one.claim("acme", "k", b"body", lease=LEASE)) for _ in range(2)]
    await asyncio.sleep(0)
    claim.abandon()
    done, _ = await asyncio.wait(joining, return_when=asyncio.FIRST_COMPLETED)
    (first,) = (task.result() for task in done)
    assert isinstance(first, Claim)
    first.finish(answer=ANSWER.answer, receipt=ANSWER.receipt)
    assert [one for one in await asyncio.gather(*joining) if isinstance(one, Answered)] == [ANSWER]


async def test_one_who_stops_waiting_does_not_disturb_the_others(process: MakeProcess) -> None:
    one = process()
    claim = await claimed(one)
    leaves, stays = (asyncio.create_task(one.claim("acme", "k", b"body", lease=LEASE)) for _ in range(2))
    await asyncio.sleep(0)
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    claim.finish(answer=ANSWER.answer, receipt=ANSWER.receipt)
    assert await stays == ANSWER


async def test_the_key_of_an_owner_that_died_is_free_after_its_lease(process: MakeProcess) -> None:
    one, other = process(), process()
    claim = await claimed(one, lease=0.001)
    async with asyncio.timeout(30):
        while True:
            try:
                taken = await claimed(other)
            except IdempotencyConflict:
                continue
            break
    claim.finish(answer=b"late", receipt=b"late")
    await one.aclose()
    taken.finish(answer=ANSWER.answer, receipt=ANSWER.receipt)
    await other.aclose()
    assert await process().claim("acme", "k", b"body", lease=LEASE) == ANSWER


async def test_a_kept_answer_is_let_go_in_time(process: MakeProcess) -> None:
    one = process()
    (await claimed(one)).finish(answer=b"x", receipt=b"x", keep=0.001)
    async with asyncio.timeout(30):
        while True:
            if isinstance(await one.claim("acme", "k", b"body", lease=LEASE), Claim):
                break
            await asyncio.sleep(0)


async def test_keys_of_one_process_are_bounded_in_bytes() -> None:
    one = Idempotency(LocalKeys(time.monotonic, most_bytes=10_000))
    running = await claimed(one, "runs")
    for number in range(20):
        (await claimed(one, f"k{number}")).finish(answer=b"x" * 1000, receipt=b"")
    assert isinstance(await one.claim("acme", "k0", b"body", lease=LEASE), Claim)
    assert isinstance(await one.claim("acme", "k19", b"body", lease=LEASE), Answered)
    running.abandon()


async def test_while_redis_is_away_keys_are_held_in_the_process(own_redis: RedisServer) -> None:
    redis = connection(own_redis.url, timeout=30.0)
    one = Idempotency(SharedKeys(redis), spare=LocalKeys(time.monotonic))
    before = await claimed(one, "before")
    own_redis.kill()
    during = await claimed(one, "during")
    for claim, key in ((before, "before"), (during, "during")):
        claim.finish(answer=ANSWER.answer, receipt=ANSWER.receipt)
        assert await one.claim("acme", key, b"body", lease=LEASE) == ANSWER
    own_redis.start()
    back = asyncio.Event()
    redis.when_back(back.set)
    async with asyncio.timeout(30):
        await back.wait()
    await one.aclose()
    assert await Idempotency(SharedKeys(redis)).claim("acme", "during", b"body", lease=LEASE) == ANSWER
    await redis.aclose()


async def test_without_a_spare_calls_are_refused_while_redis_is_away(own_redis: RedisServer) -> None:
    redis = connection(own_redis.url, timeout=30.0)
    one = Idempotency(SharedKeys(redis))
    own_redis.kill()
    for _ in range(2):
        with pytest.raises(Overloaded, match="with the same key"):
            await one.claim("acme", "k", b"body", lease=LEASE)
    await one.aclose()
    await redis.aclose()
