"""Which calls are shadowed. Pure: the share is drawn by the call's operation, the same wherever it is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from router_service.domain.call import Call
from router_service.domain.chance import chance
from router_service.domain.decision import Signals
from router_service.domain.policy import Shadow
from router_service.routing.experiment import Conditions


class Shadowing:
    """The shadows of one policy, each by itself."""

    def __init__(self, shadows: Sequence[Shadow]) -> None:
        self._shadows = [(one, Conditions(one.when, one.tenants)) for one in shadows]

    def draw(self, call: Call, signals: Signals, operation_id: str) -> Iterator[Shadow]:
        """Those that the call is drawn for."""
        for shadow, conditions in self._shadows:
            if chance(f"{shadow.id}\0{operation_id}") < shadow.share and conditions.hold(call, signals):
                yield shadow
