"""What the router exports about itself, received over OTLP in this process."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.metrics.v1 import metrics_pb2

LAG = "llm_router.loop.lag"
CONNECTIONS = "llm_router.upstream.connections"
ATTEMPTS = "llm_router.attempts"

_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Lag:
    """How often the event loop was late, and by how much; `bounds` are in seconds."""

    bounds: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()

    def since(self, earlier: Lag) -> Lag:
        """What came after `earlier`."""
        before = earlier.counts or (0,) * len(self.counts)
        return Lag(self.bounds, tuple(now - then for now, then in zip(self.counts, before, strict=True)))

    def at_most(self, share: float) -> float:
        """The bucket's bound in seconds that this share of all looks stayed below; infinite beyond the last."""
        wanted, seen = share * sum(self.counts), 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            seen += count
            if seen >= wanted:
                return bound
        return 0.0


@dataclass(frozen=True, slots=True)
class Exported:
    """One export of metrics. Attempts are counted by deployment and reason, connections by state."""

    at: float = 0.0
    lag: Lag = Lag()
    connections: Counter[str] = field(default_factory=Counter)
    attempts: Counter[tuple[str, str]] = field(default_factory=Counter)


class Receiver(metrics_service_pb2_grpc.MetricsServiceServicer):
    """Keeps the last export."""

    def __init__(self) -> None:
        self.last = Exported()
        self._arrived = asyncio.Condition()

    async def Export(self, request: Any, context: object) -> Any:  # noqa: N802 - the service's method name
        async with self._arrived:
            self.last = _exported(request)
            self._arrived.notify_all()
        return metrics_service_pb2.ExportMetricsServiceResponse()

    async def fresh(self) -> Exported:
        """What was true at some moment after now. Raises `TimeoutError` where the router exports nothing."""
        now = time.time()
        async with asyncio.timeout(_PATIENCE), self._arrived:
            await self._arrived.wait_for(lambda: self.last.at > now)
            return self.last


@asynccontextmanager
async def receiving() -> AsyncIterator[tuple[Receiver, str]]:
    """A receiver and its address."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    receiver = Receiver()
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(receiver, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield receiver, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


def _exported(request: Any) -> Exported:
    metrics: dict[str, metrics_pb2.Metric] = {
        metric.name: metric
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    connections: Counter[str] = Counter()
    attempts: Counter[tuple[str, str]] = Counter()
    at = 0.0
    for point in metrics[CONNECTIONS].sum.data_points if CONNECTIONS in metrics else ():
        connections[_attributes(point)["http.connection.state"]] += int(point.as_int)
        at = point.time_unix_nano / 1e9
    for point in metrics[ATTEMPTS].sum.data_points if ATTEMPTS in metrics else ():
        named = _attributes(point)
        attempts[named["llm_router.deployment.id"], named["llm_router.attempt.reason"]] += int(point.as_int)
    lag = Lag()
    for point in metrics[LAG].histogram.data_points if LAG in metrics else ():
        lag = Lag(tuple(point.explicit_bounds), tuple(point.bucket_counts))
    return Exported(at, lag, connections, attempts)


def _attributes(point: Any) -> dict[str, str]:
    return {pair.key: pair.value.string_value for pair in point.attributes}
