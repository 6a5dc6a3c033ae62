"""Several keys act as one: what one key is refused for, the next one does within the same call."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from provider_calls import Key, Outcome, a_provider, completed, streamed
from scripted_upstream import Connection, Upstream, running
from wild_streams import DONE, FINISH, chunk, event

from router_service.domain.chat import FinishReason
from router_service.domain.error import UpstreamFault
from router_service.domain.event import ReasoningDelta, TextDelta, ToolCallDelta
from router_service.domain.money import Usage
from router_service.domain.upstream import Reply
from router_service.providers.openai_compatible import OpenAICompatible

ANSWER = json.dumps({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}).encode()
Refusal = Callable[[Connection], Awaitable[None]]
Call = Callable[[OpenAICompatible], Awaitable[Outcome]]
BOTH = pytest.mark.parametrize("call", [completed, streamed])


def refusal(status: int, body: bytes = b"{}", **headers: str) -> Refusal:
    async def refuse(connection: Connection) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        await connection.respond(status, body, named)

    return refuse


@dataclass
class Keyed:
    """A provider with the keys "one", "two" and so on, of which some are refused."""

    provider: OpenAICompatible
    upstream: Upstream
    refusals: dict[str, Refusal] = field(default_factory=dict)

    @property
    def asked(self) -> list[str]:
        return [request.headers["authorization"].removeprefix("Bearer ") for request in self.upstream.requests]


@asynccontextmanager
async def keyed(*names: str, clock: Callable[[], float] = lambda: 0.0, **refusals: Refusal) -> AsyncIterator[Keyed]:
    async def script(connection: Connection) -> None:
        request = upstream.requests[-1]
        refuse = refusals.get(request.headers["authorization"].removeprefix("Bearer "))
        if refuse is not None:
            await refuse(connection)
        elif request.json.get("stream"):
            await connection.sse(chunk("Hi") + FINISH + DONE)
        else:
            await connection.respond(200, ANSWER)

    async with (
        running(script) as upstream,
        a_provider(upstream.base_url, keys=tuple(map(Key, names)), clock=clock) as provider,
    ):
        yield Keyed(provider, upstream, refusals)


@BOTH
@pytest.mark.parametrize(
    "refuse",
    [
        refusal(401),
        refusal(402),
        refusal(429, retry_after="30"),
        refusal(429, b'{"error":{"code":"insufficient_quota","message":"insufficient quota"}}'),
        refusal(200, b'{"error":{"code":401,"message":"invalid api key"},"id":"bad"}'),
    ],
)
async def test_the_next_key_answers_the_call_and_the_refused_one_rests(call: Call, refuse: Refusal) -> None:
    async with keyed("one", "two", one=refuse) as at:
        outcomes = [await call(at.provider) for _ in range(3)]
        assert [outcome.error for outcome in outcomes] == [None, None, None]
        assert [outcome.reply.message().text for outcome in outcomes] == ["Hi", "Hi", "Hi"]
        assert at.asked == ["one", "two", "two", "two"]


async def test_a_refusal_leaves_no_trace_in_the_reply() -> None:
    async def refuse(connection: Connection) -> None:
        await connection.sse(event({"id": "bad", "model": "bad", "choices": []}), event({"error": {"code": 429}}))

    async with keyed("one", "two", one=refuse) as at:
        outcome = await streamed(at.provider)
        assert outcome.error is None
        assert (outcome.reply.response_id, outcome.reply.response_model) == ("c1", "m")


@BOTH
async def test_a_second_failure_that_is_not_the_keys_leaves(call: Call) -> None:
    async with keyed("one", "two", "three", one=refusal(401), two=refusal(503)) as at:
        outcome = await call(at.provider)
        assert outcome.failure.fault is UpstreamFault.SERVER
        assert at.asked == ["one", "two"]


@BOTH
async def test_every_key_is_tried_once_and_then_the_refusal_leaves(call: Call) -> None:
    async with keyed("one", "two", "three", one=refusal(401), two=refusal(402), three=refusal(401)) as at:
        outcome = await call(at.provider)
        assert (outcome.failure.fault, outcome.failure.status) == (UpstreamFault.AUTH, 401)
        assert at.asked == ["one", "two", "three"]


@BOTH
async def test_rate_limits_of_every_key_last_until_the_first_is_back(call: Call) -> None:
    limited = {"one": refusal(429, retry_after="20"), "two": refusal(429, retry_after="60")}
    async with keyed("one", "two", **limited) as at:
        outcome = await call(at.provider)
        assert (outcome.failure.fault, outcome.failure.status) == (UpstreamFault.RATE_LIMITED, 429)
        assert outcome.failure.retry_after == pytest.approx(20.0)
        assert at.asked == ["one", "two"]


async def test_a_refused_key_beside_a_rate_limited_one_is_a_rate_limit() -> None:
    now = 0.0
    async with keyed("one", "two", one=refusal(429, retry_after="20"), clock=lambda: now) as at:
        await completed(at.provider)
        at.refusals["two"] = refusal(401)
        now = 5.0
        outcome = await completed(at.provider)
        assert outcome.failure.fault is UpstreamFault.RATE_LIMITED
        assert outcome.failure.retry_after == pytest.approx(15.0)
        assert at.asked == ["one", "two", "two"]


async def test_an_only_key_is_not_tried_again() -> None:
    async with keyed("one", one=refusal(429, retry_after="20")) as at:
        outcome = await streamed(at.provider)
        assert outcome.failure.retry_after == pytest.approx(20.0)
        assert at.asked == ["one"]


@pytest.mark.parametrize(
    "before", [chunk("Half"), event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}})]
)
async def test_what_may_be_billed_is_not_sent_again(before: bytes) -> None:
    async def refuse(connection: Connection) -> None:
        await connection.sse(before, event({"error": {"code": 429, "message": "x"}}))

    async with keyed("one", "two", one=refuse) as at:
        outcome = await streamed(at.provider)
        assert outcome.failure.fault is UpstreamFault.RATE_LIMITED
        assert at.asked == ["one"]
        assert (await streamed(at.provider)).error is None
        assert at.asked == ["one", "two"]


def test_a_cleared_reply_is_as_new() -> None:
    reply = Reply(dispatched=True, response_id="x", response_model="m", usage=Usage(), finish_reason=FinishReason.STOP)
    reply.add([TextDelta("a"), ReasoningDelta("b"), ToolCallDelta(index=0, id="c", name="d", arguments_json="{}")])
    reply.clear()
    assert reply == Reply()
