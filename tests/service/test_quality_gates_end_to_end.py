"""Gates over real channels: what the caller reads, what the provider was asked, and what it cost."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from llmrouter import AsyncClient, FailedPrecondition
from llmrouter.v1 import receipt_pb2
from llmrouter.v1.decision_pb2 import Decision
from llmrouter.v1.receipt_pb2 import GateVerdict
from llmrouter.v1.stream_pb2 import AttemptDiscarded, AttemptStarted, Finished, TextDelta
from router_service.app import Application
from router_service.simulator import SimulatedModel, Simulator
from router_service.simulator.journal import Outcome
from router_service.telemetry.tree import SpanCollector

CONFIGURATION = """
server: {address: "127.0.0.1:0", lame_duck: 0s}
providers:
  one: {base_url: "${SIMULATOR_URL}/one/v1", api_key: sk-one}
  two: {base_url: "${SIMULATOR_URL}/two/v1", api_key: sk-two}
models:
  weak: {provider: one, price: {input: 0.10, output: 0.40}}
  hopeless: {provider: one, price: {input: 0.10, output: 0.40}}
  strong: {provider: two, price: {input: 2.50, output: 10.00}}
budgets:
  small: {usd: 10, period: month, match: {model: strong}}
policies:
  default:
    baseline: strong
    escalate: {gates: [not_empty, not_refusal, not_hedging], to: [strong]}
    rules: [{use: weak}]
  optimistic:
    escalate: {gates: [not_empty, not_refusal, not_hedging], to: [strong], streams: optimistic}
    rules: [{use: weak}]
  nobody:
    escalate: {gates: [not_empty, not_refusal, not_hedging], to: [hopeless]}
    rules: [{use: weak}]
  strict:
    escalate: {gates: [not_empty, not_refusal, not_hedging], to: [hopeless], unsatisfied: fail}
    rules: [{use: weak}]
"""
MODELS = [
    SimulatedModel(name="weak", quality=0.0, first_token_seconds=0.001, tokens_per_second=5000),
    SimulatedModel(name="hopeless", quality=0.0, first_token_seconds=0.001, tokens_per_second=5000),
    SimulatedModel(name="strong", quality=1.0, first_token_seconds=0.001, tokens_per_second=5000),
]
PROMPT = "Explain how tides work."


@asynccontextmanager
async def running(tmp_path: Path, configuration: str = CONFIGURATION):
    file = tmp_path / "router.yaml"
    file.write_text(configuration)
    spans = SpanCollector()
    async with Simulator(MODELS) as simulator:
        application = Application(file, environ={"SIMULATOR_URL": simulator.origin}, span_exporter=spans)
        port = await application.start()
        async with AsyncClient.connect(f"127.0.0.1:{port}", timeout=60) as client:
            yield simulator, client, spans
        await application.stop()


async def read(client, **options):
    """The events of one stream, and the text that is left of it."""
    events, text = [], []
    async with client.stream(PROMPT, **options) as stream:
        async for event in stream:
            events.append(event)
            if isinstance(event, TextDelta):
                text.append(event.text)
            elif isinstance(event, AttemptDiscarded):
                text.clear()
    return events, "".join(text)


async def test_a_weak_answer_escalates_and_both_are_accounted_for(tmp_path):
    async with running(tmp_path) as (simulator, client, _):
        answer = await client.complete(PROMPT)
        first, second = simulator.journal[0], simulator.journal[1]

    receipt = answer.receipt
    assert answer.text == second.intended != first.intended
    assert (receipt.deployment, receipt.answer_attempt, receipt.quality) == ("strong", 2, receipt_pb2.QUALITY_PASSED)
    assert [attempt.reason for attempt in receipt.attempts] == [
        receipt_pb2.ATTEMPT_REASON_PRIMARY,
        receipt_pb2.ATTEMPT_REASON_ESCALATION,
    ]
    assert [(one.attempt, one.passed) for one in receipt.verdicts] == [(1, False), (2, True)]
    refused = [gate for gate in receipt.verdicts[0].gates if not gate.passed]
    assert refused
    assert all(gate.reason for gate in refused)
    assert receipt.cost_nano_usd == sum(attempt.cost_nano_usd for attempt in receipt.attempts)
    assert all(attempt.cost_nano_usd > 0 for attempt in receipt.attempts)
    # The baseline is what the answer alone would have cost there: the refused attempt saved nothing.
    assert receipt.baseline_cost_nano_usd == receipt.attempts[1].cost_nano_usd


async def test_a_held_stream_begins_with_the_verdicts_and_shows_the_accepted_answer_only(tmp_path):
    async with running(tmp_path) as (simulator, client, _):
        events, text = await read(client)
        assert text == simulator.journal[1].intended

    kinds = [type(event) for event in events]
    assert kinds[:4] == [Decision, GateVerdict, GateVerdict, AttemptStarted]
    assert kinds[-1] is Finished
    assert set(kinds[4:-1]) == {TextDelta}
    assert [event.attempt for event in events if isinstance(event, AttemptStarted)] == [2]
    assert events[-1].message.parts[0].text == text


async def test_an_optimistic_stream_flows_and_takes_back_what_is_refused(tmp_path):
    async with running(tmp_path) as (simulator, client, _):
        events, text = await read(client, policy="optimistic", accept_discard=True)
        assert text == simulator.journal[1].intended

    kinds = [type(event) for event in events if not isinstance(event, TextDelta)]
    assert kinds == [
        Decision,
        AttemptStarted,
        GateVerdict,
        AttemptDiscarded,
        AttemptStarted,
        GateVerdict,
        Finished,
    ]
    (discarded,) = [event for event in events if isinstance(event, AttemptDiscarded)]
    assert (discarded.attempt, discarded.reason) == (1, "GATE")
    first = next(at for at, event in enumerate(events, start=1) if isinstance(event, TextDelta))
    assert discarded.from_sequence == first


async def test_an_optimistic_stream_is_held_for_a_client_that_does_not_discard(tmp_path):
    async with running(tmp_path) as (simulator, client, _):
        events, text = await read(client, policy="optimistic")
        assert text == simulator.journal[1].intended
    assert not any(isinstance(event, AttemptDiscarded) for event in events)


async def test_an_escalation_that_breaks_gives_the_first_answer_back(tmp_path):
    async with running(tmp_path) as (simulator, client, _):
        simulator.fail("strong", "cut", after_tokens=5, times=None)
        events, text = await read(client, policy="optimistic", accept_discard=True)
        assert text == simulator.journal[0].intended == events[-1].message.parts[0].text

    reasons = [event.reason for event in events if isinstance(event, AttemptDiscarded)]
    assert reasons == ["GATE", "STREAM_TRUNCATED"]
    receipt = events[-1].receipt
    assert (receipt.deployment, receipt.quality) == ("weak", receipt_pb2.QUALITY_BELOW_THRESHOLD)


@pytest.mark.parametrize("stream", [False, True])
async def test_where_no_gate_is_satisfied_the_answer_is_marked(tmp_path, stream):
    async with running(tmp_path) as (_, client, _):
        if stream:
            events, text = await read(client, policy="nobody")
            receipt = events[-1].receipt
        else:
            answer = await client.complete(PROMPT, policy="nobody")
            receipt, text = answer.receipt, answer.text
    assert text
    assert (receipt.status, receipt.quality) == ("OK", receipt_pb2.QUALITY_BELOW_THRESHOLD)
    assert len(receipt.attempts) == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_where_no_gate_is_satisfied_a_strict_policy_fails(tmp_path, stream):
    async with running(tmp_path) as (_, client, _):
        with pytest.raises(FailedPrecondition) as raised:
            await (read(client, policy="strict") if stream else client.complete(PROMPT, policy="strict"))
        receipt = await client.receipt(raised.value.request_id)
    assert raised.value.reason == "QUALITY_NOT_MET"
    assert PROMPT not in str(raised.value)
    assert (receipt.deployment, receipt.answer_attempt, len(receipt.verdicts)) == ("", 0, 2)
    assert receipt.cost_nano_usd > 0


async def test_a_budget_spent_before_the_escalation_leaves_the_first_answer(tmp_path):
    async with running(tmp_path, CONFIGURATION.replace("usd: 10", "usd: 0.000001")) as (
        simulator,
        client,
        _,
    ):
        answer = await client.complete(PROMPT)
        assert [entry.model for entry in simulator.journal] == ["weak"]
    assert answer.receipt.quality == receipt_pb2.QUALITY_BELOW_THRESHOLD
    assert answer.text


async def test_a_client_that_leaves_while_output_is_held_is_accounted_for(tmp_path):
    async with running(tmp_path) as (simulator, client, _):
        simulator.fail("weak", "stall", after_tokens=3, times=None)
        reading = asyncio.create_task(read(client, request_id="leaver"))
        await simulator.journal.wait_for(lambda entry: entry.tokens_sent >= 1)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await simulator.journal.wait_for(lambda entry: entry.outcome is Outcome.ABORTED)
        receipt = await client.receipt("leaver")
    assert receipt.status == "CANCELLED"
    (attempt,) = receipt.attempts
    assert attempt.outcome == receipt_pb2.ATTEMPT_OUTCOME_CANCELLED
    assert attempt.cost_nano_usd > 0
    assert receipt.quality == receipt_pb2.QUALITY_UNSPECIFIED


async def test_spans_tell_what_each_gate_made_of_it_and_no_word_of_the_answer(tmp_path):
    async with running(tmp_path) as (simulator, client, spans):
        await client.complete(PROMPT)
        intended = [entry.intended for entry in simulator.journal]
    gates = [span for span in spans.spans if span.name == "llm_router.quality_gate"]
    assert [span.attributes["llm_router.gate.passed"] for span in gates] == [False, True]
    assert gates[0].attributes["llm_router.gate.refused_by"]
    root = next(span for span in spans.spans if span.name.endswith("/Complete"))
    assert root.attributes["llm_router.quality"] == "passed"
    assert root.attributes["llm_router.escalation.count"] == 1
    assert root.attributes["llm_router.fallback.path"] == ("weak", "strong")
    assert "llm_router.escalate" in [event.name for event in root.events]
    told = repr([dict(span.attributes) for span in spans.spans])
    assert not any(text in told for text in intended)
