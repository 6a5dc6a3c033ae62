"""Idempotency keys held in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from router_service.limits.idempotency import Answered, KeyState

_MOST_BYTES = 64 * 1024 * 1024
_ENTRY_BYTES = 200


@dataclass(slots=True)
class _Held:
    owner: str
    request_hash: bytes
    until: float
    answered: Answered | None = None

    @property
    def size(self) -> int:
        kept = self.answered
        return _ENTRY_BYTES + (len(kept.answer or b"") + len(kept.receipt) if kept else 0)


class LocalKeys:
    """Keys of one process. `clock` is monotonic, in seconds. Beyond `most_bytes` the oldest finished go."""

    def __init__(self, clock: Callable[[], float], *, most_bytes: int = _MOST_BYTES) -> None:
        self._clock = clock
        self._most_bytes = most_bytes
        self._bytes = 0
        self._held: dict[str, _Held] = {}  # in the order of the last change

    async def claim(
        self, name: str, owner: str, request_hash: bytes, lease: float
    ) -> tuple[KeyState, float, Answered | None]:
        now = self._clock()
        held = self._held.get(name)
        if held is None or held.until <= now:
            self._put(name, _Held(owner, request_hash, now + lease))
            return KeyState.CLAIMED, lease, None
        left = held.until - now
        if held.request_hash != request_hash:
            return KeyState.ANOTHER_REQUEST, left, None
        if held.answered is not None:
            return KeyState.FINISHED, left, held.answered
        return KeyState.RUNS_ELSEWHERE, left, None

    def finish(self, name: str, owner: str, request_hash: bytes, answered: Answered | None, keep: float) -> None:
        held = self._held.get(name)
        if held is None or held.owner != owner:
            return
        if answered is None:
            self._drop(name)
        else:
            self._put(name, _Held(owner, request_hash, self._clock() + keep, answered))

    async def aclose(self) -> None:
        """Nothing is under way here."""

    def _put(self, name: str, held: _Held) -> None:
        self._drop(name)
        self._held[name] = held
        self._bytes += held.size
        now = self._clock()
        while self._bytes > self._most_bytes:
            oldest = next((one for one, other in self._held.items() if other.answered or other.until <= now), None)
            if oldest is None:
                return
            self._drop(oldest)

    def _drop(self, name: str) -> None:
        gone = self._held.pop(name, None)
        if gone is not None:
            self._bytes -= gone.size
