"""All of limits, opened as the configuration says: in this process, or shared in Redis."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from router_service.config.configuration import RedisSettings
from router_service.domain.limit import DeploymentRate, LimitRules
from router_service.limits.idempotency import Idempotency
from router_service.limits.limiter import Limiter
from router_service.limits.local import LocalMeters
from router_service.limits.local_keys import LocalKeys
from router_service.limits.meters import Meters
from router_service.limits.rates import DeploymentRates

if TYPE_CHECKING:
    from router_service.storage.redis import RedisConnection

logger = logging.getLogger(__name__)

_EXCHANGE_SECONDS = 1.0


class RedisNotInstalled(Exception):
    """The configuration names a Redis, but the client for it is not installed; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the engine asks before, during and after a call. `shared` counters are those that replicas exchange rates
    through, `None` in one process."""

    limiter: Limiter
    idempotency: Idempotency
    rates: DeploymentRates
    shared: Meters | None = None
    redis: RedisConnection | None = None

    def use(self, rules: LimitRules, rates: Mapping[str, DeploymentRate]) -> None:
        """Go by a reloaded configuration; counters stay."""
        self.limiter.use(rules)
        self.rates.use(rates)

    async def exchange_rates(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Keep the replicas' counts of providers' rates together, until cancelled."""
        while self.shared is not None:
            await sleep(_EXCHANGE_SECONDS)
            try:
                await self.rates.exchange(self.shared)
            except Exception:
                logger.exception("rates were not exchanged")

    async def aclose(self) -> None:
        """Bring settlements under way to their end, at most about two seconds; then close the connections."""
        await self.limiter.aclose()
        await self.idempotency.aclose()
        if self.redis is not None:
            await self.redis.aclose()


def open_limits(
    rules: LimitRules,
    rates: Mapping[str, DeploymentRate],
    redis: RedisSettings | None = None,
    *,
    on_new_data: Callable[[], Awaitable[None]] | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
) -> Limits:
    """Open limits inside a running event loop. Nothing is connected yet: Redis may come up later.

    `on_new_data` is awaited when Redis turns out not to hold what this process counted in: it should read the ledger
    and `limiter.rebuild`. Raises `RedisNotInstalled`.
    """
    if redis is None:
        return Limits(
            limiter=Limiter(rules, LocalMeters(monotonic, wall), wall=wall),
            idempotency=Idempotency(LocalKeys(monotonic)),
            rates=DeploymentRates(rates, monotonic),
        )
    try:
        # Redis is an extra: nothing above may need it.
        from router_service.limits.guarded import GuardedMeters  # noqa: PLC0415
        from router_service.limits.shared import SharedMeters  # noqa: PLC0415
        from router_service.limits.shared_keys import SharedKeys  # noqa: PLC0415
        from router_service.storage.redis import RedisConnection  # noqa: PLC0415
    except ImportError as exc:
        raise RedisNotInstalled(
            "The configuration has a section `redis`, but its client is not installed. "
            "Install llmrouter[redis], or remove the section."
        ) from exc
    connection = RedisConnection(redis)
    shared = SharedMeters(connection, on_new_data=on_new_data)
    meters = GuardedMeters(shared, local=lambda: LocalMeters(monotonic, wall), replicas=redis.replicas, wall=wall)
    return Limits(
        limiter=Limiter(rules, meters, wall=wall),
        idempotency=Idempotency(SharedKeys(connection), spare=LocalKeys(monotonic)),
        rates=DeploymentRates(rates, monotonic, replicas=redis.replicas),
        shared=shared,
        redis=connection,
    )
