"""A call's events on their way to the caller."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc.aio

from llmrouter.v1 import receipt_pb2, router_service_pb2, stream_pb2
from router_service.domain.decision import Decision
from router_service.domain.event import AttemptDiscarded, AttemptStarted, Decided, Deltas, Event, Finished, Judged
from router_service.domain.receipt import Receipt
from router_service.edge.reader import Patience
from router_service.rpc.responses import (
    attempt_started_to_wire,
    decision_to_wire,
    delta_response,
    finished_response,
    verdict_to_wire,
)

Result = TypeVar("Result")
Write = Callable[[router_service_pb2.StreamCompleteResponse], Awaitable[None]]


class EventWriter:
    """Writes the events of one streamed call, numbered from 1 without gaps.

    Nothing is written before an attempt's first output: headers would commit the call and end the client's own
    retries. The decision, the gates' verdicts on held answers and the attempt's announcement leave with that output, in
    this order. The whole call ends
    once one write has waited for the reader for `write_timeout` seconds, at the latest after twice as long.
    """

    __slots__ = (
        "_announcements",
        "_decision",
        "_first_sequences",
        "_interrupted",
        "_patience",
        "_sequence",
        "_verdicts",
        "_write",
        "dispatched",
        "receipt",
    )

    def __init__(self, write: Write, *, write_timeout: float) -> None:
        self.dispatched = False
        self.receipt: Receipt | None = None
        self._write = write
        self._patience = Patience(write_timeout)
        self._sequence = 0
        # gRPC still holds a message whose write was cancelled, and takes no other: only the status can follow.
        self._interrupted = False
        self._decision: Decision | None = None
        # By attempt: a hedge is announced only if it is the one that is heard.
        self._announcements: dict[int, AttemptStarted] = {}
        self._first_sequences: dict[int, int] = {}
        self._verdicts: list[receipt_pb2.GateVerdict] = []

    async def carry(self, answering: Awaitable[Result]) -> Result:
        """The answer, waited for while its events are written. Raises `Cancelled` where the reader stopped."""
        return await self._patience.carry(answering)

    async def __call__(self, event: Event, /) -> None:
        if isinstance(event, Deltas):
            await self._write_deltas(event)
        elif isinstance(event, Decided):
            self._decision = event.decision
        elif isinstance(event, AttemptStarted):
            self.dispatched = True
            self._announcements[event.number] = event
        elif isinstance(event, Judged):
            self._verdicts.append(verdict_to_wire(event.judgement))
            if self._decision is None:
                await self._send_verdicts()
        elif isinstance(event, AttemptDiscarded):
            await self._write_discarded(event)
        elif isinstance(event, Finished):
            await self._write_finished(event)

    async def _write_deltas(self, event: Deltas) -> None:
        if event.attempt not in self._first_sequences:
            await self._announce(event.attempt)
            self._first_sequences[event.attempt] = self._sequence + 1
        for delta in event.deltas:
            self._sequence += 1
            await self._send(delta_response(self._sequence, event.attempt, delta))

    async def _write_discarded(self, event: AttemptDiscarded) -> None:
        first = self._first_sequences.pop(event.attempt, None)
        if first is None:
            return
        await self._send(
            router_service_pb2.StreamCompleteResponse(
                sequence=self._next(),
                attempt_discarded=stream_pb2.AttemptDiscarded(
                    attempt=event.attempt, from_sequence=first, reason=event.reason
                ),
            )
        )

    async def _write_finished(self, event: Finished) -> None:
        self.receipt = event.receipt
        if not self.dispatched or self._interrupted:
            # Only the status, so that the client's own retries stay possible.
            return
        if event.error is None:
            answered = event.receipt.answered_by
            await self._announce(answered.number if answered is not None else 0)
        else:
            await self._send_decision()
        await self._send(finished_response(self._next(), event))

    async def _announce(self, attempt: int) -> None:
        await self._send_decision()
        started = self._announcements.pop(attempt, None)
        if started is not None:
            await self._send(
                router_service_pb2.StreamCompleteResponse(
                    sequence=self._next(), attempt_started=attempt_started_to_wire(started)
                )
            )

    async def _send_decision(self) -> None:
        decision, self._decision = self._decision, None
        if decision is not None:
            await self._send(
                router_service_pb2.StreamCompleteResponse(sequence=self._next(), decision=decision_to_wire(decision))
            )
        await self._send_verdicts()

    async def _send_verdicts(self) -> None:
        while self._verdicts:
            verdict = self._verdicts.pop(0)
            await self._send(router_service_pb2.StreamCompleteResponse(sequence=self._next(), gate_verdict=verdict))

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    async def _send(self, response: router_service_pb2.StreamCompleteResponse) -> None:
        self._patience.waiting = response.sequence
        try:
            await self._write(response)
        except grpc.aio.InternalError as error:
            # The caller is gone; its cancellation is on the way, and the engine shall account for one.
            raise asyncio.CancelledError from error
        except asyncio.CancelledError:
            self._interrupted = True
            raise
        self._patience.waiting = 0
