"""Negative controls: routers broken on purpose. The harness is worth nothing unless it flags each of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from unittest import mock

import msgspec

from benchmarks.chaos.cells import Cell, Lasting, Position, Recovery, Way, cells
from benchmarks.chaos.faults import Phase, Strike
from benchmarks.chaos.judge import Claim
from benchmarks.chaos.stage import Sabotage
from router_service.app import Application
from router_service.domain.chat import FinishReason
from router_service.domain.error import UpstreamError
from router_service.domain.money import Usage
from router_service.domain.upstream import Provider, Receive, Reply, UpstreamRequest
from router_service.simulator import Fault


@dataclass(frozen=True, slots=True)
class Control:
    """A broken router: `cells` are where it shows, `claims` those of which it breaks at least one in each of them."""

    name: str
    claims: frozenset[Claim]
    sabotage: Sabotage
    cells: Sequence[Cell]


class _Broken:
    """A provider that hands everything on; its subclasses do not."""

    def __init__(self, inner: Provider) -> None:
        self._inner = inner
        self.left: list[asyncio.Task[None]] = []

    async def complete(self, request: UpstreamRequest, reply: Reply) -> None:
        await self._inner.complete(request, reply)

    async def stream(self, request: UpstreamRequest, reply: Reply, receive: Receive) -> None:
        await self._inner.stream(request, reply, receive)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _TakesEndForFinish(_Broken):
    """A clean end of the stream is a "stop"."""

    async def stream(self, request: UpstreamRequest, reply: Reply, receive: Receive) -> None:
        try:
            await super().stream(request, reply, receive)
        except UpstreamError as error:
            if error.error_type != "stream_interrupted":
                raise
            reply.finish_reason = FinishReason.STOP


class _SwallowsErrors(_Broken):
    """Whatever breaks after output is as good as an answer cut by its token limit."""

    async def stream(self, request: UpstreamRequest, reply: Reply, receive: Receive) -> None:
        try:
            await super().stream(request, reply, receive)
        except UpstreamError:
            if not reply.has_output:
                raise
            reply.finish_reason = FinishReason.LENGTH


class _RepeatsItself(_Broken):
    """Tries again by itself, under the same attempt id, as SDKs do."""

    async def stream(self, request: UpstreamRequest, reply: Reply, receive: Receive) -> None:
        try:
            await super().stream(request, reply, receive)
        except UpstreamError:
            await super().stream(request, reply, receive)


class _InventsUsage(_Broken):
    """Passes its own count off as the provider's."""

    async def stream(self, request: UpstreamRequest, reply: Reply, receive: Receive) -> None:
        await super().stream(request, reply, receive)
        reply.usage = reply.usage or Usage(input_tokens=9, output_tokens=len(reply.text_parts))


class _SumsUsage(_Broken):
    """Adds up what is cumulative."""

    async def stream(self, request: UpstreamRequest, reply: Reply, receive: Receive) -> None:
        await super().stream(request, reply, receive)
        reply.usage = reply.usage + reply.usage if reply.usage else None


class _LeavesCallsOpen(_Broken):
    """Stops listening where it should hang up."""

    async def stream(self, request: UpstreamRequest, reply: Reply, receive: Receive) -> None:
        self.left.append(asyncio.create_task(super().stream(request, reply, receive)))
        await asyncio.shield(self.left[-1])


class _ForgetsHints(_Broken):
    """Reads no `retry-after`."""

    async def stream(self, request: UpstreamRequest, reply: Reply, receive: Receive) -> None:
        try:
            await super().stream(request, reply, receive)
        except UpstreamError as error:
            error.retry_after = None
            raise


class _BeginsAnew(_Broken):
    """Is asked to go on from what was said, and answers from the start."""

    async def stream(self, request: UpstreamRequest, reply: Reply, receive: Receive) -> None:
        await super().stream(replace(request, prefix=""), reply, receive)


class _TellsAll(_Broken):
    """Quotes the request in its errors."""

    async def stream(self, request: UpstreamRequest, reply: Reply, receive: Receive) -> None:
        try:
            await super().stream(request, reply, receive)
        except UpstreamError as error:
            error.message = f"{error.message} It was asked: {request.chat.messages[-1].text}"
            raise


class _SplitsLinesAnywhere:
    """A decoder on `str.splitlines`, which skips what it cannot parse."""

    def __init__(self, **_limits: int) -> None:
        self._text = ""

    def feed(self, data: bytes) -> list[bytes]:
        *lines, self._text = re.split("(?<=\n)", self._text + data.decode("utf-8", "replace"))
        return [event for line in "".join(lines).splitlines() for event in self._event(line)]

    def finish(self) -> list[bytes]:
        return []

    def _event(self, line: str) -> list[bytes]:
        payload = line.removeprefix("data:").strip().encode()
        try:
            msgspec.json.decode(payload)
        except msgspec.DecodeError:
            return [payload] if payload == b"[DONE]" else []
        return [payload]


def _wrapping(broken: type[_Broken]) -> Sabotage:
    @contextmanager
    def sabotage(application: Application) -> Iterator[None]:
        runtime = application.engine._runtime
        wrapped = {name: broken(provider) for name, provider in runtime.providers.items()}
        application.engine.use(replace(runtime, providers=wrapped))
        yield
        for provider in wrapped.values():
            for task in provider.left:
                task.cancel()

    return sabotage


def _splitting(_application: Application) -> AbstractContextManager[object]:
    return mock.patch("router_service.providers.stream.EventDecoder", _SplitsLinesAnywhere)


def _where(
    *faults: str,
    phase: Phase,
    ways: Sequence[Way] = (Way.UNARY, Way.STREAM),
    recovery: Recovery = Recovery.FAIL,
) -> list[Cell]:
    return [
        cell
        for cell in cells()
        if cell.fault.name in faults
        and cell.phase is phase
        and cell.way in ways
        and cell.position is Position.FIRST
        and cell.lasting is Lasting.PASSES
        and cell.recovery is recovery
    ]


def _with_long_hints(cells: Sequence[Cell]) -> list[Cell]:
    """The same with hints that a retry does not miss by being late: who forgets them does not wait for them either."""

    def lengthened(strikes: Mapping[Phase, Strike]) -> dict[Phase, Strike]:
        return {
            phase: replace(strike, cause=replace(strike.cause, seconds=_LONG_HINT), hint=_LONG_HINT)
            if strike.hint and isinstance(strike.cause, Fault)
            else strike
            for phase, strike in strikes.items()
        }

    return [
        replace(
            cell,
            fault=replace(cell.fault, streamed=lengthened(cell.fault.streamed), whole=lengthened(cell.fault.whole)),
        )
        for cell in cells
    ]


# In seconds; less than the longest wait of the stage's policies.
_LONG_HINT = 2.0
_BREAKS = ("RST", "FIN", "EOF without finish", "in-band error", "bad JSON", "stall")

CONTROLS: tuple[Control, ...] = (
    Control(
        "splits lines with splitlines()",
        frozenset({Claim.TRUNCATION}),
        _splitting,
        _where("line separators in the text", phase=Phase.MID),
    ),
    Control(
        "takes the end for a finish",
        frozenset({Claim.TRUNCATION}),
        _wrapping(_TakesEndForFinish),
        _where("RST", "FIN", "EOF without finish", "[DONE] without finish", phase=Phase.MID),
    ),
    Control(
        "swallows errors after output",
        frozenset({Claim.TRUNCATION}),
        _wrapping(_SwallowsErrors),
        _where("RST", "FIN", "EOF without finish", "in-band error", "bad JSON", phase=Phase.MID),
    ),
    Control(
        "repeats itself",
        frozenset({Claim.DOUBLE_CHARGE}),
        _wrapping(_RepeatsItself),
        _where(*_BREAKS[:-1], phase=Phase.MID),
    ),
    Control(
        "repeats itself to a reader",
        frozenset({Claim.DUPLICATE}),
        _wrapping(_RepeatsItself),
        _where(*_BREAKS[:-1], phase=Phase.MID, ways=[Way.STREAM]),
    ),
    Control(
        "begins anew where it should go on",
        frozenset({Claim.TRUNCATION}),
        _wrapping(_BeginsAnew),
        _where(*_BREAKS, phase=Phase.MID, recovery=Recovery.CONTINUE),
    ),
    Control(
        "invents usage",
        frozenset({Claim.JOURNAL}),
        _wrapping(_InventsUsage),
        _where("EOF without finish", "RST", "bad JSON", phase=Phase.POST_FINISH),
    ),
    Control(
        "adds up usage",
        frozenset({Claim.JOURNAL}),
        _wrapping(_SumsUsage),
        _where("500", "429", "401", phase=Phase.HEADER),
    ),
    Control(
        "leaves calls open",
        frozenset({Claim.RELEASED}),
        _wrapping(_LeavesCallsOpen),
        _where("stall", phase=Phase.MID),
    ),
    Control(
        "forgets hints",
        frozenset({Claim.ATTEMPTS}),
        _wrapping(_ForgetsHints),
        _with_long_hints(
            _where("429 sec", "429 ms", "429 RetryInfo", "503 + hint", "429 too long", phase=Phase.HEADER)
        ),
    ),
    Control(
        "quotes the request",
        frozenset({Claim.DISCRETION}),
        _wrapping(_TellsAll),
        _where("500", "401", "400", phase=Phase.HEADER),
    ),
)
