"""A wrong type or a broken character in a field must not lose an answer that is paid for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from provider_calls import Outcome
from wild_streams import DONE, answer_to, answer_to_body, event

from router_service.domain.chat import FinishReason
from router_service.domain.error import UpstreamFault
from router_service.domain.money import Usage


async def both(fields: dict[str, Any], choice: dict[str, Any], output: dict[str, Any]) -> list[Outcome]:
    """A stream and a whole answer that say "Hello" and finish, with these fields in them."""

    def answer(name: str) -> dict[str, Any]:
        said = {name: {"content": "Hello", **output}, "finish_reason": "stop", **choice}
        return {"id": "c1", "model": "m", "choices": [said], **fields}

    return [
        await answer_to(event(answer("delta")), DONE),
        await answer_to_body(json.dumps(answer("message")).encode(), "application/json", stream=False),
    ]


@pytest.mark.parametrize(
    ("fields", "choice", "output"),
    [
        ({"usage": {"prompt_tokens": 5.0, "completion_tokens": "7"}}, {}, {}),
        (
            {"usage": {"prompt_tokens": 5, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 0.0}}},
            {},
            {},
        ),
        ({}, {"index": "0", "usage": {"prompt_tokens": "5", "completion_tokens": 7}}, {}),
        ({"x_groq": {"usage": {"prompt_tokens": 5.0, "completion_tokens": 7}}}, {}, {}),
    ],
)
async def test_counts_of_another_type_are_counts(
    fields: dict[str, Any], choice: dict[str, Any], output: dict[str, Any]
) -> None:
    for outcome in await both(fields, choice, output):
        assert outcome.error is None
        assert outcome.reply.message().text == "Hello"
        assert outcome.reply.usage == Usage(input_tokens=5, output_tokens=7)


@pytest.mark.parametrize(
    ("fields", "choice", "output"),
    [
        ({"usage": "none"}, {}, {}),
        ({"usage": [1]}, {}, {}),
        ({"usage": {"prompt_tokens": 10**19, "completion_tokens": 7}}, {}, {}),
        ({"usage": {"prompt_tokens": -5, "completion_tokens": -7}}, {}, {}),
        ({"id": {"a": 1}, "model": 7, "object": 1, "type": [], "x_groq": 1, "base_resp": "ok"}, {}, {}),
        ({"base_resp": {"status_code": "0"}}, {}, {}),
        ({}, {"index": "0"}, {}),
        ({}, {}, {"content": [{"type": 1, "text": "Hello"}]}),
        ({}, {}, {"reasoning": {"summary": 1}, "refusal": ["no"]}),
    ],
)
async def test_oddities_beside_the_answer_are_passed_over(
    fields: dict[str, Any], choice: dict[str, Any], output: dict[str, Any]
) -> None:
    for outcome in await both(fields, choice, output):
        assert outcome.error is None
        assert outcome.reply.message().text == "Hello"
        assert outcome.reply.finish_reason is FinishReason.STOP
        assert outcome.reply.usage is None


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (rb"a\ud83db", "a\ufffdb"),
        (rb"\ude00b", "\ufffdb"),
        (rb"a\ud83d", "a\ufffd"),
        (rb"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
        (rb"\\ud83d\ude00", "\\ud83d\ufffd"),
        (b"a\xf0\x9fb", "a\ufffdb"),
        (b"\xff\\ud83d", "\ufffd\ufffd"),
    ],
)
async def test_half_a_character_is_replaced(sent: bytes, read: str) -> None:
    body = b'{"choices":[{"%s":{"content":"' + sent + b'"},"finish_reason":"stop"}]}'
    for outcome in (
        await answer_to(b"data: " + body.replace(b"%s", b"delta") + b"\n\n", DONE),
        await answer_to_body(body.replace(b"%s", b"message"), "application/json", stream=False),
    ):
        assert outcome.error is None
        assert outcome.reply.message().text == read


@pytest.mark.parametrize("output", [{"content": 7}, {"tool_calls": "none"}])
async def test_what_makes_up_the_answer_must_be_readable(output: dict[str, Any]) -> None:
    for outcome in await both({}, {}, output):
        assert outcome.failure.fault is UpstreamFault.MALFORMED


async def test_names_are_cut_where_they_enter() -> None:
    for outcome in await both({"id": "i" * 5000, "model": "m" * 5000}, {}, {}):
        assert outcome.reply.response_id == "i" * 256
        assert outcome.reply.response_model == "m" * 256
