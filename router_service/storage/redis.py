"""The one place that opens Redis or Valkey: bounded in time, and broken off while the server is away.

closed ──a command fails──> open: callers are refused at once ──a probe in the background succeeds──> closed
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError

from router_service.config.configuration import RedisSettings

logger = logging.getLogger(__name__)

_PROBE_FIRST = 0.05
_PROBE_LONGEST = 5.0


class RedisAway(Exception):
    """The server cannot be used now. Whether the command was carried out is not known."""


class RedisConnection:
    """Commands for one server. `sleep` is the pause between probes. Make it inside a running event loop.

    The settings' timeout bounds every command, the connecting included. All keys begin with `prefix`: the namespace in
    braces, so that a cluster keeps them in one slot, for scripts touch several.
    """

    def __init__(self, settings: RedisSettings, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self.prefix = f"{{{settings.namespace}}}:"
        self._timeout = settings.timeout
        self._sleep = sleep
        pool = BlockingConnectionPool.from_url(
            settings.url.reveal(),
            max_connections=settings.max_connections,
            timeout=settings.timeout,
            socket_timeout=settings.timeout,
            socket_connect_timeout=settings.timeout,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis = Redis(connection_pool=pool)
        self._back: list[Callable[[], object]] = []
        self._probing: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()

    @property
    def available(self) -> bool:
        """Whether commands are sent; otherwise they fail at once."""
        return self._probing is None

    def when_back(self, callback: Callable[[], object]) -> None:
        """Have this called each time that the server can be used again. It must not raise."""
        self._back.append(callback)

    def script(self, text: str) -> AsyncScript:
        """A script for `run`. A server that was restarted is taught it again."""
        return self._redis.register_script(text)

    async def run(self, script: AsyncScript, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> Any:
        """Run a script in one round trip. It must bear being run twice: a connection that the server had closed
        meanwhile is replaced once. Raises `RedisAway` within the timeout."""
        return await self._bounded(lambda: script(keys=list(keys), args=list(arguments)))

    async def command(self, *parts: str | bytes | int) -> Any:
        """Send one command, under the same terms as `run`."""
        send: Callable[..., Awaitable[Any]] = self._redis.execute_command
        return await self._bounded(lambda: send(*parts))

    async def aclose(self) -> None:
        """Close all connections; whatever comes later fails at once."""
        self._closed.set()
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    async def _bounded(self, send: Callable[[], Awaitable[Any]]) -> Any:
        if self._probing is not None or self._closed.is_set():
            raise RedisAway("Redis is away")
        try:
            async with asyncio.timeout(self._timeout):
                try:
                    return await send()
                except ConnectionLost:
                    if self._closed.is_set():
                        raise
                    return await send()
        except (RedisError, OSError) as exc:  # TimeoutError is an OSError
            self._broke(exc)
            raise RedisAway("Redis cannot be used") from exc
        finally:
            if self._closed.is_set():
                # Whoever was connecting while all connections were closed has one now.
                await self._redis.connection_pool.disconnect()

    def _broke(self, exc: Exception) -> None:
        if self._probing is None and not self._closed.is_set():
            logger.warning("redis is away: %s; what needs it follows its `fail` until it is back", type(exc).__name__)
            self._probing = asyncio.create_task(self._probe())

    async def _probe(self) -> None:
        began, pause = time.monotonic(), _PROBE_FIRST
        # What is connected may be to a server that lost its role.
        await self._redis.connection_pool.disconnect(inuse_connections=False)
        while True:
            await self._sleep(pause)
            pause = min(2 * pause, _PROBE_LONGEST)
            try:
                async with asyncio.timeout(self._timeout):
                    # A write: a replica that only reads is of no use.
                    await self._redis.set(f"{self.prefix}probe", "1", px=1000)
            except (RedisError, OSError):
                continue
            break
        self._probing = None
        logger.info("redis is back after %.1f s", time.monotonic() - began)
        for callback in self._back:
            callback()
