"""Sending one response at the model's pace, in order or as a fault wants it, and booking it in the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from router_service.domain.money import Usage
from router_service.simulator import in_band, wire
from router_service.simulator.completion import Completion
from router_service.simulator.faults import ErrorStyle, Fault, FaultKind
from router_service.simulator.http import Exchange
from router_service.simulator.journal import Entry, Journal, Outcome
from router_service.simulator.models import SimulatedModel
from router_service.simulator.rejections import Response
from router_service.simulator.wire import Envelope, Event, Mark

_SSE: Final = "text/event-stream; charset=utf-8"
_HEADER_BYTE_SECONDS = 0.01
_READING_SECONDS = 0.02  # a reset overtakes what the client has not read yet


class Delivery:
    """One response. `speed` divides all of the model's pauses, none of a fault's."""

    def __init__(self, exchange: Exchange, entry: Entry, journal: Journal, *, speed: float) -> None:
        self._exchange = exchange
        self._entry = entry
        self._journal = journal
        self._speed = speed
        self._now = asyncio.get_running_loop().time
        self._produced: Callable[[], Usage] = Usage
        self._dripping: float | None = None
        exchange.on_disconnect = self._on_disconnect

    async def respond(self, response: Response) -> None:
        """Send a whole response as it is."""
        await self._begin(response.status, response.content_type, len(response.body), response.headers)
        await self._exchange.send(response.body)
        self._complete(Outcome.FINISHED)

    async def withhold(self, fault: Fault) -> bool:
        """Carry out what comes before the headers; whether that was the end."""
        if fault.kind is FaultKind.SILENT:
            await _silence(fault.seconds)
            return False
        if fault.kind not in {FaultKind.RESET_BEFORE_HEADERS, FaultKind.CLOSE_BEFORE_HEADERS}:
            return False
        await asyncio.sleep(fault.seconds or 0)
        self._break_off(reset=fault.kind is FaultKind.RESET_BEFORE_HEADERS)
        return True

    async def whole(
        self, model: SimulatedModel, completion: Completion, envelope: Envelope, fault: Fault | None
    ) -> None:
        """Send the answer as one JSON body, once all of it is produced."""
        started = self._now()

        def produced() -> Usage:
            thinking = (self._now() - started) * self._speed - model.first_token_seconds
            tokens = int(max(0.0, thinking) * model.tokens_per_second)
            return completion.usage_after(min(tokens, completion.output_tokens))

        self._produced = produced
        seconds = (model.first_token_seconds + completion.output_tokens / model.tokens_per_second) / self._speed
        await asyncio.sleep(seconds)
        self._produced = lambda: completion.usage
        await self._send_whole(wire.body(completion, envelope), envelope, fault)

    async def stream(
        self,
        model: SimulatedModel,
        completion: Completion,
        envelope: Envelope,
        fault: Fault | None,
        *,
        include_usage: bool,
    ) -> None:
        """Send the answer as server-sent events, token by token."""
        self._produced = lambda: completion.usage_after(self._entry.tokens_sent)
        started = self._now()
        await self._begin(200, _SSE, None, fault=fault)
        finished = False
        for event in wire.events(completion, envelope, include_usage=include_usage):
            if event.mark is Mark.OUTPUT:
                due = (
                    started
                    + (model.first_token_seconds + self._entry.tokens_sent * model.seconds_per_token) / self._speed
                )
                await asyncio.sleep(max(0.0, due - self._now()))
            if fault is not None and self._strikes(fault, event, finished):
                if await self._strike(fault, event, envelope):
                    return
                spoiled, fault = fault.kind is FaultKind.BAD_JSON, None
                if spoiled:
                    continue
            await self._send_event(event)
            finished = finished or event.mark is Mark.FINISH
        if fault is not None and fault.after_finish and await self._strike(fault, None, envelope):
            return
        self._complete(Outcome.FINISHED)

    def _strikes(self, fault: Fault, event: Event, finished: bool) -> bool:
        if fault.after_finish:
            return finished
        ripe = event.mark is Mark.OUTPUT and self._entry.tokens_sent >= fault.after_tokens
        return ripe or event.mark in {Mark.FINISH, Mark.DONE}

    async def _strike(self, fault: Fault, event: Event | None, envelope: Envelope) -> bool:
        """Carry out a fault amid a stream; whether the stream is over."""
        match fault.kind:
            case FaultKind.STALL:
                await _silence(fault.seconds)
            case FaultKind.DRIP:
                self._dripping = fault.seconds or 0.0
            case FaultKind.PING_FLOOD:
                while True:
                    await self._send(b": ping\n\n")
                    await asyncio.sleep(fault.seconds or 0)
            case FaultKind.HUGE_LINE:
                await self._send(envelope.chunk([{"index": 0, "delta": {"content": "a" * fault.size}}]))
            case FaultKind.BAD_JSON:
                data = event.data if event else b"data: {}}"
                await self._send(data[: len(data) // 2] + envelope.dialect.separator)
            case FaultKind.IN_BAND_ERROR:
                await self._send(in_band.event(fault.style, envelope))
                if self._entry.tokens_sent == 0 and fault.style is ErrorStyle.LLAMA_CPP:
                    self._produced = Usage  # a prompt that does not fit was never worked on
                self._complete(Outcome.BROKEN)
            case FaultKind.DONE_WITHOUT_FINISH:
                await self._send(b"data: [DONE]\n\n")
                self._complete(Outcome.BROKEN)
            case FaultKind.END_WITHOUT_FINISH:
                self._complete(Outcome.BROKEN)
            case FaultKind.CUT | FaultKind.RESET:
                await self._exchange.send_raw(b'400\r\ndata: {"id":"' + envelope.id.encode())
                await asyncio.sleep(_READING_SECONDS if fault.seconds is None else fault.seconds)
                self._break_off(reset=fault.kind is FaultKind.RESET)
        return self._exchange.over

    async def _send_whole(self, answer: dict[str, Any], envelope: Envelope, fault: Fault | None) -> None:
        kind = fault.kind if fault else FaultKind.NONE
        match kind:
            case FaultKind.IN_BAND_ERROR if fault:
                answer = in_band.body(fault.style, envelope)
                if fault.style is ErrorStyle.LLAMA_CPP:
                    self._produced = Usage
            case FaultKind.END_WITHOUT_FINISH | FaultKind.DONE_WITHOUT_FINISH:
                answer["choices"][0]["finish_reason"] = None
            case FaultKind.HUGE_LINE if fault:
                answer["choices"][0]["message"]["content"] = "a" * fault.size
            case FaultKind.DRIP if fault:
                self._dripping = fault.seconds or 0.0
        body = envelope.dialect.body_preamble + msgspec.json.encode(answer)
        half = len(body) // 2
        if kind is FaultKind.BAD_JSON:
            body = body[:half]
        await self._begin(200, "application/json", None if kind is FaultKind.PING_FLOOD else len(body), fault=fault)
        if fault is not None and kind is FaultKind.PING_FLOOD:
            while True:
                await self._send(b"\n")
                await asyncio.sleep(fault.seconds or 0)
        if fault is not None and kind in {FaultKind.CUT, FaultKind.RESET, FaultKind.STALL}:
            await self._send(body[:half])
            if kind is not FaultKind.STALL:
                await asyncio.sleep(_READING_SECONDS if fault.seconds is None else fault.seconds)
                self._break_off(reset=kind is FaultKind.RESET)
                return
            await _silence(fault.seconds)
            body = body[half:]
        await self._send(body)
        self._entry.tokens_sent = self._produced().output_tokens
        self._entry.usage_reported = "usage" in answer and kind is not FaultKind.BAD_JSON
        self._complete(Outcome.FINISHED)

    async def _begin(
        self,
        status: int,
        content_type: str,
        length: int | None,
        headers: Mapping[str, str] | None = None,
        *,
        fault: Fault | None = None,
    ) -> None:
        named = {"content-type": content_type, "x-request-id": f"req_{self._entry.id:08x}", **(headers or {})}
        head = self._exchange.begin(status, named, length=length)
        self._entry.status = status
        if fault is not None and fault.kind is FaultKind.SLOW_HEADERS:
            for byte in head:
                await self._exchange.send_raw(bytes((byte,)))
                await asyncio.sleep(_HEADER_BYTE_SECONDS if fault.seconds is None else fault.seconds)
        else:
            await self._exchange.send_raw(head)
        self._entry.headers_sent_at = self._now()
        self._journal.changed(self._entry)

    async def _send_event(self, event: Event) -> None:
        await self._send(event.data)
        entry = self._entry
        entry.tokens_sent += event.tokens
        entry.usage_reported = entry.usage_reported or event.usage
        if event.tokens and entry.first_token_at is None:
            entry.first_token_at = self._now()
        self._journal.changed(entry)

    async def _send(self, data: bytes) -> None:
        if self._dripping is None:
            await self._exchange.send(data)
        else:
            for byte in data:
                await self._exchange.send(bytes((byte,)))
                await asyncio.sleep(self._dripping)
        self._entry.bytes_sent = self._exchange.bytes_sent

    def _break_off(self, *, reset: bool) -> None:
        if reset:
            self._exchange.reset()
        else:
            self._exchange.close()
        self._settle(Outcome.BROKEN)

    def _complete(self, outcome: Outcome) -> None:
        self._exchange.complete()
        self._settle(outcome)

    def _on_disconnect(self) -> None:
        self._entry.disconnected_at = self._now()
        self._settle(Outcome.ABORTED)

    def _settle(self, outcome: Outcome) -> None:
        entry = self._entry
        entry.outcome = outcome
        entry.ended_at = self._now()
        entry.bytes_sent = self._exchange.bytes_sent
        entry.billed = self._produced()
        self._journal.changed(entry)


async def _silence(seconds: float | None) -> None:
    """Nothing, for so long; where `seconds` is `None`, until the client leaves and this is cancelled."""
    if seconds is None:
        await asyncio.get_running_loop().create_future()
    else:
        await asyncio.sleep(seconds)
