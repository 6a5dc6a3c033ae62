"""Asking the same deployment again: the one place that uses tenacity.

Only ever before the first byte the client has seen: the attempt itself says when it is past that point.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from tenacity import AsyncRetrying, RetryCallState

from router_service.domain.error import UpstreamError
from router_service.domain.policy import Retries
from router_service.engine.taxonomy import may_retry

# A backoff may use at most this share of the time left: the rest is for the attempt it makes possible.
_SHARE_FOR_WAITING = 0.5
# A provider's hint must leave this many seconds for the answer.
_LEAST_FOR_AN_ANSWER = 1.0
# With another candidate at hand, no hint is waited for longer than this, in seconds.
_PATIENCE = 2.0


Result = TypeVar("Result")


class Sleep(Protocol):
    """Waits some seconds; injected so that tests need not."""

    async def __call__(self, seconds: float, /) -> None: ...


class RetryPlan:
    """Whether and when one deployment is tried again.

    The provider's hint decides the wait where there is one: a hint that does not fit the time left, or that is long
    while another candidate is at hand, means no retry, never a shorter wait. Without a hint the wait is random up to
    an exponentially growing bound ("full jitter"). `time_left` is in seconds until the caller's deadline, `allowed`
    says whether the call may be repeated at all.
    """

    def __init__(
        self,
        retries: Retries,
        *,
        time_left: Callable[[], float],
        allowed: Callable[[], bool],
        random: Callable[[], float],
        sleep: Sleep,
    ) -> None:
        self._retries = retries
        self._time_left = time_left
        self._allowed = allowed
        self._random = random
        self._sleep = sleep
        self._pause = 0.0
        self._longest_hint = math.inf

    async def run(self, attempt: Callable[[int], Awaitable[Result]], *, fallbacks_left: int = 0) -> Result:
        """The result of `attempt(tries)` as soon as it succeeds. Raises its last `UpstreamError` where that is final.

        `fallbacks_left` other candidates could serve instead: they are then the better use of a long wait.
        """
        self._longest_hint = _PATIENCE if fallbacks_left else math.inf
        try:
            return await attempt(1)
        except UpstreamError as error:
            return await self._go_on(attempt, error)

    async def _go_on(self, attempt: Callable[[int], Awaitable[Result]], failure: UpstreamError) -> Result:
        """What follows a failed first try. Only then is tenacity's bookkeeping worth its time."""
        tries = 0

        async def once() -> Result:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise failure
            return await attempt(tries)

        retrying = AsyncRetrying(retry=self._worth_another, wait=lambda _: self._pause, sleep=self._sleep)
        result: Result = await retrying(once)
        return result

    def _worth_another(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome is not None else None
        if not isinstance(error, UpstreamError):
            return False
        tries = state.attempt_number
        if tries > self._retries.same_deployment or not may_retry(error, tries) or not self._allowed():
            return False
        if error.retry_after is not None:
            self._pause = error.retry_after
            return self._pause <= min(self._longest_hint, self._time_left() - _LEAST_FOR_AN_ANSWER)
        bound = min(self._retries.backoff_max, self._retries.backoff_initial * 2 ** (tries - 1))
        self._pause = bound * self._random()
        return self._pause <= self._time_left() * _SHARE_FOR_WAITING
