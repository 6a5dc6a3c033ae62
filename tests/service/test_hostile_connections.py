"""Connections that abuse HTTP/2: they are bounded or closed, and other clients do not notice."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from bystanders import MOST_MIB, others_are_served, resident_mib
from raw_http2 import (
    ACK,
    CANCEL,
    END_HEADERS,
    ENHANCE_YOUR_CALM,
    PREFACE,
    REFUSED_STREAM,
    Frame,
    Kind,
    RawConnection,
    call,
    call_headers,
    connected,
    frame,
    headers,
)
from scripted_engine import (
    ANY_PORT,
    ScriptedEngine,
    Served,
    complete_request,
    forever,
    serving,
    stream_request,
    until_in_flight,
)

from router_service.app import Application
from router_service.rpc import server
from router_service.simulator.journal import Outcome
from router_service.simulator.server import Simulator

COMPLETE = "/llmrouter.v1.RouterService/Complete"
STREAM = "/llmrouter.v1.RouterService/StreamComplete"
REQUEST = complete_request().SerializeToString()


def reset(stream: int) -> bytes:
    return frame(Kind.RST_STREAM, stream, struct.pack("!I", CANCEL))


async def flood(connection: RawConnection, pieces: AsyncIterator[bytes]) -> list[Frame]:
    """Send all of it, or until the server closes the connection; return what the server said meanwhile."""
    reading = asyncio.create_task(connection.ended(30))
    try:
        async for piece in pieces:
            await connection.send(piece)
    except ConnectionError:
        return await reading
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    return []


async def repeated(piece: bytes, times: int) -> AsyncIterator[bytes]:
    for _ in range(times):
        yield piece * 100


async def test_a_client_that_pings_too_often_is_told_to_calm_down_and_disconnected() -> None:
    async with serving(ScriptedEngine()) as served, connected(served.port) as hostile:
        await hostile.greet()
        await hostile.send(frame(Kind.PING, payload=b"12345678") * 10)
        (farewell, *_) = [seen for seen in await hostile.ended() if seen.kind == Kind.GOAWAY]
        assert farewell.error == ENHANCE_YOUR_CALM
        assert farewell.payload[8:] == b"too_many_pings"
        await others_are_served(served)


@pytest.mark.parametrize(
    "piece",
    [
        pytest.param(frame(Kind.PING, payload=b"12345678"), id="pings"),
        pytest.param(frame(Kind.SETTINGS), id="settings"),
        pytest.param(frame(Kind.SETTINGS, payload=struct.pack("!HI", 4, 65_536)), id="windows"),
        pytest.param(frame(Kind.SETTINGS, flags=ACK), id="acknowledgements"),
        pytest.param(frame(Kind.WINDOW_UPDATE, payload=struct.pack("!I", 1)), id="window-updates"),
        pytest.param(frame(Kind.DATA, stream=1), id="empty-data"),
        pytest.param(frame(Kind.CONTINUATION, 1, headers([("x-more", "a" * 1000)])), id="continuations"),
        pytest.param(frame(Kind.HEADERS, 1, b"\xff" * 20, END_HEADERS), id="headers-that-are-none"),
        pytest.param(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", id="http1"),
    ],
)
@pytest.mark.parametrize("opened", [False, True], ids=["idle", "within-a-call"])
async def test_a_flood_of_frames_is_bounded_and_noticed_by_nobody_else(piece: bytes, opened: bool) -> None:
    before = resident_mib()
    engine = ScriptedEngine(script=forever)
    async with serving(engine) as served, connected(served.port) as hostile:
        await hostile.greet()
        if opened:
            # Header block and message both stay unfinished.
            flags = 0 if piece[3] == Kind.CONTINUATION else END_HEADERS
            await hostile.send(frame(Kind.HEADERS, 1, call_headers(STREAM), flags))
        flooding = asyncio.create_task(flood(hostile, repeated(piece, 200)))
        engine.script = None
        await others_are_served(served)
        await flooding
        await others_are_served(served)
        assert {call.stream for call in engine.calls} == {False}
        await until_in_flight(served, 0)
    assert resident_mib() - before < MOST_MIB


@pytest.mark.parametrize("whole", [False, True], ids=["headers-only", "whole-calls"])
async def test_a_flood_of_resets_is_bounded_and_fails_nobody_elses_call(whole: bool) -> None:
    before = resident_mib()
    others: list[asyncio.Task[None]] = []

    def opened_and_reset(stream: int) -> bytes:
        opened = frame(Kind.HEADERS, stream, call_headers(COMPLETE), END_HEADERS)
        return (call(stream, COMPLETE, REQUEST) if whole else opened) + reset(stream)

    async def attack(served: Served) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            for first in range(1, 30_000, 400):
                yield b"".join(opened_and_reset(stream) for stream in range(first, first + 400, 2))
                others.append(asyncio.create_task(others_are_served(served, 1)))

        async with connected(served.port) as hostile:
            await hostile.greet()
            await flood(hostile, pieces())

    async with serving(ScriptedEngine()) as served:
        await asyncio.gather(attack(served), attack(served))
        await asyncio.gather(*others)
        await until_in_flight(served, 0)
    assert resident_mib() - before < MOST_MIB


async def test_a_connection_carries_2048_calls_at_most() -> None:
    engine = ScriptedEngine(script=forever)
    settings = replace(ANY_PORT, max_concurrent_calls=5000)
    async with serving(engine, settings) as served, connected(served.port) as hostile:
        await hostile.greet()
        await hostile.send(b"".join(call(stream, COMPLETE, REQUEST) for stream in range(1, 2 * 2049 + 1, 2)))
        refused = await hostile.until(Kind.RST_STREAM)
        assert (refused.stream, refused.error) == (2 * 2048 + 1, REFUSED_STREAM)
        engine.script = None
        async with connected(served.port) as other:
            await other.greet()
            await other.send(call(1, COMPLETE, REQUEST))
            await other.until(Kind.HEADERS)


CONFIGURATION = """
server: {address: "127.0.0.1:0", lame_duck: 0s}
providers:
  openai: {base_url: "${SIMULATOR_URL}/openai/v1", api_key: sk-one}
models:
  gpt-4o: {provider: openai, price: {input: 2.50, output: 10.00}}
policies:
  default: {rules: [{name: all, use: [gpt-4o]}]}
"""


@asynccontextmanager
async def router(tmp_path: Path) -> AsyncIterator[tuple[Application, int, Simulator]]:
    file = tmp_path / "router.yaml"
    file.write_text(CONFIGURATION)
    async with Simulator() as simulator:
        application = Application(file, environ={"SIMULATOR_URL": simulator.origin})
        port = await application.start()
        yield application, port, simulator
        await application.stop()


@pytest.mark.parametrize(("path", "fault"), [(COMPLETE, "silent"), (STREAM, "stall")])
async def test_every_upstream_call_of_a_reset_stream_is_cancelled_and_accounted_for(
    path: str, fault: str, tmp_path: Path
) -> None:
    async with router(tmp_path) as (application, port, simulator):
        simulator.fail(None, fault, times=None)
        async with connected(port) as hostile:
            await hostile.greet()
            streams = range(1, 200, 2)
            await hostile.send(b"".join(call(one, path, REQUEST, [("x-request-id", f"r-{one}")]) for one in streams))
            await simulator.journal.wait_for(lambda entry: entry.id == 100, 30)
            await hostile.send(b"".join(reset(one) for one in streams))
            async with asyncio.timeout(30):
                while any(entry.outcome is not Outcome.ABORTED for entry in simulator.journal):
                    await simulator.journal.wait_for(lambda entry: entry.outcome is Outcome.ABORTED)
                    await asyncio.sleep(0.01)
        receipts = [application.engine.receipt("default", f"r-{one}") for one in streams]
    assert len(simulator.journal) == 100
    assert {receipt and receipt.status for receipt in receipts} == {"CANCELLED"}


@pytest.mark.parametrize(
    "begins",
    [b"", PREFACE[:7], PREFACE, PREFACE + frame(Kind.SETTINGS)],
    ids=["silent", "half a preface", "a preface", "settings not acknowledged"],
)
async def test_a_connection_that_does_not_get_started_is_closed(begins: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_HANDSHAKE_TIMEOUT", 0.5)
    async with serving(ScriptedEngine()) as served, connected(served.port) as slow:
        await slow.send(begins)
        (farewell,) = [seen for seen in await slow.ended() if seen.kind == Kind.GOAWAY]
        assert b"timeout" in farewell.payload
        await others_are_served(served)


@pytest.mark.parametrize(
    "begins",
    [
        b"",
        frame(Kind.HEADERS, 1, call_headers(COMPLETE)[:20]),
        frame(Kind.HEADERS, 1, call_headers(COMPLETE), END_HEADERS),
        frame(Kind.HEADERS, 1, call_headers(COMPLETE), END_HEADERS) + frame(Kind.DATA, 1, b"\0\0\0\1\0half"),
    ],
    ids=["idle", "half the headers", "no message", "half a message"],
)
async def test_a_connection_that_falls_silent_is_closed(begins: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_KEEPALIVE_EVERY", 1.0)
    monkeypatch.setattr(server, "_KEEPALIVE_TIMEOUT", 0.5)
    engine = ScriptedEngine()
    async with serving(engine) as served, connected(served.port) as slow:
        await slow.greet()
        await slow.send(begins)
        (farewell,) = [seen for seen in await slow.ended() if seen.kind == Kind.GOAWAY]
        assert b"ping_timeout" in farewell.payload
        assert engine.calls == []
        await others_are_served(served)


async def test_a_caller_whose_connection_breaks_has_its_call_cancelled() -> None:
    engine = ScriptedEngine(script=forever)
    async with serving(engine) as served:
        async with connected(served.port) as leaving:
            await leaving.greet()
            await leaving.send(b"".join(call(one, STREAM, stream_request().SerializeToString()) for one in (1, 3, 5)))
            await until_in_flight(served, 3)
        await until_in_flight(served, 0)
    assert len(engine.receipts) == 3
