"""What earlier calls taught: how fast deployments answer, how long a feature's answers are, who served whom."""

from __future__ import annotations

from collections import OrderedDict

from router_service.domain.call import Call

_WEIGHT_OF_NEWEST = 0.2
_CONVERSATIONS_KEPT = 100_000
_FEATURES_KEPT = 1_000


class Observations:
    """Rolling means, in process. `first_token_latency` is seconds by deployment id, `expected_output` tokens by
    feature; both are live views for decisions."""

    def __init__(self) -> None:
        self.first_token_latency: dict[str, float] = {}
        self.expected_output: dict[str, float] = {}
        self._conversations: OrderedDict[tuple[str, str], str] = OrderedDict()

    def answered(self, call: Call, deployment: str, *, first_output: float, output_tokens: int) -> None:
        """Learn from a verified answer. Where it came as a whole, `first_output` is when it came."""
        self.first_token_latency[deployment] = _rolled(self.first_token_latency.get(deployment), first_output)
        feature = call.caller.feature
        if feature in self.expected_output or len(self.expected_output) < _FEATURES_KEPT:
            self.expected_output[feature] = _rolled(self.expected_output.get(feature), output_tokens)
        if call.caller.conversation_id:
            key = (call.tenant, call.caller.conversation_id)
            self._conversations[key] = deployment
            self._conversations.move_to_end(key)
            if len(self._conversations) > _CONVERSATIONS_KEPT:
                self._conversations.popitem(last=False)

    def conversation_deployment(self, call: Call) -> str | None:
        """The deployment that served this conversation's last turn, if any did."""
        if not call.caller.conversation_id:
            return None
        return self._conversations.get((call.tenant, call.caller.conversation_id))


def _rolled(mean: float | None, newest: float) -> float:
    return newest if mean is None else mean + _WEIGHT_OF_NEWEST * (newest - mean)
