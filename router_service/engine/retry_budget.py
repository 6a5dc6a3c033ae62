"""How much may be asked again: a share of what is asked for the first time, so that an outage is not amplified.

A provider that fails every request would otherwise get each of them twice or more, just when it can bear that least.
"""

from __future__ import annotations

from collections.abc import Callable

from router_service.domain.policy import RetryAllowance

# Shares are counted in whole millionths of a repeat: sums of floats would lose one now and then.
_REPEAT = 1_000_000
# What quiet times leave for a burst: a second's worth of the floor, and so many repeats saved up.
_BURST_SECONDS = 1.0
_MOST_SAVED = 100 * _REPEAT
# Names come from configurations and credentials, so that there are few; this bounds what a mistake could cost.
_NAMES_KEPT = 10_000


class RetryBudget:
    """Repeats left to one provider or one tenant, at `now` on the monotonic clock, in seconds."""

    __slots__ = ("_filled_at", "_floor", "_saved")

    def __init__(self, allowance: RetryAllowance, now: float) -> None:
        self._saved = 0
        self._floor = allowance.per_second * _BURST_SECONDS
        self._filled_at = now

    def deposit(self, allowance: RetryAllowance) -> None:
        """Something was asked for the first time."""
        self._saved = min(_MOST_SAVED, self._saved + round(allowance.share * _REPEAT))

    def allows(self, allowance: RetryAllowance, now: float) -> bool:
        """Whether a repeat can be paid for."""
        most = allowance.per_second * _BURST_SECONDS
        self._floor = min(most, self._floor + (now - self._filled_at) * allowance.per_second)
        self._filled_at = now
        return self._saved >= _REPEAT or self._floor >= 1.0

    def withdraw(self) -> None:
        """Pay for a repeat that it allows."""
        if self._saved >= _REPEAT:
            self._saved -= _REPEAT
        else:
            self._floor -= 1.0


class RetryBudgets:
    """The budgets of all providers and tenants, in process. A repeat is paid for from both its provider's and its
    tenant's: no tenant's failing calls use up what the others need.

    Asking another provider repeats nothing there, so a fallback is free until it comes to a provider again. `clock` is
    monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.allowance = RetryAllowance()
        self._clock = clock
        self._providers: dict[str, RetryBudget] = {}
        self._tenants: dict[str, RetryBudget] = {}

    def asked(self, provider: str, tenant: str) -> None:
        """A call asks this provider for the first time."""
        self._of(self._providers, provider).deposit(self.allowance)
        self._of(self._tenants, tenant).deposit(self.allowance)

    def may_repeat(self, provider: str, tenant: str) -> bool:
        """Whether a call may ask a provider again; if so, that is paid for."""
        both = (self._of(self._providers, provider), self._of(self._tenants, tenant))
        now = self._clock()
        if not all(budget.allows(self.allowance, now) for budget in both):
            return False
        for budget in both:
            budget.withdraw()
        return True

    def _of(self, budgets: dict[str, RetryBudget], name: str) -> RetryBudget:
        budget = budgets.get(name)
        if budget is None:
            if len(budgets) >= _NAMES_KEPT:
                budgets.clear()
            budget = budgets[name] = RetryBudget(self.allowance, self._clock())
        return budget
