"""How real providers send deltas, usage and whole answers."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Sequence
from typing import Any

import pytest
from provider_calls import Outcome, a_provider, a_request, completed
from scripted_upstream import Connection, running
from wild_streams import DONE, FINISH, answer_to, answer_to_body, chunk, event, usage

from router_service.domain.chat import FinishReason
from router_service.domain.error import UpstreamFault
from router_service.domain.event import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from router_service.domain.money import Usage
from router_service.domain.upstream import Provider
from router_service.providers.openai_compatible import OpenAICompatible


async def test_azures_first_chunk_has_no_choices() -> None:
    first = event({"choices": [], "id": "", "model": "", "prompt_filter_results": []})
    outcome = await answer_to(first, chunk("a"), FINISH, DONE)
    assert outcome.text == "a"
    assert outcome.reply.response_model == "m"


async def test_of_several_answers_one_is_read() -> None:
    def piece(index: int, text: str = "", finish: str | None = None) -> bytes:
        return event({"choices": [{"index": index, "delta": {"content": text}, "finish_reason": finish}]})

    both = event({"choices": [{"index": 1, "delta": {"content": "B"}}, {"index": 0, "delta": {"content": "A"}}]})
    outcome = await answer_to(both, piece(1, "b", "length"), piece(0, "a"), piece(1, "b"), piece(0, "", "stop"), DONE)
    assert outcome.text == "Aa"
    assert outcome.reply.finish_reason is FinishReason.STOP


async def test_an_answer_is_not_finished_because_another_is() -> None:
    other = event({"choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": "stop"}]})
    outcome = await answer_to(event({"choices": [{"index": 0, "delta": {"content": "a"}}]}), other, DONE)
    assert outcome.error is not None
    assert outcome.error.fault is UpstreamFault.TRUNCATED


@pytest.mark.parametrize("index", [{}, {"index": None}])
async def test_geminis_tool_calls_have_no_index_and_finish_with_stop(index: dict[str, None]) -> None:
    calls = [{**index, "id": f"c{n}", "function": {"name": "f", "arguments": "{}"}} for n in range(2)]
    outcome = await answer_to(chunk(tool_calls=calls[:1]), chunk(tool_calls=calls[1:], finish="stop"), DONE)
    assert [call.id for call in outcome.reply.message().tool_calls] == ["c0", "c1"]
    assert outcome.reply.finish_reason is FinishReason.TOOL_CALLS


async def test_ollamas_tool_calls_all_have_index_0() -> None:
    calls = [{"index": 0, "id": f"c{n}", "function": {"name": "f", "arguments": f'{{"n":{n}}}'}} for n in range(3)]
    outcome = await answer_to(*(chunk(tool_calls=[call]) for call in calls), chunk(finish="tool_calls"), DONE)
    message = outcome.reply.message()
    assert [(call.id, call.arguments_json) for call in message.tool_calls] == [
        ("c0", '{"n":0}'),
        ("c1", '{"n":1}'),
        ("c2", '{"n":2}'),
    ]
    deltas = [delta for delta in outcome.deltas if isinstance(delta, ToolCallDelta)]
    assert [delta.index for delta in deltas] == [0, 1, 2]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning_has_two_names(field: str) -> None:
    outcome = await answer_to(chunk(**{field: "Hm. "}), chunk(**{field: "Yes."}), chunk("Yes"), FINISH, DONE)
    assert outcome.reasoning == "Hm. Yes."
    assert outcome.text == "Yes"
    assert outcome.reply.message().reasoning == "Hm. Yes."


async def test_order_is_kept_where_text_arrives_together() -> None:
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    outcome = await answer_to(
        chunk(reasoning="a")
        + chunk(reasoning="b")
        + chunk("c")
        + chunk("d")
        + chunk(tool_calls=[call])
        + chunk("e")
        + chunk(reasoning="f")
        + FINISH
        + DONE
    )
    assert outcome.batches == [
        [
            ReasoningDelta("ab"),
            TextDelta("cd"),
            ToolCallDelta(index=0, id="c", name="f", arguments_json="{}"),
            TextDelta("e"),
            ReasoningDelta("f"),
        ]
    ]


async def test_a_delta_that_arrives_alone_leaves_alone() -> None:
    got = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.sse(chunk("a"), end=False)
        await got.wait()
        await connection.chunk(chunk("b") + FINISH + DONE)
        await connection.send(b"0\r\n\r\n")

    outcome = Outcome()

    async def receive(deltas: Sequence[Delta]) -> None:
        await outcome.receive(deltas)
        got.set()

    async with running(script) as upstream, a_provider(upstream.base_url) as provider:
        await provider.stream(a_request(), outcome.reply, receive)
    assert outcome.batches == [[TextDelta("a")], [TextDelta("b")]]


async def test_usage_is_cumulative_and_the_last_one_wins() -> None:
    outcome = await answer_to(usage(10, 1), chunk("a"), usage(10, 2), chunk("b"), usage(10, 3), FINISH, DONE)
    assert outcome.reply.usage == Usage(input_tokens=10, output_tokens=3)


async def test_an_explicit_0_is_a_count_and_what_is_missing_stays() -> None:
    outcome = await answer_to(
        usage(10, 5, prompt_tokens_details={"cached_tokens": 8}),
        event({"choices": [], "usage": {"completion_tokens": 0, "prompt_tokens": None}}),
        FINISH,
        DONE,
    )
    assert outcome.reply.usage == Usage(input_tokens=10, output_tokens=0, cached_input_tokens=8)


@pytest.mark.parametrize("placeholder", [{}, {"total_tokens": 0}, {"prompt_tokens": None, "completion_tokens": None}])
async def test_a_placeholder_of_usage_reports_nothing(placeholder: dict[str, Any]) -> None:
    empty = event({"choices": [], "usage": placeholder})
    assert (await answer_to(empty, chunk("a"), FINISH, empty, DONE)).reply.usage is None
    outcome = await answer_to(chunk("a"), usage(3, 1), FINISH, empty, DONE)
    assert outcome.reply.usage == Usage(input_tokens=3, output_tokens=1)


@pytest.mark.parametrize("together", [True, False])
async def test_a_message_that_repeats_the_stream_adds_its_finish_and_usage_only(together: bool) -> None:
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    whole = event(
        {
            "id": "c1",
            "object": "chat.completion",
            "choices": [
                {
                    "message": {"content": "Hello", "reasoning_content": "Hm", "tool_calls": [call]},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2},
            "base_resp": {"status_code": 0, "status_msg": ""},
        }
    )
    pieces = [chunk("Hel"), chunk("lo"), whole]
    outcome = await answer_to(*([b"".join(pieces)] if together else pieces))
    message = outcome.reply.message()
    assert (outcome.text, message.text, message.reasoning, message.tool_calls) == ("Hello", "Hello", "", ())
    assert outcome.reply.finish_reason is FinishReason.STOP
    assert outcome.reply.usage == Usage(input_tokens=3, output_tokens=2)


async def test_no_usage_is_not_zero_usage() -> None:
    outcome = await answer_to(chunk("a"), FINISH, DONE)
    assert outcome.reply.usage is None


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"prompt_cache_hit_tokens": 4}, Usage(input_tokens=9, output_tokens=5, cached_input_tokens=4)),
        (
            {"prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2}},
            Usage(input_tokens=9, output_tokens=5, cached_input_tokens=3, cache_write_tokens=2),
        ),
        (
            {"completion_tokens_details": {"reasoning_tokens": 4}, "total_tokens": 14},
            Usage(input_tokens=9, output_tokens=5, reasoning_tokens=4),
        ),
        (
            {"completion_tokens_details": {"reasoning_tokens": 7}, "total_tokens": 21},
            Usage(input_tokens=9, output_tokens=12, reasoning_tokens=7),
        ),
    ],
)
async def test_counts_are_found_under_every_name(more: dict[str, Any], expected: Usage) -> None:
    outcome = await answer_to(FINISH, usage(9, 5, **more), DONE)
    assert outcome.reply.usage == expected


async def test_a_whole_answer_is_read() -> None:
    body = {
        "id": "chatcmpl-1",
        "model": "gpt",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hello",
                    "reasoning_content": "Hm",
                    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
    outcome = await answer_to_body(json.dumps(body).encode(), "application/json", stream=False)
    message = outcome.reply.message()
    assert (message.text, message.reasoning, message.tool_calls[0].name) == ("Hello", "Hm", "f")
    assert outcome.reply.usage == Usage(input_tokens=3, output_tokens=2)
    assert outcome.reply.finish_reason is FinishReason.TOOL_CALLS
    assert (outcome.reply.response_id, outcome.reply.response_model) == ("chatcmpl-1", "gpt")


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"choices": [{"message": {"content": "Half"}, "finish_reason": None}]}, UpstreamFault.TRUNCATED),
        ({"choices": []}, UpstreamFault.MALFORMED),
        ({}, UpstreamFault.MALFORMED),
        ({"error": {"code": 503, "message": "x"}}, UpstreamFault.SERVER),
        ({"base_resp": {"status_code": 1002, "status_msg": "rate limit"}, "choices": None}, UpstreamFault.RATE_LIMITED),
    ],
)
async def test_a_whole_answer_that_is_none_is_an_error(body: dict[str, Any], fault: UpstreamFault) -> None:
    outcome = await answer_to_body(json.dumps(body).encode(), "application/json", stream=False)
    assert outcome.failure.fault is fault


async def test_a_compressed_answer_is_read_although_none_was_asked_for() -> None:
    body = gzip.compress(json.dumps({"choices": [{"message": {"content": "z"}, "finish_reason": "stop"}]}).encode())

    async def script(connection: Connection) -> None:
        await connection.respond(200, body, {"content-encoding": "gzip"})

    async with running(script) as upstream, a_provider(upstream.base_url) as provider:
        outcome = await completed(provider)
    assert outcome.reply.message().text == "z"
    assert upstream.requests[0].headers["accept-encoding"] == "identity"


def test_the_provider_is_what_the_engine_expects() -> None:
    _: type[Provider] = OpenAICompatible


async def test_a_whole_answer_that_failed_keeps_what_came() -> None:
    body = {"choices": [{"message": {"content": "Half"}, "finish_reason": "error"}], "usage": {"completion_tokens": 1}}
    outcome = await answer_to_body(json.dumps(body).encode(), "application/json", stream=False)
    assert outcome.failure.fault is UpstreamFault.SERVER
    assert outcome.reply.message().text == "Half"
    assert outcome.reply.usage == Usage(output_tokens=1)
