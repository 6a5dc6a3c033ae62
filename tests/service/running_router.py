"""A whole router in this process, over the simulated provider, with keys, a ledger and accounts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc.aio
import pytest
import yaml
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from benchmarks.postgres_server import PostgresMissing, PostgresServer, postgres_server
from benchmarks.redis_server import RedisMissing, RedisServer, redis_server
from llmrouter import AsyncClient
from llmrouter.v1 import admin_service_pb2, admin_service_pb2_grpc, router_service_pb2, router_service_pb2_grpc
from router_service.app import Application
from router_service.domain.money import Usage
from router_service.simulator import Simulator
from router_service.simulator.journal import Entry
from router_service.spend.cost import cost
from router_service.telemetry.tree import SpanCollector

T = TypeVar("T")
DetailT = TypeVar("DetailT", bound=Message)

PEPPER = "pepper-of-these-tests-4c1d"
ADMIN_KEY = "rk_AdminAdmin12_" + "A" * 48
"""A key of the file that may do everything."""

EVERYTHING: dict[str, Any] = {"features": "*", "models": "*", "policies": "*", "tiers": "*"}
CONFIGURATION: dict[str, Any] = {
    "server": {"address": "127.0.0.1:0", "lame_duck": "0s"},
    "providers": {
        "openai": {"base_url": "${SIMULATOR_URL}/openai/v1", "api_key": "sk-one"},
        "deepseek": {"base_url": "${SIMULATOR_URL}/deepseek/v1", "api_key": "sk-two"},
    },
    "models": {
        "gpt-4o": {"provider": "openai", "price": {"input": 2.5, "output": 10, "cached_input": 1.25}},
        "deepseek-chat": {"provider": "deepseek", "price": {"input": 0.27, "output": 1.1, "cached_input": 0.07}},
    },
    "policies": {
        "default": {
            "baseline": "gpt-4o",
            "retries": {"same_deployment": 1, "backoff_initial": "1ms", "backoff_max": "1ms"},
            "rules": [{"use": ["gpt-4o", "deepseek-chat"]}],
        },
        "cheap": {"rules": [{"use": ["deepseek-chat"]}]},
    },
}


@dataclass
class Running:
    """A running router; `environ` is its environment, `file` its configuration."""

    application: Application
    simulator: Simulator
    port: int
    file: Path
    spans: SpanCollector
    environ: dict[str, str]
    channel: grpc.aio.Channel
    clients: list[AsyncClient] = field(default_factory=list)

    def client(self, key: str | None = None) -> AsyncClient:
        """A client that calls with this key."""
        client = AsyncClient(self.channel, api_key=key, timeout=60)
        self.clients.append(client)
        return client

    @property
    def stub(self) -> router_service_pb2_grpc.RouterServiceAsyncStub:
        return router_service_pb2_grpc.RouterServiceStub(self.channel)

    @property
    def admin(self) -> admin_service_pb2_grpc.AdminServiceAsyncStub:
        return admin_service_pb2_grpc.AdminServiceStub(self.channel)

    async def new_key(self, *, by: str = ADMIN_KEY, tenant: str = "acme", **grants: Any) -> tuple[str, str]:
        """A key of the database: its public id, and the whole of it. Without grants it may do everything."""
        given = grants or {name: ["*"] for name in EVERYTHING}
        made = await self.admin.CreateKey(
            admin_service_pb2.CreateKeyRequest(name="made", tenant=tenant, grants=admin_service_pb2.Grants(**given)),
            metadata=bearer(by),
        )
        return made.key.public_id, made.secret_key

    async def usage(self, key: str | None = ADMIN_KEY, **asked: Any) -> router_service_pb2.QueryUsageResponse:
        """What the ledger says, now."""
        metadata = bearer(key) if key else ()
        return await self.stub.QueryUsage(router_service_pb2.QueryUsageRequest(**asked), metadata=metadata)

    async def shipped(self) -> None:
        """Wait until the database has everything that was recorded so far."""
        await until(lambda: _all_is_shipped(self.application))


async def _all_is_shipped(application: Application) -> bool:
    keeper = application._state._keeper
    assert keeper is not None
    under_way = application._server.in_flight + keeper.journal.open_records
    return under_way == 0 and keeper.lag().bytes == 0


async def until(condition: Callable[[], Awaitable[T]], *, seconds: float = 60) -> T:
    """What the condition says, once it says anything true."""
    async with asyncio.timeout(seconds):
        while not (met := await condition()):  # noqa: ASYNC110 - what is waited for has no event here
            await asyncio.sleep(0.005)
    return met


async def refused(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str, status_pb2.Status]:
    """The status and reason that a call is refused with, and its details."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = status_pb2.Status.FromString(dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"])
    return caught.value.code(), detail(status, error_details_pb2.ErrorInfo).reason, status


def detail(status: status_pb2.Status, kind: type[DetailT]) -> DetailT:
    """The one detail of this kind."""
    [packed] = [one for one in status.details if one.Is(kind.DESCRIPTOR)]
    found = kind()
    packed.Unpack(found)
    return found


def bearer(key: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key}"),)


def configured(**sections: Any) -> dict[str, Any]:
    """The configuration with these sections in addition, or instead."""
    return {**CONFIGURATION, **sections}


def with_keys(**more: Any) -> dict[str, Any]:
    """The section `identity` with keys in the database, and an administrator's in the file."""
    keys = {"admin": {"key": "${ADMIN_KEY}", "tenant": "operations", "roles": ["admin"], **EVERYTHING}}
    return {
        "storage": {"url": "sqlite:///router.db"},
        "identity": {
            "api_keys": {"database": True, "pepper": "${PEPPER}", "keys": {**keys, **more.pop("keys", {})}},
            **more,
        },
    }


@asynccontextmanager
async def running(
    folder: Path,
    configuration: Mapping[str, Any] = CONFIGURATION,
    *,
    environ: Mapping[str, str] | None = None,
    simulator: Simulator | None = None,
    credentials: grpc.ChannelCredentials | None = None,
    spans: SpanCollector | None = None,
) -> AsyncIterator[Running]:
    """A router with this configuration, whose files are in `folder`."""
    file = folder / "router.yaml"
    file.write_text(yaml.safe_dump(dict(configuration)))
    spans = spans or SpanCollector()
    own = None if simulator is not None else Simulator()
    provider = simulator or own
    assert provider is not None
    if own is not None:
        await own.__aenter__()
    try:
        known = {"SIMULATOR_URL": provider.origin, "PEPPER": PEPPER, "ADMIN_KEY": ADMIN_KEY, **(environ or {})}
        application = Application(file, environ=known, span_exporter=spans)
        port = await application.start()
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        if credentials is None:
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options)
        else:
            channel = grpc.aio.secure_channel(f"localhost:{port}", credentials, options)
        try:
            yield Running(application, provider, port, file, spans, known, channel)
        finally:
            await channel.close()
            await application.stop()
    finally:
        if own is not None:
            await own.__aexit__(None, None, None)


def billed(application: Application, entries: Iterable[Entry]) -> int:
    """What the provider charges for these requests by its own journal, in nano-USD."""
    return sum(price(application, entry.model, entry.billed) for entry in entries)


def price(application: Application, model: str, usage: Usage) -> int:
    deployment = next(
        one.deployment for one in application.engine.deployments() if one.deployment.upstream_name == model
    )
    assert deployment.price is not None
    return cost(usage, deployment.price).total


@contextmanager
def in_redis() -> Iterator[RedisServer]:
    """A running Redis of the test's own. Where none is installed the test is skipped, except in CI."""
    try:
        with redis_server() as server:
            yield server
    except RedisMissing as missing:
        _absent(missing)


@contextmanager
def in_postgres() -> Iterator[PostgresServer]:
    """A running PostgreSQL of the test's own, as `in_redis`."""
    try:
        with postgres_server() as server:
            yield server
    except PostgresMissing as missing:
        _absent(missing)


def _absent(missing: Exception) -> None:
    if os.environ.get("CI"):
        pytest.fail(str(missing), pytrace=False)
    pytest.skip(str(missing))
