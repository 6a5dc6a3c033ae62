"""Hedging: when a second attempt may run beside a silent one, and what that may cost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from router_service.domain.policy import Hedge

Claim = Callable[[], bool]
"""Asked by an attempt with its first output: whether it may go on, or has lost a race."""

Result = TypeVar("Result")

# A quiet week must not pay for a storm of hedges: no more than the share of so many calls is saved up.
_CALLS_SAVED = 1000


class HedgePurse:
    """What one policy's hedges may still cost, in nano-USD: a share of what its calls are estimated to cost."""

    __slots__ = ("_balance",)

    def __init__(self) -> None:
        self._balance = 0.0

    def deposit(self, hedge: Hedge, estimated_cost: int | None) -> None:
        """A call begins, estimated to cost so much."""
        share = (estimated_cost or 0) * hedge.max_cost_share
        self._balance = max(self._balance, min(self._balance + share, share * _CALLS_SAVED))

    def withdraw(self, hedge: Hedge, estimated_cost: int | None) -> bool:
        """Whether a hedge estimated to cost so much may run; if so, that is taken. Unknown prices cannot be capped."""
        if estimated_cost is None or estimated_cost > self._balance:
            return False
        if hedge.max_cost_nano_usd is not None and estimated_cost > hedge.max_cost_nano_usd:
            return False
        self._balance -= estimated_cost
        return True

    def settle(self, estimated_cost: int, cost: int) -> None:
        """A hedge that was estimated to cost so much did cost this."""
        self._balance += estimated_cost - cost


class Race(Generic[Result]):
    """Several attempts of one call at once: the first that has output goes on, the others are cancelled.

    Make it in a running event loop, and `end` it.
    """

    __slots__ = ("_decided", "_lanes", "_winner")

    def __init__(self) -> None:
        self._decided: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lanes: list[asyncio.Task[Result]] = []
        self._winner: asyncio.Task[Any] | None = None

    def enter(self, attempting: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Let it run for the race, as a task of its own."""
        lane = asyncio.create_task(attempting)
        self._lanes.append(lane)
        return lane

    async def is_silent(self, seconds: float) -> bool:
        """Whether nothing was heard for so long, and nobody has ended either."""
        news: list[asyncio.Future[Any]] = [*self._lanes, self._decided]
        over, _ = await asyncio.wait(news, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return not over

    def claim(self) -> bool:
        """Whether the current task goes on. The first to ask does, when it has output; the others are cancelled."""
        lane = asyncio.current_task()
        if self._winner is None:
            self._winner = lane
            if not self._decided.done():
                self._decided.set_result(None)
            for other in self._lanes:
                if other is not lane:
                    other.cancel()
        return self._winner is lane

    async def end(self) -> None:
        """Cancel what still runs, and wait until it has accounted for itself."""
        for lane in self._lanes:
            lane.cancel()
        await asyncio.gather(*self._lanes, return_exceptions=True)
        self._decided.cancel()
