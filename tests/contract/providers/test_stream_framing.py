"""How real providers cut a stream into events, over a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from provider_calls import a_provider, a_request
from scripted_upstream import Connection, running
from wild_streams import DONE, FINISH, answer_to, answer_to_body, chunk

from router_service.domain.chat import FinishReason
from router_service.domain.error import UpstreamFault
from router_service.domain.event import Delta
from router_service.domain.upstream import Reply


async def test_unicode_line_separators_do_not_split_an_event() -> None:
    outcome = await answer_to(chunk("a\u2028b\u0085c"), FINISH, DONE)
    assert outcome.text == "a\u2028b\u0085c"


async def test_utf8_cut_in_the_middle_of_a_character_is_whole_again() -> None:
    stream = chunk("日本語") + FINISH + DONE
    cut = stream.index("本".encode()) + 1
    outcome = await answer_to(stream[:cut], stream[cut:])
    assert outcome.text == "日本語"


async def test_data_needs_no_space() -> None:
    outcome = await answer_to((chunk("a") + FINISH + DONE).replace(b"data: ", b"data:"))
    assert outcome.text == "a"


async def test_comments_are_not_output() -> None:
    outcome = await answer_to(
        b": OPENROUTER PROCESSING\n\n", b": keep-alive\n\n", chunk("a"), b": keep-alive\n\n", FINISH
    )
    assert [batch for batch in outcome.batches if batch] == outcome.batches
    assert outcome.text == "a"


async def test_comments_and_empty_deltas_never_reach_the_receiver() -> None:
    """What resets the stall timer is content alone."""
    received = asyncio.Event()
    comments_sent = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.sse(b": keep-alive\n\n", chunk(role="assistant", content=""), b"data:\n\n", end=False)
        comments_sent.set()
        await connection.closed()

    async def receive(deltas: Sequence[Delta]) -> None:
        received.set()

    async with running(script) as upstream, a_provider(upstream.base_url) as provider:
        call = asyncio.create_task(provider.stream(a_request(), Reply(), receive))
        await comments_sent.wait()
        await asyncio.sleep(0.02)
        call.cancel()
        await asyncio.wait([call])
    assert not received.is_set()


async def test_blank_lines_before_plain_json_are_skipped() -> None:
    body = (
        b"\n\n\n\r\n"
        + json.dumps(
            {"choices": [{"message": {"content": "late"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}
        ).encode()
    )
    for stream in (True, False):
        outcome = await answer_to_body(body, "application/json", stream=stream)
        assert outcome.reply.message().text == "late"
        assert outcome.reply.finish_reason is FinishReason.STOP


async def test_events_without_data_are_skipped() -> None:
    outcome = await answer_to(b"event: ping\ndata:\n\n", b"data:\n\n", chunk("a"), b"data: \n\n", FINISH, DONE)
    assert outcome.text == "a"


async def test_an_event_beyond_1_mib_is_malformed() -> None:
    outcome = await answer_to(b"data: " + b"x" * (1024 * 1024 + 1))
    assert outcome.failure.fault is UpstreamFault.MALFORMED


HUGE = chunk("x" * (1024 * 1024))


async def test_output_before_an_event_beyond_1_mib_is_in_the_reply() -> None:
    outcome = await answer_to(chunk("a") + HUGE + chunk("b"))
    assert outcome.failure.fault is UpstreamFault.MALFORMED
    assert outcome.reply.message().text == "a"


async def test_a_finish_before_an_event_beyond_1_mib_is_a_finish() -> None:
    for pieces in ([chunk("a") + FINISH + HUGE], [chunk("a") + FINISH, HUGE], [chunk("a"), FINISH + HUGE + DONE]):
        outcome = await answer_to(*pieces)
        assert outcome.error is None
        assert (outcome.text, outcome.reply.finish_reason) == ("a", FinishReason.STOP)


async def test_an_error_before_an_event_beyond_1_mib_is_that_error() -> None:
    said = b'data: {"error": {"code": 429, "message": "x"}}\n\n'
    assert (await answer_to(chunk("a") + said + HUGE)).failure.fault is UpstreamFault.RATE_LIMITED


async def test_a_web_page_with_200_is_malformed_and_not_quoted() -> None:
    page = b"<!DOCTYPE html><html><body>CANARY</body></html>"
    for stream in (True, False):
        outcome = await answer_to_body(page, "text/html", stream=stream)
        assert outcome.failure.fault is UpstreamFault.MALFORMED
        assert "CANARY" not in str(outcome.failure)
        assert not outcome.reply.has_output


async def test_bad_json_is_malformed() -> None:
    outcome = await answer_to(chunk("a"), b'data: {"choices": [}\n\n', FINISH, DONE)
    assert outcome.failure.fault is UpstreamFault.MALFORMED
    assert (await answer_to_body(b'{"choices": [}', "application/json", stream=False)).failure.fault is (
        UpstreamFault.MALFORMED
    )


async def test_a_json_answer_where_a_stream_was_asked_for_is_an_answer() -> None:
    body = json.dumps({"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}]}).encode()
    outcome = await answer_to_body(body, "application/json")
    assert outcome.text == "whole"


async def test_a_json_error_where_a_stream_was_asked_for_is_an_error() -> None:
    outcome = await answer_to_body(b'[{"error": {"code": 503, "message": "x"}}]', "text/event-stream")
    assert (outcome.failure.fault, outcome.failure.status) == (UpstreamFault.SERVER, 503)
