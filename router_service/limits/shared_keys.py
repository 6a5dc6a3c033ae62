"""Idempotency keys held in Redis, for all replicas."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from router_service.limits.idempotency import Answered, KeysAway, KeyState
from router_service.limits.shared import script_text
from router_service.storage.redis import RedisAway, RedisConnection

logger = logging.getLogger(__name__)

_MOST_WAITING = 10_000


@dataclass(slots=True)
class _Ended:
    owner: str
    request_hash: bytes
    answered: Answered | None
    keep: float

    def arguments(self) -> list[str | bytes | int]:
        if self.answered is None:
            return [self.owner, self.request_hash, 0, 0, b"", b""]
        answer, receipt = self.answered.answer, self.answered.receipt
        keep = max(1, round(self.keep * 1000))
        return [self.owner, self.request_hash, keep, int(answer is not None), answer or b"", receipt]


class SharedKeys:
    """Keys in Redis. What ended is sent in the background; while the server is away it waits."""

    def __init__(self, redis: RedisConnection) -> None:
        self._redis = redis
        self._claim = redis.script(script_text("claim"))
        self._finish = redis.script(script_text("finish"))
        self._ended: dict[str, _Ended] = {}
        self._sending: asyncio.Task[None] | None = None
        redis.when_back(self._send)

    async def claim(
        self, name: str, owner: str, request_hash: bytes, lease: float
    ) -> tuple[KeyState, float, Answered | None]:
        ended = self._ended.get(name)
        if ended is not None:  # and the server does not know it yet
            if ended.request_hash != request_hash:
                return KeyState.ANOTHER_REQUEST, ended.keep, None
            if ended.answered is not None:
                return KeyState.FINISHED, ended.keep, ended.answered
            if self._redis.available:
                await asyncio.wait({self._send()})
        try:
            state, left, kept, answer, receipt = await self._redis.run(
                self._claim, [self._key(name)], [owner, request_hash, round(lease * 1000)]
            )
        except RedisAway as exc:
            raise KeysAway from exc
        answered = None
        if state == KeyState.FINISHED:
            answered = Answered(answer=answer if kept else None, receipt=receipt)
        return KeyState(state), left / 1000, answered

    def finish(self, name: str, owner: str, request_hash: bytes, answered: Answered | None, keep: float) -> None:
        if len(self._ended) >= _MOST_WAITING:
            del self._ended[next(iter(self._ended))]
            logger.error(
                "an idempotency key's end was dropped: redis is away too long; the key is free after its lease"
            )
        self._ended[name] = _Ended(owner, request_hash, answered, keep)
        if self._redis.available:
            self._send()

    async def aclose(self) -> None:
        if self._ended and self._redis.available:
            await asyncio.wait({self._send()}, timeout=1.0)
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)

    def _key(self, name: str) -> str:
        return f"{self._redis.prefix}once:{name}"

    def _send(self) -> asyncio.Task[None]:
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_all())
        return self._sending

    async def _send_all(self) -> None:
        while self._ended:
            name, ended = next(iter(self._ended.items()))
            try:
                await self._redis.run(self._finish, [self._key(name)], ended.arguments())
            except RedisAway:
                return
            if self._ended.get(name) is ended:
                del self._ended[name]
