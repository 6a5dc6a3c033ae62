"""A router whose every metric has something to tell: traffic over the simulated provider, good and bad."""

from __future__ import annotations

import asyncio
import socket
import urllib.request
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
from prometheus_client.parser import text_string_to_metric_families

from llmrouter import AsyncClient, RouterError
from router_service.app import Application
from router_service.simulator import SimulatedModel, Simulator
from router_service.workers.line import Line, Place
from router_service.workers.switchboard import Switchboard

Worker = tuple[Application, int]

CONFIGURATION = """
server: {address: "127.0.0.1:0", lame_duck: 0s, http: {address: "127.0.0.1:0"}}
telemetry: {otlp_endpoint: "${COLLECTOR}", metrics_interval: 1h}
ledger: {folder: state}
providers:
  one: {base_url: "${SIMULATOR_URL}/one/v1", api_key: sk-one}
  two: {base_url: "${SIMULATOR_URL}/two/v1", api_key: sk-two}
models:
  flaky: {provider: one, price: {input: 0.15, output: 0.60}}
  weak: {provider: two, price: {input: 0.27, output: 1.10}}
  strong: {provider: one, price: {input: 2.50, output: 10.00}}
  judge: {provider: two, price: {input: 0.10, output: 0.40}}
  unpriced: {provider: two}
  locked: {provider: two}
features:
  chat: {max_output_tokens: 400}
budgets:
  daily: {usd: 5, period: day, per: [tenant]}
  spent: {usd: 0.000001, period: day, match: {feature: broke}}
limits:
  hardly-any: {tokens: 1, window: minute, match: {feature: closed}}
policies:
  default:
    baseline: strong
    retries: {same_deployment: 1, backoff_initial: 1ms, backoff_max: 1ms}
    escalate: {gates: [not_empty, {gate: judge, use: judge, timeout: 20s}], to: [strong]}
    rules: [{name: chat, use: [flaky, weak]}]
    shadow: {try-strong: {use: strong, share: 1, max_cost: {usd: 1, period: day}}}
  unpriced:
    retries: {same_deployment: 0}
    rules: [{name: free, use: unpriced}]
  locked:
    rules: [{name: locked, use: locked}]
"""
MODELS = [
    SimulatedModel(name="flaky", quality=0.6),
    SimulatedModel(name="weak", quality=0.0),
    SimulatedModel(name="strong", quality=1.0),
    SimulatedModel(name="judge", quality=1.0),
    SimulatedModel(name="unpriced", quality=0.9),
    SimulatedModel(name="locked"),
]
PROMPT = "Write a greeting for my neighbour."


class WatchedRouter:
    """A running router, by its two ports."""

    def __init__(self, application: Application, simulator: Simulator, client: AsyncClient) -> None:
        self._application = application
        self._simulator = simulator
        self._client = client
        assert application.http_port is not None
        self.http_port = application.http_port

    async def traffic(self) -> None:
        """Calls with a retry, a fallback, an escalation, a judge that fails, a refused key, a stream that breaks, one
        that has no price, a spent budget, a reached limit; feedback, an HTTP call, and spans that nobody takes.

        Then the event loop's lag, which is measured every so often and not by calls.
        """
        client, simulator = self._client, self._simulator
        simulator.fail("flaky", "503", times=2)
        answer = await client.complete(PROMPT, feature="chat", tier="free")
        await client.record_feedback(answer.receipt.request_id, thumbs="up", score=0.9, source="user")
        simulator.fail("judge", "429", times=2)
        await client.complete(PROMPT, feature="chat", tier="paid")
        simulator.fail("locked", "401")
        await self._refused(policy="locked", feature="chat")
        await client.complete(PROMPT, policy="unpriced", feature="chat")
        async with client.stream(PROMPT, policy="unpriced", feature="chat") as stream:
            assert [event async for event in stream]
        simulator.fail("unpriced", "cut", after_tokens=3)
        try:
            async with client.stream(PROMPT, policy="unpriced", feature="chat") as stream:
                _ = [event async for event in stream]
        except RouterError:
            pass
        await self._refused(feature="broke")
        await self._refused(feature="closed")
        await asyncio.to_thread(self._get, "/v1/models")
        await self._application._telemetry.flush(timeout=30.0)
        async with asyncio.timeout(30):
            while "llm_router_loop_lag_seconds_count" not in await self.metrics():  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(0.05)

    async def metrics(self) -> Mapping[str, frozenset[str]]:
        """What `/metrics` exposes now: the labels of each name."""
        text = await asyncio.to_thread(self._get, "/metrics")
        labels: defaultdict[str, set[str]] = defaultdict(set)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels[sample.name].update(sample.labels)
        return {name: frozenset(found) for name, found in labels.items()}

    async def _refused(self, **call: str) -> None:
        try:
            await self._client.complete(PROMPT, **call)
        except RouterError:
            return
        raise AssertionError(f"{call} was to be refused")

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=60) as response:
            return str(response.read().decode())


@asynccontextmanager
async def _collector() -> AsyncIterator[str]:
    """One that takes nothing, so that spans are dropped."""
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.stop(None)


def _configured(folder: Path) -> Path:
    folder.mkdir()
    file = folder / "router.yaml"
    file.write_text(CONFIGURATION)
    return file


@asynccontextmanager
async def _worker(folder: Path, place: str, board: Switchboard, environ: Mapping[str, str]) -> AsyncIterator[Worker]:
    """One worker in this process, with its port; its files are in `folder`."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    line = Line(Place.read(place), theirs)
    application = Application(_configured(folder), environ=environ, line=line)
    ready = asyncio.Event()
    attending = asyncio.create_task(board.attend(line.number, ours, ready.set))
    port = await application.start()
    line.say_ready()
    await ready.wait()
    try:
        yield application, port
    finally:
        await application.stop()
        await attending


@asynccontextmanager
async def watched_router(folder: Path) -> AsyncIterator[WatchedRouter]:
    """A router whose files are in `folder`: the first of its two workers gets all calls."""
    board = Switchboard()
    async with Simulator(MODELS) as simulator, _collector() as collector:
        environ = {"SIMULATOR_URL": simulator.origin, "COLLECTOR": collector}
        async with (
            _worker(folder / "first", "1/2", board, environ) as (application, port),
            _worker(folder / "second", "2/2", board, environ),
            AsyncClient.connect(f"127.0.0.1:{port}", timeout=60) as client,
        ):
            yield WatchedRouter(application, simulator, client)
