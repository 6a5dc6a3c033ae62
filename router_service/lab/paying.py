"""Calls that are paid for: within a cap, until something ends the run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from router_service.domain.chat import Chat
from router_service.lab.asking import Purse, Router, Said, Subject

CANCELLED = "CANCELLED"


class Paying:
    """Asks a router. `cap` and what was `spent` before are in nano-USD; `stop` ends it after the calls in flight."""

    def __init__(self, router: Router, *, cap: int | None, spent: int) -> None:
        self._router = router
        self._purse = Purse(cap, spent)
        self.stopped_by = ""
        """Why no more calls are begun; empty as long as they are."""

    @property
    def spent(self) -> int:
        """In nano-USD, earlier runs included."""
        return self._purse.spent

    def stop(self, reason: str) -> None:
        """Begin no more calls."""
        self.stopped_by = self.stopped_by or reason

    async def ask(
        self,
        subject: Subject,
        chat: Chat,
        *,
        request_id: str,
        cancelled: Callable[[], None],
        feature: str = "",
        tier: str = "",
    ) -> Said | None:
        """What the subject says; `None` where there is no room for it within the cap, which ends the run.

        `cancelled` is called where the call is left: it may have been billed, and its receipt is found by the request
        id. Raises `RouterGone`.
        """
        estimate = 0
        if self._purse.is_bounded:
            found = await self._router.estimate(subject, chat, feature=feature, tier=tier)
            if found is None:
                self.stop(f"{subject.name} has no known price, so that --max-cost cannot be kept")
                return None
            estimate = found
        held = await self._purse.hold(subject.key, estimate)
        if held is None:
            self.stop("--max-cost leaves no room for the next call")
            return None
        if self.stopped_by:
            self._purse.settle(subject.key, held, 0)
            return None
        cost = None
        try:
            said = await self._router.ask(subject, chat, feature=feature, tier=tier, request_id=request_id)
            cost = said.cost
        except asyncio.CancelledError:
            cancelled()
            raise
        finally:
            self._purse.settle(subject.key, held, cost)
        return said
