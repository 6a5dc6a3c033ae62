"""Who is compared, how they are asked, and what may be spent on it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from router_service.domain.chat import Chat, FinishReason


class SubjectKind(StrEnum):
    """What is compared. Models and deployments are asked as they are, policies route and escalate."""

    MODEL = "model"
    DEPLOYMENT = "deployment"
    POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Subject:
    """One of those compared."""

    kind: SubjectKind
    name: str

    @property
    def key(self) -> str:
        """What records call it."""
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """How a call ended. `cost` is in nano-USD, latencies in seconds from the call's receipt; `error` is the reason of a
    failure, "" for an answer. `path` has the attempts in order, each as "deployment outcome"."""

    answer: str | None = None
    finish_reason: FinishReason | None = None
    cost: int | None = None
    cost_status: str = "indeterminate"
    latency: float | None = None
    time_to_first_output: float | None = None
    error: str = ""
    path: tuple[str, ...] = ()


class RouterGone(Exception):
    """No router can be reached: asking on makes no sense. The message says what happened."""


class Router(Protocol):
    """What is asked. Both raise `RouterGone`."""

    async def ask(self, subject: Subject, chat: Chat, *, feature: str, tier: str, request_id: str) -> Said:
        """Have the subject answer; failures of the call come back as its `error`."""

    async def estimate(self, subject: Subject, chat: Chat, *, feature: str, tier: str) -> int | None:
        """What the call is estimated to cost in nano-USD, `None` where there is no price. Nothing is paid."""


class Purse:
    """What may still be spent; `cap` is in nano-USD, `None` for no end.

    The dearer of what is estimated and what the same subject has cost is held for a call before it is made.
    """

    def __init__(self, cap: int | None, spent: int) -> None:
        self._cap = cap
        self._held = 0
        self._in_flight = 0
        self._dearest: dict[str, int] = {}
        self._settled = asyncio.Event()
        self.spent = spent

    @property
    def is_bounded(self) -> bool:
        """Whether there is a cap."""
        return self._cap is not None

    async def hold(self, subject: str, estimate: int) -> int | None:
        """What is held for the call; `None` where there is no room for it. Calls in flight may turn out cheaper than
        what is held for them: as long as there are any, their end is waited for."""
        while True:
            amount = max(estimate, self._dearest.get(subject, 0))
            if self._cap is None or self.spent + self._held + amount <= self._cap:
                self._held += amount
                self._in_flight += 1
                return amount
            if not self._in_flight:
                return None
            await self._settled.wait()

    def settle(self, subject: str, held: int, cost: int | None) -> None:
        """The call has ended. What it cost is what was held where nobody knows."""
        self._held -= held
        self._in_flight -= 1
        self._settled.set()
        self._settled = asyncio.Event()
        self.spent += held if cost is None else cost
        self._dearest[subject] = max(self._dearest.get(subject, 0), cost or 0)
