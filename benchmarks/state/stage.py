"""Routers over one simulated provider, a Redis and a database, all in processes of their own; and their callers."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import yaml

from benchmarks.postgres_server import PostgresServer
from benchmarks.redis_server import RedisServer
from benchmarks.roll.fleet import Broken, Child, free_ports
from benchmarks.soak.provider import ANSWER_TOKENS, FAULTS, Provider, connected
from benchmarks.state.books import PRICE_USD
from benchmarks.state.load import Load, Made, read
from llmrouter.v1 import call_pb2, router_service_pb2, usage_pb2
from llmrouter.v1.router_service_pb2_grpc import RouterServiceStub

NAMESPACE = "state"
_ENVIRON = {"DECISION_TOKEN_KEY": "k" * 43}
_ASKED_WITHIN = 60.0
_SETTLED_WITHIN = 30.0
# Hundreds of callers that begin at once hold up an event loop for longer than the default: that is no absence.
_PATIENT = {"timeout": 5.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is set up. `server`, `budgets`, `ledger` and `redis` are sections of the configuration, `keys` are API keys
    with their tenants. `broken` names a negative control that the routers are started with."""

    replicas: int = 2
    workers: int = 1
    server: Mapping[str, Any] = field(default_factory=dict)
    budgets: Mapping[str, Any] = field(default_factory=dict)
    ledger: Mapping[str, Any] = field(default_factory=dict)
    redis: Mapping[str, Any] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    broken: str = ""


class Router:
    """One replica at an address that stays the same over restarts."""

    def __init__(self, port: int, file: Path, broken: str) -> None:
        self.address = f"127.0.0.1:{port}"
        self.folder = file.parent
        self._command = ("-m", "benchmarks.state.broken", broken) if broken else ("-m", "router_service")
        self._file = file
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    @property
    def said(self) -> str:
        """Its last lines."""
        return self._child.said if self._child is not None else ""

    async def start(self) -> None:
        """Start it and wait until it serves."""
        serve = ("serve", "--config", str(self._file), "--address", self.address)
        self._child = await Child.start(sys.executable, *self._command, *serve, environ=_ENVIRON)
        await self._child.line("serving on")

    async def called(self) -> None:
        """Wait until it has answered a call since it was started: callers have found it."""
        assert self._child is not None
        await self._child.line("llm_router.request.completed")

    async def kill(self) -> None:
        """End it as a crash does."""
        if self._child is not None:
            await self._child.kill()

    async def stop(self) -> None:
        """End it as an operator does. Raises `Broken` where it does not end well."""
        if self._child is not None:
            self._child.signal(signal.SIGTERM)
            if status := await self._child.finish():
                raise Broken(f"a router ended with {status}:\n{self.said}")


class Callers:
    """A running process of callers."""

    def __init__(self, child: Child, load: Load) -> None:
        self._child = child
        self._load = load

    async def over(self) -> list[Made]:
        """Let them end by themselves; returns every call. Raises `Broken`."""
        await self._child.line("over", within=900.0)
        await self._child.finish()
        return read(self._load.into)

    async def stop(self) -> list[Made]:
        """Let their last calls end; returns every call. Raises `Broken`."""
        await self._child.finish()
        return read(self._load.into)


class Stage:
    """The actors."""

    def __init__(
        self,
        folder: Path,
        provider: Provider,
        routers: Sequence[Router],
        redis: RedisServer | None,
        postgres: PostgresServer | None,
        database: str,
    ) -> None:
        self.folder = folder
        self.provider = provider
        self.routers = routers
        self.redis = redis
        self.postgres = postgres
        self.database = database
        self._loads = 0

    @asynccontextmanager
    async def calling(self, processes: int = 1, **fields: Any) -> AsyncIterator[list[Callers]]:
        """So many processes of callers, each with the fields of a `Load`."""
        async with AsyncExitStack() as stack:
            running = []
            for _ in range(processes):
                self._loads += 1
                load = Load(
                    addresses=[router.address for router in self.routers],
                    into=str(self.folder / f"calls-{self._loads}.json"),
                    name=f"load-{self._loads}",
                    seed=self._loads,
                    **fields,
                )
                child = await Child.start(sys.executable, "-m", "benchmarks.state.load", json.dumps(asdict(load)))
                stack.push_async_callback(child.kill)
                running.append(Callers(child, load))
                await child.line("calling")
            yield running

    async def called(self, processes: int = 1, **fields: Any) -> list[Made]:
        """Have callers call until they are done; returns every call."""
        async with self.calling(processes, **fields) as callers:
            return [made for one in await asyncio.gather(*(one.over() for one in callers)) for made in one]

    async def allowances(self, feature: str = "quick", key: str = "", replica: int = 0) -> dict[str, Any]:
        """What a router says of limits and budgets, by name."""
        request = router_service_pb2.GetBudgetRequest(caller=call_pb2.Caller(feature=feature, tier="free"))
        async with grpc.aio.insecure_channel(self.routers[replica].address) as channel:
            metadata = (("authorization", f"Bearer {key}"),) if key else ()
            answer = await RouterServiceStub(channel).GetBudget(request, timeout=_ASKED_WITHIN, metadata=metadata)
        return {allowance.name: allowance for allowance in answer.allowances}

    async def settled(self, key: str = "", replica: int = 0) -> dict[str, Any]:
        """What it says once nothing is reserved any more, or after a while: settlements follow the calls' ends."""
        ends = asyncio.get_running_loop().time() + _SETTLED_WITHIN
        while True:
            told = await self.allowances(key=key, replica=replica)
            over = asyncio.get_running_loop().time() > ends
            if over or not any(allowance.reserved for allowance in told.values()):
                return told
            await asyncio.sleep(0.1)

    async def usage(self) -> usage_pb2.UsageRow:
        """What a router says was used in all."""
        async with grpc.aio.insecure_channel(self.routers[0].address) as channel:
            request = router_service_pb2.QueryUsageRequest()
            return (await RouterServiceStub(channel).QueryUsage(request, timeout=_ASKED_WITHIN)).total

    def journal_bytes(self) -> int:
        """What lies in the journals of all routers."""
        return sum(path.stat().st_size for path in self.folder.glob("router-*/ledger/journal/*/*.journal"))

    def holds(self) -> int:
        """Holds and slots that Redis has a record of."""
        assert self.redis is not None
        return int(self.redis.send("ZCARD", f"{{{NAMESPACE}}}:leases").strip(b":\r\n"))

    def hasten_leases(self, seconds: float) -> None:
        """Let what is held now lapse so much sooner: the same as waiting, without the wait."""
        assert self.redis is not None
        script = (
            "for _, one in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do "
            "redis.call('ZINCRBY', KEYS[1], ARGV[1], one) end return 1"
        )
        self.redis.send("EVAL", script, "1", f"{{{NAMESPACE}}}:leases", str(-round(seconds * 1_000_000)))


@asynccontextmanager
async def staged(
    setting: Setting, redis: RedisServer | None = None, postgres: PostgresServer | None = None
) -> AsyncIterator[Stage]:
    """Start everything; all of it ends with the block, also on failure. Without a PostgreSQL there is one router, with
    its ledger in SQLite."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="state-")))
        simulator = await Child.start(sys.executable, "-m", "benchmarks.soak.provider")
        stack.push_async_callback(simulator.kill)
        provider = await stack.enter_async_context(connected(await simulator.line("http://")))
        if redis is not None:
            redis.send("FLUSHALL")
        database = postgres.new_database() if postgres is not None else ""
        routers = []
        for number, port in enumerate(free_ports(setting.replicas)):
            home = folder / f"router-{number}"
            home.mkdir()
            file = home / "router.yaml"
            file.write_text(yaml.safe_dump(_configuration(provider.origin, setting, home, redis, database)))
            routers.append(Router(port, file, setting.broken))
            stack.push_async_callback(routers[-1].kill)
        await asyncio.gather(*(router.start() for router in routers))
        url = database or f"sqlite:///{folder / 'router-0' / 'ledger' / 'ledger.db'}"
        yield Stage(folder, provider, routers, redis, postgres, url)


def single(setting: Setting) -> Setting:
    """The same for one process that shares nothing."""
    return replace(setting, replicas=1, workers=1)


def _configuration(
    origin: str, setting: Setting, home: Path, redis: RedisServer | None, database: str
) -> Mapping[str, Any]:
    """The router's file: features other than those of faults are answered at once and cost the same each time."""
    models = {
        name: {"provider": "main", "price": PRICE_USD, "context_window": 128_000} for name in ("quick", "hold", *FAULTS)
    }
    rules: list[dict[str, Any]] = [
        {"name": name, "when": {"feature": name}, "use": [name, "quick"], "max_output_tokens": ANSWER_TOKENS}
        for name in FAULTS
    ]
    rules += [
        {"name": "only-down", "when": {"feature": "only-down"}, "use": ["down"], "max_output_tokens": ANSWER_TOKENS},
        {"name": "hold", "when": {"feature": "hold"}, "use": ["hold", "quick"], "max_output_tokens": ANSWER_TOKENS},
        {"name": "otherwise", "use": ["quick"], "max_output_tokens": ANSWER_TOKENS},
    ]
    configuration: dict[str, Any] = {
        "server": {
            "address": "127.0.0.1:0",
            "lame_duck": "0s",
            "grace": "5s",
            "max_concurrent_calls": 5000,
            **setting.server,
        },
        "telemetry": {"sample_ratio": 0},
        "providers": {"main": {"base_url": f"{origin}/v1", "api_key": "sk-state"}},
        "models": models,
        "budgets": dict(setting.budgets),
        # A full disk ends a test, not the machine.
        "ledger": {"folder": str(home / "ledger"), "max_backlog": "64MiB", "min_free": "1GiB", **setting.ledger},
        "policies": {
            "default": {
                "timeouts": {"connect": "20s", "first_token": "20s", "stall": "1s", "total": "30s"},
                "retries": {"backoff_initial": "20ms"},
                "rules": rules,
                **setting.policy,
            }
        },
    }
    if setting.workers > 1:
        configuration["server"]["workers"] = setting.workers
        configuration["decision_tokens"] = {"key": "${DECISION_TOKEN_KEY}"}
    if redis is not None:
        replicas = setting.replicas * setting.workers
        configuration["redis"] = {
            "url": redis.url,
            "namespace": NAMESPACE,
            "replicas": replicas,
            **_PATIENT,
            **setting.redis,
        }
    if database:
        configuration["storage"] = {"url": database}
    if setting.keys:
        granted = {"features": "*", "models": "*", "policies": "*", "tiers": "*"}
        keys = {}
        for number, (key, tenant) in enumerate(setting.keys.items()):
            file = home / f"key-{number}"
            file.write_text(key)
            keys[file.name] = {"key_file": str(file), "tenant": tenant, **granted}
        configuration["identity"] = {"api_keys": {"keys": keys}}
    return configuration
