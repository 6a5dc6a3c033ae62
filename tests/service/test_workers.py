"""Two workers behind one port, as people run them: real processes, a real Redis."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import grpc.aio
import httpx2
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.redis_server import RedisServer
from llmrouter import AsyncClient, NotFound, RateLimited
from llmrouter.v1.receipt_pb2 import Receipt
from router_service.app import Application
from router_service.simulator.server import Simulator
from router_service.workers.line import Line, Place
from router_service.workers.switchboard import Switchboard

LLMROUTER = Path(sys.executable).parent / "llmrouter"
ALLOWED = 30
CALLS = 40
CONFIGURATION = """
server: {address: "127.0.0.1:0", lame_duck: 100ms, workers: 2}
redis: {url: "${REDIS_URL}", timeout: 5s}
decision_tokens: {key: 0123456789abcdef}
ledger: {folder: state}
providers:
  openai: {base_url: "${SIMULATOR_URL}/openai/v1", api_key: sk-one}
models:
  gpt-4o: {provider: openai, price: {input: 1, output: 2}}
policies:
  default: {rules: [{name: all, use: [gpt-4o]}]}
"""
LIMITED = (
    CONFIGURATION
    + f"""
limits:
  all: {{requests: {ALLOWED}, window: hour, match: {{feature: limited}}, fail: closed}}
"""
)
WATCHED = CONFIGURATION.replace("workers: 2", 'workers: 2, http: {address: "127.0.0.1:${HTTP_PORT}"}')


# Processes take long to start where the machine is busy.
PATIENCE = 120


class Router:
    """Two workers and their supervisor."""

    def __init__(self, process: asyncio.subprocess.Process, file: Path) -> None:
        self.process = process
        self.file = file
        self.address = ""
        self.metrics = ""
        self.workers: dict[int, int] = {}

    async def said(self, pattern: str) -> re.Match[str]:
        """The next line of the log that matches; on the way, who serves where."""
        assert self.process.stdout is not None
        seen: list[str] = []
        async with asyncio.timeout(PATIENCE):
            while line := (await self.process.stdout.readline()).decode():
                seen.append(line)
                if match := re.search(r"worker (\d) serves as process (\d+)", line):
                    self.workers[int(match[1])] = int(match[2])
                if match := re.search(pattern, line):
                    return match
        raise AssertionError(f"{pattern} was not said, but {seen}")

    async def drained(self) -> int:
        """The exit code after SIGTERM to all processes at once, as service managers send it."""
        for process in (self.process.pid, *self.workers.values()):
            os.kill(process, signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            await self.process.communicate()
        return self.process.returncode or 0


@asynccontextmanager
async def serving(folder: Path, configuration: str, redis: RedisServer, simulator: Simulator) -> AsyncIterator[Router]:
    file = folder / "router.yaml"
    namespace = folder.name.replace("_", "-")
    file.write_text(configuration.replace("timeout: 5s", f"timeout: 5s, namespace: {namespace}"))
    http_port = _free_port()
    process = await asyncio.create_subprocess_exec(
        *(LLMROUTER, "serve", "--config", file),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "SIMULATOR_URL": simulator.origin, "REDIS_URL": redis.url, "HTTP_PORT": str(http_port)},
    )
    router = Router(process, file)
    router.metrics = f"http://127.0.0.1:{http_port}/metrics"
    try:
        router.address = (await router.said(r"starting 2 workers on (\S+)"))[1]
        await router.said("all 2 workers serve")
        yield router
    finally:
        if process.returncode is None:
            process.kill()
            # The workers notice, and the pipe closes with the last of them.
            await process.communicate()


@asynccontextmanager
async def connections(router: Router, count: int) -> AsyncIterator[list[AsyncClient]]:
    """Clients that each have a connection of their own, unlike those of one program by default."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    clients = [AsyncClient(grpc.aio.insecure_channel(router.address, options), timeout=60) for _ in range(count)]
    try:
        yield clients
    finally:
        for client in clients:
            await client.aclose()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def scraped(router: Router) -> dict[str, dict[str, float]]:
    """What each worker exposes, by its number, as one scrape of whichever of them shows it."""
    async with httpx2.AsyncClient() as client:
        reply = await client.get(router.metrics)
    assert reply.status_code == 200
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(reply.text):
        for sample in family.samples:
            of_worker = found.setdefault(sample.labels["llm_router_worker"], {})
            of_worker[sample.name] = of_worker.get(sample.name, 0) + sample.value
    return found


async def receipt_of(client: AsyncClient, request_id: str) -> Receipt:
    """As soon as the process that served has shipped it to the ledger."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await client.receipt(request_id)
            except NotFound:
                await asyncio.sleep(0.05)


async def test_limits_receipts_ledger_and_drain_hold_over_both_workers(redis: RedisServer, tmp_path: Path) -> None:
    async with (
        Simulator(speed=float("inf")) as simulator,
        serving(tmp_path, LIMITED, redis, simulator) as router,
        connections(router, 20) as clients,
    ):

        async def accepted(client: AsyncClient) -> bool:
            try:
                await client.complete("Hello", feature="limited")
            except RateLimited:
                return False
            return True

        answers = await asyncio.gather(*(accepted(clients[call % 20]) for call in range(CALLS)))
        assert sum(answers) == ALLOWED

        await clients[0].complete("Hello", request_id="asked-for-elsewhere")
        receipts = await asyncio.gather(*(receipt_of(client, "asked-for-elsewhere") for client in clients))
        assert len({receipt.attempts[0].attempt_id for receipt in receipts}) == 1

        simulator.journal.clear()
        simulator.fail(None, "silent", seconds=1.0, times=None)
        under_way = [asyncio.create_task(client.complete("Tell me a story")) for client in clients]
        await simulator.journal.wait_for(lambda _: len(simulator.journal) == len(clients), 30)
        assert await router.drained() == 0
        await asyncio.gather(*under_way)
    with closing(sqlite3.connect(tmp_path / "state" / "ledger.db")) as database:
        rows = database.execute("SELECT process, count(*) FROM ledger_attempts WHERE status = 'settled' GROUP BY 1")
        served = dict(rows.fetchall())
    assert sum(served.values()) == ALLOWED + 1 + len(clients)
    assert len(served) == 2


async def test_a_worker_dies_and_the_other_serves_until_it_is_replaced(redis: RedisServer, tmp_path: Path) -> None:
    async with Simulator(speed=float("inf")) as simulator, serving(tmp_path, WATCHED, redis, simulator) as router:
        async with connections(router, 10) as clients:
            await asyncio.gather(*(client.complete("Hello") for client in clients))
        before = await scraped(router)
        assert {worker: told["llm_router_worker_up"] for worker, told in before.items()} == {"1": 1.0, "2": 1.0}
        # Another scrape may reach the other worker; both tell the same.
        assert {tuple(_calls(await scraped(router)).items()) for _ in range(6)} == {tuple(_calls(before).items())}
        assert sum(_calls(before).values()) == 10

        dead = router.workers[1]
        os.kill(dead, signal.SIGKILL)
        await router.said("worker 1 was ended by SIGKILL")
        async with connections(router, 10) as clients:
            await asyncio.gather(*(client.complete("Hello") for client in clients))
        while_away = await scraped(router)
        assert while_away["1"] == {"llm_router_worker_up": 0.0}
        assert _calls(while_away)["2"] == _calls(before)["2"] + 10
        await router.said("all 2 workers serve")
        assert router.workers[1] != dead
        after = await scraped(router)
        assert {worker: told["llm_router_worker_up"] for worker, told in after.items()} == {"1": 1.0, "2": 1.0}
        assert _calls(after) == {"1": 0.0, "2": _calls(while_away)["2"]}


def _calls(exposed: dict[str, dict[str, float]]) -> dict[str, float]:
    return {worker: told.get("llm_router_requests_total", 0.0) for worker, told in sorted(exposed.items())}


@asynccontextmanager
async def one_of_two(folder: Path) -> AsyncIterator[tuple[Line, asyncio.Task[None]]]:
    """A worker that serves in this process: its line, and what attends to that. It has ended in the end."""
    file = folder / "router.yaml"
    file.write_text(CONFIGURATION)
    environ = {"SIMULATOR_URL": "http://127.0.0.1:1", "REDIS_URL": "redis://127.0.0.1:1"}
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    line = Line(Place(number=1, of=2), theirs)
    application = Application(file, environ=environ, line=line)
    ready = asyncio.Event()
    attending = asyncio.create_task(Switchboard().attend(1, ours, ready.set))
    serving = asyncio.create_task(application.serve())
    async with asyncio.timeout(PATIENCE):
        await ready.wait()
        yield line, attending
        await serving


async def test_a_worker_drains_when_its_supervisor_is_gone(tmp_path: Path) -> None:
    async with one_of_two(tmp_path) as (_, supervising):
        supervising.cancel()


async def test_a_worker_that_drains_alone_keeps_its_line(tmp_path: Path) -> None:
    """Else it would take all others for gone while it is still scraped."""
    async with one_of_two(tmp_path) as (line, attending):
        os.kill(os.getpid(), signal.SIGTERM)
    assert not line.ended.is_set()
    await attending
