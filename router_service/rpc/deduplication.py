"""Answers in protobuf, kept for callers' repeats."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from llmrouter.v1 import chat_pb2, receipt_pb2, router_service_pb2, stream_pb2
from router_service.domain.receipt import Answer
from router_service.rpc.responses import complete_response

Event = router_service_pb2.StreamCompleteResponse
KeyedRequest = router_service_pb2.CompleteRequest | router_service_pb2.StreamCompleteRequest


class ProtobufAnswers:
    """Answers as `CompleteResponse`."""

    def digest(self, request: KeyedRequest) -> bytes:
        """What makes the request what it is: all but the key. Whole and streamed answers are the same request."""
        whole = router_service_pb2.CompleteRequest(caller=request.caller, chat=request.chat, routing=request.routing)
        return hashlib.sha256(whole.SerializeToString(deterministic=True)).digest()

    def response(self, answer: Answer) -> router_service_pb2.CompleteResponse:
        """The answer as its caller gets it."""
        return complete_response(answer)

    def stored(self, response: router_service_pb2.CompleteResponse) -> tuple[bytes, bytes]:
        """The response, and the receipt that is in it, as they are kept."""
        return response.SerializeToString(), response.receipt.SerializeToString()

    def restored(self, data: bytes) -> router_service_pb2.CompleteResponse:
        """A response that was kept."""
        return router_service_pb2.CompleteResponse.FromString(data)


def replayed(
    response: router_service_pb2.CompleteResponse,
) -> Iterator[router_service_pb2.StreamCompleteResponse]:
    """A kept answer as the events of a stream: an attempt, its output in one piece, and the end."""
    receipt, message = response.receipt, response.message
    attempt = next(
        (one for one in receipt.attempts if one.number == receipt.answer_attempt),
        receipt_pb2.Attempt(),
    )
    number = attempt.number
    events = [
        Event(
            attempt_started=stream_pb2.AttemptStarted(
                attempt=number,
                deployment=attempt.deployment,
                model=attempt.model,
                provider=attempt.provider,
                reason=attempt.reason,
            )
        )
    ]
    if message.reasoning:
        events.append(Event(reasoning_delta=stream_pb2.ReasoningDelta(attempt=number, text=message.reasoning)))
    if text := "".join(part.text for part in message.parts):
        events.append(Event(text_delta=stream_pb2.TextDelta(attempt=number, text=text)))
    if response.HasField("logprobs"):
        delta = stream_pb2.LogprobsDelta(attempt=number, logprobs=response.logprobs)
        events.append(Event(logprobs_delta=delta))
    events += [Event(tool_call_delta=_tool_call(number, index, call)) for index, call in enumerate(message.tool_calls)]
    finished = stream_pb2.Finished(message=message, finish_reason=response.finish_reason, receipt=receipt)
    events.append(Event(finished=finished))
    for sequence, event in enumerate(events, start=1):
        event.sequence = sequence
        yield event


def _tool_call(attempt: int, index: int, call: chat_pb2.ToolCall) -> stream_pb2.ToolCallDelta:
    return stream_pb2.ToolCallDelta(
        attempt=attempt, index=index, id=call.id, name=call.name, arguments_json=call.arguments_json
    )
