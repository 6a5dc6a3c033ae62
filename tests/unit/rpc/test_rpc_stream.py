from __future__ import annotations

import asyncio
from dataclasses import replace

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rpc_samples import DECISION, FAILED, LARGE, RECEIPT, SMALL, SUCCEEDED

from llmrouter.v1 import router_service_pb2
from router_service.domain.chat import FinishReason, Message, Role, TextPart
from router_service.domain.deployment import Deployment
from router_service.domain.error import AttemptsFailed, Cancelled, NoCandidate
from router_service.domain.event import (
    AttemptDiscarded,
    AttemptStarted,
    Decided,
    Deltas,
    Event,
    Finished,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from router_service.domain.logprob import Logprobs, TokenLogprob
from router_service.domain.receipt import AttemptReason
from router_service.edge.reader import CallRecord
from router_service.rpc.stream import EventWriter
from tests.loop_clock import waits_skipped

Response = router_service_pb2.StreamCompleteResponse

DECIDED = Decided(decision=DECISION, duration=0.001)
ANSWER = Message(role=Role.ASSISTANT, parts=(TextPart("ab"),))
FINISHED = Finished(receipt=RECEIPT, message=ANSWER, finish_reason=FinishReason.STOP)
FAILURE = Finished(receipt=replace(RECEIPT, attempts=(FAILED,)), error=AttemptsFailed("x"))


def started(number: int, deployment: Deployment = SMALL) -> AttemptStarted:
    return AttemptStarted(
        number=number,
        attempt_id=f"op-{number}",
        deployment=deployment,
        reason=AttemptReason.PRIMARY if number == 1 else AttemptReason.FALLBACK,
        started_at=0.0,
        max_output_tokens=None,
    )


def said(attempt: int, *pieces: str) -> Deltas:
    return Deltas(attempt=attempt, deltas=[TextDelta(piece) for piece in pieces])


async def written(*events: Event) -> list[Response]:
    sent: list[Response] = []

    async def write(response: Response) -> None:
        sent.append(response)

    writer = EventWriter(write, write_timeout=60)
    for event in events:
        await writer(event)
    return sent


def kinds(responses: list[Response]) -> list[str | None]:
    return [response.WhichOneof("event") for response in responses]


async def test_nothing_is_written_before_an_attempts_first_output() -> None:
    assert await written(DECIDED, started(1)) == []


async def test_decision_and_announcement_leave_with_the_first_output_in_order() -> None:
    sent = await written(DECIDED, started(1), said(1, "a", "b"), said(1, "c"), FINISHED)

    assert kinds(sent) == [
        "decision",
        "attempt_started",
        "text_delta",
        "text_delta",
        "text_delta",
        "finished",
    ]
    assert [response.sequence for response in sent] == [1, 2, 3, 4, 5, 6]
    assert sent[-1].finished.message.parts[0].text == "ab"


async def test_only_the_attempt_whose_output_follows_is_announced() -> None:
    sent = await written(DECIDED, started(1), started(2, LARGE), said(2, "a"))

    assert kinds(sent) == ["decision", "attempt_started", "text_delta"]
    assert sent[1].attempt_started.attempt == 2
    assert sent[1].attempt_started.deployment == "openai/large"


async def test_an_answer_without_output_still_has_decision_attempt_and_end() -> None:
    sent = await written(DECIDED, started(1), started(2, LARGE), FINISHED)

    assert kinds(sent) == ["decision", "attempt_started", "finished"]
    assert sent[1].attempt_started.attempt == 2


async def test_of_two_attempts_at_once_the_one_that_is_heard_is_announced() -> None:
    sent = await written(DECIDED, started(1), started(2, LARGE), said(1, "a"), said(1, "b"))

    assert kinds(sent) == ["decision", "attempt_started", "text_delta", "text_delta"]
    assert sent[1].attempt_started.attempt == 1


async def test_a_call_that_failed_before_any_dispatch_has_a_status_only() -> None:
    assert await written(DECIDED, Finished(receipt=RECEIPT, error=NoCandidate("x"))) == []


async def test_a_call_that_failed_after_dispatch_ends_with_its_receipt() -> None:
    sent = await written(DECIDED, started(1), FAILURE)

    assert kinds(sent) == ["decision", "finished"]
    assert not sent[-1].finished.HasField("message")
    assert sent[-1].finished.receipt.attempts[0].error_type == "429"


async def test_a_discarded_attempt_is_taken_back_from_its_first_delta() -> None:
    sent = await written(
        DECIDED,
        started(1),
        said(1, "a", "b"),
        AttemptDiscarded(attempt=1, reason="GATE"),
        started(2),
        said(2, "c"),
        AttemptDiscarded(attempt=2, reason="GATE"),
    )

    assert kinds(sent)[4:] == ["attempt_discarded", "attempt_started", "text_delta", "attempt_discarded"]
    assert (sent[4].attempt_discarded.attempt, sent[4].attempt_discarded.from_sequence) == (1, 3)
    assert (sent[7].attempt_discarded.attempt, sent[7].attempt_discarded.from_sequence) == (2, 7)


async def test_an_attempt_that_said_nothing_is_not_taken_back() -> None:
    assert await written(DECIDED, started(1), AttemptDiscarded(attempt=1, reason="GATE")) == []


deltas = st.one_of(
    st.builds(TextDelta, st.text()),
    st.builds(ReasoningDelta, st.text()),
    st.just(Logprobs((TokenLogprob("a", -0.5),))),
    st.builds(ToolCallDelta, index=st.integers(0, 3), arguments_json=st.text()),
)
attempts = st.lists(st.lists(st.lists(deltas, min_size=1, max_size=3), max_size=3), min_size=1, max_size=4)


@given(attempts, st.booleans())
def test_any_legal_run_of_events_gives_a_legal_stream(pieces: list[list[list[TextDelta]]], answered: bool) -> None:
    events: list[Event] = [DECIDED]
    for number, reads in enumerate(pieces, start=1):
        events.append(started(number))
        events += [Deltas(attempt=number, deltas=read) for read in reads]
        if reads and number < len(pieces):
            events.append(AttemptDiscarded(attempt=number, reason="GATE"))
    answer = replace(SUCCEEDED, number=len(pieces))
    events.append(replace(FINISHED, receipt=replace(RECEIPT, attempts=(answer,))) if answered else FAILURE)

    sent = asyncio.run(written(*events))

    assert [response.sequence for response in sent] == list(range(1, len(sent) + 1))
    order = kinds(sent)
    assert order[0] == "decision"
    assert order[-1] == "finished"
    assert order.count("decision") == order.count("finished") == 1
    assert sum(kind is not None and kind.endswith("_delta") for kind in order) == sum(
        len(read) for reads in pieces for read in reads
    )
    announced = 0
    for response in sent:
        match response.WhichOneof("event"):
            case "attempt_started":
                assert response.attempt_started.attempt > announced
                announced = response.attempt_started.attempt
            case "text_delta":
                assert response.text_delta.attempt == announced
            case "attempt_discarded":
                assert response.attempt_discarded.attempt == announced


async def test_a_reader_that_stopped_ends_the_call_and_the_engine_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def never(response: Response) -> None:
        await asyncio.Event().wait()

    writer = EventWriter(never, write_timeout=60)

    async def answering() -> None:
        try:
            for event in (DECIDED, started(1), said(1, "a")):
                await writer(event)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with waits_skipped(), pytest.raises(Cancelled, match="read nothing for 60 s"):
        await writer.carry(answering())
    assert cancelled.is_set()
    assert writer.dispatched


async def test_a_slow_provider_is_no_stopped_reader() -> None:
    async def write(response: Response) -> None:
        await asyncio.sleep(0)

    writer = EventWriter(write, write_timeout=60)

    async def answering() -> None:
        for event in (DECIDED, started(1), said(1, "a")):
            await writer(event)
        await asyncio.sleep(100)
        await writer(said(1, "b"))

    with waits_skipped():
        await writer.carry(answering())


async def test_a_failed_write_reaches_the_engine_as_a_cancellation() -> None:
    async def gone(response: Response) -> None:
        raise grpc.aio.InternalError("broken")

    writer = EventWriter(gone, write_timeout=60)
    await writer(DECIDED)
    await writer(started(1))
    with pytest.raises(asyncio.CancelledError):
        await writer(said(1, "a"))


async def test_a_timeout_of_the_engines_own_is_not_mistaken_for_the_reader() -> None:
    async def write(response: Response) -> None:
        pass

    async def answering() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await EventWriter(write, write_timeout=60).carry(answering())


async def test_a_unary_calls_record_knows_the_dispatch_and_the_receipt() -> None:
    record = CallRecord()
    await record(DECIDED)
    assert not record.dispatched
    await record(started(1))
    await record(FAILURE)

    assert record.dispatched
    assert record.receipt is FAILURE.receipt
