"""How real providers report an error inside a 200."""

from __future__ import annotations

from typing import Any

import pytest
from wild_streams import DONE, answer_to, chunk, event

from router_service.domain.error import UpstreamFault
from router_service.domain.money import Usage


@pytest.mark.parametrize(
    ("what", "pieces", "fault", "status"),
    [
        ("vLLM", [event({"error": {"message": "x"}, "code": 504}), DONE], UpstreamFault.GATEWAY_TIMEOUT, 504),
        (
            "vLLM, older",
            [event({"object": "error", "message": "x", "code": 400}), DONE],
            UpstreamFault.BAD_REQUEST,
            400,
        ),
        (
            "OpenRouter",
            [event({"id": "g", "choices": [], "error": {"code": "rate_limit_exceeded", "message": "x"}})],
            UpstreamFault.RATE_LIMITED,
            429,
        ),
        (
            "OpenRouter, a number as a string",
            [event({"id": "g", "choices": [], "error": {"code": "502", "message": "x"}})],
            UpstreamFault.SERVER,
            502,
        ),
        (
            "OpenRouter in a choice",
            [event({"choices": [{"delta": {}, "finish_reason": "error", "error": {"code": 502, "message": "x"}}]})],
            UpstreamFault.SERVER,
            502,
        ),
        (
            "Anthropic, without an end",
            [b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'],
            UpstreamFault.SERVER,
            529,
        ),
        ("Groq, bare string", [b"event: error\ndata: something failed\n\n"], UpstreamFault.SERVER, 500),
        ("Groq, JSON string", [event("something failed")], UpstreamFault.SERVER, 500),
        ("Groq, string", [event({"error": "rate_limit"})], UpstreamFault.RATE_LIMITED, 429),
        ("Groq, nested", [event({"error": {"error": {"type": "server_error"}}})], UpstreamFault.SERVER, 500),
        (
            "llama.cpp",
            [event({"error": {"code": 400, "message": "the request exceeds the available context size"}})],
            UpstreamFault.CONTEXT_LENGTH,
            400,
        ),
        ("Spark", [event({"code": 10013, "message": "x", "sid": "s"})], UpstreamFault.SERVER, 500),
        ("FastAPI", [event({"detail": "internal error"})], UpstreamFault.SERVER, 500),
        ("nested beyond reason", [b'data: {"error":' + b"[" * 100_000], UpstreamFault.SERVER, 500),
        ("llama.cpp, older", [b'error: {"code":500,"message":"x"}\n\n'], UpstreamFault.SERVER, 500),
    ],
)
@pytest.mark.parametrize("output_before", [False, True])
async def test_an_error_inside_a_200_is_an_error(
    what: str, pieces: list[bytes], fault: UpstreamFault, status: int, output_before: bool
) -> None:
    outcome = await answer_to(*([chunk("Half")] if output_before else []), *pieces)
    assert (outcome.failure.fault, outcome.failure.status) == (fault, status)
    assert outcome.reply.finish_reason is None
    assert outcome.reply.has_output is output_before


@pytest.mark.parametrize(
    ("beside", "fault"),
    [
        ({"x_groq": {"error": "over capacity"}}, UpstreamFault.SERVER),
        ({"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, UpstreamFault.RATE_LIMITED),
        ({"base_resp": {"status_code": 1027, "status_msg": "output new_sensitive"}}, UpstreamFault.CONTENT_FILTER),
    ],
)
@pytest.mark.parametrize("finish", [None, "stop"])
async def test_an_error_beside_choices_is_one(beside: dict[str, Any], fault: UpstreamFault, finish: str | None) -> None:
    choices = [{"delta": {"content": "b"}, "finish_reason": finish}]
    outcome = await answer_to(chunk("a"), event({"id": "c1", "model": "m", "choices": choices, **beside}), DONE)
    assert outcome.failure.fault is fault
    assert outcome.reply.message().text == "a"


async def test_output_that_came_with_an_error_is_counted_but_not_passed_on() -> None:
    outcome = await answer_to(chunk("Half") + event({"error": {"message": "x"}}))
    assert outcome.reply.message().text == "Half"
    assert outcome.batches == []


async def test_a_code_of_success_is_no_error() -> None:
    counts = {"prompt_tokens": 1, "completion_tokens": 1}
    outcome = await answer_to(
        chunk("a"), chunk(finish="stop"), event({"code": 0, "message": "Success", "usage": counts}), DONE
    )
    assert outcome.error is None
    assert outcome.reply.usage == Usage(input_tokens=1, output_tokens=1)
