"""The whole router: real gRPC channel, real HTTP and SSE, a provider that misbehaves."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.trace import SpanKind, StatusCode

from llmrouter import AsyncClient, DeadlineExceeded, InvalidRequest, NotFound, RouterError, Unavailable
from llmrouter.v1 import receipt_pb2
from llmrouter.v1.decision_pb2 import Decision
from llmrouter.v1.stream_pb2 import AttemptDiscarded, AttemptStarted, Finished, TextDelta
from router_service.app import Application
from router_service.simulator.server import Simulator
from router_service.telemetry.tree import SpanCollector
from tests.loop_clock import leap, on_the_loops_clock

CONFIGURATION = """
server: {address: "127.0.0.1:0", lame_duck: 0s}
providers:
  openai: {base_url: "${SIMULATOR_URL}/openai/v1", api_key: sk-one}
  deepseek: {base_url: "${SIMULATOR_URL}/deepseek/v1", api_key: sk-two}
models:
  gpt-4o: {provider: openai, price: {input: 2.50, output: 10.00}}
  deepseek-chat: {provider: deepseek, price: {input: 0.27, output: 1.10}}
features:
  summary: {max_output_tokens: 30}
policies:
  default:
    baseline: gpt-4o
    rules:
      - {name: free, when: {tier: free}, use: [deepseek-chat, gpt-4o]}
      - {name: rest, use: [gpt-4o, deepseek-chat]}
"""


class Router:
    """A running router with its provider and a client of it."""

    def __init__(self, application, simulator, client, collector, file):
        self.application = application
        self.simulator = simulator
        self.client = client
        self.collector = collector
        self.file = file


@asynccontextmanager
async def running(tmp_path, configuration=CONFIGURATION):
    file = tmp_path / "router.yaml"
    file.write_text(configuration)
    collector = SpanCollector()
    async with Simulator() as simulator:
        application = Application(file, environ={"SIMULATOR_URL": simulator.origin}, span_exporter=collector)
        port = await application.start()
        async with AsyncClient.connect(f"127.0.0.1:{port}", timeout=60) as client:
            yield Router(application, simulator, client, collector, file)
        await application.stop()


@pytest.fixture
async def router(tmp_path):
    async with running(tmp_path) as router:
        yield router


async def test_a_unary_call_is_routed_answered_and_priced(router):
    answer = await router.client.complete("What is the capital of France?", tier="free")
    receipt = answer.receipt
    assert answer.text
    assert (receipt.model, receipt.rule, receipt.status) == ("deepseek-chat", "free", "OK")
    usage = receipt.usage
    uncached = usage.input_tokens - usage.cached_input_tokens
    price = {model.id: model.price for model in await router.client.models()}["deepseek-chat"]
    assert receipt.cost_nano_usd * 1_000_000 == pytest.approx(
        uncached * price.input_nano_usd_per_million
        + usage.cached_input_tokens * price.cached_input_nano_usd_per_million
        + usage.output_tokens * price.output_nano_usd_per_million,
        abs=500_000,
    )
    assert receipt.baseline_cost_nano_usd > receipt.cost_nano_usd > 0


async def test_a_stream_begins_with_the_decision_and_ends_with_the_receipt(router):
    async with router.client.stream("Write a short poem about rivers.") as stream:
        events = [event async for event in stream]
    assert isinstance(events[0], Decision)
    assert isinstance(events[1], AttemptStarted)
    assert isinstance(events[-1], Finished)
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert text == events[-1].message.parts[0].text
    assert events[-1].receipt.cost_nano_usd > 0


async def test_unary_and_stream_give_the_same_answer_and_account(router):
    answer = await router.client.complete("Name three rivers.", deployment="gpt-4o")
    async with router.client.stream("Name three rivers.", deployment="gpt-4o") as stream:
        text = "".join([piece async for piece in stream.text()])
    assert text == answer.text
    assert stream.finished.receipt.usage.output_tokens == answer.receipt.usage.output_tokens


async def test_the_features_token_limit_reaches_the_provider(router):
    answer = await router.client.complete("Explain the history of Rome in detail.", feature="summary")
    assert answer.finish_reason == "length"
    assert answer.receipt.token_limit.applied == 30
    assert answer.receipt.token_limit.reason == "feature"
    assert router.simulator.journal[-1].body["max_completion_tokens"] == 30


async def test_an_outage_of_one_provider_is_noticed_by_nobody_but_the_receipt(router):
    router.simulator.fail(None, "503", provider="deepseek", times=None)
    answer = await router.client.complete("Hello", tier="free")
    assert answer.receipt.provider == "openai"
    reasons = [receipt_pb2.AttemptReason.Name(attempt.reason) for attempt in answer.receipt.attempts]
    assert reasons == ["ATTEMPT_REASON_PRIMARY", "ATTEMPT_REASON_RETRY", "ATTEMPT_REASON_FALLBACK"]


async def test_a_cut_before_the_first_token_falls_back_within_the_stream(router):
    router.simulator.fail("deepseek-chat", "cut", times=2)
    async with router.client.stream("Hello", tier="free") as stream:
        text = "".join([piece async for piece in stream.text()])
    assert text
    assert stream.finished.receipt.provider == "openai"


async def test_a_cut_after_output_is_never_a_success(router):
    router.simulator.fail("gpt-4o", "end_without_finish", after_tokens=3)
    stream = router.client.stream("Tell me a story.")
    with pytest.raises(Unavailable) as raised:
        async for _ in stream:
            pass
    assert raised.value.reason == "STREAM_TRUNCATED"
    attempt = stream.finished.receipt.attempts[0]
    assert attempt.error_type == "stream_interrupted"
    assert attempt.cost_nano_usd > 0
    assert attempt.cost_status == receipt_pb2.COST_STATUS_PARTIAL


async def test_a_cut_after_output_restarts_where_policy_and_caller_allow_it(tmp_path):
    configuration = CONFIGURATION.replace("    baseline: gpt-4o", "    baseline: gpt-4o\n    recovery: restart")
    async with running(tmp_path, configuration) as router:
        router.simulator.fail("gpt-4o", "end_without_finish", after_tokens=3, times=2)
        kept, discarded = [], []
        async with router.client.stream("Tell me a story.", accept_discard=True) as stream:
            async for event in stream:
                if isinstance(event, AttemptDiscarded):
                    discarded.append(event)
                    kept.clear()
                elif isinstance(event, TextDelta):
                    kept.append(event.text)
        assert [event.attempt for event in discarded] == [1, 2]
        assert "".join(kept) == stream.finished.message.parts[0].text
        assert stream.finished.receipt.provider == "deepseek"


async def test_a_silent_provider_costs_only_its_share_of_the_deadline(router):
    router.simulator.fail("deepseek-chat", "silent", times=None)
    on_the_loops_clock(router.application.engine)
    asking = asyncio.create_task(router.client.complete("Hello", tier="free", timeout=40))
    await router.simulator.journal.wait_for(lambda entry: entry.provider == "deepseek")
    leap(21.0)
    answer = await asking
    assert answer.receipt.attempts[0].duration.seconds < 30
    assert answer.receipt.provider == "openai"


async def test_the_callers_deadline_ends_the_call_with_a_receipt(router):
    router.simulator.fail(None, "silent", times=None)
    with pytest.raises(DeadlineExceeded) as raised:
        await router.client.complete("Hello", timeout=1)
    receipt = await receipt_of(router.client, raised.value.request_id)
    assert receipt.status == "DEADLINE_EXCEEDED"
    assert receipt.attempts


@pytest.mark.parametrize("way", ["unary", "stream"])
async def test_cancelling_closes_the_upstream_call_at_once(router, way, capsys):
    router.simulator.fail(None, "stall", after_tokens=3, times=None)
    if way == "unary":
        task = asyncio.create_task(router.client.complete("Tell me a story.", request_id="cancelled"))
        entry = await router.simulator.journal.wait_for(lambda entry: entry.tokens_sent >= 3, 30)
    else:
        stream = router.client.stream("Tell me a story.", request_id="cancelled")
        async for event in stream:
            if isinstance(event, TextDelta):
                break
        entry = router.simulator.journal[-1]
    loop = asyncio.get_running_loop()
    cancelled_at = loop.time()
    if way == "unary":
        task.cancel()
    else:
        await stream.aclose()
    lag = await loop_lag()
    await router.simulator.journal.wait_for(lambda seen: seen is entry and seen.disconnected_at is not None, 30)
    took = entry.disconnected_at - cancelled_at
    with capsys.disabled():
        print(f"\n{way}: upstream closed {took * 1000:.1f} ms after the cancel, loop lag {lag * 1000:.1f} ms")
    assert entry.received_at < cancelled_at < entry.disconnected_at
    receipt = await receipt_of(router.client, "cancelled")
    assert receipt.status == "CANCELLED"
    assert receipt.attempts[0].cost_status == receipt_pb2.COST_STATUS_PARTIAL
    assert receipt.cost_nano_usd > 0


async def loop_lag():
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.sleep(0)
    return loop.time() - began


async def receipt_of(client, request_id):
    """The receipt as soon as it is kept: cancelled calls are closed after their client has gone."""
    while True:
        try:
            return await client.receipt(request_id)
        except NotFound:
            await asyncio.sleep(0)


async def test_route_decides_without_calling_and_its_token_is_redeemed(router):
    routed = await router.client.route("Hello", tier="free")
    assert [candidate.deployment for candidate in routed.decision.candidates] == ["deepseek-chat", "gpt-4o"]
    assert not len(router.simulator.journal)
    answer = await router.client.complete("Hello", tier="free", decision_token=routed.decision_token)
    assert answer.receipt.model == "deepseek-chat"
    with pytest.raises(RouterError) as raised:
        await router.client.complete("Something else", tier="free", decision_token=routed.decision_token)
    assert raised.value.reason == "DECISION_TOKEN_INVALID"


async def test_bad_fields_are_named(router):
    with pytest.raises(InvalidRequest) as raised:
        await router.client.complete("Hello", temperature=9.0)
    assert [violation.field for violation in raised.value.violations] == ["chat.parameters.temperature"]


async def test_tools_json_and_images_reach_the_provider_and_come_back(router):
    tool = {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather in a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
    answer = await router.client.complete("Weather in Paris?", tools=[tool], tool_choice="required", model="gpt-4o")
    assert answer.finish_reason == "tool_calls"
    assert answer.message.tool_calls[0].name == "get_weather"
    async with router.client.stream("Weather?", tools=[tool], tool_choice="required", model="gpt-4o") as stream:
        async for _ in stream:
            pass
    assert stream.finished.message.tool_calls[0].name == "get_weather"


async def test_the_span_tree_has_one_server_one_route_and_a_client_span_per_attempt(router):
    router.simulator.fail(None, "503", provider="deepseek", times=None)
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = await router.client.complete("Hello", tier="free", traceparent=f"00-{trace_id}-00f067aa0ba902b7-01")
    assert answer.receipt.trace_id == trace_id
    spans = router.collector.trace(trace_id)
    by_kind = {kind: [span for span in spans if span.kind is kind] for kind in SpanKind}
    assert [span.name for span in by_kind[SpanKind.SERVER]] == ["llmrouter.v1.RouterService/Complete"]
    assert [span.name for span in by_kind[SpanKind.INTERNAL]] == ["llm_router.route"]
    assert [span.name for span in by_kind[SpanKind.CLIENT]] == [
        "chat deepseek-chat",
        "chat deepseek-chat",
        "chat gpt-4o",
    ]
    server = by_kind[SpanKind.SERVER][0]
    assert server.status.status_code is StatusCode.UNSET
    assert server.attributes["llm_router.request.cost.total"] == pytest.approx(answer.receipt.cost_nano_usd / 1e9)
    assert all(span.parent.span_id == server.context.span_id for span in spans if span is not server)
    assert [span.status.status_code for span in by_kind[SpanKind.CLIENT]] == [
        StatusCode.ERROR,
        StatusCode.ERROR,
        StatusCode.UNSET,
    ]


async def test_saving_the_file_changes_the_routing_and_a_bad_one_does_not(router):
    router.file.write_text(CONFIGURATION.replace("use: [deepseek-chat, gpt-4o]", "use: [gpt-4o]"))
    assert await router.application.reload() is None
    assert (await router.client.complete("Hello", tier="free")).receipt.model == "gpt-4o"
    router.file.write_text(CONFIGURATION.replace("use: [deepseek-chat, gpt-4o]", "use: [nonsense]"))
    error = await router.application.reload()
    assert "nonsense" in str(error)
    assert (await router.client.complete("Hello", tier="free")).receipt.model == "gpt-4o"


async def test_saving_the_file_alone_is_enough(router):
    router.file.write_text(CONFIGURATION.replace("name: free", "name: renamed"))
    async with asyncio.timeout(30):
        while (await router.client.route("Hello", tier="free")).decision.rule != "renamed":
            pass


async def test_what_shapes_the_answer_reaches_the_provider(router):
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    answer = await router.client.complete(
        "Which city is the capital of France?",
        model="gpt-4o",
        seed=7,
        stop=["END"],
        temperature=0.25,
        response_format={"type": "json_schema", "json_schema": {"name": "capital", "schema": schema}},
    )
    assert isinstance(json.loads(answer.text)["city"], str)
    body = router.simulator.journal[-1].body
    assert (body["seed"], body["stop"], body["temperature"]) == (7, ["END"], 0.25)
    assert body["response_format"]["json_schema"]["schema"] == schema


async def test_the_trace_goes_on_to_a_provider_only_where_the_operator_says_so(tmp_path):
    configuration = CONFIGURATION.replace("api_key: sk-one", "api_key: sk-one, propagate_trace: true")
    async with running(tmp_path, configuration) as router:
        for model in ("gpt-4o", "deepseek-chat"):
            await router.client.complete("Hello", model=model)
        headers = {entry.model: entry.header_names for entry in router.simulator.journal}
    assert "traceparent" in headers["gpt-4o"]
    assert "traceparent" not in headers["deepseek-chat"]


async def test_turns_of_a_conversation_stay_where_they_began(tmp_path):
    configuration = CONFIGURATION.replace("    baseline: gpt-4o", "    baseline: gpt-4o\n    sticky: conversation")
    async with running(tmp_path, configuration) as router:
        router.simulator.fail(None, "503", provider="deepseek", times=2)
        first = await router.client.complete("Hello", tier="free", conversation_id="c1")
        second = await router.client.complete("And again", tier="free", conversation_id="c1")
        other = await router.client.complete("Hello", tier="free", conversation_id="c2")
    assert [answer.receipt.model for answer in (first, second, other)] == ["gpt-4o", "gpt-4o", "deepseek-chat"]


async def test_a_call_in_flight_survives_a_drain(router):
    router.simulator.fail("gpt-4o", "slow_headers", seconds=0.001)
    task = asyncio.create_task(router.client.complete("Hello"))
    await router.simulator.journal.wait_for(lambda entry: True, 30)
    await router.application.stop()
    assert (await task).text


async def test_no_secret_and_no_prompt_reaches_a_span_or_an_error(router):
    canary = "canary-7f3a"
    router.simulator.fail(None, "400", times=1)
    with pytest.raises(RouterError) as raised:
        await router.client.complete(f"Say {canary}")
    await router.client.complete(f"Say {canary}")
    seen = repr(
        [(span.name, dict(span.attributes), span.events, span.status.description) for span in router.collector.spans]
    )
    assert canary not in seen + str(raised.value) + repr(raised.value.metadata)
    assert "sk-one" not in seen + str(raised.value)


async def test_health_is_served_for_the_whole_and_for_the_service(router):
    channel = router.client._channel
    for service in ("", "llmrouter.v1.RouterService"):
        response = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
        assert response.status == health_pb2.HealthCheckResponse.SERVING
