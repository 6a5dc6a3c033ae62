"""A caller that leaves takes the upstream call with it, at once."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any

import pytest
import trustme
from provider_calls import Outcome, a_provider, a_request, completed, idle
from scripted_upstream import Connection, Script, running
from wild_streams import DONE, FINISH, chunk

from router_service.domain.chat import Chat, Message, Role, TextPart
from router_service.domain.vendor import OnCancel
from router_service.providers.openai_compatible import OpenAICompatible

# Well below the half a minute that a goodbye of TLS would be waited for.
CLOSES_WITHIN = 15.0


class Watched:
    """A script that notes when it is asked and when the client hangs up."""

    def __init__(self, begin: Callable[[Connection], Any] | None = None) -> None:
        self.asked = asyncio.Event()
        self.hung_up = asyncio.Event()
        self._begin = begin

    async def __call__(self, connection: Connection) -> None:
        if self._begin is not None:
            await self._begin(connection)
        self.asked.set()
        await connection.closed()
        self.hung_up.set()


async def open_stream(connection: Connection) -> None:
    await connection.sse(chunk("Half"), end=False)


async def headers_only(connection: Connection) -> None:
    await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{")


def send(provider: OpenAICompatible, outcome: Outcome, *, stream: bool, request: Any = None) -> asyncio.Task[None]:
    if stream:
        return asyncio.create_task(provider.stream(request or a_request(), outcome.reply, outcome.receive))
    return asyncio.create_task(provider.complete(request or a_request(), outcome.reply))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("begin", [None, headers_only, open_stream], ids=["silent", "headers", "output"])
async def test_cancelling_closes_the_connection_at_once(stream: bool, begin: Any) -> None:
    watched = Watched(begin)
    async with running(watched) as upstream, a_provider(upstream.base_url) as provider:
        outcome = Outcome()
        call = send(provider, outcome, stream=stream)
        await watched.asked.wait()
        await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(watched.hung_up.wait(), CLOSES_WITHIN)
        assert outcome.reply.dispatched


async def test_tls_does_not_wait_for_a_goodbye() -> None:
    """A peer that never answers the goodbye would hold the connection, and the generation, for 30 seconds."""
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    watched = Watched(open_stream)
    deaf, hung_up = asyncio.Event(), asyncio.Event()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Passes bytes on, from the upstream only until `deaf`; notes when the client's TCP connection ends."""
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", upstream.port)

        async def back() -> None:
            while not deaf.is_set() and (data := await far_reader.read(65536)):
                writer.write(data)

        backwards = asyncio.create_task(back())
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if not deaf.is_set():
                    far_writer.write(data)
        hung_up.set()
        far_writer.close()
        backwards.cancel()
        writer.close()

    with ca.cert_pem.tempfile() as ca_file:
        async with running(watched, tls=context) as upstream:
            server = await asyncio.start_server(relay, "127.0.0.1", 0)
            base_url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with server, a_provider(base_url, ca_file=ca_file) as provider:
                call = send(provider, Outcome(), stream=True)
                await watched.asked.wait()
                await asyncio.sleep(0.02)
                deaf.set()
                call.cancel()
                await asyncio.wait([call])
                await asyncio.wait_for(hung_up.wait(), CLOSES_WITHIN)


async def test_cancelling_while_a_large_request_is_being_sent_does_not_wait_for_it() -> None:
    accepted, gone = asyncio.Event(), asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        accepted.set()
        await asked_to_listen.wait()
        while data := await reader.read(1 << 20):
            received.append(len(data))
        gone.set()
        writer.close()

    asked_to_listen = asyncio.Event()
    received: list[int] = []
    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    size = 20_000_000
    huge = Chat(messages=(Message(role=Role.USER, parts=(TextPart("x" * size),)),))
    async with server, a_provider(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as provider:
        call = send(provider, Outcome(), stream=False, request=a_request(chat=huge))
        await accepted.wait()
        call.cancel()
        await asyncio.wait([call])
        asked_to_listen.set()
        await asyncio.wait_for(gone.wait(), CLOSES_WITHIN)
    assert sum(received) < size


@pytest.mark.parametrize("failure", [ValueError, asyncio.CancelledError])
async def test_a_receiver_that_fails_closes_the_connection(failure: type[BaseException]) -> None:
    watched = Watched(open_stream)

    async def receive(_: object) -> None:
        raise failure

    async with running(watched) as upstream, a_provider(upstream.base_url) as provider:
        with pytest.raises(failure):
            await provider.stream(a_request(), Outcome().reply, receive)
        await asyncio.wait_for(watched.hung_up.wait(), CLOSES_WITHIN)


async def test_a_cancelled_call_frees_its_place_in_the_pool() -> None:
    watched = Watched()
    async with running(watched) as upstream, a_provider(upstream.base_url, max_connections=2) as provider:
        for _ in range(50):
            calls = [send(provider, Outcome(), stream=stream) for stream in (False, True)]
            watched.asked.clear()
            await watched.asked.wait()
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)

        async def script(connection: Connection) -> None:
            await connection.respond(200, b'{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}')

        upstream.script = script
        outcomes = await asyncio.gather(*(completed(provider) for _ in range(10)))
    assert [outcome.error for outcome in outcomes] == [None] * 10


async def test_cancelling_while_connecting_was_not_dispatched() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()
        writer.close()

    connected = asyncio.Event()
    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with server, a_provider(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}") as provider:
        outcome = Outcome()
        call = send(provider, outcome, stream=True)
        await connected.wait()
        call.cancel()
        await asyncio.wait([call])
    assert not outcome.reply.dispatched


# Draining instead


def in_two_steps(go_on: asyncio.Event, ended: asyncio.Event, half: asyncio.Event, first: bytes) -> Script:
    async def script(connection: Connection) -> None:
        if connection.requests > 1:
            await connection.sse(chunk("b") + FINISH + DONE)
            return
        if first:
            await connection.sse(first, end=False)
        half.set()
        await go_on.wait()
        if first:
            await connection.chunk(FINISH + DONE)
            await connection.send(b"0\r\n\r\n")
        else:
            await connection.sse(chunk("late") + FINISH + DONE)
        ended.set()

    return script


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("first", [b"", chunk("Half")], ids=["before the headers", "in the middle"])
async def test_a_drained_call_is_read_to_its_end_and_its_connection_reused(stream: bool, first: bytes) -> None:
    go_on, ended, half = asyncio.Event(), asyncio.Event(), asyncio.Event()
    async with (
        running(in_two_steps(go_on, ended, half, first)) as upstream,
        a_provider(upstream.base_url, on_cancel=OnCancel.DRAIN) as provider,
    ):
        call = send(provider, Outcome(), stream=stream)
        await half.wait()
        await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        go_on.set()
        await asyncio.wait_for(ended.wait(), CLOSES_WITHIN)
        await idle(provider)
        await send(provider, Outcome(), stream=True)
        assert upstream.connections == 1


async def test_closing_the_provider_ends_its_draining() -> None:
    watched = Watched(open_stream)
    async with running(watched) as upstream:
        async with a_provider(upstream.base_url, on_cancel=OnCancel.DRAIN) as provider:
            call = send(provider, Outcome(), stream=True)
            await watched.asked.wait()
            call.cancel()
            await asyncio.wait([call])
            assert not watched.hung_up.is_set()
        await asyncio.wait_for(watched.hung_up.wait(), CLOSES_WITHIN)
