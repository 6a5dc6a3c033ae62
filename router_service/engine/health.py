"""Health of deployments: a circuit breaker each, fed by attempts, read by decisions.

closed ──failures──> open (cooling) ──time──> half-open: one probe ──success──> closed
                      ^                                  └──failure──> open, for longer
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from router_service.domain.error import UpstreamError
from router_service.engine.taxonomy import TAXONOMY, Ejection
from router_service.routing.world import Cooling

_FAILURES_TO_OPEN = 5
_COOLDOWN = {Ejection.FAILURE: 10.0, Ejection.RATE: 5.0, Ejection.QUOTA: 600.0, Ejection.AUTH: 300.0}
_LONGEST_COOLDOWN = 900.0
# What is our conclusion from failures, rather than the provider's own word.
_CONCLUDED = frozenset({Ejection.FAILURE, Ejection.RATE})
# A probe that never reported back (its process part was cancelled in an odd place) must not block for ever.
_PROBE_LEASE = 60.0
# What others are told to wait for while a probe runs, in seconds: it may be back at any moment.
_PROBE_TAKES = 1.0


@dataclass(slots=True)
class _Breaker:
    failures: int = 0
    openings: int = 0
    open_until: float = 0.0
    opened_at: float = 0.0
    probing_until: float = 0.0
    reason: str = ""
    ejection: Ejection = Ejection.NONE
    is_guess: bool = True


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One attempt as health sees it: when it left, and whether its result is the one that others wait for."""

    deployment: str
    at: float
    probes: bool


class HealthBook:
    """Breakers of all deployments, by id. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # Only deployments in trouble have an entry, so that a healthy fleet costs a decision nothing.
        self._breakers: dict[str, _Breaker] = {}

    def cooling(self) -> Mapping[str, Cooling]:
        """The deployments that must not be called now, with the reason and the seconds left."""
        if not self._breakers:
            return {}
        now = self._clock()
        found = {}
        for deployment, breaker in tuple(self._breakers.items()):
            left = breaker.open_until - now
            if breaker.probing_until > now:
                left = max(left, _PROBE_TAKES)
            if left > 0:
                found[deployment] = Cooling(reason=breaker.reason, seconds=left, is_guess=breaker.is_guess)
        return found

    def is_open(self, deployment: str) -> bool:
        """Whether the deployment must not be called now."""
        breaker = self._breakers.get(deployment)
        return breaker is not None and max(breaker.open_until, breaker.probing_until) > self._clock()

    def dispatched(self, deployment: str) -> Dispatch:
        """An attempt leaves. After a cooldown the first one is the probe; others wait for its result."""
        now = self._clock()
        breaker = self._breakers.get(deployment)
        probes = breaker is not None and breaker.openings > 0 and max(breaker.open_until, breaker.probing_until) <= now
        if breaker is not None and probes:
            breaker.probing_until = now + _PROBE_LEASE
        return Dispatch(deployment, now, probes)

    def succeeded(self, dispatch: Dispatch) -> None:
        """A verified finish closes the breaker, unless the attempt left before it opened: that proves nothing."""
        breaker = self._breakers.get(dispatch.deployment)
        if breaker is not None and not (breaker.openings and dispatch.at < breaker.opened_at):
            del self._breakers[dispatch.deployment]

    def abandoned(self, dispatch: Dispatch) -> None:
        """The attempt proved nothing: if it was the probe, the next one may probe."""
        breaker = self._breakers.get(dispatch.deployment)
        if breaker is not None and dispatch.probes:
            breaker.probing_until = 0.0

    def failed(self, dispatch: Dispatch, error: UpstreamError) -> None:
        """Count a failure; open the breaker where the kind of fault or the number of failures asks for it."""
        ejection = TAXONOMY[error.fault].ejection
        self.abandoned(dispatch)
        if ejection is Ejection.NONE or error.blameless:
            return
        breaker = self._breakers.setdefault(dispatch.deployment, _Breaker())
        breaker.failures += 1
        now = self._clock()
        concluded = self._concluded(breaker, ejection, dispatch, now)
        # What the provider says goes before what we conclude: of its rate alone, of anything else if it is longer.
        told = error.retry_after or 0.0
        if ejection is Ejection.RATE and error.retry_after is not None:
            concluded = 0.0
        until = now + min(max(told, concluded), _LONGEST_COOLDOWN)
        if until > max(now, breaker.open_until):  # a new cooldown never shortens the one in force
            breaker.open_until, breaker.opened_at = until, now
            breaker.reason, breaker.ejection = error.error_type, ejection
            breaker.is_guess = ejection in _CONCLUDED and concluded > told

    def _concluded(self, breaker: _Breaker, ejection: Ejection, dispatch: Dispatch, now: float) -> float:
        """For how many seconds the failure, and those before it, speak for leaving the deployment alone."""
        if ejection is Ejection.FAILURE and breaker.failures < _FAILURES_TO_OPEN and not breaker.openings:
            return 0.0
        # Only a failed probe lengthens the cooldown: attempts that were under way, retries and late fallbacks say
        # nothing new.
        if dispatch.probes or not breaker.openings:
            breaker.openings += 1
        elif breaker.open_until > now and ejection is Ejection.FAILURE:
            return 0.0
        return _COOLDOWN[ejection] * float(2 ** min(breaker.openings - 1, 8))

    def forgive_credentials(self, deployments: frozenset[str]) -> None:
        """Drop cooldowns that refused or exhausted credentials caused: a reload brought new ones."""
        for deployment in deployments:
            breaker = self._breakers.get(deployment)
            if breaker is not None and breaker.ejection in {Ejection.AUTH, Ejection.QUOTA}:
                del self._breakers[deployment]

    def forget_except(self, deployments: frozenset[str]) -> None:
        """Drop breakers of deployments that a reload removed."""
        for gone in self._breakers.keys() - deployments:
            del self._breakers[gone]
