"""How real providers end a stream, and what of it is a success."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from provider_calls import Outcome, a_provider, a_request, streamed
from scripted_upstream import Connection, running
from wild_streams import DONE, FINISH, answer_to, chunk, event, usage

from router_service.domain.chat import FinishReason
from router_service.domain.error import UpstreamFault
from router_service.domain.event import Delta
from router_service.domain.money import Usage
from router_service.domain.vendor import Quirks


@pytest.mark.parametrize("end", [True, False])
async def test_the_end_without_a_finish_reason_is_truncated(end: bool) -> None:
    outcome = await answer_to(chunk("Half an ans"), end=end)
    assert outcome.failure.fault is UpstreamFault.TRUNCATED
    assert outcome.reply.finish_reason is None
    assert outcome.reply.message().text == "Half an ans"


async def test_an_empty_stream_is_truncated() -> None:
    assert (await answer_to()).failure.fault is UpstreamFault.TRUNCATED


async def test_done_alone_is_truncated() -> None:
    assert (await answer_to(chunk("a"), DONE)).failure.fault is UpstreamFault.TRUNCATED


async def test_done_alone_is_a_finish_where_the_provider_never_says_more() -> None:
    outcome = await answer_to(chunk("a"), DONE, quirks=Quirks(requires_finish_reason=False))
    assert outcome.error is None
    assert outcome.reply.finish_reason is FinishReason.STOP


async def test_the_end_without_done_is_truncated_even_there() -> None:
    outcome = await answer_to(chunk("a"), quirks=Quirks(requires_finish_reason=False))
    assert outcome.failure.fault is UpstreamFault.TRUNCATED


async def test_an_event_cut_off_by_the_end_is_truncated() -> None:
    assert (await answer_to(chunk("a"), chunk("bcd")[:30])).failure.fault is UpstreamFault.TRUNCATED


async def test_an_event_cut_off_that_says_there_is_no_error_is_truncated() -> None:
    cut = event({"id": "c", "error": None, "choices": [{"delta": {"content": "bcd"}}]})[:-20]
    assert (await answer_to(chunk("a"), cut)).failure.fault is UpstreamFault.TRUNCATED


async def test_an_error_that_was_cut_off_is_one() -> None:
    cut = event({"error": {"message": "Rate limit reached", "code": 429}})[:-20]
    assert (await answer_to(chunk("a"), cut)).failure.fault is UpstreamFault.RATE_LIMITED


@pytest.mark.parametrize("said", ["something_new", "function_call_filter: MALFORMED_FUNCTION_CALL"])
@pytest.mark.parametrize("before", [[], [chunk("")], [chunk(reasoning="Hm")]])
async def test_an_unknown_finish_reason_without_an_answer_is_malformed(said: str, before: list[bytes]) -> None:
    outcome = await answer_to(*before, chunk(finish=said), DONE)
    assert outcome.failure.fault is UpstreamFault.MALFORMED
    assert outcome.reply.finish_reason is None


async def test_a_known_finish_reason_without_output_is_an_empty_answer() -> None:
    outcome = await answer_to(chunk(finish="end_turn"), DONE)
    assert (outcome.error, outcome.reply.finish_reason) == (None, FinishReason.STOP)


async def test_an_empty_finish_reason_is_none() -> None:
    assert (await answer_to(chunk("a", finish=""), DONE)).failure.fault is UpstreamFault.TRUNCATED


async def test_usage_after_the_finish_is_read() -> None:
    outcome = await answer_to(chunk("a"), FINISH, usage(3, 1), DONE)
    assert outcome.reply.usage == Usage(input_tokens=3, output_tokens=1)


@pytest.mark.parametrize(
    "after", [b"data: {bad\n\n", event({"error": {"message": "late"}}), b"event: error\ndata: late\n\n"]
)
async def test_a_failure_after_the_finish_is_none(after: bytes) -> None:
    apart = await answer_to(chunk("a"), FINISH, after)
    together = await answer_to(chunk("a") + FINISH + after)
    for outcome in (apart, together):
        assert outcome.error is None
        assert outcome.text == "a"


async def test_a_lost_connection_after_the_finish_is_no_failure() -> None:
    got_finish = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.sse(chunk("a", finish="stop"), end=False)
        await got_finish.wait()
        connection.reset()

    outcome = Outcome()

    async def receive(deltas: Sequence[Delta]) -> None:
        got_finish.set()

    async with running(script) as upstream, a_provider(upstream.base_url) as provider:
        await provider.stream(a_request(), outcome.reply, receive)
    assert outcome.reply.finish_reason is FinishReason.STOP


async def test_silence_after_the_finish_is_waited_for_only_shortly() -> None:
    async def script(connection: Connection) -> None:
        await connection.sse(chunk("a"), FINISH, end=False)
        await connection.closed()

    async with running(script) as upstream, a_provider(upstream.base_url, settle_seconds=0.01) as provider:
        outcome = await streamed(provider)
    assert outcome.error is None
    assert outcome.reply.finish_reason is FinishReason.STOP


async def test_chatter_after_the_finish_is_waited_for_only_shortly() -> None:
    async def script(connection: Connection) -> None:
        await connection.sse(chunk("a"), FINISH, end=False)
        try:
            while True:
                await connection.chunk(b": keep-alive\n\n")
                await asyncio.sleep(0.01)
        except ConnectionError:
            pass

    async with running(script) as upstream, a_provider(upstream.base_url, settle_seconds=0.05) as provider:
        async with asyncio.timeout(30):
            outcome = await streamed(provider)
    assert outcome.error is None
    assert outcome.reply.finish_reason is FinishReason.STOP


@pytest.mark.parametrize(
    ("said", "finish"),
    [
        ("stop", FinishReason.STOP),
        ("STOP", FinishReason.STOP),
        ("end_turn", FinishReason.STOP),
        ("length", FinishReason.LENGTH),
        ("max_tokens", FinishReason.LENGTH),
        ("model_length", FinishReason.LENGTH),
        ("model_context_window_exceeded", FinishReason.LENGTH),
        ("something_new", FinishReason.STOP),
        ("function_call", FinishReason.TOOL_CALLS),
        ("content_filter", FinishReason.CONTENT_FILTER),
        ("content_filter: PROHIBITED_CONTENT", FinishReason.CONTENT_FILTER),
        ("sensitive", FinishReason.CONTENT_FILTER),
    ],
)
async def test_finish_reasons_are_translated(said: str, finish: FinishReason) -> None:
    outcome = await answer_to(chunk("a"), chunk(finish=said), DONE)
    assert outcome.reply.finish_reason is finish


@pytest.mark.parametrize("said", ["error", "network_error", "insufficient_system_resource", "abort"])
async def test_a_finish_reason_that_means_failure_is_one(said: str) -> None:
    outcome = await answer_to(chunk("a"), chunk(finish=said), DONE)
    assert outcome.failure.fault is UpstreamFault.SERVER
