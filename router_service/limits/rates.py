"""Providers' own rates: which deployments are full right now, so that a call is sent elsewhere before a 429 says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from router_service.domain.limit import DeploymentRate, Limit, Scope, Unit
from router_service.limits.meters import MICROSECONDS, NEVER, Charge, Kind, Meter, Meters, MetersAway
from router_service.limits.window import Window

_MINUTE = 60.0
_SPAN = round(_MINUTE * MICROSECONDS)
# When nobody knows when there is room again: a call may end, or another replica's count may fall, at any moment.
_SOON = 1.0
# What the other replicas were counted at is believed for this long, in seconds.
_BELIEVED = 5.0


@dataclass(slots=True)
class Flight:
    """An attempt that was sent: the tokens it was counted with."""

    deployment: str
    tokens: int
    at: int
    landed: bool = False


@dataclass(slots=True)
class _Remaining:
    """What the provider said is left, less what was sent since; until when it holds, in seconds."""

    amount: int
    until: float


@dataclass(slots=True)
class _Usage:
    requests: Window = field(default_factory=lambda: Window(_SPAN))
    tokens: Window = field(default_factory=lambda: Window(_SPAN))
    in_flight: int = 0
    requests_left: _Remaining | None = None
    tokens_left: _Remaining | None = None
    # For the other replicas: what they do not know of yet, and what they used at the last exchange.
    unshared_requests: int = 0
    unshared_tokens: int = 0
    others_requests: int = 0
    others_tokens: int = 0
    exchanged_at: float = float("-inf")


class DeploymentRates:
    """Rates of all deployments, by id. `clock` is monotonic, in seconds. `max_concurrent` is divided by `replicas`."""

    def __init__(self, rates: Mapping[str, DeploymentRate], clock: Callable[[], float], *, replicas: int = 1) -> None:
        self._rates = rates
        self._clock = clock
        self._replicas = replicas
        self._usage: dict[str, _Usage] = {}

    def use(self, rates: Mapping[str, DeploymentRate]) -> None:
        """Go by these rates; counts stay."""
        self._rates = rates

    def limits(self, deployment: str) -> bool:
        """Whether anything is said of this deployment, so that its attempts are worth counting."""
        return deployment in self._rates or deployment in self._usage

    def saturated(self, tokens: int = 0) -> Mapping[str, float]:
        """The deployments that have no room for a call of so many tokens (input and output ceiling), and the seconds
        until they have."""
        if not self._usage:
            return {}
        now = self._clock()
        found = {}
        for deployment, usage in self._usage.items():
            seconds = self._wait(self._rates.get(deployment), usage, tokens, now)
            if seconds > 0:
                found[deployment] = seconds
        return found

    def dispatched(self, deployment: str, tokens: int) -> Flight:
        """Count an attempt as it leaves, with the tokens that it may use."""
        at = int(self._clock() * MICROSECONDS)
        usage = self._usage.setdefault(deployment, _Usage())
        usage.requests.forget(at)
        usage.requests.add(1, at)
        usage.tokens.forget(at)
        usage.tokens.add(tokens, at)
        usage.in_flight += 1
        usage.unshared_requests += 1
        usage.unshared_tokens += tokens
        if usage.requests_left:
            usage.requests_left.amount -= 1
        if usage.tokens_left:
            usage.tokens_left.amount -= tokens
        return Flight(deployment, tokens, at)

    def landed(self, flight: Flight, tokens: int | None) -> None:
        """The attempt ended; `None` where what it used is not known. A second time changes nothing."""
        if flight.landed:
            return
        flight.landed = True
        usage = self._usage[flight.deployment]
        usage.in_flight -= 1
        if tokens is not None and tokens != flight.tokens:
            usage.tokens.correct(tokens - flight.tokens, flight.at)
            usage.unshared_tokens += tokens - flight.tokens

    def observed(
        self,
        deployment: str,
        *,
        requests_left: int | None = None,
        requests_reset: float | None = None,
        tokens_left: int | None = None,
        tokens_reset: float | None = None,
    ) -> None:
        """Learn from an answer's `x-ratelimit-remaining-*` and `x-ratelimit-reset-*` headers.

        Resets are in seconds; without one, a minute. The provider counts for everybody who uses the key, so that its
        word goes beyond our own counts.
        """
        now = self._clock()
        usage = self._usage.setdefault(deployment, _Usage())
        if requests_left is not None:
            usage.requests_left = _Remaining(requests_left, now + _reset(requests_reset))
        if tokens_left is not None:
            usage.tokens_left = _Remaining(tokens_left, now + _reset(tokens_reset))

    async def exchange(self, meters: Meters) -> None:
        """Tell the other replicas what was sent, and learn what they sent: one round trip. Call it about every second;
        while the counters are away each replica goes by its own."""
        shared = [(name, usage, rate) for name, usage in self._usage.items() if (rate := self._rates.get(name))]
        if not shared:
            return
        told = [(usage.unshared_requests, usage.unshared_tokens) for _, usage, _ in shared]
        charges = []
        for (name, _, _), (requests, tokens) in zip(shared, told, strict=True):
            charges += [Charge(_meter(name, Unit.REQUESTS), requests), Charge(_meter(name, Unit.TOKENS), tokens)]
        try:
            taken = await meters.take("", charges)
        except MetersAway:
            return
        now = self._clock()
        at = int(now * MICROSECONDS)
        for place, ((_, usage, _), (requests, tokens)) in enumerate(zip(shared, told, strict=True)):
            usage.unshared_requests -= requests
            usage.unshared_tokens -= tokens
            usage.requests.forget(at)
            usage.tokens.forget(at)
            counted = taken.readings[2 * place].used + requests, taken.readings[2 * place + 1].used + tokens
            usage.others_requests = max(0, counted[0] - (usage.requests.total - usage.unshared_requests))
            usage.others_tokens = max(0, counted[1] - (usage.tokens.total - usage.unshared_tokens))
            usage.exchanged_at = now

    def _wait(self, rate: DeploymentRate | None, usage: _Usage, tokens: int, now: float) -> float:
        seconds = max(_told(usage.requests_left, 1, now), _told(usage.tokens_left, tokens, now))
        if rate is None:
            return seconds
        at = int(now * MICROSECONDS)
        believed = now - usage.exchanged_at < _BELIEVED
        if rate.requests_per_minute is not None:
            others = usage.others_requests if believed else 0
            seconds = max(seconds, _until_room(usage.requests, 1, rate.requests_per_minute, others, at))
        if rate.tokens_per_minute is not None:
            others = usage.others_tokens if believed else 0
            seconds = max(seconds, _until_room(usage.tokens, tokens, rate.tokens_per_minute, others, at))
        if rate.max_concurrent is not None and usage.in_flight >= max(1, rate.max_concurrent // self._replicas):
            seconds = max(seconds, _SOON)
        return seconds


def _until_room(window: Window, amount: int, cap: int, others: int, at: int) -> float:
    window.forget(at)
    wait = window.wait(amount, cap - others, at)
    if wait is None:
        return 0.0
    if wait != NEVER:
        return wait / MICROSECONDS
    # Too large for the provider altogether, or full without us.
    return _MINUTE if amount > cap else _SOON


def _told(left: _Remaining | None, amount: int, now: float) -> float:
    if left is None or left.until <= now or left.amount >= max(amount, 1):
        return 0.0
    return left.until - now


def _reset(seconds: float | None) -> float:
    return _MINUTE if seconds is None else seconds


def _meter(deployment: str, unit: Unit) -> Meter:
    rule = Limit(name=deployment, unit=unit, amount=0, window=_MINUTE, scope=Scope())
    return Meter(
        key=f"rate:{unit}:{deployment}", kind=Kind.WINDOW, cap=0, span=_SPAN, enforced=False, rule=rule, scope=""
    )
