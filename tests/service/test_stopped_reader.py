"""Callers that open a stream and stop reading: their provider is paused, then given up, and memory stays bounded."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest
from bystanders import MOST_MIB, others_are_served, resident_mib
from raw_http2 import Kind, call, connected
from scripted_engine import ScriptedEngine, serving, started, stream_request, until_in_flight

from router_service import app
from router_service.domain.call import Call
from router_service.domain.event import Deltas, Emit, TextDelta
from router_service.rpc.servicer import RouterServicer

MIB = 1024 * 1024
STREAM = "/llmrouter.v1.RouterService/StreamComplete"
REQUEST = stream_request().SerializeToString()


async def test_what_a_stopped_reader_costs_is_bounded_until_it_is_given_up() -> None:
    """20 callers whose windows are never opened again; each is offered an endless answer."""
    offered: dict[str, int] = {}

    async def flood(call: Call, emit: Emit) -> None:
        await emit(started())
        while True:
            offered[call.request_id] = offered.get(call.request_id, 0) + 65_536
            await emit(Deltas(attempt=1, deltas=[TextDelta("x" * 65_536)]))

    before = resident_mib()
    engine = ScriptedEngine(script=flood)
    async with serving(engine, write_timeout=0.3) as served, connected(served.port) as stopped:
        await stopped.greet()
        await stopped.send(b"".join(call(stream, STREAM, REQUEST) for stream in range(1, 41, 2)))
        # Not how many are served: the first may be given up before the last has begun.
        while len(engine.calls) < 20:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.001)
        held = resident_mib() - before
        engine.script = None
        await others_are_served(served)
        await until_in_flight(served, 0)
    assert len(engine.receipts) == 20
    assert max(offered.values()) <= 8 * MIB
    assert held < MOST_MIB


async def test_the_provider_of_a_stopped_reader_is_paused_and_then_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "RouterServicer", partial(RouterServicer, write_timeout=0.3))
    left = asyncio.Event()
    sent = 0
    chunk = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"x" * 16_384)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        try:
            while True:
                writer.write(chunk)
                await writer.drain()
                sent += len(chunk)
        except ConnectionError:
            left.set()

    file = tmp_path / "router.yaml"
    file.write_text("""
server: {address: "127.0.0.1:0", lame_duck: 0s}
providers: {ours: {base_url: "${UPSTREAM}/v1", api_key: sk-ours}}
models: {gpt-x: {provider: ours}}
policies: {default: {rules: [{use: [gpt-x]}]}}
""")
    before = resident_mib()
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as provider:
        origin = f"http://127.0.0.1:{provider.sockets[0].getsockname()[1]}"
        application = app.Application(file, environ={"UPSTREAM": origin})
        port = await application.start()
        async with connected(port) as stopped:
            await stopped.greet()
            await stopped.send(call(1, STREAM, REQUEST, [("x-request-id", "stopped")]))
            await stopped.until(Kind.DATA)
            async with asyncio.timeout(30):
                await left.wait()
        await application.stop()
        receipt = application.engine.receipt("default", "stopped")
    # The windows of both connections and the buffers between them; an endless answer would be gigabytes by now.
    assert sent < 24 * MIB
    assert resident_mib() - before < MOST_MIB
    assert receipt is not None
    assert receipt.status == "CANCELLED"
