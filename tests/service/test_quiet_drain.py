"""A draining replica serves the calls that are still on their way, and waits no longer than it must."""

from __future__ import annotations

import asyncio

import grpc.aio
from scripted_engine import ScriptedEngine, Served, complete_request, serving

from router_service.config.configuration import ServerSettings

SETTINGS = ServerSettings(address="127.0.0.1:0", lame_duck=1.0, grace=10.0)


class LateCalls:
    """A sleep that takes no time, but in which a caller who has not heard yet calls, so many times."""

    def __init__(self, calls: int) -> None:
        self.served: Served
        self.slept: list[float] = []
        self.answered = 0
        self._calls = calls

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self.answered < self._calls:
            await self.served.stub.Complete(complete_request(), timeout=30)
            self.answered += 1


async def drained_with(late: LateCalls) -> None:
    async with serving(ScriptedEngine(), SETTINGS, sleep=late) as served:
        late.served = served
        async with asyncio.timeout(30):
            await served.server.drain()
        late._calls = 0


async def test_a_replica_nobody_calls_stops_after_a_short_silence() -> None:
    late = LateCalls(0)
    await drained_with(late)
    assert late.slept[:2] == [1.0, 0.25]


async def test_late_calls_are_served_until_they_cease() -> None:
    late = LateCalls(4)
    await drained_with(late)
    assert late.answered == 4
    assert late.slept[:5] == [1.0, 0.25, 0.25, 0.25, 0.25]


async def test_callers_that_never_look_elsewhere_are_not_waited_for() -> None:
    late = LateCalls(1000)
    await drained_with(late)
    # A quarter of the grace, in silences of a quarter of the lame duck.
    assert late.answered == 11


async def test_calls_are_refused_with_a_status_that_clients_repeat_elsewhere_once_it_is_quiet() -> None:
    refused: list[grpc.StatusCode] = []
    late = LateCalls(0)

    async with serving(ScriptedEngine(), SETTINGS, sleep=late) as served:
        drain = served.server._admission.drain

        def drain_and_call() -> None:
            drain()
            calls.append(asyncio.create_task(call_late()))

        async def call_late() -> None:
            call = served.stub.Complete(complete_request(), timeout=30)
            refused.append(await call.code())

        calls: list[asyncio.Task[None]] = []
        served.server._admission.drain = drain_and_call  # type: ignore[method-assign]
        served.server._admission._idle.clear()
        draining = asyncio.create_task(served.server.drain())
        async with asyncio.timeout(30):
            while not refused:  # noqa: ASYNC110 - the refusal has no event
                await asyncio.sleep(0.001)
        served.server._admission._idle.set()
        await draining
        await asyncio.gather(*calls)
    assert refused == [grpc.StatusCode.UNAVAILABLE]
