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
# A probe that never reported back (its process part was cancelled in an odd place) must not block for ever.
_PROBE_LEASE = 60.0


@dataclass(slots=True)
class _Breaker:
    failures: int = 0
    openings: int = 0
    open_until: float = 0.0
    probing_until: float = 0.0
    reason: str = ""


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
            left = max(breaker.open_until, breaker.probing_until) - now
            if left > 0:
                found[deployment] = Cooling(reason=breaker.reason, seconds=left)
        return found

    def is_open(self, deployment: str) -> bool:
        """Whether the deployment must not be called now."""
        breaker = self._breakers.get(deployment)
        return breaker is not None and max(breaker.open_until, breaker.probing_until) > self._clock()

    def dispatched(self, deployment: str) -> None:
        """An attempt leaves. After a cooldown the first one is the probe; others wait for its result."""
        breaker = self._breakers.get(deployment)
        if breaker is not None and breaker.openings:
            breaker.probing_until = self._clock() + _PROBE_LEASE

    def succeeded(self, deployment: str) -> None:
        """A verified finish closes the breaker."""
        self._breakers.pop(deployment, None)

    def abandoned(self, deployment: str) -> None:
        """The attempt was cancelled before it proved anything: the next one may probe."""
        breaker = self._breakers.get(deployment)
        if breaker is not None:
            breaker.probing_until = 0.0

    def failed(self, deployment: str, error: UpstreamError) -> None:
        """Count a failure; open the breaker where the kind of fault or the number of failures asks for it."""
        ejection = TAXONOMY[error.fault].ejection
        if ejection is Ejection.NONE:
            self.abandoned(deployment)
            return
        breaker = self._breakers.setdefault(deployment, _Breaker())
        probed, breaker.probing_until = breaker.probing_until > 0, 0.0
        breaker.failures += 1
        if ejection is Ejection.FAILURE and breaker.failures < _FAILURES_TO_OPEN and not breaker.openings:
            return
        now = self._clock()
        # Attempts that were under way when it opened say nothing new: only a failed probe lengthens the cooldown.
        if probed or breaker.open_until <= now:
            breaker.openings += 1
        if ejection is Ejection.RATE and error.retry_after is not None:
            seconds = error.retry_after
        else:
            seconds = _COOLDOWN[ejection] * 2 ** min(breaker.openings - 1, 8)
        until = now + min(seconds, _LONGEST_COOLDOWN)
        if until > breaker.open_until:  # a new cooldown never shortens the one in force
            breaker.open_until = until
            breaker.reason = error.error_type

    def forget_except(self, deployments: frozenset[str]) -> None:
        """Drop breakers of deployments that a reload removed."""
        for gone in self._breakers.keys() - deployments:
            del self._breakers[gone]
