import asyncio
from typing import Any

import aiohttp
import pytest

from router_service.simulator import FaultKind, Outcome, SimulatedModel, Simulator
from router_service.simulator.journal import Entry, Journal

SLOW = SimulatedModel(name="slow", first_token_seconds=3600)
TALKING = SimulatedModel(name="talking", first_token_seconds=0, tokens_per_second=0.001)


def entry_of(number: int) -> Entry:
    return Entry(id=number, received_at=0.0, method="POST", path="/", attempt_id=f"a{number}")


async def test_waiting_finds_what_is_there_and_what_comes() -> None:
    journal = Journal()
    journal.add(entry_of(1))
    assert (await journal.wait_for(lambda entry: entry.id == 1)).id == 1
    waiting = asyncio.ensure_future(journal.wait_for(lambda entry: entry.status == 200))
    await asyncio.sleep(0)
    journal[0].status = 200
    journal.changed(journal[0])
    assert (await waiting).id == 1
    with pytest.raises(TimeoutError):
        await journal.wait_for(lambda entry: entry.id == 3, timeout=0.001)


def test_the_oldest_entries_are_dropped_and_attempts_found_by_id() -> None:
    journal = Journal(keep=2)
    for number in (1, 2, 3):
        journal.add(entry_of(number))
    assert ([entry.id for entry in journal], journal.received) == ([2, 3], 3)
    found = journal.of_attempt("a3")
    assert found is not None
    assert found.id == 3
    assert journal.of_attempt("a1") is None


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("phase", ["silent", "thinking", "talking", "stalled"])
async def test_a_client_that_leaves_is_noticed_at_once(chat: Any, stream: bool, phase: str) -> None:
    async with Simulator([SLOW, TALKING, SimulatedModel(name="m")], speed=1) as simulator:
        model = {"thinking": "slow", "talking": "talking"}.get(phase, "m")
        if phase == "silent":
            simulator.fail("m", FaultKind.SILENT)
        if phase == "stalled":
            simulator.fail("slow", FaultKind.STALL)
        async with aiohttp.ClientSession() as http:
            asking = asyncio.ensure_future(
                http.post(
                    simulator.base_url + "/chat/completions",
                    json=chat(model, stream=stream),
                    headers={"x-client-request-id": "attempt-7"},
                )
            )
            entry = await simulator.journal.wait_for(lambda entry: entry.attempt_id == "attempt-7")
            await asyncio.sleep(0.01)
            loop = asyncio.get_running_loop()
            left_at = loop.time()
            asking.cancel()
            if asking.done() and not asking.cancelled():
                asking.result().close()
            await simulator.journal.wait_for(lambda entry: entry.outcome is Outcome.ABORTED)
        assert entry.disconnected_at is not None
        assert left_at <= entry.disconnected_at < left_at + 20
        assert entry.ended_at is not None
        assert entry.received_at < entry.disconnected_at <= entry.ended_at


async def test_what_was_produced_until_the_client_left_is_billed(http: aiohttp.ClientSession, chat: Any) -> None:
    steady = SimulatedModel(name="steady", first_token_seconds=0, tokens_per_second=200)
    async with Simulator([steady], speed=1) as simulator:
        async with http.post(simulator.base_url + "/chat/completions", json=chat("steady", stream=True)) as response:
            await simulator.journal.wait_for(lambda entry: entry.tokens_sent >= 3)
            response.close()
        entry = await simulator.journal.wait_for(lambda entry: entry.outcome is Outcome.ABORTED)
    assert entry.billed.output_tokens == entry.tokens_sent >= 3
    assert entry.billed.input_tokens > 0
    assert not entry.usage_reported


async def test_events_of_one_request_are_in_order(simulator: Simulator, http: aiohttp.ClientSession, chat: Any) -> None:
    async with http.post(simulator.url("openai") + "/chat/completions", json=chat(stream=True)) as response:
        await response.read()
    entry = simulator.journal[0]
    assert entry.headers_sent_at is not None
    assert entry.first_token_at is not None
    assert entry.ended_at is not None
    assert entry.received_at <= entry.headers_sent_at <= entry.first_token_at <= entry.ended_at
    assert (entry.disconnected_at, entry.outcome) == (None, Outcome.FINISHED)
    assert entry.bytes_sent > 1000


async def test_a_simulator_stops_though_clients_wait(chat: Any) -> None:
    async with aiohttp.ClientSession() as http:
        async with Simulator([SimulatedModel(name="m")]) as simulator:
            simulator.fail("m", FaultKind.SILENT)
            asking = asyncio.ensure_future(http.post(simulator.base_url + "/chat/completions", json=chat("m")))
            await simulator.journal.wait_for(lambda entry: entry.model == "m")
        with pytest.raises(aiohttp.ClientError):
            await asking
    assert simulator.connections == 0
