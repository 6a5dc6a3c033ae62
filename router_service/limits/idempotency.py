"""Callers' retries: one call per idempotency key, as long as the key is held.

claim = await idempotency.claim(tenant, key, request_hash, lease=...)
if isinstance(claim, Answered):  give the stored answer, or raise AlreadyExists
else:                            run the call, then claim.finish(...) or claim.abandon()
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b
from typing import Protocol

from router_service.domain.error import AlreadyExists, IdempotencyConflict, InvalidRequest, Overloaded, Violation

DAY = 86400.0
_AWAY_RETRY = 1.0
_LONGEST_RETRY = 5.0


class KeyState(IntEnum):
    """How a key stands; the scripts know the numbers."""

    CLAIMED = 0
    RUNS_ELSEWHERE = 1
    FINISHED = 2
    ANOTHER_REQUEST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """How the call under a key ended: the answer where it was kept, and the receipt, in the bytes that were stored."""

    answer: bytes | None
    receipt: bytes

    def stored(self) -> bytes:
        """The stored answer. Raises `AlreadyExists`, with the receipt, where it was not kept."""
        if self.answer is None:
            raise AlreadyExists(
                "The call under this idempotency key has finished; its answer is not kept. Use a new key to ask again.",
                receipt=self.receipt,
            )
        return self.answer


class KeysAway(Exception):
    """The store of keys cannot be reached."""


class KeyStore(Protocol):
    """Where keys are held. `name` is hashed; a key is held for `lease`, once finished for `keep` seconds."""

    async def claim(
        self, name: str, owner: str, request_hash: bytes, lease: float
    ) -> tuple[KeyState, float, Answered | None]:
        """Claim it if it is free: its state, the seconds it stays held, how it ended. Raises `KeysAway`."""
        ...

    def finish(self, name: str, owner: str, request_hash: bytes, answered: Answered | None, keep: float) -> None:
        """Keep how the call ended, or with `None` free the key; not if its lease ran out and another owner has it.

        Never waits and never fails.
        """
        ...

    async def aclose(self) -> None:
        """Bring what is under way to its end, as far as possible within a second."""
        ...


class Claim:
    """The right to run the call under a key. `finish` or `abandon` ends it; neither waits or fails, a second does
    nothing."""

    __slots__ = ("_end", "ended")

    def __init__(self, end: Callable[[Answered | None, float], None]) -> None:
        self._end = end
        self.ended: asyncio.Future[Answered | None] = asyncio.get_running_loop().create_future()

    def finish(self, *, answer: bytes | None, receipt: bytes, keep: float = DAY, keep_answer: bool = True) -> None:
        """The call has run: whoever repeats it within `keep` seconds gets this, and whoever waits in this process.

        With `keep_answer` false only those who wait get the answer; later ones learn of the receipt.
        """
        kept = Answered(answer=answer if keep_answer else None, receipt=receipt)
        self._close(Answered(answer=answer, receipt=receipt), kept, keep)

    def abandon(self) -> None:
        """The call did nothing that must not be repeated: the key is free, and one who waits takes over."""
        self._close(None, None, 0.0)

    def _close(self, answered: Answered | None, kept: Answered | None, keep: float) -> None:
        if not self.ended.done():
            self.ended.set_result(answered)
            self._end(kept, keep)


class Idempotency:
    """Keys of one process over a store. `spare` holds them while the store is away; without one, calls with a key are
    refused then."""

    def __init__(self, store: KeyStore, *, spare: KeyStore | None = None) -> None:
        self._store = store
        self._spare = spare
        self._running: dict[str, tuple[bytes, Claim]] = {}

    async def claim(self, tenant: str, key: str, request_hash: bytes, *, lease: float) -> Claim | Answered:
        """Claim a key for a request, or learn how the call under it ended.

        `request_hash` is a digest of all that makes the request what it is. Waits where the call runs in this process.
        `lease` is in seconds: longer than the call can take; a process that dies holds the key until then. Raises
        `IdempotencyConflict` where the call runs in another process, `InvalidRequest` where the key belongs to another
        request, `Overloaded` while the store is away and that means closed.
        """
        name = blake2b(f"{len(tenant)}:{tenant}{key}".encode(), digest_size=16).hexdigest()
        while (running := self._running.get(name)) is not None:
            held, first = running
            if held != request_hash:
                raise _another_request()
            # Shielded by being a future that nobody cancels: `wait` leaves it alone when this caller goes.
            await asyncio.wait({first.ended})
            answered = first.ended.result()
            if answered is not None:
                return answered
        owner = secrets.token_hex(8)
        claim = Claim(lambda answered, keep: self._end(name, owner, request_hash, answered, keep))
        # From here on callers of this process wait, also while the store is being asked.
        self._running[name] = request_hash, claim
        try:
            state, left, answered = await self._ask(name, owner, request_hash, lease)
        except BaseException:
            claim.abandon()  # it may have been claimed unheard
            raise
        if state is KeyState.CLAIMED:
            return claim
        self._give_up(name, claim)
        if state is KeyState.ANOTHER_REQUEST:
            raise _another_request()
        if answered is None:
            raise IdempotencyConflict(
                "A call under this idempotency key is running in another process. Ask again with the same key.",
                retry_after=min(max(left, 0.1), _LONGEST_RETRY),
            )
        return answered

    async def aclose(self) -> None:
        """Bring what is under way to its end; at most a second."""
        await self._store.aclose()

    async def _ask(
        self, name: str, owner: str, request_hash: bytes, lease: float
    ) -> tuple[KeyState, float, Answered | None]:
        try:
            return await self._store.claim(name, owner, request_hash, lease)
        except KeysAway as exc:
            if self._spare is not None:
                return await self._spare.claim(name, owner, request_hash, lease)
            message = "Idempotency keys cannot be checked: Redis cannot be reached. Try again with the same key."
            raise Overloaded(message, retry_after=_AWAY_RETRY) from exc

    def _give_up(self, name: str, claim: Claim) -> None:
        """Let those who wait ask the store for themselves."""
        self._running.pop(name, None)
        claim.ended.set_result(None)

    def _end(self, name: str, owner: str, request_hash: bytes, answered: Answered | None, keep: float) -> None:
        self._running.pop(name, None)
        self._store.finish(name, owner, request_hash, answered, keep)
        if self._spare is not None:
            self._spare.finish(name, owner, request_hash, answered, keep)


def _another_request() -> InvalidRequest:
    message = "belongs to another request; use a new key for each, and the same only to repeat one"
    return InvalidRequest([Violation("idempotency_key", message)])
