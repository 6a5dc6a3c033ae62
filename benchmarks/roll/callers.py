"""A process of callers who loop: `python -m benchmarks.roll.callers --client package --target ipv4:...`.

Prints "calling" once a call was answered, and when its standard input ends, after the last call, one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import grpc.aio
import uvloop

from llmrouter import AsyncClient, RouterError
from llmrouter.v1 import chat_pb2, router_service_pb2, router_service_pb2_grpc

PUBLISHED = Path(__file__).parents[2] / "clients" / "service_config.json"
# The simulated provider's script knows them: an answer takes a fifth of a second, a story two.
QUESTION = "Answer soon."
STORY = "Tell a long story."
_TIMEOUT = 30.0
_PAUSE = 0.5


@dataclass
class Tally:
    """What became of the calls and streams. Latencies are seconds of those that were answered."""

    made: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    latencies: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def to_json(self) -> str:
        """One line; of the calls' latencies their median, 99th percentile and maximum."""
        ordered = sorted(self.latencies["call"])
        cuts = statistics.quantiles(ordered, n=100) if len(ordered) > 1 else ordered * 99
        figures = {"p50": cuts[49], "p99": cuts[98], "max": ordered[-1]} if ordered else {}
        rounded = {name: round(value, 3) for name, value in figures.items()}
        made = {"calls": self.made["call"], "streams": self.made["stream"]}
        return json.dumps({**made, "failed": self.failed, "latencies": rounded})


class Client(Protocol):
    """Both raise `RouterError` or `grpc.RpcError` where the call fails."""

    async def ask(self) -> None: ...

    async def read_story(self) -> None: ...


class PackageClient:
    """The project's own client, as it comes."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def ask(self) -> None:
        assert (await self._client.complete(QUESTION)).text

    async def read_story(self) -> None:
        async with self._client.stream(STORY) as stream:
            async for _ in stream:
                pass
        assert stream.finished is not None


class GrpcClient:
    """Generated stubs over a channel of grpc.aio."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = router_service_pb2_grpc.RouterServiceStub(channel)

    async def ask(self) -> None:
        await self._stub.Complete(router_service_pb2.CompleteRequest(chat=_chat(QUESTION)), timeout=_TIMEOUT)

    async def read_story(self) -> None:
        request = router_service_pb2.StreamCompleteRequest(chat=_chat(STORY))
        last = ""
        async for response in self._stub.StreamComplete(request, timeout=_TIMEOUT):
            last = response.WhichOneof("event") or ""
        assert last == "finished"


def _chat(text: str) -> chat_pb2.Chat:
    return chat_pb2.Chat(messages=[chat_pb2.Message(role=chat_pb2.ROLE_USER, parts=[chat_pb2.Part(text=text)])])


@asynccontextmanager
async def package(target: str) -> AsyncIterator[Client]:
    """The Python package."""
    async with AsyncClient.connect(target, timeout=_TIMEOUT) as client:
        yield PackageClient(client)


@asynccontextmanager
async def plain(target: str) -> AsyncIterator[Client]:
    """Nothing but the published service config."""
    async with grpc.aio.insecure_channel(target, [("grpc.service_config", PUBLISHED.read_text())]) as channel:
        yield GrpcClient(channel)


@asynccontextmanager
async def naive(target: str) -> AsyncIterator[Client]:
    """Spreads calls, and neither looks at health nor repeats them."""
    config = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})
    options: list[tuple[str, Any]] = [("grpc.service_config", config), ("grpc.enable_retries", 0)]
    async with grpc.aio.insecure_channel(target, options) as channel:
        yield GrpcClient(channel)


CLIENTS: dict[str, Callable[[str], Any]] = {"package": package, "plain": plain, "naive": naive}


async def loop_calls(client: Client, callers: int, streams: int, stop: asyncio.Event, tally: Tally) -> None:
    """Call until told to stop; calls in flight by then still end."""
    clock = asyncio.get_running_loop().time

    async def repeat(kind: str, call: Callable[[], Any]) -> None:
        await asyncio.sleep(random.uniform(0, _PAUSE))
        while not stop.is_set():
            began = clock()
            try:
                await call()
            except (RouterError, grpc.RpcError) as error:
                tally.failed[f"{kind}: {_named(error)}"] += 1
            else:
                tally.latencies[kind].append(clock() - began)
            tally.made[kind] += 1
            await asyncio.sleep(random.uniform(_PAUSE / 2, _PAUSE * 1.5))

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(repeat("call", client.ask))
        for _ in range(streams):
            group.create_task(repeat("stream", client.read_story))


def _named(error: Any) -> str:
    if isinstance(error, RouterError):
        return f"{error.code.name} {error.reason} {error.message[:80]}".replace("  ", " ")
    return f"{error.code().name} {(error.details() or '')[:80]}"


async def _main(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    tally = Tally()
    async with CLIENTS[options.client](options.target) as client:
        await client.ask()
        print("calling", flush=True)
        calling = asyncio.create_task(loop_calls(client, options.callers, options.streams, stop, tally))
        await asyncio.to_thread(sys.stdin.read)
        stop.set()
        await calling
    print(tally.to_json(), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.roll.callers", description=__doc__)
    parser.add_argument("--client", choices=CLIENTS, required=True)
    parser.add_argument("--target", required=True, help="any gRPC target")
    parser.add_argument("--callers", type=int, default=200, help="loops of unary calls")
    parser.add_argument("--streams", type=int, default=50, help="loops of streams")
    uvloop.run(_main(parser.parse_args()))
