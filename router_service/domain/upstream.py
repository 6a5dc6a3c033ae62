"""The seam between the engine and the providers: one request, one reply being filled, one way to send."""

from __future__ import annotations

from array import array
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from router_service.domain.chat import Chat, FinishReason, Message, Opaque, Parameters, Part, Role, TextPart, ToolCall
from router_service.domain.deployment import Deployment
from router_service.domain.event import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from router_service.domain.logprob import Logprobs, LogprobWish, TokenLogprob
from router_service.domain.money import Usage

# Of an answer that is told in one go, in characters.
_PIECE = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamRequest:
    """One attempt's request. `parameters` are final except for the token limit, which is `max_output_tokens`.

    `connect_timeout` and `read_timeout` are in seconds; the latter bounds silence on the socket.
    `headers` are added to the provider's own, such as a trace context where the operator wants it sent.
    `prefix` is the beginning of the answer, said by another attempt: the provider goes on from there and does not
    repeat it. Only deployments that prefill are sent one. `logprobs` is what is asked of log-probabilities, `None` for
    none; only deployments that give them are sent one.
    """

    attempt_id: str
    deployment: Deployment
    chat: Chat
    parameters: Parameters
    max_output_tokens: int | None
    connect_timeout: float
    read_timeout: float
    headers: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""
    logprobs: LogprobWish | None = None


@dataclass(slots=True)
class _ToolCallBuffer:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLeft:
    """What a provider says that it still allows, and in how many seconds it allows all of it again; `None` where it
    says nothing."""

    requests: int | None = None
    requests_reset: float | None = None
    tokens: int | None = None
    tokens_reset: float | None = None


@dataclass(slots=True)
class Reply:
    """What one attempt has received so far. The provider fills it; the engine reads it, also after a failure.

    `finish_reason` is set only by a verified finish. `usage` is the provider's last word. `dispatched` is true once
    request bytes may have left: from then on the provider may bill. `rate_left` is what it still allows. `margins` are
    for gates, by how much probability each token led; `None` where no gate asked or nothing was given.
    """

    dispatched: bool = False
    response_id: str = ""
    response_model: str = ""
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    opaque: tuple[Opaque, ...] = ()
    rate_left: RateLeft | None = None
    text_parts: list[str] = field(default_factory=list)
    reasoning_parts: list[str] = field(default_factory=list)
    tool_calls: dict[int, _ToolCallBuffer] = field(default_factory=dict)
    tokens: list[TokenLogprob] = field(default_factory=list)
    tokens_truncated: bool = False
    margins: array[float] | None = None

    def add(self, deltas: Sequence[Delta]) -> None:
        """Append output to what was received."""
        for delta in deltas:
            if isinstance(delta, TextDelta):
                self.text_parts.append(delta.text)
            elif isinstance(delta, ReasoningDelta):
                self.reasoning_parts.append(delta.text)
            elif isinstance(delta, ToolCallDelta):
                self._add_tool_call(delta)
            else:
                self.tokens.extend(delta.tokens)
                self.tokens_truncated = self.tokens_truncated or delta.truncated

    def clear(self) -> None:
        """Forget everything, for a request that is sent again because it was refused before it cost anything."""
        fresh = Reply()
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))

    def _add_tool_call(self, delta: ToolCallDelta) -> None:
        buffer = self.tool_calls.setdefault(delta.index, _ToolCallBuffer())
        buffer.id = buffer.id or delta.id
        buffer.name = buffer.name or delta.name
        if delta.arguments_json:
            buffer.arguments.append(delta.arguments_json)

    @property
    def has_output(self) -> bool:
        """Whether any text, reasoning or tool call arrived."""
        return bool(self.text_parts or self.reasoning_parts or self.tool_calls)

    def output_text(self) -> str:
        """Everything the model produced, for counting tokens where the provider reported none."""
        calls = "".join(buffer.name + "".join(buffer.arguments) for buffer in self.tool_calls.values())
        return "".join(self.reasoning_parts) + "".join(self.text_parts) + calls

    def deltas(self) -> Sequence[Delta]:
        """All output at once, in pieces small enough for any message: thinking, text, tool calls."""
        thinking, text = "".join(self.reasoning_parts), "".join(self.text_parts)
        calls = (
            ToolCallDelta(index=index, id=call.id, name=call.name, arguments_json="".join(call.arguments))
            for index, call in sorted(self.tool_calls.items())
        )
        return [
            *(ReasoningDelta(thinking[at : at + _PIECE]) for at in range(0, len(thinking), _PIECE)),
            *(TextDelta(text[at : at + _PIECE]) for at in range(0, len(text), _PIECE)),
            *(self.logprobs.pieces() if self.logprobs is not None else ()),
            *calls,
        ]

    @property
    def logprobs(self) -> Logprobs | None:
        """Of what was received and the caller asked for; `None` where there are none."""
        return Logprobs(tuple(self.tokens), self.tokens_truncated) if self.tokens else None

    def message(self) -> Message:
        """The assistant's message as received so far."""
        text = "".join(self.text_parts)
        parts: tuple[Part, ...] = (TextPart(text),) if text else ()
        return Message(
            role=Role.ASSISTANT,
            parts=parts,
            tool_calls=tuple(
                ToolCall(id=buffer.id, name=buffer.name, arguments_json="".join(buffer.arguments))
                for _, buffer in sorted(self.tool_calls.items())
            ),
            reasoning="".join(self.reasoning_parts),
            opaque=self.opaque,
        )


Receive = Callable[[Sequence[Delta]], Awaitable[None]]
"""Takes the output of one network read, adjacent text merged; awaiting it waits for a slow reader."""


class Provider(Protocol):
    """A company or server that answers chat requests.

    Both ways of sending raise `UpstreamError` on any failure, and close the upstream connection at once when
    cancelled. They return normally only after a verified finish, with `reply.finish_reason` set.
    """

    async def complete(self, request: UpstreamRequest, reply: Reply) -> None:
        """Send without streaming and fill `reply`."""

    async def stream(self, request: UpstreamRequest, reply: Reply, receive: Receive) -> None:
        """Send streaming; fill `reply` and pass on output as it arrives. Comments and pings are not output."""

    async def aclose(self) -> None:
        """Close all connections."""
