"""Callers' repeats: under one idempotency key a call is made once, and a repeat gets what the first one got."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator

from llmrouter.v1 import chat_pb2, receipt_pb2, router_service_pb2, stream_pb2
from router_service.domain.call import Call
from router_service.domain.receipt import Answer
from router_service.limits.idempotency import Answered, Idempotency
from router_service.rpc.responses import complete_response

# A call that outlives its deadline by this much, in seconds, has lost its owner.
_GRACE = 60.0
_NO_DEADLINE = 600.0
# How long it is remembered that a call was made, where its answer is not kept for longer, in seconds.
_REMEMBERED = 86_400.0

Event = router_service_pb2.StreamCompleteResponse
KeyedRequest = router_service_pb2.CompleteRequest | router_service_pb2.StreamCompleteRequest


class Deduplication:
    """Makes calls at most once per key while the key is held; a call that failed leaves it free.

    `permit` raises for calls that their callers may not make: what another caller of the tenant was answered is theirs
    only if they could have asked for it.
    """

    def __init__(self, idempotency: Idempotency, *, permit: Callable[[Call], None]) -> None:
        self._idempotency = idempotency
        self._permit = permit

    async def once(
        self, call: Call, request: KeyedRequest, make: Callable[[], Awaitable[Answer]]
    ) -> tuple[router_service_pb2.CompleteResponse, bool]:
        """The answer, and whether it is a repeated one. Raises what `make` raises; for a repeat `AlreadyExists` where
        the answer is not kept, `IdempotencyConflict` and `InvalidRequest`.
        """
        if not call.idempotency_key:
            return complete_response(await make()), False
        self._permit(call)
        left = _NO_DEADLINE if call.deadline is None else call.deadline - asyncio.get_running_loop().time()
        claim = await self._idempotency.claim(
            call.tenant, call.idempotency_key, _digest(request), lease=max(0.0, left) + _GRACE
        )
        if isinstance(claim, Answered):
            return router_service_pb2.CompleteResponse.FromString(claim.stored()), True
        try:
            answer = await make()
            response = complete_response(answer)
        except BaseException:
            # Nothing came of it, so that a repeat is what its caller wants.
            claim.abandon()
            raise
        kept = _kept(answer)
        claim.finish(
            answer=response.SerializeToString(),
            receipt=response.receipt.SerializeToString(),
            keep=max(kept, _REMEMBERED),
            keep_answer=kept > 0,
        )
        return response, False


def _kept(answer: Answer) -> float:
    decision = answer.receipt.decision
    return decision.policy.keep_answers if decision is not None else 0.0


def _digest(request: KeyedRequest) -> bytes:
    """What makes the request what it is: all but the key. Whole and streamed answers are the same request."""
    whole = router_service_pb2.CompleteRequest(caller=request.caller, chat=request.chat, routing=request.routing)
    return hashlib.sha256(whole.SerializeToString(deterministic=True)).digest()


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
