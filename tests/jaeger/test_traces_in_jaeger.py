"""Calls of the Go client as a real Jaeger shows them: one tree from the caller's span down to each attempt.

The router is real and exports by OTLP, the provider is simulated, Jaeger is a program of its own, and so is the caller.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import urllib.parse
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jaeger_server import Jaeger, Trace, jaeger, until

from router_service.app import Application
from router_service.simulator import SimulatedModel, Simulator

DRAW = Path(__file__).parents[2] / "deploy" / "jaeger" / "draw.py"
PICTURE = os.environ.get("TRACE_PICTURE", "")
"""Where to leave the picture of the docs, if anywhere."""

CONFIGURATION = """
server: {address: "127.0.0.1:0", lame_duck: 0s}
ledger: {folder: state}
providers:
  one: {base_url: "${SIMULATOR_URL}/one/v1", api_key: sk-one}
  two: {base_url: "${SIMULATOR_URL}/two/v1", api_key: sk-two}
models:
  flaky-mini: {provider: one, price: {input: 0.15, output: 0.60}}
  cheap-chat: {provider: two, price: {input: 0.27, output: 1.10}}
  strong: {provider: one, price: {input: 2.50, output: 10.00}}
  judge-mini: {provider: two, price: {input: 0.10, output: 0.40}}
features:
  support_chat: {max_output_tokens: 400}
policies:
  default:
    baseline: strong
    retries: {same_deployment: 1, backoff_initial: 1ms, backoff_max: 1ms}
    escalate: {gates: [not_empty, {gate: judge, use: judge-mini, timeout: 20s}], to: [strong]}
    rules: [{name: support, use: [flaky-mini, cheap-chat]}]
  plain:
    rules: [{name: all, use: strong}]
  shadowed:
    rules: [{name: all, use: cheap-chat}]
    shadow: {try-strong: {use: strong, share: 1, max_cost: {usd: 1, period: day}}}
"""
MODELS = [
    SimulatedModel(name="flaky-mini", quality=0.6),
    # So poor that the judge refuses it, and another so good that it passes.
    SimulatedModel(name="cheap-chat", quality=0.0),
    SimulatedModel(name="strong", quality=1.0),
    SimulatedModel(name="judge-mini", quality=1.0),
]
PROMPT = "Write a greeting for my neighbour Xanthippe."
# Slow enough that parts of a call can be told apart, and that a stream can be left half-way.
SPEED = 20.0


class Router:
    """A router over the simulated provider that exports to a Jaeger, and the Go program that calls it."""

    def __init__(self, application: Application, simulator: Simulator, port: int, collector: Jaeger) -> None:
        self.application = application
        self.simulator = simulator
        self.jaeger = collector
        self._port = port

    async def call(self, *arguments: str) -> dict[str, Any]:
        """One call of the Go client, made from within a span of the caller's: what the caller knows of it."""
        process = await asyncio.create_subprocess_exec(
            *(os.environ["CALLER"], "-router", f"127.0.0.1:{self._port}", "-prompt", PROMPT, *arguments),
            env=os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": self.jaeger.otlp, "OTEL_SERVICE_NAME": "shop"},
            stdout=asyncio.subprocess.PIPE,
        )
        told, _ = await process.communicate()
        assert process.returncode == 0
        # Spans wait for others to leave with.
        assert await self.application._telemetry.flush(timeout=60)
        return dict(json.loads(told))


@pytest.fixture
async def router(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Router]:
    file = tmp_path / "router.yaml"
    file.write_text(CONFIGURATION)
    async with jaeger(os.environ["JAEGER"], tmp_path) as collector, Simulator(MODELS, speed=SPEED) as simulator:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", collector.otlp)
        application = Application(file, environ={"SIMULATOR_URL": simulator.origin})
        port = await application.start()
        try:
            yield Router(application, simulator, port, collector)
        finally:
            await application.stop()


def tags(span: Mapping[str, Any]) -> dict[str, Any]:
    """A span's tags. Lists come as JSON."""
    return {tag["key"]: tag["value"] for tag in span["tags"]}


def by_start(trace: Trace) -> list[dict[str, Any]]:
    return sorted(trace["spans"], key=lambda span: span["startTime"])


def named(trace: Trace, name: str) -> list[dict[str, Any]]:
    return [span for span in by_start(trace) if span["operationName"].startswith(name)]


def parent(span: Mapping[str, Any]) -> str:
    parents = [link["spanID"] for link in span["references"] if link["refType"] == "CHILD_OF"]
    return parents[0] if parents else ""


def is_error(span: Mapping[str, Any]) -> bool:
    return tags(span).get("otel.status_code") == "ERROR"


def size(count: int) -> Any:
    return lambda trace: len(trace["spans"]) == count


async def test_a_retry_a_fallback_and_an_escalation_are_one_tree_with_its_costs(router: Router, tmp_path: Path) -> None:
    router.simulator.fail("flaky-mini", "503", times=2)
    told = await router.call()
    # The caller's, the RPC's, the route's, four attempts, two judgements and a question for each.
    trace = await router.jaeger.trace(told["traceId"], size(11))

    services = {name: process["serviceName"] for name, process in trace["processes"].items()}
    [caller] = [span for span in trace["spans"] if services[span["processID"]] == "shop"]
    [rpc] = named(trace, "llmrouter.v1.RouterService/Complete")
    [route] = named(trace, "llm_router.route")
    gates = named(trace, "llm_router.quality_gate")
    chats = named(trace, "chat ")
    attempts = [span for span in chats if tags(span)["llm_router.attempt.reason"] != "judge"]
    questions = [span for span in chats if span not in attempts]

    assert (caller["operationName"], parent(caller), caller["spanID"]) == ("answer a customer", "", told["spanId"])
    assert (parent(rpc), tags(rpc)["span.kind"], services[rpc["processID"]]) == (told["spanId"], "server", "llmrouter")
    assert [parent(span) for span in (route, *attempts, *gates)] == [rpc["spanID"]] * 7
    assert [parent(span) for span in questions] == [gate["spanID"] for gate in gates]

    on_route = tags(route)
    assert on_route["llm_router.route.rule"] == "support"
    assert json.loads(on_route["llm_router.route.candidates"]) == ["flaky-mini", "cheap-chat"]

    story = [
        tuple(tags(span).get(f"llm_router.{name}") for name in ("deployment.id", "attempt.reason", "attempt.outcome"))
        for span in attempts
    ]
    assert story == [
        ("flaky-mini", "primary", "error"),
        ("flaky-mini", "retry", "error"),
        ("cheap-chat", "fallback", "success"),
        ("strong", "escalation", "success"),
    ]
    assert [tags(span).get("error.type") for span in attempts] == ["503", "503", None, None]
    assert [tags(gate)["llm_router.gate.passed"] for gate in gates] == [False, True]
    assert json.loads(tags(gates[0])["llm_router.gate.refused_by"]) == ["judge"]

    # What was recovered from, and what a gate refused, is no error of the call.
    assert [span for span in by_start(trace) if is_error(span)] == attempts[:2]
    on_root = tags(rpc)
    assert json.loads(on_root["llm_router.fallback.path"]) == ["flaky-mini", "cheap-chat", "strong"]
    counts = [on_root[f"llm_router.{name}.count"] for name in ("retry", "fallback", "escalation")]
    assert counts == [1, 1, 1]
    assert on_root["llm_router.request.id"] == told["requestId"]
    assert (on_root["llm_router.feature"], on_root["llm_router.user.tier"]) == ("support_chat", "paid")
    logged = [field["value"] for log in rpc["logs"] for field in log["fields"] if field["key"] == "event"]
    assert logged == ["llm_router.retry", "llm_router.fallback", "llm_router.escalate"]

    paid = [span for span in chats if "llm_router.cost.total" in tags(span)]
    # Nobody knows whether a 503 is billed.
    assert [tags(span)["llm_router.cost.status"] for span in chats if span not in paid] == ["indeterminate"] * 2
    for span in paid:
        on_attempt = tags(span)
        assert on_attempt["gen_ai.usage.input_tokens"] > 0
        assert on_attempt["gen_ai.usage.output_tokens"] > 0
        assert (on_attempt["llm_router.cost.currency"], on_attempt["llm_router.cost.status"]) == ("USD", "actual")
        parts = sum(on_attempt[f"llm_router.cost.{part}"] for part in ("input", "output", "cache_read", "cache_write"))
        assert parts == pytest.approx(on_attempt["llm_router.cost.total"])
    total = sum(tags(span)["llm_router.cost.total"] for span in paid)
    assert told["costNanoUsd"] > 0
    assert round(total * 1e9) == told["costNanoUsd"]
    assert round(on_root["llm_router.request.cost.total"] * 1e9) == told["costNanoUsd"]

    said = [text for entry in router.simulator.journal for text in [entry.intended] if len(text) > 10]
    assert said
    everything = json.dumps(trace)
    assert "Xanthippe" not in everything
    assert not any(text in everything for text in said)

    await the_other_api_tells_the_same(router.jaeger, trace)
    await traces_are_found_by_what_the_docs_say(router.jaeger, told["traceId"], told["requestId"])
    await a_picture_shows_every_span(router.jaeger, trace, tmp_path)


async def the_other_api_tells_the_same(collector: Jaeger, trace: Trace) -> None:
    """`/api/v3` is OpenTelemetry's own form, whose ids are base64 or hex by version: names and times are compared."""
    told = await collector.get(f"/api/v3/traces/{trace['traceID']}")
    spans = [
        (span["name"], int(span["startTimeUnixNano"]) // 1000)
        for resource in told["result"]["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    assert sorted(spans) == sorted((span["operationName"], span["startTime"]) for span in trace["spans"])


async def traces_are_found_by_what_the_docs_say(collector: Jaeger, trace_id: str, request_id: str) -> None:
    async def found(**tags: str) -> list[str]:
        named = {name.replace("__", "."): value for name, value in tags.items()}
        query = urllib.parse.urlencode({"service": "llmrouter", "tags": json.dumps(named)})
        return [one["traceID"] for one in (await collector.get(f"/api/traces?{query}"))["data"]]

    searches = (
        {"llm_router__request__id": request_id},
        {"llm_router__sampling__reason": "fallback"},
        {"error__type": "503"},
        {"gen_ai__provider__name": "one", "llm_router__attempt__outcome": "error"},
        {"llm_router__deployment__id": "flaky-mini", "llm_router__attempt__reason": "retry"},
        {"llm_router__gate__passed": "false"},
        {"llm_router__cost__status": "indeterminate"},
        {"rpc__response__status_code": "OK"},
        {"llm_router__feature": "support_chat", "llm_router__user__tier": "paid"},
    )
    assert [await found(**search) for search in searches] == [[trace_id]] * len(searches)
    assert await found(llm_router__attempt__reason="hedge") == []


async def a_picture_shows_every_span(collector: Jaeger, trace: Trace, folder: Path) -> None:
    file = Path(PICTURE or folder / "trace.svg")
    drawing = await asyncio.create_subprocess_exec(
        sys.executable, str(DRAW), trace["traceID"], "--jaeger", collector.api, "--out", str(file)
    )
    assert await drawing.wait() == 0
    drawn = await asyncio.to_thread(file.read_text)
    assert all(span["operationName"] in drawn for span in trace["spans"])
    assert drawn.count('class="bar') == len(trace["spans"])


async def test_a_stream_that_the_caller_leaves_is_no_error_and_is_paid_in_part(router: Router) -> None:
    told = await router.call("-stream", "-policy", "plain", "-cancel-after", "20")
    assert told["characters"] >= 20
    trace = await router.jaeger.trace(told["traceId"], size(4))
    [rpc] = named(trace, "llmrouter.v1.RouterService/StreamComplete")
    [attempt] = named(trace, "chat ")
    assert parent(rpc) == told["spanId"]
    assert tags(rpc)["rpc.response.status_code"] == "CANCELLED"
    on_attempt = tags(attempt)
    assert (on_attempt["llm_router.attempt.outcome"], on_attempt["llm_router.cost.status"]) == ("cancelled", "partial")
    assert on_attempt["llm_router.cost.total"] > 0
    assert on_attempt["gen_ai.response.time_to_first_chunk"] > 0
    assert not any(is_error(span) for span in trace["spans"])


async def test_a_shadow_call_is_a_trace_of_its_own_that_names_its_parent(router: Router) -> None:
    told = await router.call("-policy", "shadowed")
    trace = await router.jaeger.trace(told["traceId"], size(4))
    [rpc] = named(trace, "llmrouter.v1.RouterService/Complete")

    async def look() -> list[Trace]:
        return list(
            (await router.jaeger.get("/api/traces?service=llmrouter&operation=llm_router.shadow"))["data"] or ()
        )

    found = await until(look, "the shadow's trace did not arrive")
    [shadow] = [span for span in found[0]["spans"] if span["operationName"] == "llm_router.shadow"]
    assert found[0]["traceID"] != told["traceId"]
    links = [(link["refType"], link["traceID"], link["spanID"]) for link in shadow["references"]]
    assert links == [("FOLLOWS_FROM", told["traceId"], rpc["spanID"])]
    assert tags(shadow)["llm_router.shadow.id"] == "shadowed/try-strong"
