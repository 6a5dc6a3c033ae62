"""One router before one simulated provider, each in a process of its own, and what can be seen of the router."""

from __future__ import annotations

import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import yaml

from benchmarks.bench import process
from benchmarks.soak.metrics import Exported, Receiver, receiving
from benchmarks.soak.provider import ANSWER_TOKENS, FAULTS, Provider, connected
from benchmarks.soak.report import Row
from benchmarks.soak.watch import Watch
from llmrouter.v1 import router_service_pb2_grpc

DEPLOYMENTS_OF_MANY = 100
"""So many deployments of "down" stand at one provider: each has a breaker of its own."""

RECEIPTS = 3000
"""So many are kept: fewer than by default, so that memory is even sooner."""

# Long enough that nothing but the test itself ends a call.
_FOREVER = "2h"
_METRICS_INTERVAL = 0.2
# What may follow an answer is waited for shortly; only then is its connection free.
_RELEASE = 60.0


@dataclass(frozen=True, slots=True)
class Stage:
    """The actors. `stubs` are over connections of their own."""

    provider: Provider
    watch: Watch
    receiver: Receiver
    stubs: tuple[router_service_pb2_grpc.RouterServiceStub, ...]

    @property
    def stub(self) -> router_service_pb2_grpc.RouterServiceStub:
        """The first of the stubs."""
        return self.stubs[0]

    async def exported(self) -> Exported:
        """What the router says of itself now."""
        return await self.receiver.fresh()

    async def files_in_use(self) -> int:
        """The router's open files but for its idle connections to the provider, which it may keep."""
        return self.watch.look().files - (await self.exported()).connections["idle"]

    async def released(self, row: Row, files: int) -> None:
        """Tell whether no connection is active and no more than these files are in use, give them a while for it."""
        ends = time.monotonic() + _RELEASE
        while True:
            now, active = await self.files_in_use(), (await self.exported()).connections["active"]
            if (now <= files and not active) or time.monotonic() > ends:
                break
        row.figures["files in use, before and after"] = [files, now]
        row.figures["upstream connections active after"] = active
        row.claim(now <= files, f"{now} files are in use, {files} were before")
        row.claim(not active, f"{active} upstream connections stay active")


@asynccontextmanager
async def staged(*, max_connections: int, max_calls: int, channels: int = 1) -> AsyncIterator[Stage]:
    """Start everything; all of it ends with the block, also on failure."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        run = (sys.executable, "-m")
        _, spans = stack.enter_context(process(*run, "benchmarks.otlp_sink", ready=lambda line: line or None))
        _, addresses = stack.enter_context(process(*run, "benchmarks.soak.provider", ready=lambda line: line or None))
        async with connected(addresses) as provider, receiving() as (receiver, metrics):
            file = folder / "router.yaml"
            file.write_text(yaml.safe_dump(configuration(provider.origin, max_connections, max_calls)))
            variables = {
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://{spans}",
                "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"http://{metrics}",
                # Its connection shall be there before files are counted.
                "OTEL_BSP_SCHEDULE_DELAY": "200",
                "LLMROUTER_LEDGER": str(folder / "ledger"),
            }
            command = ("env", *(f"{name}={value}" for name, value in variables.items()))
            serve = (*run, "router_service", "serve", "--config", str(file))
            pid, address = stack.enter_context(process(*command, *serve, ready=_serving))
            opened = [
                # Otherwise all channels of a process share one connection.
                grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
                for _ in range(channels)
            ]
            try:
                stubs = tuple(router_service_pb2_grpc.RouterServiceStub(channel) for channel in opened)
                await receiver.fresh()
                yield Stage(provider, Watch(pid), receiver, stubs)
            finally:
                for channel in opened:
                    await channel.close()


def configuration(origin: str, max_connections: int, max_calls: int) -> Mapping[str, Any]:
    """The router's file: a rule for each feature, which names what is to happen.

    "down", "limited" ... go wrong and "quick" heals them; "down.one" has nobody else to ask, "down.two" only another
    provider at which the same goes wrong; "down.many.7" is one of many deployments at one provider.
    """
    provider = {"api_key": "sk-soak", "max_connections": max_connections}
    price = {"input": 0.27, "output": 1.1}
    models: dict[str, Any] = {
        name: {"provider": "main", "price": price, "context_window": 128_000}
        for name in ("quick", "hold", "bulk", *FAULTS)
    }
    rules: list[dict[str, Any]] = []

    def rule(feature: str, *use: str) -> None:
        rules.append({"name": feature, "when": {"feature": feature}, "use": list(use)})

    for name in ("hold", "bulk", "mute"):
        rule(name, name)
    for name in sorted(FAULTS.keys() - {"mute", "wide"}):
        rule(name, name, "quick")
    for fault in ("down", "limited", "cut", "refused"):
        for where in ("a", "b"):
            at = f"refused-{where}" if fault == "refused" else where
            models[f"{fault}-{where}"] = {"provider": at, "upstream_name": fault, "price": price}
        rule(f"{fault}.one", f"{fault}-a")
        rule(f"{fault}.two", f"{fault}-a", f"{fault}-b")
    for number in range(DEPLOYMENTS_OF_MANY):
        models[f"down-a-{number}"] = {"provider": "a", "upstream_name": "down", "price": price}
        rule(f"down.many.{number}", f"down-a-{number}")
    for name, use in (("wide", ["wide"]), ("quick", ["quick"])):
        rules.append({"name": name, "when": {"feature": name}, "use": use, "max_output_tokens": ANSWER_TOKENS})
    dead = f"http://127.0.0.1:{_unused_port()}/v1"
    return {
        "server": {
            "address": "127.0.0.1:0",
            "max_concurrent_calls": max_calls,
            "max_connection_age": _FOREVER,
            "default_deadline": _FOREVER,
            "receipts_kept": RECEIPTS,
        },
        "telemetry": {"sample_ratio": 0.1, "metrics_interval": _METRICS_INTERVAL},
        "providers": {
            "main": {"base_url": f"{origin}/v1", **provider},
            "a": {"base_url": f"{origin}/a/v1", **provider},
            "b": {"base_url": f"{origin}/b/v1", **provider},
            "refused-a": {"base_url": dead, **provider},
            "refused-b": {"base_url": dead, **provider},
        },
        "models": models,
        "policies": {
            "default": {
                "timeouts": {"connect": "30s", "first_token": "30s", "stall": _FOREVER, "total": _FOREVER},
                "retries": {"backoff_initial": "20ms"},
                "rules": rules,
            }
        },
    }


def _unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _serving(line: str) -> str | None:
    return line.rpartition("serving on ")[2].split()[0] if "serving on " in line else None
