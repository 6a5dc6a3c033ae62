"""A provider's keys, used in turn; a key that is refused or used up rests while others work."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from router_service.config.secret import Secret
from router_service.domain.error import UpstreamError, UpstreamFault

KEY_FAULTS = frozenset({UpstreamFault.AUTH, UpstreamFault.QUOTA, UpstreamFault.RATE_LIMITED})
"""The failures that another key may not have; none of them is billed."""

_REST_SECONDS = {UpstreamFault.AUTH: 300.0, UpstreamFault.QUOTA: 300.0, UpstreamFault.RATE_LIMITED: 10.0}


@dataclass(frozen=True, slots=True)
class _Rest:
    """Until when a key rests, and why; `is_told` says that the provider named the time."""

    until: float = 0.0
    fault: UpstreamFault | None = None
    is_told: bool = False
    retryable: bool | None = None


_RESTED = _Rest()


@dataclass(slots=True, eq=False)
class _Place:
    secret: Secret
    value: str
    rest: _Rest = _RESTED

    def reveal(self) -> str:
        """The key as it is now; a rotated one has done nothing wrong yet."""
        value = self.secret.reveal()
        if value != self.value:
            self.value = value
            self.rest = _RESTED
        return value


class KeyPool:
    """Gives out keys in turn. `monotonic` is a clock in seconds."""

    def __init__(self, secrets: Sequence[Secret], monotonic: Callable[[], float]) -> None:
        self._places: list[_Place] = []
        self._monotonic = monotonic
        self._next = 0
        self.use(secrets)

    def __len__(self) -> int:
        return len(self._places)

    def use(self, secrets: Sequence[Secret]) -> None:
        """Give out these from now on; a key that rests rests on."""
        rests = {place.value: place.rest for place in self._places}
        self._places = [_Place(secret, value := secret.reveal(), rests.get(value, _RESTED)) for secret in secrets]
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
            soonest = min(in_turn, key=lambda each: each.rest.until)
            place = next((each for each in in_turn if each.rest.until <= now), soonest)
            self._next = (self._places.index(place) + 1) % count
        return place.reveal() or None

    def another(self, tried: Collection[str]) -> str | None:
        """The next key that does not rest and is not among `tried`; `None` where there is none."""
        count = len(self._places)
        now = self._monotonic()
        for number in range(self._next, self._next + count):
            place = self._places[number % count]
            value = place.reveal()
            if value and value not in tried and place.rest.until <= now:
                self._next = (number + 1) % count
                return value
        return None

    def failed(self, key: str, error: UpstreamError) -> None:
        """Let a key rest whose request was refused because of the key or its account."""
        seconds = _REST_SECONDS.get(error.fault)
        if seconds is None:
            return
        told = error.retry_after if error.fault is UpstreamFault.RATE_LIMITED else None
        until = self._monotonic() + (seconds if told is None else told)
        for place in self._places:
            if place.value == key and until > place.rest.until:
                place.rest = _Rest(until, error.fault, told is not None, error.retryable)

    def overall(self, last: UpstreamError, message: str) -> UpstreamError:
        """What it means that no key is left after the `last` failed: where a rate limited key is back first, all of
        them are rate limited until then, which `message` tells; else what the last one means.
        """
        now = self._monotonic()
        if len(self._places) < 2:
            return last
        resting = [place.rest for place in self._places if place.rest.until > now]
        first = min(resting, key=lambda rest: rest.until, default=_RESTED)
        if first.fault is not UpstreamFault.RATE_LIMITED:
            return last
        return UpstreamError(
            UpstreamFault.RATE_LIMITED,
            message,
            status=429,
            # The rest of a key whose provider named no time is our guess.
            retry_after=first.until - now if first.is_told else None,
            retryable=first.retryable,
        )
