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
    an exponentially growing bound ("full jitter"). `time_left` is in seconds until the caller's deadline.
    """

    def __init__(
        self,
        retries: Retries,
        *,
        time_left: Callable[[], float],
        random: Callable[[], float],
        sleep: Sleep,
    ) -> None:
        self._retries = retries
        self._time_left = time_left
        self._random = random
        self._sleep = sleep

    async def run(
        self,
        attempt: Callable[[int], Awaitable[Result]],
        *,
        may_repeat: Callable[[], bool],
        fallbacks_left: int = 0,
    ) -> Result:
        """The result of `attempt(tries)` as soon as it succeeds. Raises its last `UpstreamError` where that is final.

        `may_repeat` has the last word on each repeat, and pays for it. `fallbacks_left` other candidates could serve
        instead: they are then the better use of a long wait.
        """
        try:
            return await attempt(1)
        except UpstreamError as error:
            return await self._go_on(attempt, error, may_repeat, _PATIENCE if fallbacks_left else math.inf)

    async def _go_on(
        self,
        attempt: Callable[[int], Awaitable[Result]],
        failure: UpstreamError,
        may_repeat: Callable[[], bool],
        longest_hint: float,
    ) -> Result:
        """What follows a failed first try. Only then is tenacity's bookkeeping worth its time."""
        tries = 0
        pause = 0.0

        def worth_another(state: RetryCallState) -> bool:
            nonlocal pause
            error = state.outcome.exception() if state.outcome is not None else None
            if not isinstance(error, UpstreamError):
                return False
            wait = self._wait(error, state.attempt_number, longest_hint)
            if wait is None or not may_repeat():
                return False
            pause = wait
            return True

        async def once() -> Result:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise failure
            return await attempt(tries)

        retrying = AsyncRetrying(retry=worth_another, wait=lambda _: pause, sleep=self._sleep)
        result: Result = await retrying(once)
        return result

    def _wait(self, error: UpstreamError, tries: int, longest_hint: float) -> float | None:
        """Seconds until the deployment that failed on its `tries`-th try is asked again, `None` where it is not."""
        if tries > self._retries.same_deployment or not may_retry(error, tries):
            return None
        if error.retry_after is not None:
            fits = error.retry_after <= min(longest_hint, self._time_left() - _LEAST_FOR_AN_ANSWER)
            return error.retry_after if fits else None
        bound = min(self._retries.backoff_max, self._retries.backoff_initial * 2 ** (tries - 1))
        wait = bound * self._random()
        return wait if wait <= self._time_left() * _SHARE_FOR_WAITING else None
