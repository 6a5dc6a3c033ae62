"""CPU of the router's process per call, beside a bare grpc.aio echo measured in the same run.

    python -m benchmarks.bench [--seconds 5]

Everything is on: policy, accounting, metrics, traces over OTLP to a receiver. Machines are shared and noisy, so rows of
one kind are measured in turns (echo, router, echo, router ...) and the ratio of their medians is what counts. Where
there is more than one CPU, the measured processes have one that callers, upstream and receiver keep off: otherwise
these evict each other's caches, by a different amount in every round.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import grpc
import uvloop

from llmrouter.v1 import call_pb2, chat_pb2, router_service_pb2, router_service_pb2_grpc

RESULTS = Path(__file__).parent / "results" / "bench.json"
CONCURRENCY = 16
ROUNDS = 5
CONFIGURATION = """
server: {{address: "127.0.0.1:0"{http}}}
telemetry: {{otlp_endpoint: "http://{sink}", sample_ratio: {ratio}}}
providers:
  upstream: {{base_url: "http://{upstream}/v1", api_key: sk-bench}}
models:
  bulk: {{provider: upstream, price: {{input: 0.27, output: 1.10}}, context_window: 128000}}
  other: {{provider: upstream, upstream_name: bulk, price: {{input: 2.50, output: 10.00}}, context_window: 128000}}
features:
  chat_reply: {{max_output_tokens: 800}}
policies:
  default:
    baseline: other
    stream_upstream: {stream_upstream}
    rules:
      - {{when: {{tier: free}}, use: [bulk, other], strategy: cheapest}}
      - {{when: {{complexity: complex}}, use: [other]}}
      - {{use: [bulk, other]}}
"""


@dataclass
class Row:
    """CPU microseconds per call of one server, a value per round."""

    name: str
    kind: str
    cpu_us: list[float] = field(default_factory=list)
    calls_per_second: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.cpu_us)


@dataclass(frozen=True)
class Cpus:
    """Which CPUs the measured processes run on, and which everything else."""

    measured: frozenset[int]
    others: frozenset[int]

    @classmethod
    def shared_out(cls) -> Cpus:
        """One for the measured processes, or no difference where there is only one or where this cannot be chosen."""
        if not hasattr(os, "sched_getaffinity"):
            return cls(frozenset(), frozenset())
        found = os.sched_getaffinity(0)
        first = frozenset({min(found)})
        return cls(first, frozenset(found) - first or first)


def run_on(cpus: frozenset[int]) -> None:
    """Keep this thread, and the processes it starts, to these CPUs."""
    if cpus:
        os.sched_setaffinity(0, cpus)


@contextmanager
def process(*command: str, ready: Callable[[str], str | None]) -> Iterator[tuple[int, str]]:
    """Start a process and wait for the line in which `ready` finds its address; kill it at the end."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert child.stdout is not None
    # A full pipe would block the child's log.
    reading = threading.Thread(target=deque, args=(child.stdout, 0), daemon=True)
    try:
        seen = []
        for line in child.stdout:
            seen.append(line)
            address = ready(line.strip())
            if address is not None:
                reading.start()
                yield child.pid, address
                return
        raise SystemExit(f"{' '.join(command)} did not start:\n{''.join(seen)}")
    finally:
        child.kill()
        child.wait()
        if reading.ident is not None:
            reading.join()
        child.stdout.close()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


REQUEST = {
    "caller": call_pb2.Caller(feature="chat_reply", tier="free"),
    "chat": chat_pb2.Chat(
        messages=[
            chat_pb2.Message(role=chat_pb2.ROLE_SYSTEM, parts=[chat_pb2.Part(text="You answer customers briefly.")]),
            chat_pb2.Message(role=chat_pb2.ROLE_USER, parts=[chat_pb2.Part(text="Where is my parcel? It is late.")]),
        ]
    ),
}


class Load:
    """Callers of one server over one channel."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self._stub = router_service_pb2_grpc.RouterServiceStub(self._channel)

    async def unary(self) -> None:
        await self._stub.Complete(router_service_pb2.CompleteRequest(**REQUEST), timeout=30)

    async def stream(self) -> None:
        events = self._stub.StreamComplete(router_service_pb2.StreamCompleteRequest(**REQUEST), timeout=30)
        async for _ in events:
            pass

    async def run(self, call: Callable[[], Awaitable[None]], seconds: float) -> tuple[int, float]:
        """Call from `CONCURRENCY` loops for so long; returns the number of calls and the seconds it took."""
        began = time.perf_counter()
        done = 0

        async def loop() -> None:
            nonlocal done
            while time.perf_counter() - began < seconds:
                await call()
                done += 1

        await asyncio.gather(*(loop() for _ in range(CONCURRENCY)))
        return done, time.perf_counter() - began


class HttpLoad(Load):
    """Callers of the OpenAI-compatible edge, over connections that are kept."""

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}/v1/chat/completions"
        self._session = aiohttp.ClientSession(headers={"x-llmrouter-feature": "chat_reply", "x-llmrouter-tier": "free"})
        self._asking = {
            "model": "auto",
            "messages": [
                {"role": "system", "content": "You answer customers briefly."},
                {"role": "user", "content": "Where is my parcel? It is late."},
            ],
        }

    async def unary(self) -> None:
        async with self._session.post(self._url, json=self._asking) as response:
            assert response.status == 200
            await response.read()

    async def stream(self) -> None:
        async with self._session.post(self._url, json={**self._asking, "stream": True}) as response:
            assert (await response.read()).endswith(b"[DONE]\n\n")

    async def aclose(self) -> None:
        await self._session.close()


async def measure(rows: list[tuple[Row, int, Load]], seconds: float) -> None:
    """Measure the rows in turns, so that the machine's moods meet all of them."""
    for _, _, load in rows:  # warm up connections, caches and the interpreter's specialisations
        await load.run(load.unary, 0.3)
        await load.run(load.stream, 0.3)
    for _ in range(ROUNDS):
        for row, pid, load in rows:
            before = cpu_seconds(pid)
            calls, took = await load.run(load.unary if row.kind == "unary" else load.stream, seconds / ROUNDS)
            row.cpu_us.append((cpu_seconds(pid) - before) / calls * 1e6)
            row.calls_per_second.append(calls / took)


def router(stack: ExitStack, folder: Path, name: str, *, records: bool = True, **values: str) -> tuple[int, str]:
    """Start a router with the benchmark's configuration; one that `records` keeps a ledger in SQLite."""
    file = folder / f"{name}.yaml"
    file.write_text(CONFIGURATION.format(**{"http": "", **values}))
    ledger = f"LLMROUTER_LEDGER={folder / name if records else ''}"
    command = ("env", ledger, sys.executable, "-m", "router_service", "serve", "--config", str(file))
    return stack.enter_context(process(*command, ready=_serving_http if values.get("http") else _serving))


def _serving(line: str) -> str | None:
    return line.rpartition("serving on ")[2].split()[0] if "serving on " in line else None


def _serving_http(line: str) -> str | None:
    return line.rpartition("API at http://")[2].split("/")[0] if "OpenAI-compatible API at" in line else None


def _address(line: str) -> str | None:
    found = re.search(r"127\.0\.0\.1:\d+", line)
    return found[0] if found else None


async def bench(seconds: float) -> dict[str, object]:
    """Start everything, measure, and return the results."""
    cpus = Cpus.shared_out()
    run_on(cpus.others)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _, sink = stack.enter_context(process(sys.executable, "-m", "benchmarks.otlp_sink", ready=_address))
        _, upstream = stack.enter_context(
            process(sys.executable, "-m", "router_service.simulator", "--port", "0", ready=_address)
        )
        run_on(cpus.measured)
        echo = stack.enter_context(process(sys.executable, "-m", "benchmarks.echo_server", ready=_address))
        base = {"sink": sink, "upstream": upstream, "stream_upstream": "true"}
        some = router(stack, folder, "some", ratio="0.1", **base)
        every = router(stack, folder, "every", ratio="1.0", **base)
        unrecorded = router(stack, folder, "unrecorded", records=False, ratio="0.1", **base)
        whole = router(stack, folder, "whole", ratio="0.1", **{**base, "stream_upstream": "false"})
        web = router(stack, folder, "web", ratio="0.1", http=', http: {address: "127.0.0.1:0"}', **base)
        run_on(cpus.others)
        over_http = HttpLoad(web[1])
        rows = [
            (Row("bare grpc.aio echo", "unary"), *echo),
            (Row("router, traces kept at 10%", "unary"), *some),
            (Row("router, traces kept at 100%", "unary"), *every),
            (Row("router, 10%, without a ledger", "unary"), *unrecorded),
            (Row("router, 10%, whole answers upstream", "unary"), *whole),
            (Row("bare grpc.aio echo, 64 messages", "stream"), *echo),
            (Row("router, 64 chunks together, traces at 10%", "stream"), *some),
            (Row("router, 64 chunks together, traces at 100%", "stream"), *every),
            (Row("router, 64 chunks, 10%, without a ledger", "stream"), *unrecorded),
        ]
        loads = [(row, pid, Load(address)) for row, pid, address in rows]
        # Beside the gRPC edge, whose rows they are to be compared with.
        loads.insert(5, (Row("router over HTTP (OpenAI), 10%", "unary"), web[0], over_http))
        loads.append((Row("router over HTTP (OpenAI), 64 chunks, 10%", "stream"), web[0], over_http))
        await measure(loads, seconds)
        await over_http.aclose()
    return report([row for row, _, _ in loads])


def report(rows: list[Row]) -> dict[str, object]:
    """Print the table; returns it as data."""
    yardstick = {kind: next(row.median for row in rows if row.kind == kind) for kind in ("unary", "stream")}
    print(f"{'':44} {'CPU µs/call':>12} {'min':>8} {'max':>8} {'calls/s':>9} {'x echo':>7}")
    data = []
    for row in rows:
        ratio = row.median / yardstick[row.kind]
        rate = statistics.median(row.calls_per_second)
        print(
            f"{row.kind:7}{row.name:37} {row.median:12.0f} {min(row.cpu_us):8.0f} {max(row.cpu_us):8.0f} "
            f"{rate:9.0f} {ratio:7.2f}"
        )
        data.append(
            {
                "kind": row.kind,
                "name": row.name,
                "cpu_us_median": round(row.median, 1),
                "cpu_us_rounds": [round(value, 1) for value in row.cpu_us],
                "calls_per_second_median": round(rate, 1),
                "ratio_to_echo": round(ratio, 3),
            }
        )
    return {"concurrency": CONCURRENCY, "rounds": ROUNDS, "cpus": os.cpu_count(), "rows": data}


def main() -> None:
    """Run and write the results file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=6.0, help="measuring time per row")
    results = uvloop.run(bench(parser.parse_args().seconds))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(f"written to {RESULTS.relative_to(Path.cwd()) if RESULTS.is_relative_to(Path.cwd()) else RESULTS}")


if __name__ == "__main__":
    main()
