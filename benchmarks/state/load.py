"""Callers in a process of their own: `python -m benchmarks.state.load '<Load as JSON>'`.

They call until told to stop (the end of their input), until their calls are made, or, with `patience`, until nobody
behind the same key was accepted for so long. What became of every call goes to a file.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import grpc
import uvloop
from google.rpc import error_details_pb2, status_pb2

from benchmarks.soak.calls import events
from llmrouter.channel import channel_options
from llmrouter.v1 import call_pb2, chat_pb2, router_service_pb2
from llmrouter.v1.router_service_pb2_grpc import RouterServiceStub

PROMPT = "Explain step by step why parcels are late, and what to do about it."
SYSTEM = "You answer the customers of a parcel service briefly, politely and in whole sentences. " * 6
# The first refusals, and those of callers that have been refused for a while, are this far apart, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_CLIENTS_PER_CHANNEL = 25
# Otherwise all channels of a process share one connection, and with it one worker.
_OWN_CONNECTION = ("grpc.use_local_subchannel_pool", 1)
_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.enable_retries", 0),
    _OWN_CONNECTION,
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is called. Times are in seconds; `features` are called in turn, each of `keys` by as many clients.

    `calls` bounds how many are made in all, 0 does not. `streams` and `leavers` are shares of the calls. Calls with
    `long_prompt` have a prompt that providers cache. `published` callers have all addresses as
    one target and the project's service config: they spread calls, look at health and repeat. Others stay with an
    address and repeat nothing.
    """

    addresses: list[str]
    clients: int
    into: str
    name: str
    features: list[str] = field(default_factory=lambda: ["quick"])
    keys: list[str] = field(default_factory=lambda: [""])
    deadline: float = 30.0
    pause: float = 0.0
    patience: float = 0.0
    calls: int = 0
    streams: float = 0.0
    leavers: float = 0.0
    long_prompt: bool = False
    published: bool = False
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Made:
    """One call: `began` by the machine's monotonic clock, `took` in seconds. `key` is the place of its key."""

    request_id: str
    feature: str
    key: int
    code: str
    reason: str
    began: float
    took: float
    stream: bool


def read(into: str) -> list[Made]:
    """What the callers of a load have written."""
    return [Made(*row) for row in json.loads(Path(into).read_text())]


class _Callers:
    def __init__(self, load: Load, stubs: list[RouterServiceStub]) -> None:
        self._load = load
        self._stubs = stubs
        self._random = random.Random(load.seed)
        self._accepted_at = [time.monotonic()] * len(load.keys)
        self._stopped = False
        self._begun = 0
        self.made: list[Made] = []

    def stop(self) -> None:
        self._stopped = True

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(self._load.clients):
                group.create_task(self._client(number))

    def _over(self) -> bool:
        return self._stopped or bool(self._load.calls and self._begun >= self._load.calls)

    async def _client(self, number: int) -> None:
        load = self._load
        key = number % len(load.keys)
        stub = self._stubs[number % len(self._stubs)]
        refused = 0
        # Not all at the same moment: that would measure how connections are made.
        await asyncio.sleep(self._random.uniform(0, 0.2))
        while not self._over():
            self._begun += 1
            made = await self._call(stub, self._begun, key)
            self.made.append(made)
            if made.code == "OK":
                self._accepted_at[key], refused = time.monotonic(), 0
                pause = load.pause
            elif load.patience and made.began - self._accepted_at[key] > load.patience:
                # It began late enough: where calls take long, the time since the last was accepted says nothing.
                return
            else:
                pause = max(load.pause, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(refused, 10)))
                refused += 1
            await asyncio.sleep(self._random.uniform(0.5, 1.5) * pause)

    async def _call(self, stub: RouterServiceStub, number: int, key: int) -> Made:
        load, chance = self._load, self._random
        feature = load.features[number % len(load.features)]
        request_id = f"{load.name}-{number}"
        metadata = [("x-request-id", request_id)]
        if load.keys[key]:
            metadata.append(("authorization", f"Bearer {load.keys[key]}"))
        leaves = chance.random() < load.leavers
        stream = chance.random() < load.streams
        deadline = chance.uniform(0.005, 0.15) if leaves and chance.random() < 0.3 else load.deadline
        began = time.monotonic()
        call = _start(stub, feature, stream, load.long_prompt, timeout=deadline, metadata=metadata)
        leaving = asyncio.get_running_loop().call_later(chance.uniform(0.0, 0.12), call.cancel) if leaves else None
        if stream:
            await _read(call)
        code = (await call.code()).name
        if leaving is not None:
            leaving.cancel()
        reason = _reason(await call.trailing_metadata()) if code not in {"OK", "CANCELLED"} else ""
        return Made(request_id, feature, key, code, reason, began, time.monotonic() - began, stream)


def _start(stub: RouterServiceStub, feature: str, stream: bool, long_prompt: bool, **options: Any) -> Any:
    messages = [chat_pb2.Message(role=chat_pb2.ROLE_USER, parts=[chat_pb2.Part(text=PROMPT)])]
    if long_prompt:
        messages.insert(0, chat_pb2.Message(role=chat_pb2.ROLE_SYSTEM, parts=[chat_pb2.Part(text=SYSTEM)]))
    fields: dict[str, Any] = {
        "caller": call_pb2.Caller(feature=feature, tier="free"),
        "chat": chat_pb2.Chat(messages=messages),
    }
    if stream:
        fields["routing"] = call_pb2.Routing(accept_discard=True)
        return stub.StreamComplete(router_service_pb2.StreamCompleteRequest(**fields), **options)
    return stub.Complete(router_service_pb2.CompleteRequest(**fields), **options)


async def _read(call: Any) -> None:
    """Read a stream to its end, also where its caller left meanwhile."""
    try:
        async for _ in events(call):
            pass
    except asyncio.CancelledError:
        if not call.cancelled():
            raise


def _reason(trailing: Any) -> str:
    """Why the router refused, such as BUDGET_EXHAUSTED; empty where no router answered."""
    for key, value in trailing or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return str(info.reason)
    return ""


@asynccontextmanager
async def _connected(load: Load) -> AsyncIterator[list[RouterServiceStub]]:
    count = max(len(load.addresses), load.clients // _CLIENTS_PER_CHANNEL)
    if load.published:
        everywhere = "ipv4:" + ",".join(load.addresses)
        channels = [grpc.aio.insecure_channel(everywhere, [*channel_options(), _OWN_CONNECTION]) for _ in range(count)]
    else:
        channels = [
            grpc.aio.insecure_channel(load.addresses[number % len(load.addresses)], _OPTIONS) for number in range(count)
        ]
    try:
        yield [RouterServiceStub(channel) for channel in channels]
    finally:
        for channel in channels:
            await channel.close()


async def _main(load: Load) -> list[Made]:
    async with _connected(load) as stubs:
        callers = _Callers(load, stubs)
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

        async def told_to_stop() -> None:
            await reader.read()
            callers.stop()

        stopping = asyncio.create_task(told_to_stop())
        print("calling", flush=True)
        await callers.run()
        stopping.cancel()
    return callers.made


if __name__ == "__main__":
    gc.set_threshold(10_000, 20, 10**9)
    asked = Load(**json.loads(sys.argv[1]))
    calls = uvloop.run(_main(asked))
    Path(asked.into).write_text(json.dumps([list(asdict(made).values()) for made in calls]))
    print("over", flush=True)
