"""A call's events on their way to the caller, as OpenAI's chunks in server-sent events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from router_service.domain.event import (
    AttemptStarted,
    Decided,
    Delta,
    Deltas,
    Event,
    Finished,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from router_service.domain.logprob import Logprobs
from router_service.domain.receipt import Receipt
from router_service.edge.reader import Patience
from router_service.web.logprobs import logprobs_body
from router_service.web.receipts import account, answer_usage
from router_service.web.responses import completion_id, encoded

Result = TypeVar("Result")

DONE = b"data: [DONE]\n\n"
EVENT_STREAM = "text/event-stream; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Opening:
    """What is known when a stream begins: who speaks, by which policy, and whether it said this to an earlier call."""

    model: str
    deployment: str | None
    policy: str | None
    repeated: bool = False


Begin = Callable[[Opening], Awaitable[None]]
Write = Callable[[bytes], Awaitable[None]]


class Chunks:
    """Makes the chunks of one answer. All but the text of them is said once and for all."""

    def __init__(self, request_id: str, *, created: int, model: str, include_usage: bool) -> None:
        head = {
            "id": completion_id(request_id),
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
        }
        self._head = b"data: " + encoded(head)[:-1]
        self._open = self._head + b',"choices":[{"index":0,"delta":'
        usage = b',"usage":null' if include_usage else b""
        self._close = b',"logprobs":null,"finish_reason":null}]' + usage + b"}\n\n"
        self._null_usage = usage
        self._include_usage = include_usage

    def first(self) -> bytes:
        """Whose answer it is."""
        return self._open + b'{"role":"assistant","content":"","refusal":null}' + self._close

    def delta(self, delta: Delta) -> bytes:
        """A piece of output."""
        if isinstance(delta, TextDelta):
            said = b'{"content":' + encoded(delta.text) + b"}"
        elif isinstance(delta, ReasoningDelta):
            said = b'{"reasoning_content":' + encoded(delta.text) + b"}"
        elif isinstance(delta, Logprobs):
            return self.logprobs(logprobs_body(delta))
        else:
            function = {"name": delta.name, "arguments": delta.arguments_json}
            call: dict[str, Any] = {"index": delta.index, "id": delta.id, "type": "function", "function": function}
            if not delta.id and not delta.name:
                call = {"index": delta.index, "function": {"arguments": delta.arguments_json}}
            said = encoded({"tool_calls": [call]})
        return self._open + said + self._close

    def logprobs(self, told: Any) -> bytes:
        """How likely the tokens before it were. Its text is empty, so that no reader takes it for something else."""
        said = self._open + b'{"content":""},"logprobs":' + encoded(told)
        return said + b',"finish_reason":null}]' + self._null_usage + b"}\n\n"

    def end(self, finish_reason: str, usage: Any, told: Mapping[str, Any]) -> bytes:
        """Why the answer ended, its usage where asked for, and our account of the call: in the last chunk there is."""
        reason = encoded(finish_reason)
        finish = self._open + b'{},"logprobs":null,"finish_reason":' + reason + b"}]"
        ours = b',"llmrouter":' + encoded(told) + b"}\n\n"
        if not self._include_usage:
            return finish + ours + DONE
        last = self._head + b',"choices":[],"usage":' + encoded(usage) + ours
        return finish + self._null_usage + b"}\n\n" + last + DONE


class EventWriter:
    """Writes the events of one streamed call.

    `begin` is asked for the response's headers with the first output, not before: an error until then is a plain one.
    The whole call ends once one write has waited for the reader for `write_timeout` seconds, at the latest after twice
    as long.
    """

    def __init__(
        self, begin: Begin, write: Write, *, request_id: str, created: int, include_usage: bool, write_timeout: float
    ) -> None:
        self.dispatched = False
        self.receipt: Receipt | None = None
        self.begun = False
        """Whether the caller has got anything."""
        self._begin = begin
        self._write = write
        self._request_id = request_id
        self._created = created
        self._include_usage = include_usage
        self._patience = Patience(write_timeout)
        self._writes = 0
        self._policy = ""
        self._started: dict[int, AttemptStarted] = {}
        self._chunks: Chunks | None = None

    async def carry(self, answering: Awaitable[Result]) -> Result:
        """The answer, waited for while its events are written. Raises `Cancelled` where the reader stopped."""
        return await self._patience.carry(answering)

    async def __call__(self, event: Event, /) -> None:
        if isinstance(event, Deltas):
            chunks, opening = self._chunks, b""
            if chunks is None:
                chunks, opening = await self._opened(self._started.get(event.attempt))
            await self._send(opening + b"".join([chunks.delta(delta) for delta in event.deltas]))
        elif isinstance(event, AttemptStarted):
            self.dispatched = True
            self._started[event.number] = event
        elif isinstance(event, Decided):
            self._policy = event.decision.policy.name
        elif isinstance(event, Finished):
            self.receipt = event.receipt

    async def finish(self, response: Mapping[str, Any], *, repeated: bool) -> None:
        """End the stream with what the whole answer says beside its text. A repeated one is told from the start."""
        choice, told, said = response["choices"][0], response["llmrouter"], b""
        if self._chunks is None:
            self._chunks = Chunks(
                response["id"].removeprefix("chatcmpl-"),
                created=response["created"],
                model=response["model"],
                include_usage=self._include_usage,
            )
            await self._begin(Opening(response["model"], told["deployment"], told["policy"], repeated))
            self.begun = True
            said = self._chunks.first()
            if repeated:
                said += b"".join(map(self._chunks.delta, _deltas(choice["message"])))
                if choice["logprobs"] is not None:
                    said += self._chunks.logprobs(choice["logprobs"])
        if opaque := choice["message"].get("llmrouter_opaque"):
            told = {**told, "opaque": opaque}
        await self._send(said + self._chunks.end(choice["finish_reason"], response["usage"], told))

    async def fail(self, envelope: Mapping[str, Any]) -> None:
        """End the stream with an error, and what the call cost. No [DONE] follows: the answer is not whole."""
        event: dict[str, Any] = {"error": envelope}
        if self.receipt is not None:
            event |= {"usage": answer_usage(self.receipt), "llmrouter": account(self.receipt)}
        await self._send(b"data: " + encoded(event) + b"\n\n")

    async def _opened(self, started: AttemptStarted | None) -> tuple[Chunks, bytes]:
        model, deployment = ("", "") if started is None else (started.deployment.model, started.deployment.id)
        self._chunks = chunks = Chunks(
            self._request_id, created=self._created, model=model, include_usage=self._include_usage
        )
        await self._begin(Opening(model, deployment, self._policy))
        self.begun = True
        return chunks, chunks.first()

    async def _send(self, data: bytes) -> None:
        self._writes += 1
        self._patience.waiting = self._writes
        await self._write(data)
        self._patience.waiting = 0


def _deltas(message: Mapping[str, Any]) -> list[Delta]:
    """The output of a whole message, a piece each."""
    deltas: list[Delta] = []
    if message.get("reasoning_content"):
        deltas.append(ReasoningDelta(message["reasoning_content"]))
    if message["content"]:
        deltas.append(TextDelta(message["content"]))
    for index, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        deltas.append(
            ToolCallDelta(index=index, id=call["id"], name=function["name"], arguments_json=function["arguments"])
        )
    return deltas
