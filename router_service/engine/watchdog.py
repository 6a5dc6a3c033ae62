"""Watches over one attempt: silence before the first output, silence in between, and the end of its time.

FIRST_OUTPUT ──output──> MORE_OUTPUT ──output──> ...      bites after: first-token share, stall timeout
      └────────────── READER ──────────────┘              while the caller reads, nobody watches the provider
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum, auto

from router_service.domain.error import UpstreamError, UpstreamFault
from router_service.domain.policy import Timeouts
from router_service.engine.deadline import AttemptBudget

# A caller in a hurry proves nothing about a deployment: silence counts against it only after this many seconds.
_FAIR_WAIT = 2.0
_TIMER_SLACK = 0.05


class _Phase(Enum):
    """What the attempt is waiting for."""

    FIRST_OUTPUT = auto()
    MORE_OUTPUT = auto()
    END = auto()
    READER = auto()


_BITES = {
    _Phase.FIRST_OUTPUT: (UpstreamFault.FIRST_TOKEN_TIMEOUT, "sent no output in time"),
    _Phase.MORE_OUTPUT: (UpstreamFault.STALL, "stopped sending output"),
    _Phase.END: (UpstreamFault.TOTAL_TIMEOUT, "did not finish in time"),
    _Phase.READER: (UpstreamFault.TOTAL_TIMEOUT, "could not finish in time, for its output was read too slowly"),
}


class Watchdog:
    """Bounds one attempt at `deployment`; made when it begins. `deadline` is the call's, on the monotonic clock."""

    def __init__(
        self,
        deployment: str,
        budget: AttemptBudget,
        timeouts: Timeouts,
        *,
        deadline: float,
        streamed: bool,
        monotonic: Callable[[], float],
    ) -> None:
        self._deployment = deployment
        self._stall = budget.stall
        self._timeouts = timeouts
        self._deadline = deadline
        self._monotonic = monotonic
        self._began = monotonic()
        self._ends_at = budget.ends_at
        self._phase = _Phase.FIRST_OUTPUT if streamed else _Phase.END
        self._scope = asyncio.timeout_at(budget.first_output_at)

    async def guard(self, sending: Awaitable[None]) -> None:
        """Wait for the provider. Raises `UpstreamError` where it is silent for too long; it is cancelled then."""
        try:
            async with self._scope:
                await sending
        except TimeoutError as timeout:
            if not self._scope.expired():
                raise
            raise self._bite() from timeout

    @property
    def left_reader(self) -> bool:
        """Whether the attempt ended while the caller was still reading some of its output."""
        return self._phase is _Phase.READER

    def heard(self) -> None:
        """Output arrived: from now on only a stall or the end of its time ends the attempt."""
        stall_at = self._monotonic() + self._stall
        if stall_at < self._ends_at:
            self._phase = _Phase.MORE_OUTPUT
            self._scope.reschedule(stall_at)
        else:
            self._phase = _Phase.END
            self._scope.reschedule(self._ends_at)

    async def while_read(self, showing: Awaitable[None]) -> None:
        """Wait for the caller to read. That time is not the provider's: only the call's deadline bounds it."""
        self._phase = _Phase.READER
        self._scope.reschedule(self._deadline)
        began = self._monotonic()
        await showing
        self._ends_at = min(self._deadline, self._ends_at + self._monotonic() - began)

    def _bite(self) -> UpstreamError:
        fault, what = _BITES[self._phase]
        waited = self._monotonic() - self._began
        return UpstreamError(
            fault,
            f"{self._deployment} {what}: given up {waited:.1f} s after it was asked.",
            blameless=not self._was_fair(waited + _TIMER_SLACK),
        )

    def _was_fair(self, waited: float) -> bool:
        """Whether the deployment had the time that the policy, not a hurried caller, allows it."""
        match self._phase:
            case _Phase.FIRST_OUTPUT:
                return waited >= min(self._timeouts.first_token, _FAIR_WAIT)
            case _Phase.MORE_OUTPUT:
                return self._stall >= min(self._timeouts.stall, _FAIR_WAIT)
            case _Phase.END:
                return waited >= self._timeouts.total
            case _Phase.READER:
                return False
