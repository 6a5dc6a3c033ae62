import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

from router_service.simulator import ErrorStyle, Fault, FaultKind, Outcome, SimulatedModel, Simulator

MODEL = SimulatedModel(name="m", quality=0.9)
NOW = 1_800_000_000.0


@pytest.fixture(name="provider")
async def running() -> AsyncIterator[Simulator]:
    async with Simulator([MODEL], now=lambda: NOW) as simulator:
        yield simulator


async def raw(provider: Simulator, body: dict[str, Any]) -> bytes:
    """All that the provider sends, as bytes; raises as the socket does."""
    host, port = provider.origin.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**23)
    try:
        data = json.dumps(body).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nconnection: close\r\ncontent-length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data)
        received = bytearray()
        while piece := await reader.read(2**16):
            received += piece
        return bytes(received)
    finally:
        writer.close()


def contents(stream: bytes) -> int:
    return stream.count(b'"delta":{"content":')


@pytest.mark.parametrize("stream", [True, False])
async def test_a_reset_before_headers_is_a_reset(provider: Simulator, chat: Any, stream: bool) -> None:
    provider.fail("m", FaultKind.RESET_BEFORE_HEADERS)
    with pytest.raises(ConnectionResetError):
        await raw(provider, chat("m", stream=stream))
    assert (provider.journal[0].outcome, provider.journal[0].bytes_sent) == (Outcome.BROKEN, 0)


async def test_a_close_after_the_body_was_read_is_a_silent_end(provider: Simulator, chat: Any) -> None:
    provider.fail("m", FaultKind.CLOSE_BEFORE_HEADERS)
    assert await raw(provider, chat("m")) == b""
    assert provider.journal[0].body["model"] == "m"


STATUSES = {
    FaultKind.BAD_REQUEST: 400,
    FaultKind.CONTEXT_LENGTH: 400,
    FaultKind.CONTENT_FILTER: 400,
    FaultKind.UNAUTHORIZED: 401,
    FaultKind.FORBIDDEN: 403,
    FaultKind.NOT_FOUND: 404,
    FaultKind.REQUEST_TIMEOUT: 408,
    FaultKind.CONFLICT: 409,
    FaultKind.UNPROCESSABLE: 422,
    FaultKind.RATE_LIMITED: 429,
    FaultKind.RATE_LIMITED_SECONDS: 429,
    FaultKind.RATE_LIMITED_DATE: 429,
    FaultKind.RATE_LIMITED_MS: 429,
    FaultKind.RATE_LIMITED_RETRY_INFO: 429,
    FaultKind.RATE_LIMITED_RESET: 429,
    FaultKind.DAILY_QUOTA: 429,
    FaultKind.INSUFFICIENT_QUOTA: 429,
    FaultKind.SERVER_ERROR: 500,
    FaultKind.BAD_GATEWAY: 502,
    FaultKind.UNAVAILABLE: 503,
    FaultKind.GATEWAY_TIMEOUT: 504,
    FaultKind.WEB_SERVER_ERROR: 520,
    FaultKind.ORIGIN_TIMEOUT: 524,
    FaultKind.OVERLOADED: 529,
    FaultKind.HTML: 200,
}


@pytest.mark.parametrize(("kind", "status"), STATUSES.items())
async def test_a_status_fault_answers_with_its_status_and_bills_nothing(
    provider: Simulator, http: aiohttp.ClientSession, chat: Any, kind: FaultKind, status: int
) -> None:
    provider.fail("m", kind)
    async with http.post(provider.base_url + "/chat/completions", json=chat("m", stream=True)) as response:
        assert response.status == status
        body = await response.text()
    entry = provider.journal[0]
    assert (entry.status, entry.outcome, entry.billed.input_tokens) == (status, Outcome.FINISHED, 0)
    if response.content_type == "text/html":
        assert body.startswith("<!DOCTYPE html>")
    else:
        assert json.loads(body)
    async with http.post(provider.base_url + "/chat/completions", json=chat("m")) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("kind", "header", "value"),
    [
        (FaultKind.RATE_LIMITED, "retry-after", None),
        (FaultKind.RATE_LIMITED_SECONDS, "retry-after", "2.5"),
        (FaultKind.RATE_LIMITED_MS, "retry-after-ms", "2500"),
        (FaultKind.RATE_LIMITED_RESET, "x-ratelimit-reset-requests", "2.5s"),
        (FaultKind.UNAVAILABLE, "retry-after", "2.5"),
    ],
)
async def test_a_hint_travels_in_its_form(
    provider: Simulator, http: aiohttp.ClientSession, chat: Any, kind: FaultKind, header: str, value: str | None
) -> None:
    provider.fail("m", kind, seconds=2.5)
    async with http.post(provider.base_url + "/chat/completions", json=chat("m")) as response:
        assert response.headers.get(header) == value


async def test_a_hint_may_be_a_date_or_a_duration_in_the_body(
    provider: Simulator, http: aiohttp.ClientSession, chat: Any
) -> None:
    provider.fail("m", FaultKind.RATE_LIMITED_DATE, seconds=30)
    async with http.post(provider.base_url + "/chat/completions", json=chat("m")) as response:
        assert parsedate_to_datetime(response.headers["retry-after"]).timestamp() == NOW + 30
    provider.fail("m", FaultKind.DAILY_QUOTA, seconds=45.8)
    async with http.post(provider.base_url + "/chat/completions", json=chat("m")) as response:
        quota, retry = (await response.json())[0]["error"]["details"]
    assert ("PerDay" in quota["violations"][0]["quotaId"], retry["retryDelay"]) == (True, "45.8s")


@pytest.mark.parametrize("tokens", [0, 3])
async def test_a_stream_ends_without_a_finish_reason(provider: Simulator, chat: Any, tokens: int) -> None:
    provider.fail("m", FaultKind.END_WITHOUT_FINISH, after_tokens=tokens)
    received = await raw(provider, chat("m", stream=True))
    assert received.endswith(b"0\r\n\r\n")
    assert b'"finish_reason":"stop"' not in received
    assert (contents(received), b"[DONE]" in received) == (tokens, False)
    entry = provider.journal[0]
    assert (entry.tokens_sent, entry.billed.output_tokens, entry.outcome) == (tokens, tokens, Outcome.BROKEN)


async def test_a_fault_beyond_the_answer_strikes_before_the_finish_reason(provider: Simulator, chat: Any) -> None:
    provider.fail("m", FaultKind.DONE_WITHOUT_FINISH, after_tokens=10**6)
    received = await raw(provider, chat("m", stream=True))
    assert contents(received) == provider.journal[0].tokens_sent > 10
    assert b'"finish_reason":"stop"' not in received
    assert b"[DONE]" in received


async def test_a_fault_may_strike_after_the_finish_reason(provider: Simulator, chat: Any) -> None:
    provider.fail("m", FaultKind.CUT, after_finish=True)
    received = await raw(provider, chat("m", stream=True))
    assert b'"finish_reason":"stop"' in received
    assert (b"[DONE]" in received, received.endswith(b"0\r\n\r\n")) == (False, False)


async def test_a_cut_is_in_the_middle_of_a_chunk(provider: Simulator, http: aiohttp.ClientSession, chat: Any) -> None:
    provider.fail("m", FaultKind.CUT, after_tokens=2)
    with pytest.raises(aiohttp.ClientPayloadError):
        async with http.post(provider.base_url + "/chat/completions", json=chat("m", stream=True)) as response:
            await response.read()


async def test_a_reset_amid_a_stream_comes_after_what_was_sent(provider: Simulator, chat: Any) -> None:
    provider.fail("m", FaultKind.RESET, after_tokens=2)
    with pytest.raises(ConnectionResetError):
        await raw(provider, chat("m", stream=True))
    assert provider.journal[0].tokens_sent == 2


@pytest.mark.parametrize("style", ErrorStyle)
@pytest.mark.parametrize("tokens", [0, 2])
async def test_an_error_comes_in_band(provider: Simulator, chat: Any, style: ErrorStyle, tokens: int) -> None:
    provider.fail("m", Fault(kind=FaultKind.IN_BAND_ERROR, style=style, after_tokens=tokens))
    received = await raw(provider, chat("m", stream=True))
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert b'"error":' in received
    assert received.count(b'"delta":{"content":"') == tokens + (style is ErrorStyle.OPENROUTER_FINISH)
    assert (b"[DONE]" in received) == (style is ErrorStyle.VLLM)


async def test_an_error_comes_in_band_in_a_whole_answer(
    provider: Simulator, http: aiohttp.ClientSession, chat: Any
) -> None:
    provider.fail("m", Fault(kind=FaultKind.IN_BAND_ERROR, style=ErrorStyle.GROQ))
    async with http.post(provider.base_url + "/chat/completions", json=chat("m")) as response:
        assert (response.status, list(await response.json())) == (200, ["error"])


async def test_a_stream_stalls_for_a_while_or_for_ever(provider: Simulator, chat: Any) -> None:
    provider.fail("m", FaultKind.STALL, after_tokens=2, seconds=0.05)
    assert b"[DONE]" in await raw(provider, chat("m", stream=True))
    entry = provider.journal[0]
    assert entry.ended_at is not None
    assert entry.ended_at - entry.received_at >= 0.045
    provider.fail("m", FaultKind.STALL, after_tokens=2)
    stalled = asyncio.create_task(raw(provider, chat("m", stream=True)))
    await provider.journal.wait_for(lambda entry: entry.id == 2 and entry.tokens_sent == 2)
    assert not (await asyncio.wait({stalled}, timeout=0.1))[0]
    stalled.cancel()
    assert (await provider.journal.wait_for(lambda entry: entry.outcome is Outcome.ABORTED)).tokens_sent == 2


async def test_a_dripping_stream_is_whole_and_one_byte_per_chunk(provider: Simulator, chat: Any) -> None:
    provider.fail("m", FaultKind.DRIP, after_tokens=10**6)
    received = await raw(provider, chat("m", stream=True))
    assert b"\r\n1\r\n]\r\n" in received
    assert received.endswith(b"0\r\n\r\n")


async def test_a_huge_line_is_as_long_as_asked_for(provider: Simulator, chat: Any) -> None:
    provider.fail("m", Fault(kind=FaultKind.HUGE_LINE, size=3_000_000))
    received = await raw(provider, chat("m", stream=True))
    assert max(map(len, received.split(b"\n"))) > 3_000_000
    assert b"[DONE]" in received


@pytest.mark.parametrize(("stream", "ping"), [(True, b": ping\n\n"), (False, b"1\r\n\n\r\n")])
async def test_a_ping_flood_never_ends(provider: Simulator, chat: Any, stream: bool, ping: bytes) -> None:
    provider.fail("m", FaultKind.PING_FLOOD)
    host, port = provider.origin.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    data = json.dumps(chat("m", stream=stream)).encode()
    writer.write(f"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data)
    for _ in range(100):
        await reader.readuntil(ping)
    writer.transport.abort()
    await provider.journal.wait_for(lambda entry: entry.outcome is Outcome.ABORTED)


async def test_a_malformed_event_swallows_its_token(provider: Simulator, chat: Any) -> None:
    provider.fail("m", FaultKind.BAD_JSON, after_tokens=1)
    received = await raw(provider, chat("m", stream=True))
    broken = [
        line for line in received.split(b"\n") if line.startswith(b"data: {") and not line.rstrip().endswith(b"}")
    ]
    assert len(broken) == 1
    assert b"[DONE]" in received


@pytest.mark.parametrize(
    "kind", [FaultKind.END_WITHOUT_FINISH, FaultKind.DONE_WITHOUT_FINISH, FaultKind.HUGE_LINE, FaultKind.DRIP]
)
async def test_a_whole_answer_has_its_own_form_of_a_streams_fault(
    provider: Simulator, http: aiohttp.ClientSession, chat: Any, kind: FaultKind
) -> None:
    provider.fail("m", kind)
    async with http.post(provider.base_url + "/chat/completions", json=chat("m")) as response:
        choice = (await response.json())["choices"][0]
    assert (choice["finish_reason"] is None) == kind.value.endswith("without_finish")
    assert (len(choice["message"]["content"]) > 10**6) == (kind is FaultKind.HUGE_LINE)


@pytest.mark.parametrize("kind", [FaultKind.CUT, FaultKind.RESET, FaultKind.BAD_JSON])
async def test_a_whole_answer_breaks_off_half_way(
    provider: Simulator, http: aiohttp.ClientSession, chat: Any, kind: FaultKind
) -> None:
    provider.fail("m", kind)
    with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientOSError, json.JSONDecodeError)):
        async with http.post(provider.base_url + "/chat/completions", json=chat("m")) as response:
            json.loads(await response.read())


@pytest.mark.parametrize("stream", [True, False])
async def test_headers_may_come_byte_by_byte(provider: Simulator, chat: Any, stream: bool) -> None:
    provider.fail("m", FaultKind.SLOW_HEADERS, seconds=0.001)
    received = await raw(provider, chat("m", stream=stream))
    entry = provider.journal[0]
    assert entry.headers_sent_at is not None
    assert entry.headers_sent_at - entry.received_at > 0.0003 * received.index(b"\r\n\r\n")


@pytest.mark.parametrize("kind", [kind for kind in FaultKind if kind not in {FaultKind.NONE, FaultKind.PING_FLOOD}])
@pytest.mark.parametrize("stream", [True, False])
async def test_every_fault_leaves_a_simulator_that_serves_the_next_request(
    provider: Simulator, http: aiohttp.ClientSession, chat: Any, kind: FaultKind, stream: bool
) -> None:
    provider.fail("m", kind, seconds=0)
    with suppress(aiohttp.ClientError):
        async with http.post(provider.base_url + "/chat/completions", json=chat("m", stream=stream)) as response:
            await response.read()
    async with http.post(provider.base_url + "/chat/completions", json=chat("m")) as response:
        assert response.status == 200
    assert provider.journal[0].fault is not None
    assert [entry.outcome for entry in provider.journal][1] is Outcome.FINISHED


async def test_a_header_asks_for_a_fault_and_an_unreadable_one_is_refused(
    provider: Simulator, http: aiohttp.ClientSession, chat: Any
) -> None:
    for wish, status in (("503", 503), ("nonsense", 400)):
        wanted = {"x-simulate-fault": wish}
        async with http.post(provider.base_url + "/chat/completions", json=chat("m"), headers=wanted) as response:
            assert response.status == status


@pytest.mark.parametrize("stream", [True, False])
async def test_line_separators_are_in_the_text_that_the_journal_says_was_meant(
    provider: Simulator, chat: Any, stream: bool
) -> None:
    provider.fail("m", FaultKind.LINE_SEPARATORS)
    received = (await raw(provider, chat("m", stream=stream))).decode()
    entry = provider.journal[0]
    assert all(separator in entry.intended and separator in received for separator in "\u2028\u2029\u0085")
    assert (entry.outcome, entry.usage_reported) == (Outcome.FINISHED, not stream)


async def test_the_journal_keeps_what_was_meant_of_an_answer_that_was_cut(provider: Simulator, chat: Any) -> None:
    provider.fail("m", FaultKind.END_WITHOUT_FINISH, after_tokens=3)
    received = await raw(provider, chat("m", stream=True))
    assert contents(received) == 3
    assert len(provider.journal[0].intended) > 20


async def test_a_prompt_that_does_not_fit_is_not_billed(provider: Simulator, chat: Any) -> None:
    provider.fail("m", FaultKind.IN_BAND_ERROR, style="llama_cpp", times=2)
    for stream in (True, False):
        await raw(provider, chat("m", stream=stream))
    assert [entry.billed.input_tokens for entry in provider.journal] == [0, 0]
