"""Streams as real providers send them, and what a call to such a provider comes to."""

from __future__ import annotations

import json
from typing import Any

from provider_calls import Outcome, a_provider, a_request, completed, streamed
from scripted_upstream import Connection, running

from router_service.domain.upstream import UpstreamRequest
from router_service.domain.vendor import Quirks

OPENAI = Quirks()
DONE = b"data: [DONE]\n\n"


def event(content: Any) -> bytes:
    return b"data: " + json.dumps(content, ensure_ascii=False).encode() + b"\n\n"


def chunk(text: str | None = None, finish: str | None = None, **delta: Any) -> bytes:
    if text is not None:
        delta["content"] = text
    return event({"id": "c1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def usage(prompt: int, completion: int, **more: Any) -> bytes:
    return event({"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion, **more}})


FINISH = chunk(finish="stop")


async def answer_to(*pieces: bytes, end: bool = True, quirks: Quirks = OPENAI) -> Outcome:
    """What a call comes to when the upstream streams these pieces and, unless `end`, stops without a last chunk."""
    return await answer_to_request(a_request(), *pieces, end=end, quirks=quirks)


async def answer_to_request(
    request: UpstreamRequest, *pieces: bytes, end: bool = True, quirks: Quirks = OPENAI
) -> Outcome:
    """The same for `request`."""

    async def script(connection: Connection) -> None:
        await connection.sse(*pieces, end=end)
        if not end:
            connection.writer.close()

    async with running(script) as upstream, a_provider(upstream.base_url, quirks=quirks) as provider:
        return await streamed(provider, request)


async def answer_to_body(body: bytes, content_type: str, *, stream: bool = True) -> Outcome:
    async def script(connection: Connection) -> None:
        await connection.respond(200, body, content_type=content_type)

    async with running(script) as upstream, a_provider(upstream.base_url) as provider:
        return await (streamed(provider) if stream else completed(provider))
