"""Classifiers and judges that are models, over real channels: what they are asked, cost and leave behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

from llmrouter import AsyncClient
from llmrouter.v1 import receipt_pb2
from llmrouter.v1.stream_pb2 import AttemptStarted, Finished
from router_service.app import Application
from router_service.simulator import SimulatedModel, Simulator
from router_service.storage.opening import open_database
from router_service.telemetry.tree import SpanCollector

CONFIGURATION = """
server: {address: "127.0.0.1:0", lame_duck: 0s}
providers:
  one: {base_url: "${SIMULATOR_URL}/one/v1", api_key: sk-one}
  two: {base_url: "${SIMULATOR_URL}/two/v1", api_key: sk-two}
models:
  mini: {provider: two, price: {input: 0.15, output: 0.60}}
  weak: {provider: one, price: {input: 0.10, output: 0.40}}
  strong: {provider: one, price: {input: 2.50, output: 10.00}}
ledger: {folder: state}
policies:
  default:
    baseline: strong
    retries: {same_deployment: 0}
    classifier: {use: llm, llm: {use: mini, timeout: 20s}}
    rules:
      - {name: hard, when: {complexity: complex}, use: strong}
      - {name: rest, use: weak}
  band:
    classifier: {use: heuristic, band: [0.2, 0.6], then: llm, llm: mini}
    rules: [{use: weak}]
  judged:
    escalate: {gates: [not_empty, {gate: judge, use: mini, timeout: 20s}], to: [strong]}
    rules: [{use: weak}]
  hurried:
    classifier: {use: llm, llm: {use: mini, timeout: 400ms}}
    escalate: {gates: [not_empty, {gate: judge, use: mini, timeout: 400ms}], to: [strong]}
    rules: [{use: weak}]
"""
QUICK = {"first_token_seconds": 0.001, "tokens_per_second": 5000}
MODELS = [
    # Always to the point, as its misbehaviour grows with what is missing to 1.
    SimulatedModel(name="mini", quality=1.0, **QUICK),
    SimulatedModel(name="weak", quality=0.0, **QUICK),
    SimulatedModel(name="strong", quality=1.0, **QUICK),
]
EASY = "Write a greeting for my neighbour."
HARD = "Prove this theorem step by step, analyse its trade-offs and derive a strategy."


@asynccontextmanager
async def running(tmp_path: Path):
    file = tmp_path / "router.yaml"
    file.write_text(CONFIGURATION)
    spans = SpanCollector()
    async with Simulator(MODELS) as simulator:
        application = Application(file, environ={"SIMULATOR_URL": simulator.origin}, span_exporter=spans)
        port = await application.start()
        try:
            async with AsyncClient.connect(f"127.0.0.1:{port}", timeout=60) as client:
                yield simulator, client, spans
        finally:
            await application.stop()


def path(receipt):
    names = receipt_pb2.AttemptReason
    return [(one.deployment, names.Name(one.reason).removeprefix("ATTEMPT_REASON_")) for one in receipt.attempts]


async def test_a_model_says_how_complex_a_call_is_and_the_receipt_shows_what_that_cost(tmp_path):
    async with running(tmp_path) as (simulator, client, spans):
        receipt = (await client.complete(HARD)).receipt
        easy = (await client.complete(EASY)).receipt
        question = simulator.journal[0]
        intended = [entry.intended for entry in simulator.journal]

    assert path(receipt) == [("mini", "CLASSIFIER"), ("strong", "PRIMARY")]
    assert path(easy) == [("mini", "CLASSIFIER"), ("weak", "PRIMARY")]
    known = receipt.signals
    assert (known.complexity, known.complexity_source, known.classifier) == ("complex", "llm", "llm")
    assert known.classifier_deployment == "mini"
    assert not known.HasField("complexity_score")
    assert receipt.answer_attempt == 2
    assert receipt.cost_nano_usd == sum(attempt.cost_nano_usd for attempt in receipt.attempts)
    assert 0 < receipt.attempts[0].cost_nano_usd < 100_000
    assert (question.model, question.body["temperature"], question.intended) == ("mini", 0.0, "complex")
    assert HARD in question.body["messages"][1]["content"]

    root = next(span for span in spans.spans if span.name.endswith("/Complete"))
    first, second = [span for span in spans.spans if span.name.startswith("chat ") and span.parent == root.context]
    assert (first.name, first.attributes["llm_router.attempt.reason"]) == ("chat mini", "classifier")
    assert (second.name, first.attributes["gen_ai.request.max_tokens"]) == ("chat strong", 16)
    route = next(span for span in spans.spans if span.name == "llm_router.route")
    assert route.attributes["llm_router.route.classifier.deployment"] == "mini"
    told = repr([dict(span.attributes) for span in spans.spans])
    assert HARD not in told
    assert not any(text in told for text in intended if len(text) > 10)


async def test_a_stream_shows_the_answers_attempt_only(tmp_path):
    async with running(tmp_path) as (_, client, _), client.stream(HARD) as stream:
        events = [event async for event in stream]
    assert [(one.attempt, one.deployment) for one in events if isinstance(one, AttemptStarted)] == [(2, "strong")]
    assert isinstance(events[-1], Finished)
    assert path(events[-1].receipt) == [("mini", "CLASSIFIER"), ("strong", "PRIMARY")]


async def test_without_its_word_the_heuristic_judges_and_the_receipt_says_why(tmp_path):
    async with running(tmp_path) as (simulator, client, _):
        simulator.fail("mini", "429")
        receipt = (await client.complete(EASY)).receipt
    assert path(receipt) == [("mini", "CLASSIFIER"), ("weak", "PRIMARY")]
    assert (receipt.signals.complexity_source, receipt.signals.classifier_deployment) == ("heuristic", "")
    assert receipt.signals.complexity_cause.endswith("no model was heard: mini failed (429)")


async def test_a_model_that_says_nothing_is_waited_for_as_long_as_the_policy_allows(tmp_path):
    async with running(tmp_path) as (simulator, client, _):
        simulator.fail("mini", "silent", times=2)
        receipt = (await client.complete(EASY, policy="hurried")).receipt
    assert path(receipt) == [("mini", "CLASSIFIER"), ("weak", "PRIMARY"), ("mini", "JUDGE")]
    assert receipt.signals.complexity_cause.endswith("no model was heard: mini failed (first_token_timeout)")
    assert receipt.quality == receipt_pb2.QUALITY_PASSED
    (verdict,) = receipt.verdicts
    assert verdict.gates[1].reason == "could not be judged: mini failed (first_token_timeout)"


async def test_route_asks_nobody_and_its_decision_may_be_redeemed(tmp_path):
    async with running(tmp_path) as (simulator, client, _):
        routed = await client.route(EASY)
        assert len(simulator.journal) == 0
        receipt = (await client.complete(EASY, decision_token=routed.decision_token)).receipt
        certain = await client.route(EASY, complexity="complex")
    assert routed.decision.provisional
    assert path(receipt) == [("weak", "PRIMARY")]
    assert not certain.decision.provisional


async def test_only_what_the_first_classifier_is_unsure_of_is_paid_for(tmp_path):
    async with running(tmp_path) as (_, client, _):
        sure = (await client.complete("Hi", policy="band")).receipt
        unsure = (await client.complete("Explain the architecture of this system.", policy="band")).receipt
    assert [path(sure), path(unsure)] == [[("weak", "PRIMARY")], [("mini", "CLASSIFIER"), ("weak", "PRIMARY")]]
    assert sure.signals.classifier == "heuristic"
    assert unsure.signals.complexity_cause.startswith("heuristic is uncertain between 0.2 and 0.6")


async def test_a_judge_refuses_a_poor_answer_and_its_span_is_within_the_gates(tmp_path):
    async with running(tmp_path) as (_, client, spans):
        receipt = (await client.complete(EASY, policy="judged")).receipt
    assert path(receipt) == [("weak", "PRIMARY"), ("mini", "JUDGE"), ("strong", "ESCALATION"), ("mini", "JUDGE")]
    first, second = receipt.verdicts
    judge = {gate.name: gate for gate in first.gates}["judge"]
    assert (first.passed, judge.passed, judge.judge_attempt) == (False, False, 2)
    assert judge.reason.startswith("mini grades it 0.20 of 0.70")
    assert second.passed
    assert (receipt.answer_attempt, receipt.quality) == (3, receipt_pb2.QUALITY_PASSED)
    assert receipt.cost_nano_usd == sum(attempt.cost_nano_usd for attempt in receipt.attempts)
    gates = {span.attributes["llm_router.attempt.number"]: span for span in spans.spans if "quality_gate" in span.name}
    judges = [span for span in spans.spans if span.attributes.get("llm_router.attempt.reason") == "judge"]
    assert [span.parent for span in judges] == [gates[1].context, gates[3].context]
    assert [span.attributes["llm_router.attempt.judges"] for span in judges] == [1, 3]


async def test_a_router_killed_while_it_asks_leaves_a_ledger_that_knows_of_it(tmp_path):
    file = tmp_path / "router.yaml"
    file.write_text(CONFIGURATION)
    async with Simulator(MODELS) as simulator:
        simulator.fail("mini", "silent")
        environ = os.environ | {"SIMULATOR_URL": simulator.origin}
        router = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "router_service", "serve", "--config", str(file)),
            env=environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            port = await _port(router)
            async with AsyncClient.connect(f"127.0.0.1:{port}", timeout=60) as client:
                calling = asyncio.create_task(client.complete(HARD, request_id="killed"))
                await simulator.journal.wait_for(lambda entry: entry.model == "mini")
                router.send_signal(signal.SIGKILL)
                await router.wait()
                await asyncio.gather(calling, return_exceptions=True)
        finally:
            if router.returncode is None:
                router.kill()
                await router.wait()
        # The next router takes over what the dead one left.
        successor = Application(file, environ={"SIMULATOR_URL": simulator.origin})
        await successor.start()
        await successor.stop()
    database = await open_database("sqlite:///ledger.db", directory=tmp_path / "state")
    try:
        attempts = await database.fetch("SELECT kind, status, outcome, closed_by FROM ledger_attempts")
        calls = await database.fetch("SELECT request_id, rule, closed_by FROM ledger_operations")
    finally:
        await database.aclose()
    assert [tuple(row) for row in attempts] == [("classifier", "indeterminate", "unknown", "sweep")]
    assert [tuple(row) for row in calls] == [("killed", "", "sweep")]


async def _port(router: asyncio.subprocess.Process) -> int:
    assert router.stdout is not None
    async with asyncio.timeout(120):
        async for line in router.stdout:
            if b"127.0.0.1:" in line:
                return int(line.rpartition(b"127.0.0.1:")[2].split()[0].strip(b'",.}'))
    raise AssertionError("the router ended before it served")
