"""Broken and silent streams over real channels: what the caller reads, and what the provider's journal says."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from llmrouter import AsyncClient, Unavailable
from llmrouter.v1 import receipt_pb2
from llmrouter.v1.stream_pb2 import AttemptDiscarded, AttemptStarted, Finished, TextDelta
from router_service.app import Application
from router_service.simulator import SimulatedModel, Simulator
from router_service.simulator.dialects import DIALECTS, OPENAI
from router_service.simulator.journal import Outcome

CONFIGURATION = """
server: {address: "127.0.0.1:0", lame_duck: 0s}
providers:
  one: {base_url: "${SIMULATOR_URL}/one/v1", api_key: sk-one}
  two: {preset: vllm, base_url: "${SIMULATOR_URL}/two/v1"}
  three: {base_url: "${SIMULATOR_URL}/three/v1", api_key: sk-three}
models:
  plain: {provider: one, price: {input: 2.50, output: 10.00}}
  going-on: {provider: two, price: {input: 0.27, output: 1.10}}
  other: {provider: three, price: {input: 1.00, output: 3.00}}
policies:
  continuing: {recovery: continue, retries: {same_deployment: 0}, rules: [{use: [plain, going-on]}]}
  restarting: {recovery: continue, retries: {same_deployment: 0}, rules: [{use: [plain, other]}]}
  hedging: {hedge: {after: 20ms, max_cost_share: 1}, rules: [{use: [plain, other]}]}
default_policy: continuing
"""
MODELS = [
    SimulatedModel(name=name, quality=0.9, first_token_seconds=0.001, tokens_per_second=1000, dialect=dialect)
    for name, dialect in (("plain", OPENAI), ("going-on", DIALECTS["vllm"]), ("other", OPENAI))
]
PROMPT = "Explain how tides work."


@asynccontextmanager
async def running(tmp_path: Path):
    file = tmp_path / "router.yaml"
    file.write_text(CONFIGURATION)
    async with Simulator(MODELS) as simulator:
        application = Application(file, environ={"SIMULATOR_URL": simulator.origin})
        port = await application.start()
        async with AsyncClient.connect(f"127.0.0.1:{port}", timeout=60) as client:
            yield simulator, client
        await application.stop()


async def read(client, **options):
    """The events of one stream, and the text that is left of it."""
    events, text = [], []
    async with client.stream(PROMPT, max_output_tokens=24, **options) as stream:
        async for event in stream:
            events.append(event)
            if isinstance(event, TextDelta):
                text.append((event.attempt, event.text))
            elif isinstance(event, AttemptDiscarded):
                text = [(attempt, said) for attempt, said in text if attempt < event.attempt]
    return events, "".join(said for _, said in text)


async def test_a_cut_stream_goes_on_at_a_provider_that_continues(tmp_path):
    async with running(tmp_path) as (simulator, client):
        simulator.fail("plain", "cut", after_tokens=5)
        events, text = await read(client)
        first, second = simulator.journal[0], simulator.journal[1]

    finished = events[-1]
    assert isinstance(finished, Finished)
    assert text == finished.message.parts[0].text == second.intended
    assert second.prefix
    assert second.intended.startswith(second.prefix)
    assert not any(isinstance(event, AttemptDiscarded) for event in events)
    started = [event for event in events if isinstance(event, AttemptStarted)]
    assert [(event.attempt, event.continues_attempt) for event in started] == [(1, 0), (2, 1)]
    attempts = finished.receipt.attempts
    assert [attempt.continues_attempt for attempt in attempts] == [0, 1]
    assert attempts[0].cost_status == receipt_pb2.COST_STATUS_PARTIAL
    assert attempts[1].usage.input_tokens == second.billed.input_tokens
    assert attempts[1].usage.output_tokens == second.billed.output_tokens
    assert second.billed.output_tokens < first.billed.output_tokens + 24


@pytest.mark.parametrize("fault", ["cut", "reset", "in_band_error", "end_without_finish", "bad_json", "huge_line"])
async def test_whatever_broke_it_no_text_is_lost_or_said_twice(tmp_path, fault):
    async with running(tmp_path) as (simulator, client):
        simulator.fail("plain", fault, after_tokens=6)
        events, text = await read(client)
        continued = simulator.journal[1]

    assert events[-1].receipt.status == "OK"
    assert text == continued.intended == events[-1].message.parts[0].text


async def test_an_echo_of_the_beginning_is_not_read_twice(tmp_path):
    async with running(tmp_path) as (simulator, client):
        simulator.fail("plain", "cut", after_tokens=8)
        simulator.fail("going-on", "echo_prefix")
        _, text = await read(client)
        assert text == simulator.journal[1].intended


async def test_where_nobody_continues_a_caller_that_discards_gets_a_restart(tmp_path):
    async with running(tmp_path) as (simulator, client):
        simulator.fail("plain", "cut", after_tokens=5)
        events, text = await read(client, policy="restarting", accept_discard=True)
        assert text == simulator.journal[1].intended
    assert sum(isinstance(event, AttemptDiscarded) for event in events) == 1


async def test_where_nobody_continues_any_other_caller_is_told(tmp_path):
    async with running(tmp_path) as (simulator, client):
        simulator.fail("plain", "cut", after_tokens=5)
        with pytest.raises(Unavailable) as raised:
            await read(client, policy="restarting")
        assert len(simulator.journal) == 1
    assert raised.value.reason == "STREAM_TRUNCATED"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_silent_provider_is_hedged_and_its_call_ended(tmp_path, stream):
    async with running(tmp_path) as (simulator, client):
        simulator.fail("plain", "silent")
        if stream:
            events, text = await read(client, policy="hedging")
            receipt = events[-1].receipt
        else:
            answer = await client.complete(PROMPT, policy="hedging", max_output_tokens=24)
            receipt, text = answer.receipt, answer.text
        silent, heard = simulator.journal[0], simulator.journal[1]
        await simulator.journal.wait_for(lambda entry: entry.id == silent.id and entry.outcome is Outcome.ABORTED, 30)

    assert text == heard.intended
    told = [(attempt.deployment, attempt.reason, attempt.outcome) for attempt in receipt.attempts]
    assert told == [
        ("plain", receipt_pb2.ATTEMPT_REASON_PRIMARY, receipt_pb2.ATTEMPT_OUTCOME_CANCELLED),
        ("other", receipt_pb2.ATTEMPT_REASON_HEDGE, receipt_pb2.ATTEMPT_OUTCOME_SUCCESS),
    ]
    assert receipt.deployment == "other"
