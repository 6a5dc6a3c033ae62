"""Ways in which a gateway has lost, doubled or invented money before, each tried on a whole router.

The numbers are BerriAI/litellm's issues. What was spent is judged by the simulated provider's journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from running_router import (
    CONFIGURATION,
    EVERYTHING,
    Running,
    bearer,
    billed,
    configured,
    in_redis,
    price,
    running,
    until,
)

from llmrouter import AsyncClient, RouterError
from llmrouter.v1 import call_pb2, receipt_pb2, router_service_pb2, usage_pb2
from router_service.simulator import Simulator
from router_service.simulator.journal import Entry, Outcome

KEYS = {name: f"rk_{name:c<12}_" + letter * 48 for name, letter in (("First", "f"), ("Second", "s"))}
ADMIN = "rk_AdminAdmin12_" + "A" * 48
ONE_MODEL = {
    "default": {
        "timeouts": {"first_token": "1s", "stall": "1s", "total": "5s"},
        "retries": {"same_deployment": 0},
        "rules": [{"use": ["gpt-4o"]}],
    }
}


def accounted(folder: Path, **sections: Any) -> dict[str, Any]:
    """Keys in the file, a ledger in the folder, one model, short answers, and these sections."""
    keys = {name: {"key": f"${{{name}}}", "tenant": "acme", **EVERYTHING} for name in KEYS}
    admin = {"admin": {"key": "${ADMIN_KEY}", "tenant": "operations", "roles": ["admin"], **EVERYTHING}}
    return configured(
        **{
            "identity": {"api_keys": {"keys": {**keys, **admin}}},
            "ledger": {"folder": str(folder / "ledger")},
            "features": {"short": {"max_output_tokens": 40}},
            "policies": ONE_MODEL,
            **sections,
        }
    )


def budget(usd: float, **more: Any) -> dict[str, Any]:
    return {"budgets": {"team": {"usd": usd, "period": "total", **more}}}


@contextlib.asynccontextmanager
async def serving(folder: Path, configuration: dict[str, Any], **more: Any) -> AsyncIterator[Running]:
    async with running(folder, configuration, environ=KEYS, **more) as router:
        yield router


async def ask(client: AsyncClient, text: str = "Hello", **options: Any) -> receipt_pb2.Receipt | RouterError:
    """The receipt of a short call, or what it failed with."""
    try:
        return (await client.complete(text, feature="short", **options)).receipt
    except RouterError as error:
        return error


async def listen(client: AsyncClient, text: str, *, pieces: int = 10_000, **options: Any) -> None:
    """Read a stream to its end, or so many pieces of it; its errors are not the point."""
    with contextlib.suppress(RouterError):
        async with client.stream(text, **options) as stream:
            async for _ in stream.text():
                pieces -= 1
                if pieces <= 0:
                    return


async def allowances(router: Running, key: str = KEYS["First"]) -> dict[str, usage_pb2.Allowance]:
    request = router_service_pb2.GetBudgetRequest(caller=call_pb2.Caller(feature="short"), model="gpt-4o")
    found = await router.stub.GetBudget(request, metadata=bearer(key))
    return {allowance.name: allowance for allowance in found.allowances}


async def idle(router: Running) -> None:
    """Until no call is being served, nor any provider's request under way."""

    async def is_idle() -> bool:
        open_entries = [entry for entry in router.simulator.journal if entry.outcome is Outcome.OPEN]
        return not router.application._server.in_flight and not open_entries

    await until(is_idle)


def reported(entries: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.usage_reported]


async def test_34732_36926_callers_at_once_do_not_pass_a_budget_together(tmp_path: Path) -> None:
    """Budgets were checked, then incremented: everybody who checked in between passed."""
    async with serving(tmp_path, accounted(tmp_path, **budget(0.003))) as router:
        clients = [router.client(key) for key in KEYS.values()]
        for _ in range(20):
            receipts = await asyncio.gather(*(ask(clients[number % 2]) for number in range(20)))
            spent = billed(router.application, list(router.simulator.journal))
            assert spent <= 3_000_000
            if all(isinstance(receipt, RouterError) for receipt in receipts):
                break
        refusals = [receipt for receipt in receipts if isinstance(receipt, RouterError)]
        assert {refusal.reason for refusal in refusals} == {"BUDGET_EXHAUSTED"}
        team = (await allowances(router))["team"]
        assert (team.used, team.reserved) == (spent, 0)
        # All that fitted was let through: what is left has no room for one call more.
        held = price(router.application, "gpt-4o", router.simulator.journal[0].billed) * 4
        assert team.amount - team.used < held


@pytest.mark.parametrize(
    "way", ["error", "server error", "in-band error", "cut", "cancel", "disconnect", "deadline", "refused"]
)
async def test_27639_however_a_call_ends_nothing_stays_reserved(tmp_path: Path, way: str) -> None:
    """Reservations of calls that did not end well were never given back."""
    limits = {
        "at-once": {"concurrent": 50, "per": "key"},
        "tokens": {"tokens": 1_000_000, "window": "hour", "per": "key"},
    }
    if way == "refused":
        limits["tokens"]["tokens"] = 5
    async with serving(tmp_path, accounted(tmp_path, limits=limits, **budget(100.0))) as router:
        client, simulator = router.client(KEYS["First"]), router.simulator
        if fault := {"error": "429", "server error": "503", "in-band error": "in_band_error", "cut": "cut"}.get(way):
            simulator.fail("gpt-4o", fault, after_tokens=3, times=None)
            await asyncio.gather(*(ask(client) for _ in range(4)), *(listen(client, "Hello") for _ in range(4)))
        elif way == "cancel":
            simulator.fail("gpt-4o", "stall", after_tokens=3, times=None)
            await asyncio.gather(*(listen(client, "Hello", pieces=1) for _ in range(6)))
        elif way == "disconnect":
            simulator.fail("gpt-4o", "stall", after_tokens=3, times=None)
            async with grpc.aio.insecure_channel(f"127.0.0.1:{router.port}") as channel:
                leaver = AsyncClient(channel, api_key=KEYS["First"])
                streams = [leaver.stream("Hello") for _ in range(4)]
                for stream in streams:
                    await anext(stream.text())
        elif way == "deadline":
            simulator.fail("gpt-4o", "silent", times=None)
            await asyncio.gather(*(ask(client, timeout=0.3) for _ in range(4)))
        else:
            assert all(isinstance(one, RouterError) for one in [await ask(client) for _ in range(3)])
        await idle(router)
        left = await allowances(router)
        assert (left["team"].reserved, left["at-once"].used) == (0, 0)
        entries = list(simulator.journal)
        if way == "error":
            assert (left["team"].used, left["tokens"].used) == (0, 0)
        elif way == "refused":
            assert not entries
            assert (left["team"].used, left["tokens"].used) == (0, 0)
        else:
            # What nobody can know stays counted at what was reserved for it: too much rather than too little.
            assert left["team"].used >= billed(router.application, entries)


async def test_30460_after_mixed_load_counters_ledger_and_journal_say_the_same(tmp_path: Path) -> None:
    """Counters drifted from what was spent."""
    limits = {"tokens": {"tokens": 10_000_000, "window": "hour"}}
    sections = {"limits": limits, "policies": CONFIGURATION["policies"], **budget(100.0)}
    async with serving(tmp_path, accounted(tmp_path, **sections)) as router:
        client, simulator = router.client(KEYS["First"]), router.simulator
        simulator.fail("gpt-4o", "429", contains="turn 1.", times=5)
        simulator.fail("gpt-4o", "end_without_finish", contains="turn 2.", after_tokens=4, times=None)
        simulator.fail(None, "400", contains="turn 3.", times=None)
        # Beside the others this might find the model that cuts it cooling down, and no attempt would be estimated.
        await ask(client, "Question in turn 2. Say more.")
        calls = [ask(client, f"Question in turn {number % 5}. Say more.") for number in range(30)]
        streams = [listen(client, f"Question in turn {number % 5}. Say more.") for number in range(30)]
        await asyncio.gather(*calls, *streams)
        await idle(router)
        await router.shipped()
        left, entries = await allowances(router), list(simulator.journal)
        total = (await router.usage(ADMIN)).total
        assert total.indeterminate_attempts == total.unpriced_attempts == 0
        assert left["team"].used == total.cost_nano_usd
        assert total.settled_cost_nano_usd == billed(router.application, reported(entries)) > 0
        assert total.estimated_cost_nano_usd > 0
        assert left["tokens"].used == total.input_tokens + total.output_tokens
        assert total.attempts == len(entries)
        assert (total.calls, left["team"].reserved) == (61, 0)


async def test_34805_a_shutdown_amid_calls_loses_no_spend(tmp_path: Path) -> None:
    """What a background writer still held at shutdown was lost."""
    server = {**CONFIGURATION["server"], "grace": "100ms"}
    configuration = accounted(tmp_path, server=server)
    async with Simulator() as simulator:
        async with serving(tmp_path, configuration, simulator=simulator) as router:
            client = router.client(KEYS["First"])
            finished = [await ask(client) for _ in range(5)]
            simulator.fail("gpt-4o", "stall", after_tokens=4, times=None)
            streams = [asyncio.create_task(listen(client, "Tell me a story.")) for _ in range(5)]
            await simulator.journal.wait_for(lambda _: sum(one.tokens_sent >= 4 for one in simulator.journal) >= 10)
            await router.application.stop()
            await asyncio.gather(*streams)
        attempts = {entry.attempt_id for entry in simulator.journal}
        settled = billed(router.application, reported(simulator.journal))
        async with serving(tmp_path, configuration, simulator=simulator) as router:
            await router.shipped()
            total = (await router.usage(ADMIN)).total
    assert len(finished) == 5
    assert (total.calls, total.attempts, total.errors, total.cancelled) == (10, len(attempts), 5, 0)
    assert total.settled_cost_nano_usd == settled > 0
    assert total.estimated_cost_nano_usd > 0


@pytest.mark.parametrize("way", ["unary", "stream"])
async def test_34820_a_call_that_is_cancelled_is_booked_with_what_it_cost(tmp_path: Path, way: str) -> None:
    """The spend of cancelled calls was lost."""
    async with serving(tmp_path, accounted(tmp_path)) as router:
        client, simulator = router.client(KEYS["First"]), router.simulator
        simulator.fail("gpt-4o", "stall", after_tokens=6, times=None)
        if way == "stream":
            await listen(client, "Tell me a story.", pieces=1)
        else:
            task = asyncio.create_task(client.complete("Tell me a story."))
            await simulator.journal.wait_for(lambda entry: entry.tokens_sent >= 6)
            task.cancel()
        await idle(router)
        await router.shipped()
        [entry] = simulator.journal
        total = (await router.usage(ADMIN)).total
        assert (total.calls, total.cancelled, total.attempts, total.errors) == (1, 1, 1, 0)
        assert 0 < total.estimated_cost_nano_usd <= 2 * billed(router.application, [entry])
        assert total.input_tokens > 0
        assert total.output_tokens > 0


async def test_38157_a_database_that_takes_nothing_is_only_late(tmp_path: Path) -> None:
    """A commit that failed lost the spend it was for."""
    configuration = accounted(tmp_path)
    async with Simulator() as simulator:
        async with serving(tmp_path, configuration, simulator=simulator) as router:
            client = router.client(KEYS["First"])
            await ask(client)
            await router.shipped()
            file = tmp_path / "ledger" / "ledger.db"
            blocker = sqlite3.connect(file, isolation_level=None, timeout=60, check_same_thread=False)
            # In a thread: a transaction of the router's may be open, and ends on this event loop.
            await asyncio.to_thread(blocker.execute, "BEGIN EXCLUSIVE")
            answered = await asyncio.gather(*(ask(client) for _ in range(10)))
            assert not [one for one in answered if isinstance(one, RouterError)]
            # It even ends while nothing can be written.
        spent, attempts = billed(router.application, list(simulator.journal)), len(simulator.journal)
        blocker.execute("ROLLBACK")
        blocker.close()
        async with serving(tmp_path, configuration, simulator=simulator) as router:
            await router.shipped()
            total = (await router.usage(ADMIN)).total
    assert (total.calls, total.attempts) == (11, attempts)
    assert total.settled_cost_nano_usd == spent


async def test_35273_a_redis_that_falls_silent_delays_calls_but_briefly(tmp_path: Path) -> None:
    """Without socket timeouts every request hung, while liveness stayed green."""
    with in_redis() as redis:
        sections = {
            "redis": {"url": redis.url, "timeout": "200ms"},
            "limits": {"open": {"requests": 1000, "window": "minute", "per": "key"}},
            "budgets": {"team": {"usd": 5, "period": "total", "fail": "closed", "match": {"feature": "closed"}}},
        }
        async with serving(tmp_path, accounted(tmp_path, **sections)) as router:
            client = router.client(KEYS["First"])
            assert isinstance(await ask(client), receipt_pb2.Receipt)
            redis.pause()
            try:
                began = time.monotonic()
                receipts = await asyncio.gather(*(ask(client) for _ in range(20)))
                took = time.monotonic() - began
                assert all(isinstance(receipt, receipt_pb2.Receipt) for receipt in receipts)
                assert took < 20
                with pytest.raises(RouterError) as raised:
                    await client.complete("Hello", feature="closed")
                assert (raised.value.reason, raised.value.retry_after) == ("OVERLOADED", pytest.approx(1.0))
                health = health_pb2_grpc.HealthStub(router.channel)
                told = await health.Check(health_pb2.HealthCheckRequest(), timeout=30)
                assert told.status == health_pb2.HealthCheckResponse.SERVING
            finally:
                redis.resume()


async def test_18730_no_window_ever_sees_more_tokens_than_the_limit(tmp_path: Path) -> None:
    """663 tokens passed a cap of 100: they were counted after the calls."""
    limits = {"cap": {"tokens": 100, "window": "hour", "per": "tenant"}}
    async with serving(tmp_path, accounted(tmp_path, limits=limits)) as router:
        clients = [router.client(key) for key in KEYS.values()]
        for _ in range(3):
            outcomes = await asyncio.gather(*(ask(clients[number % 2]) for number in range(15)))
        used = sum(entry.billed.input_tokens + entry.billed.output_tokens for entry in router.simulator.journal)
        assert 0 < used <= 100
        assert {one.reason for one in outcomes if isinstance(one, RouterError)} == {"RATE_LIMITED"}
        assert (await allowances(router))["cap"].used == used


async def test_5673_a_keys_own_budget_holds_for_that_key_alone(tmp_path: Path) -> None:
    """Budgets of keys were not enforced."""
    async with serving(tmp_path, accounted(tmp_path, **budget(0.0015, per="key"))) as router:
        spent: dict[str, int] = {}
        for name, key in KEYS.items():
            client = router.client(key)
            while isinstance(receipt := await ask(client), receipt_pb2.Receipt):
                spent[name] = spent.get(name, 0) + receipt.cost_nano_usd
            assert receipt.reason == "BUDGET_EXHAUSTED"
            assert (await allowances(router, key))["team"].used == spent[name] <= 1_500_000
    assert spent["First"] == spent["Second"] > 0


async def test_904_tokens_read_from_a_cache_are_priced_as_such(tmp_path: Path) -> None:
    """Cached tokens were priced like others."""
    async with serving(tmp_path, accounted(tmp_path)) as router:
        client = router.client(KEYS["First"])
        prompt = "The same long preamble about rivers and their names. " * 200
        receipts = [await ask(client, prompt) for _ in range(2)]
        await router.shipped()
        entries = list(router.simulator.journal)
        total = (await router.usage(ADMIN)).total
    first, second = (receipt for receipt in receipts if isinstance(receipt, receipt_pb2.Receipt))
    assert second.usage.cached_input_tokens == entries[1].billed.cached_input_tokens > 1000
    assert second.cost_nano_usd == billed(router.application, entries[1:])
    assert second.cost_nano_usd < first.cost_nano_usd
    assert second.attempts[0].cost.cache_read_nano_usd == second.usage.cached_input_tokens * 1250
    assert total.cached_input_tokens == second.usage.cached_input_tokens
    assert total.settled_cost_nano_usd == first.cost_nano_usd + second.cost_nano_usd


async def test_33736_36008_37992_37923_streamed_spend_is_the_providers(tmp_path: Path) -> None:
    """Partial and broken streams were billed at nothing, or as if they were whole."""
    async with serving(tmp_path, accounted(tmp_path)) as router:
        client, simulator = router.client(KEYS["First"]), router.simulator
        simulator.fail("gpt-4o", "cut", contains="cut", after_tokens=8, times=None)
        simulator.fail("gpt-4o", "end_without_finish", contains="unfinished", after_tokens=8, times=None)
        simulator.fail("gpt-4o", "stall", contains="left", after_tokens=8, times=None)
        whole = [listen(client, f"Whole {number}: name three rivers.") for number in range(5)]
        broken = [listen(client, f"A story, {how}.", request_id=how) for how in ("cut", "unfinished")]
        left = listen(client, "A story, left.", pieces=1, request_id="left")
        await asyncio.gather(*whole, *broken, left)
        await idle(router)
        await router.shipped()
        total = (await router.usage(ADMIN)).total
        entries = list(simulator.journal)
        assert total.attempts == len(entries) == 8
        assert total.settled_cost_nano_usd == billed(router.application, reported(entries)) > 0
        estimated = 0
        for request_id in ("cut", "unfinished", "left"):
            [attempt] = (await client.receipt(request_id)).attempts
            entry = simulator.journal.of_attempt(attempt.attempt_id)
            assert entry is not None
            assert attempt.cost_status in {receipt_pb2.COST_STATUS_PARTIAL, receipt_pb2.COST_STATUS_ESTIMATED}
            # Nothing was reported: what is booked is what was heard, not nothing and not the whole answer.
            assert 0 < attempt.usage.output_tokens <= 2 * entry.tokens_sent
            assert attempt.usage.estimated
            estimated += attempt.cost_nano_usd
        assert total.estimated_cost_nano_usd == estimated


async def test_39455_a_call_counts_once_however_many_attempts_it_takes(tmp_path: Path) -> None:
    """Attempts were counted as operations."""
    async with serving(tmp_path, accounted(tmp_path, policies=CONFIGURATION["policies"])) as router:
        client = router.client(KEYS["First"])
        router.simulator.fail("gpt-4o", "503", times=None)
        await ask(client)
        await router.shipped()
        by_model = [usage_pb2.USAGE_DIMENSION_MODEL]
        found = await router.usage(ADMIN, group_by=by_model)
    assert (found.total.calls, found.total.attempts, found.total.fallback_calls, found.total.errors) == (1, 3, 1, 0)
    rows = {row.group[0].value: (row.calls, row.attempts) for row in found.rows}
    assert rows == {"deepseek-chat": (1, 1), "gpt-4o": (0, 2)}
