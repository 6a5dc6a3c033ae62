"""Callers: they ask, read, leave early and tell how their call ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any

import grpc

from llmrouter.v1 import call_pb2, chat_pb2, router_service_pb2
from llmrouter.v1.router_service_pb2_grpc import RouterServiceStub

DEADLINE = 60.0
# How fast what callers know of latencies follows what they see.
_FOLLOWING = 0.05


class Leaving(StrEnum):
    """When a caller leaves."""

    BEFORE_HEADERS = "before headers"
    BEFORE_FIRST_TOKEN = "before the first token"
    MID_ANSWER = "amid the answer"
    AT_THE_FINISH = "at the finish"
    DEADLINE = "by a short deadline"


@dataclass(frozen=True, slots=True)
class Left:
    """One call that was left. `at` is the monotonic clock in seconds when the caller left or its deadline passed."""

    number: int
    leaving: Leaving
    stream: bool
    code: str
    at: float


def request_id(number: int) -> str:
    """The request id of a numbered call."""
    return f"soak-{number}"


def asked(feature: str, number: int) -> dict[str, Any]:
    """The fields of a request; the number finds the call in the provider's journal."""
    text = f"This is call {number} about parcels. Explain step by step why they are late, and what to do."
    message = chat_pb2.Message(role=chat_pb2.ROLE_USER, parts=[chat_pb2.Part(text=text)])
    return {"caller": call_pb2.Caller(feature=feature, tier="free"), "chat": chat_pb2.Chat(messages=[message])}


class Caller:
    """Calls one stub. `random` decides when callers leave, in proportion to how long answers take just now."""

    def __init__(self, stub: RouterServiceStub, random: Random) -> None:
        self._stub = stub
        self._random = random
        # In seconds from the beginning of a call.
        self._first_token = 0.05
        self._finish = 0.1

    def start(self, feature: str, number: int, *, stream: bool, within: float = DEADLINE) -> Any:
        """A call under way, with a deadline of so many seconds."""
        options: dict[str, Any] = {"timeout": within, "metadata": (("x-request-id", request_id(number)),)}
        fields = asked(feature, number)
        if stream:
            return self._stub.StreamComplete(router_service_pb2.StreamCompleteRequest(**fields), **options)
        return self._stub.Complete(router_service_pb2.CompleteRequest(**fields), **options)

    async def code(self, feature: str, number: int, *, stream: bool, within: float = DEADLINE) -> str:
        """Read a call to its end; returns its status."""
        call = self.start(feature, number, stream=stream, within=within)
        if stream:
            async for _ in events(call):
                pass
        return str((await call.code()).name)

    async def read_slowly(self, feature: str, number: int, *, pause: float) -> str:
        """Read a stream with a pause of so many seconds after each event; returns its status."""
        call = self.start(feature, number, stream=True)
        async for _ in events(call):
            await asyncio.sleep(pause)
        return str((await call.code()).name)

    async def leave(self, number: int, leaving: Leaving, *, stream: bool) -> Left:
        """Begin a call and leave it."""
        within = self._random.uniform(0.1, 1.1) * self._finish if leaving is Leaving.DEADLINE else DEADLINE
        began = time.monotonic()
        call = self.start("quick", number, stream=stream, within=within)
        at = began + within
        if leaving is not Leaving.DEADLINE:
            if stream and leaving in {Leaving.MID_ANSWER, Leaving.AT_THE_FINISH}:
                await self._read(call, began, leaving)
            else:
                await asyncio.sleep(self._patience(leaving))
            at = time.monotonic()
            call.cancel()
        return Left(number, leaving, stream, (await call.code()).name, at)

    def _patience(self, leaving: Leaving) -> float:
        """How many seconds a caller waits that leaves at a time rather than at an event."""
        share = self._random.random()
        match leaving:
            case Leaving.BEFORE_HEADERS:
                return share * self._first_token / 2
            case Leaving.BEFORE_FIRST_TOKEN:
                return (0.5 + share / 2) * self._first_token
            case Leaving.MID_ANSWER:
                return self._first_token + share * (self._finish - self._first_token)
            case _:
                return (0.9 + share / 5) * self._finish

    async def _read(self, call: Any, began: float, leaving: Leaving) -> None:
        """Read some of a stream, or all of it but for its status."""
        deltas = self._random.randint(1, 4) if leaving is Leaving.MID_ANSWER else -1
        first = True
        async for event in events(call):
            kind = event.WhichOneof("event")
            if kind == "text_delta":
                if first:
                    self._first_token += _FOLLOWING * (time.monotonic() - began - self._first_token)
                    first = False
                deltas -= 1
            if kind == "finished":
                self._finish += _FOLLOWING * (time.monotonic() - began - self._finish)
            if kind == "finished" or deltas == 0:
                return


async def events(call: Any) -> AsyncIterator[Any]:
    """The events of a stream up to its end, whatever that is."""
    while True:
        try:
            event = await call.read()
        except grpc.RpcError:
            return
        if event is grpc.aio.EOF:
            return
        yield event


@dataclass(slots=True)
class Probe:
    """Unary calls one after another, each timed in seconds."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0

    async def run(self, stub: RouterServiceStub, calls: int, pause: float) -> None:
        """Make so many calls for an answer that costs the provider nothing, with pauses in between."""
        request = router_service_pb2.CompleteRequest(**asked("bulk", 0))
        for _ in range(calls):
            began = time.perf_counter()
            try:
                await stub.Complete(request, timeout=DEADLINE)
            except grpc.RpcError:
                self.failed += 1
            self.seconds.append(time.perf_counter() - began)
            await asyncio.sleep(pause)
