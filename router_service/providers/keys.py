"""A provider's keys, used in turn; a key that is refused or used up rests while others work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from router_service.config.configuration import Secret
from router_service.domain.error import UpstreamError, UpstreamFault

_REST_SECONDS = {UpstreamFault.AUTH: 300.0, UpstreamFault.QUOTA: 300.0, UpstreamFault.RATE_LIMITED: 10.0}


@dataclass(slots=True, eq=False)
class _Place:
    secret: Secret
    value: str
    rests_until: float


class KeyPool:
    """Gives out keys in turn. `monotonic` is a clock in seconds."""

    def __init__(self, secrets: Sequence[Secret], monotonic: Callable[[], float]) -> None:
        self._places: list[_Place] = []
        self._monotonic = monotonic
        self._next = 0
        self.use(secrets)

    def use(self, secrets: Sequence[Secret]) -> None:
        """Give out these from now on; a key that rests rests on."""
        rests = {place.value: place.rests_until for place in self._places}
        self._places = [_Place(secret, value := secret.reveal(), rests.get(value, 0.0)) for secret in secrets]
        self._next = 0

    def take(self) -> str | None:
        """The next key that does not rest, or the one whose rest ends first; `None` where there is no key."""
        count = len(self._places)
        if count == 0:
            return None
        place = self._places[0]
        if count > 1:
            now = self._monotonic()
            in_turn = [*self._places[self._next :], *self._places[: self._next]]
            place = next((each for each in in_turn if each.rests_until <= now), min(in_turn, key=_rest))
            self._next = (self._places.index(place) + 1) % count
        value = place.secret.reveal()
        if value != place.value:
            # A rotated key has done nothing wrong yet.
            place.value = value
            place.rests_until = 0.0
        return value or None

    def failed(self, key: str, error: UpstreamError) -> None:
        """Let a key rest whose request was refused because of the key or its account."""
        rest = _REST_SECONDS.get(error.fault)
        if rest is None:
            return
        if error.fault is UpstreamFault.RATE_LIMITED and error.retry_after is not None:
            rest = error.retry_after
        for place in self._places:
            if place.value == key:
                place.rests_until = max(place.rests_until, self._monotonic() + rest)


def _rest(place: _Place) -> float:
    return place.rests_until
