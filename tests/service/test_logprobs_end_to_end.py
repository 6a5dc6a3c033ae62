"""Log-probabilities over real channels: who gets them, who is asked for them, and what the gate makes of them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from math import exp
from pathlib import Path

import pytest

from llmrouter import AsyncClient, FailedPrecondition, InvalidRequest
from llmrouter.v1 import receipt_pb2
from llmrouter.v1.stream_pb2 import AttemptDiscarded, AttemptStarted, Finished, LogprobsDelta, TextDelta
from router_service.app import Application
from router_service.simulator import SimulatedModel, Simulator
from router_service.simulator.dialects import DIALECTS
from router_service.telemetry.tree import SpanCollector

CONFIGURATION = """
server: {address: "127.0.0.1:0", lame_duck: 0s}
providers:
  one: {base_url: "${SIMULATOR_URL}/one/v1", api_key: sk-one}
  two: {base_url: "${SIMULATOR_URL}/two/v1", api_key: sk-two}
  lists: {base_url: "${SIMULATOR_URL}/lists/v1", api_key: sk-l, quirks: {logprobs_as_count: true}}
  refusing: {base_url: "${SIMULATOR_URL}/refusing/v1", api_key: sk-r}
  continuing: {base_url: "${SIMULATOR_URL}/continuing/v1", api_key: sk-c, quirks: {prefill: plain}}
models:
  weak: {provider: one, capabilities: [logprobs], price: {input: 0.10, output: 0.40}}
  strong: {provider: two, capabilities: [logprobs], price: {input: 2.50, output: 10.00}}
  silent: {provider: two, capabilities: [], price: {input: 0.10, output: 0.40}}
  listing: {provider: lists, capabilities: [logprobs], price: {input: 0.10, output: 0.40}}
  refuser: {provider: refusing, capabilities: [logprobs], price: {input: 0.10, output: 0.40}}
  goes_on: {provider: continuing, capabilities: [logprobs], price: {input: 0.10, output: 0.40}}
policies:
  default:
    rules: [{use: [silent, strong]}]
  cautious:
    escalate: {gates: [{gate: confident, min_margin: 0.5}], to: [strong]}
    rules: [{use: weak}]
  optimistic:
    escalate: {gates: [{gate: confident, min_margin: 0.5}], to: [strong], streams: optimistic}
    rules: [{use: weak}]
  unasked:
    escalate: {gates: [{gate: confident, min_margin: 0.5}], to: [strong]}
    rules: [{use: silent}]
  refused:
    escalate: {gates: [{gate: confident, min_margin: 0.5}]}
    rules: [{use: refuser}]
  without:
    rules: [{use: silent}]
  continuing:
    recovery: continue
    keep_answers: 1h
    rules: [{use: [weak, goes_on]}]
  restarting:
    recovery: restart
    rules: [{use: [weak, strong]}]
  keeping:
    keep_answers: 1h
    rules: [{use: strong}]
default_policy: default
"""
PACE = {"first_token_seconds": 0.001, "tokens_per_second": 5000}
MODELS = [
    SimulatedModel(name="weak", quality=0.35, **PACE),
    SimulatedModel(name="strong", quality=1.0, **PACE),
    SimulatedModel(name="silent", quality=1.0, **PACE),
    SimulatedModel(name="listing", quality=1.0, dialect=DIALECTS["together"], **PACE),
    SimulatedModel(name="refuser", quality=1.0, dialect=DIALECTS["groq"], **PACE),
    SimulatedModel(name="goes_on", quality=1.0, dialect=DIALECTS["anthropic"], **PACE),
]
PROMPT = "Explain how tides work."


@asynccontextmanager
async def running(tmp_path: Path):
    file = tmp_path / "router.yaml"
    file.write_text(CONFIGURATION)
    spans = SpanCollector()
    async with Simulator(MODELS) as simulator:
        application = Application(file, environ={"SIMULATOR_URL": simulator.origin}, span_exporter=spans)
        port = await application.start()
        async with AsyncClient.connect(f"127.0.0.1:{port}", timeout=60) as client:
            yield simulator, client, spans
        await application.stop()


async def read(client, **options):
    """The events of one stream; the text and the tokens with log-probabilities that are left of it."""
    events, text, tokens = [], [], []
    async with client.stream(PROMPT, **options) as stream:
        async for event in stream:
            events.append(event)
            if isinstance(event, TextDelta):
                text.append(event.text)
            elif isinstance(event, LogprobsDelta):
                tokens += event.logprobs.tokens
            elif isinstance(event, AttemptDiscarded):
                text.clear()
                tokens.clear()
    return events, "".join(text), tokens


def asked(entry):
    return {name: value for name, value in entry.body.items() if "logprobs" in name}


async def test_a_whole_answer_comes_with_each_token_of_it(tmp_path):
    async with running(tmp_path) as (simulator, client, _):
        answer = await client.complete(PROMPT, logprobs=True, top_logprobs=3)
        assert [entry.model for entry in simulator.journal] == ["strong"]
        assert asked(simulator.journal[0]) == {"logprobs": True, "top_logprobs": 3}
    tokens = answer.logprobs.tokens
    assert "".join(token.token for token in tokens) == answer.text
    assert all(token.HasField("logprob") and token.logprob <= 0 for token in tokens)
    assert {len(token.top_logprobs) for token in tokens} == {3}
    assert all(sum(exp(one.logprob) for one in token.top_logprobs) <= 1.001 for token in tokens)
    assert not answer.logprobs.truncated


@pytest.mark.parametrize("model", ["strong", "listing"])
async def test_a_stream_tells_them_beside_its_text_in_either_dialect(tmp_path, model):
    async with running(tmp_path) as (_, client, _):
        events, text, tokens = await read(client, model=model, logprobs=True, top_logprobs=1)
    assert "".join(token.token for token in tokens) == text == events[-1].message.parts[0].text
    assert {len(token.top_logprobs) for token in tokens} == {1}
    deltas = [event for event in events if isinstance(event, TextDelta | LogprobsDelta)]
    assert isinstance(deltas[0], TextDelta)
    assert {event.attempt for event in deltas} == {1}


async def test_without_alternatives_each_token_has_its_own_alone(tmp_path):
    async with running(tmp_path) as (simulator, client, _):
        answer = await client.complete(PROMPT, logprobs=True)
        assert asked(simulator.journal[0]) == {"logprobs": True, "top_logprobs": 0}
    assert answer.logprobs.tokens
    assert not any(token.top_logprobs for token in answer.logprobs.tokens)


async def test_who_does_not_ask_gets_none_and_asks_nobody(tmp_path):
    async with running(tmp_path) as (simulator, client, _):
        answer = await client.complete(PROMPT)
        events, _, tokens = await read(client)
        assert [asked(entry) for entry in simulator.journal] == [{}, {}]
        assert simulator.journal[0].model == "silent"
    assert answer.logprobs is None
    assert tokens == []
    assert not any(isinstance(event, LogprobsDelta) for event in events)


async def test_where_nobody_gives_any_the_caller_is_told(tmp_path):
    async with running(tmp_path) as (simulator, client, _):
        with pytest.raises(FailedPrecondition) as raised:
            await client.complete(PROMPT, policy="without", logprobs=True)
        assert len(simulator.journal) == 0
    assert raised.value.reason == "NO_ELIGIBLE_CANDIDATE"
    assert "logprobs" in str(raised.value)


@pytest.mark.parametrize("options", [{"logprobs": True, "top_logprobs": 21}, {"top_logprobs": 2}])
async def test_a_wish_that_makes_no_sense_is_refused(tmp_path, options):
    async with running(tmp_path) as (_, client, _):
        with pytest.raises(InvalidRequest) as raised:
            await client.complete(PROMPT, **options)
    assert "chat.parameters.top_logprobs" in str(raised.value)


async def test_extra_fields_cannot_ask_behind_the_routers_back(tmp_path):
    async with running(tmp_path) as (_, client, _):
        with pytest.raises(InvalidRequest, match="logprobs"):
            await client.complete(PROMPT, extra={"logprobs": True})


async def test_an_unsure_answer_escalates_and_nobody_sees_what_was_not_asked_for(tmp_path):
    async with running(tmp_path) as (simulator, client, spans):
        answer = await client.complete(PROMPT, policy="cautious")
        first, second = simulator.journal[0], simulator.journal[1]
    assert asked(first) == asked(second) == {"logprobs": True, "top_logprobs": 2}
    assert answer.text == second.intended != first.intended
    assert answer.logprobs is None
    receipt = answer.receipt
    assert (receipt.deployment, receipt.quality) == ("strong", receipt_pb2.QUALITY_PASSED)
    refused, passed = (one.gates[0] for one in receipt.verdicts)
    assert (refused.name, refused.passed, passed.name, passed.passed) == ("confident", False, "confident", True)
    assert refused.score < 0.5 <= passed.score
    assert refused.reason == f"its least sure tokens lead by {refused.score:.2f} of at least 0.50"
    (span, _) = [span for span in spans.spans if span.name == "llm_router.quality_gate"]
    assert span.attributes["llm_router.gate.refused_by"] == ("confident",)


async def test_a_caller_that_asks_for_fewer_than_the_gate_gets_what_it_asked_for(tmp_path):
    async with running(tmp_path) as (simulator, client, _):
        answer = await client.complete(PROMPT, policy="cautious", logprobs=True)
        assert asked(simulator.journal[1]) == {"logprobs": True, "top_logprobs": 2}
    assert "".join(token.token for token in answer.logprobs.tokens) == answer.text
    assert not any(token.top_logprobs for token in answer.logprobs.tokens)


async def test_a_held_stream_has_those_of_the_accepted_answer_alone(tmp_path):
    async with running(tmp_path) as (_, client, _):
        events, text, tokens = await read(client, policy="cautious", logprobs=True)
    assert [event.attempt for event in events if isinstance(event, AttemptStarted)] == [2]
    assert {event.attempt for event in events if isinstance(event, LogprobsDelta)} == {2}
    assert "".join(token.token for token in tokens) == text


async def test_an_optimistic_stream_takes_back_those_of_a_refused_answer(tmp_path):
    async with running(tmp_path) as (simulator, client, _):
        events, text, tokens = await read(client, policy="optimistic", accept_discard=True, logprobs=True)
        assert text == simulator.journal[1].intended
    assert "".join(token.token for token in tokens) == text
    (discarded,) = [at for at, event in enumerate(events) if isinstance(event, AttemptDiscarded)]
    told = [(at < discarded, event.attempt) for at, event in enumerate(events) if isinstance(event, LogprobsDelta)]
    assert set(told) == {(True, 1), (False, 2)}
    first = next(at for at, event in enumerate(events, start=1) if isinstance(event, TextDelta | LogprobsDelta))
    assert events[discarded].from_sequence == first


async def test_a_deployment_that_gives_none_is_not_asked_and_passes(tmp_path):
    async with running(tmp_path) as (simulator, client, _):
        answer = await client.complete(PROMPT, policy="unasked")
        assert [(entry.model, asked(entry)) for entry in simulator.journal] == [("silent", {})]
    (verdict,) = answer.receipt.verdicts
    assert (verdict.passed, verdict.gates[0].reason) == (True, "no log-probabilities")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_provider_that_refuses_what_only_a_gate_wants_is_asked_without(tmp_path, stream):
    async with running(tmp_path) as (simulator, client, _):
        if stream:
            receipt = (await read(client, policy="refused"))[0][-1].receipt
        else:
            receipt = (await client.complete(PROMPT, policy="refused")).receipt
        assert [bool(asked(entry)) for entry in simulator.journal] == [True, False]
    assert [attempt.outcome for attempt in receipt.attempts] == [
        receipt_pb2.ATTEMPT_OUTCOME_ERROR,
        receipt_pb2.ATTEMPT_OUTCOME_SUCCESS,
    ]
    assert receipt.verdicts[0].gates[0].reason == "no log-probabilities"


async def test_a_continued_stream_has_those_of_both_halves_once(tmp_path):
    async with running(tmp_path) as (simulator, client, _):
        simulator.fail("weak", "cut", after_tokens=4)
        options = {"policy": "continuing", "logprobs": True, "idempotency_key": "k-1"}
        events, text, tokens = await read(client, **options)
        kept = await client.complete(PROMPT, **options)
    assert [event.continues_attempt for event in events if isinstance(event, AttemptStarted)] == [0, 1]
    assert isinstance(events[-1], Finished)
    assert "".join(token.token for token in tokens) == text == events[-1].message.parts[0].text
    assert list(kept.logprobs.tokens) == tokens


async def test_a_restarted_stream_keeps_none_of_the_broken_attempt(tmp_path):
    async with running(tmp_path) as (simulator, client, _):
        simulator.fail("weak", "cut", after_tokens=4, times=2)
        events, text, tokens = await read(client, policy="restarting", accept_discard=True, logprobs=True)
        assert text == simulator.journal[-1].intended
    assert any(isinstance(event, AttemptDiscarded) for event in events)
    assert "".join(token.token for token in tokens) == text


async def test_a_repeat_gets_those_of_the_first_answer(tmp_path):
    async with running(tmp_path) as (simulator, client, _):
        options = {"policy": "keeping", "logprobs": True, "top_logprobs": 2, "idempotency_key": "k-1"}
        first = await client.complete(PROMPT, **options)
        again = await client.complete(PROMPT, **options)
        _, text, tokens = await read(client, **options)
        assert len(simulator.journal) == 1
    assert again.logprobs == first.logprobs
    assert (text, tokens) == (first.text, list(first.logprobs.tokens))
