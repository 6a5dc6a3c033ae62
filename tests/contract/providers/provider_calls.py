"""One call to a provider and all that came of it, for the provider tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from router_service.config.configuration import ProviderSettings
from router_service.domain.chat import Chat, Message, Parameters, Role, TextPart
from router_service.domain.deployment import Deployment
from router_service.domain.error import UpstreamError
from router_service.domain.event import Delta, ReasoningDelta, TextDelta
from router_service.domain.upstream import Reply, UpstreamRequest
from router_service.providers.openai_compatible import OpenAICompatible

DEPLOYMENT = Deployment(id="small", model="small", provider="acme", upstream_name="acme-small")
HELLO = Chat(messages=(Message(role=Role.USER, parts=(TextPart("Hello"),)),))

UNSET = Parameters()


class Key:
    def __init__(self, value: str) -> None:
        self.value = value

    def reveal(self) -> str:
        return self.value


def a_request(
    *,
    chat: Chat = HELLO,
    parameters: Parameters = UNSET,
    max_output_tokens: int | None = None,
    connect_timeout: float = 30.0,
    read_timeout: float = 30.0,
    **more: Any,
) -> UpstreamRequest:
    return UpstreamRequest(
        attempt_id="attempt-1",
        deployment=more.pop("deployment", DEPLOYMENT),
        chat=chat,
        parameters=parameters,
        max_output_tokens=max_output_tokens,
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        **more,
    )


def some_settings(base_url: str, **more: Any) -> ProviderSettings:
    return ProviderSettings(id="acme", vendor="custom", base_url=base_url, **{"keys": (Key("sk-1"),), **more})


@asynccontextmanager
async def a_provider(base_url: str, *, clock: Any = None, **more: Any) -> AsyncIterator[OpenAICompatible]:
    """A provider whose clocks stand still unless `clock` is given."""
    now = clock or (lambda: 1000.0)
    settle = more.pop("settle_seconds", 2.0)
    provider = OpenAICompatible(some_settings(base_url, **more), monotonic=now, wall=now, settle_seconds=settle)
    try:
        yield provider
    finally:
        await provider.aclose()


async def idle(provider: OpenAICompatible) -> None:
    """Wait until the provider's connections are all free for the next call."""
    async with asyncio.timeout(30):
        while provider.connections[0] or not provider.connections[1]:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.001)


@dataclass
class Outcome:
    """What one call came to. `batches` are the deltas as they were received together."""

    reply: Reply = field(default_factory=Reply)
    batches: list[list[Delta]] = field(default_factory=list)
    error: UpstreamError | None = None

    async def receive(self, deltas: Sequence[Delta]) -> None:
        self.batches.append(list(deltas))

    @property
    def deltas(self) -> list[Delta]:
        return [delta for batch in self.batches for delta in batch]

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.deltas if isinstance(delta, TextDelta))

    @property
    def reasoning(self) -> str:
        return "".join(delta.text for delta in self.deltas if isinstance(delta, ReasoningDelta))

    @property
    def failure(self) -> UpstreamError:
        assert self.error is not None, "the call succeeded"
        return self.error


async def streamed(provider: OpenAICompatible, request: UpstreamRequest | None = None) -> Outcome:
    outcome = Outcome()
    try:
        await provider.stream(request or a_request(), outcome.reply, outcome.receive)
    except UpstreamError as error:
        outcome.error = error
    return outcome


async def completed(provider: OpenAICompatible, request: UpstreamRequest | None = None) -> Outcome:
    outcome = Outcome()
    try:
        await provider.complete(request or a_request(), outcome.reply)
    except UpstreamError as error:
        outcome.error = error
    return outcome
