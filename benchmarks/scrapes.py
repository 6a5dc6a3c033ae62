"""What scraping `/metrics` of several workers costs calls: periods with a scrape every second among periods without.

Run `python -m benchmarks.scrapes`; it takes a minute and a half. Two real workers over the simulated provider and a
real Redis, as `llmrouter serve` runs them. Prints the workers' CPU per call, p50 and p99, and of a scrape alone.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
import httpx2

from benchmarks.redis_server import redis_server
from llmrouter import AsyncClient
from router_service.simulator.server import Simulator

CONFIGURATION = """
server: {{address: "127.0.0.1:0", workers: 2, http: {{address: "127.0.0.1:{http}"}}}}
redis: {{url: "{redis}", timeout: 5s}}
decision_tokens: {{key: 0123456789abcdef}}
ledger: {{folder: state}}
providers: {{openai: {{base_url: "{simulator}/openai/v1", api_key: sk-one}}}}
models: {{gpt-4o: {{provider: openai, price: {{input: 1, output: 2}}}}}}
policies: {{default: {{rules: [{{use: [gpt-4o]}}]}}}}
"""
CLIENTS, PAUSE = 16, 0.1
PERIODS, SECONDS = 8, 8.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Workers:
    """Both of them, by their process ids."""

    def __init__(self, address: str, metrics: str, pids: list[int]) -> None:
        self.address = address
        self.metrics = metrics
        self._pids = pids

    def cpu(self) -> float:
        """Seconds that they have used."""
        fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self._pids]
        return sum(int(each[11]) + int(each[12]) for each in fields) / _TICKS


@asynccontextmanager
async def _serving(folder: Path, redis: str, simulator: str) -> AsyncIterator[Workers]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        http = found.getsockname()[1]
    file = folder / "router.yaml"
    file.write_text(CONFIGURATION.format(http=http, redis=redis, simulator=simulator))
    process = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).parent / "llmrouter", "serve", "--config", file),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    said = ""
    while "all 2 workers serve" not in said:
        said += (await process.stderr.readline()).decode()
    pids = [int(pid) for pid in re.findall(r"serves as process (\d+)", said)]
    address = re.findall(r"workers on (\S+)", said)[0]
    reading = asyncio.create_task(process.stderr.read())
    try:
        yield Workers(address, f"http://127.0.0.1:{http}/metrics", pids)
    finally:
        process.terminate()
        await process.wait()
        await reading


async def _calls(client: AsyncClient, until: float, took: list[float]) -> None:
    while (began := time.perf_counter()) < until:
        await client.complete("Hello", feature="chat")
        took.append(time.perf_counter() - began)
        await asyncio.sleep(PAUSE)


async def _scrape(workers: Workers, until: float) -> int:
    scrapes = 0
    async with httpx2.AsyncClient() as client:
        while time.perf_counter() < until:
            reply = await client.get(workers.metrics)
            assert reply.text.count("llm_router_worker_up{") == 2
            scrapes += 1
            await asyncio.sleep(1)
    return scrapes


async def _period(workers: Workers, clients: list[AsyncClient], *, scraped: bool) -> tuple[float, list[float]]:
    """CPU per call, and how long calls took, both in seconds."""
    took: list[float] = []
    cpu, until = workers.cpu(), time.perf_counter() + SECONDS
    await asyncio.gather(
        *(_calls(client, until, took) for client in clients), *([_scrape(workers, until)] if scraped else [])
    )
    return (workers.cpu() - cpu) / len(took), took


def _told(name: str, cpu: list[float], took: list[float]) -> None:
    cuts = statistics.quantiles(took, n=100)
    print(
        f"{name:<22} {len(took):>6} calls  {statistics.median(cpu) * 1e3:>5.2f} ms CPU a call  "
        f"p50 {cuts[49] * 1e3:>5.1f} ms  p99 {cuts[98] * 1e3:>5.1f} ms"
    )


async def _measure(folder: Path, redis: str) -> None:
    async with Simulator(speed=float("inf")) as simulator, _serving(folder, redis, simulator.origin) as workers:
        options = [("grpc.use_local_subchannel_pool", 1)]
        clients = [AsyncClient(grpc.aio.insecure_channel(workers.address, options), timeout=30) for _ in range(CLIENTS)]
        await _period(workers, clients, scraped=True)
        found: dict[bool, tuple[list[float], list[float]]] = {False: ([], []), True: ([], [])}
        for number in range(PERIODS):
            scraped = number % 2 == 1
            cpu, took = await _period(workers, clients, scraped=scraped)
            found[scraped][0].append(cpu)
            found[scraped][1].extend(took)
        _told("not scraped", *found[False])
        _told("scraped every second", *found[True])
        idle = workers.cpu()
        await asyncio.sleep(SECONDS)
        idle, busy = workers.cpu() - idle, workers.cpu()
        scrapes = await _scrape(workers, time.perf_counter() + SECONDS)
        print(f"a scrape, both workers: {(workers.cpu() - busy - idle) / scrapes * 1e3:.1f} ms CPU")
        for client in clients:
            await client.aclose()


def main() -> None:
    """Print three lines."""
    with tempfile.TemporaryDirectory() as folder, redis_server() as redis:
        asyncio.run(_measure(Path(folder), redis.url))


if __name__ == "__main__":
    main()
