"""Providers that send without end or measure: whatever it is, memory stays bounded and the call ends."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import pytest
from provider_calls import Outcome, a_provider, a_request, completed, streamed
from scripted_upstream import Connection, running
from wild_streams import FINISH, chunk

from router_service.domain.error import UpstreamError, UpstreamFault
from router_service.domain.event import Delta
from router_service.domain.upstream import Reply
from router_service.providers.openai_compatible import OpenAICompatible

MIB = 1024 * 1024
Call = Callable[[OpenAICompatible], Awaitable[Outcome]]
BOTH = pytest.mark.parametrize("call", [completed, streamed])

CHUNKED = b"HTTP/1.1 %d Reason\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n%b\r\n"
SSE, JSON = b"text/event-stream", b"application/json"


def gzipped(unit: bytes, mebibytes: int) -> bytes:
    """So much of `unit` over and over again, compressed."""
    member = gzip.compress(unit * (8 * MIB // len(unit)), 9)
    return member * (mebibytes // 8)


def deflated(unit: bytes, mebibytes: int) -> bytes:
    compressor = zlib.compressobj(9)
    block = unit * (MIB // len(unit))
    return b"".join([*(compressor.compress(block) for _ in range(mebibytes)), compressor.flush()])


@contextmanager
def growing_by_less_than(mebibytes: int) -> Iterator[None]:
    """Python's memory, the test's own server included."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < mebibytes * MIB, f"grew by {peak / MIB:.0f} MiB"


@asynccontextmanager
async def a_provider_that_sends(head: bytes, piece: bytes = b"") -> AsyncIterator[OpenAICompatible]:
    """Sends `head` and then `piece` over and over, until nobody listens."""

    async def script(connection: Connection) -> None:
        try:
            await connection.send(head)
            while piece:
                await connection.send(piece)
                await asyncio.sleep(0)
        except ConnectionError:
            pass
        connection.writer.close()

    async with running(script) as upstream, a_provider(upstream.base_url) as provider:
        yield provider


def endless(body: bytes, content_type: bytes = SSE, status: int = 200) -> tuple[bytes, bytes]:
    return CHUNKED % (status, content_type, b""), b"%x\r\n%b\r\n" % (len(body), body)


async def until_given_up(provider: OpenAICompatible, seconds: float = 0.3) -> tuple[Reply, bool]:
    """The reply of a stream that its caller gives up after so long, and whether anything passed for output."""
    heard = False
    reply = Reply()

    async def receive(deltas: Sequence[Delta]) -> None:
        nonlocal heard
        heard = True

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await provider.stream(a_request(), reply, receive)
    return reply, heard


# Bodies that inflate


@pytest.mark.parametrize(
    ("coding", "bomb"),
    [
        ("gzip", gzipped(b": ping\n\n", 512)),
        ("gzip", gzipped(b'data: {"id": "' + b"x" * 4000 + b'"}\n\n', 512)),
        ("gzip", gzipped(b"a", 512)),
        ("gzip", gzipped(b"\n", 512)),
        ("deflate", deflated(b": ping\n", 512)),
    ],
    ids=["comments", "events", "one line", "blank lines", "deflated comments"],
)
async def test_a_bomb_in_a_stream_is_malformed_and_stays_small(coding: str, bomb: bytes) -> None:
    async def script(connection: Connection) -> None:
        await connection.respond(200, bomb, {"content-encoding": coding}, "text/event-stream")

    async with running(script) as upstream, a_provider(upstream.base_url) as provider:
        with growing_by_less_than(24):
            outcome = await streamed(provider)
    assert outcome.failure.fault is UpstreamFault.MALFORMED


@BOTH
async def test_a_bomb_for_an_answer_is_malformed_and_bounded(call: Call) -> None:
    bomb = gzipped(b" ", 8) + gzipped(b"{" + b" " * 63, 512)

    async def script(connection: Connection) -> None:
        await connection.respond(200, bomb, {"content-encoding": "gzip"})

    async with running(script) as upstream, a_provider(upstream.base_url) as provider:
        with growing_by_less_than(160):
            outcome = await call(provider)
    assert outcome.failure.fault is UpstreamFault.MALFORMED


@BOTH
async def test_a_bomb_for_an_error_is_read_only_so_far(call: Call) -> None:
    async def script(connection: Connection) -> None:
        await connection.respond(400, gzipped(b"x", 512), {"content-encoding": "gzip"})

    async with running(script) as upstream, a_provider(upstream.base_url) as provider:
        with growing_by_less_than(16):
            outcome = await call(provider)
    assert outcome.failure.fault is UpstreamFault.BAD_REQUEST


@BOTH
async def test_an_encoding_that_cannot_be_read_is_malformed(call: Call) -> None:
    async def script(connection: Connection) -> None:
        await connection.respond(200, b"\x1b\x00\x00", {"content-encoding": "br"})

    async with running(script) as upstream, a_provider(upstream.base_url) as provider:
        assert (await call(provider)).failure.fault is UpstreamFault.MALFORMED


async def test_an_error_that_cannot_be_decompressed_is_told_by_its_status() -> None:
    async def script(connection: Connection) -> None:
        await connection.respond(429, b"\x1b\x00\x00", {"content-encoding": "br", "retry-after": "7"})

    async with running(script) as upstream, a_provider(upstream.base_url) as provider:
        failure = (await completed(provider)).failure
    assert (failure.fault, failure.retry_after) == (UpstreamFault.RATE_LIMITED, 7.0)


async def test_a_compressed_stream_leaves_as_it_arrives() -> None:
    compressor = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    heard = asyncio.Event()
    events = [chunk("a"), chunk("b"), FINISH]

    async def script(connection: Connection) -> None:
        await connection.send(CHUNKED % (200, SSE, b"content-encoding: gzip\r\n"))
        for event in events:
            heard.clear()
            await connection.chunk(compressor.compress(event) + compressor.flush(zlib.Z_SYNC_FLUSH))
            if event is not FINISH:
                await asyncio.wait_for(heard.wait(), 30)
        await connection.chunk(compressor.flush())
        await connection.send(b"0\r\n\r\n")

    outcome = Outcome()

    async def receive(deltas: Sequence[Delta]) -> None:
        await outcome.receive(deltas)
        heard.set()

    async with running(script) as upstream, a_provider(upstream.base_url) as provider:
        await provider.stream(a_request(), outcome.reply, receive)
    assert [len(batch) for batch in outcome.batches] == [1, 1]
    assert outcome.text == "ab"


# Floods


@pytest.mark.parametrize(
    "flood",
    [
        b": ping\n" * 9000,
        b": ping\n\n" * 8000,
        b": ping\r\n\r\n" * 7000,
        b"\n" * 65536,
        b"data:\n\n" * 9000,
        b"event: ping\n\n" * 5000,
    ],
    ids=["comments", "blocks of comments", "CRLF comments", "blank lines", "empty data", "names"],
)
async def test_a_flood_without_content_is_no_output_and_ends_as_malformed(flood: bytes) -> None:
    async with a_provider_that_sends(*endless(flood)) as provider:
        with growing_by_less_than(24):
            outcome = await streamed(provider)
    assert outcome.failure.fault is UpstreamFault.MALFORMED
    assert outcome.batches == []


async def test_a_flood_of_comments_after_output_is_no_output() -> None:
    """What tells the watchdog that a provider is alive is output: while a flood runs, it hears nothing."""
    head, piece = endless(b": ping\n\n")
    first = chunk("a")
    batches: list[Sequence[Delta]] = []
    heard = asyncio.Event()

    async def receive(deltas: Sequence[Delta]) -> None:
        batches.append(deltas)
        heard.set()

    async with a_provider_that_sends(head + b"%x\r\n%b\r\n" % (len(first), first), piece) as provider:
        call = asyncio.create_task(provider.stream(a_request(), Reply(), receive))
        await heard.wait()
        assert not (await asyncio.wait({call}, timeout=0.3))[0]
        call.cancel()
        await asyncio.wait({call})
    assert len(batches) == 1


@BOTH
async def test_an_answer_that_never_ends_is_malformed(call: Call) -> None:
    async with a_provider_that_sends(*endless(b'{"choices": [' + b" " * 65536, JSON)) as provider:
        with growing_by_less_than(200):
            outcome = await call(provider)
    assert outcome.failure.fault is UpstreamFault.MALFORMED


async def test_blank_lines_for_an_answer_do_not_pile_up() -> None:
    async with a_provider_that_sends(*endless(b"\n" * 65536, JSON)) as provider:
        with growing_by_less_than(24):
            outcome = await completed(provider)
    assert outcome.failure.fault is UpstreamFault.MALFORMED


async def test_output_that_never_ends_is_malformed_and_what_came_is_in_the_reply() -> None:
    async with a_provider_that_sends(*endless(chunk("a" * 60_000))) as provider:
        outcome = await streamed(provider)
    assert outcome.failure.fault is UpstreamFault.MALFORMED
    assert outcome.reply.message().text.startswith(outcome.text)
    assert 32 * MIB < len(outcome.text) <= 64 * MIB


# HTTP itself


@BOTH
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nx-long: " + b"x" * MIB + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x-many: y\r\n" * 100_000 + b"\r\n",
        b"HTTP/1.1 200 " + b"O" * MIB + b"\r\n\r\n",
    ],
    ids=["a long header", "many headers", "a long reason"],
)
async def test_enormous_headers_are_refused(head: bytes, call: Call) -> None:
    async with a_provider_that_sends(head) as provider:
        with growing_by_less_than(24):
            outcome = await call(provider)
    assert outcome.failure.fault in (UpstreamFault.CONNECTION_LOST, UpstreamFault.MALFORMED)


@pytest.mark.parametrize(
    ("head", "piece"),
    [(b"HTTP/1.1 200 OK\r\n", b"x-more: y\r\n" * 1000), (b"HTTP/1.1 200 OK\r\nx-endless: ", b"x" * 65536)],
    ids=["headers", "a header"],
)
async def test_headers_without_end_are_refused(head: bytes, piece: bytes) -> None:
    async with a_provider_that_sends(head, piece) as provider:
        with growing_by_less_than(24):
            outcome = await completed(provider)
    assert outcome.failure.fault in (UpstreamFault.CONNECTION_LOST, UpstreamFault.MALFORMED)


async def test_interim_responses_without_end_are_given_up_in_time() -> None:
    async with a_provider_that_sends(b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 100) as provider:
        with growing_by_less_than(24), pytest.raises(UpstreamError) as raised:
            await provider.complete(a_request(read_timeout=0.1), Reply())
    assert raised.value.fault is UpstreamFault.READ_TIMEOUT


async def test_chunk_extensions_without_end_are_no_output_and_stay_small() -> None:
    head = CHUNKED % (200, SSE, b"") + b"5;x="
    async with a_provider_that_sends(head, b"y" * 65536) as provider:
        with growing_by_less_than(24):
            reply, heard = await until_given_up(provider)
    assert not heard
    assert not reply.has_output


async def test_trailers_without_end_are_refused_or_stay_small() -> None:
    answer = chunk("a") + FINISH
    head = CHUNKED % (200, SSE, b"") + b"%x\r\n%b\r\n0\r\n" % (len(answer), answer)
    async with a_provider_that_sends(head, b"x-more: y\r\n" * 1000) as provider:
        with growing_by_less_than(24):
            async with asyncio.timeout(30):
                outcome = await streamed(provider)
    assert outcome.error is None or outcome.failure.fault is UpstreamFault.CONNECTION_LOST
