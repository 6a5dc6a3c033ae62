"""What comes back: a whole answer, or the events of one."""

from __future__ import annotations

from dataclasses import dataclass

from llmrouter.v1.chat_pb2 import FinishReason, Logprobs, Message
from llmrouter.v1.decision_pb2 import Decision
from llmrouter.v1.receipt_pb2 import GateVerdict, Receipt
from llmrouter.v1.router_service_pb2 import CompleteResponse, StreamCompleteResponse
from llmrouter.v1.stream_pb2 import (
    AttemptDiscarded,
    AttemptStarted,
    Finished,
    LogprobsDelta,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)

StreamEvent = (
    Decision
    | AttemptStarted
    | TextDelta
    | ReasoningDelta
    | ToolCallDelta
    | LogprobsDelta
    | GateVerdict
    | AttemptDiscarded
    | Finished
)
"""One event of a streamed answer: `Decision` comes first and `Finished` last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A verified, whole answer. `finish_reason` is "stop", "length", "tool_calls" or "content_filter".

    `logprobs` are those that were asked for; `None` where none were, where the provider gave none, and at the end of a
    stream: there they came as `LogprobsDelta`.
    """

    message: Message
    finish_reason: str
    receipt: Receipt
    logprobs: Logprobs | None = None

    @property
    def text(self) -> str:
        """All text of the message, joined without a separator."""
        return "".join(part.text for part in self.message.parts)


def answer_of(response: CompleteResponse | Finished) -> Answer:
    """The answer in a response or in a stream's last event."""
    name = FinishReason.Name(response.finish_reason)
    return Answer(
        message=response.message,
        finish_reason=name.removeprefix("FINISH_REASON_").lower(),
        receipt=response.receipt,
        logprobs=response.logprobs
        if isinstance(response, CompleteResponse) and response.HasField("logprobs")
        else None,
    )


def event_of(response: StreamCompleteResponse) -> StreamEvent | None:
    """The event itself; `None` for one that is newer than this client."""
    kind = response.WhichOneof("event")
    if kind is None:
        return None
    event: StreamEvent = getattr(response, kind)
    return event
