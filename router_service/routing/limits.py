"""The ceiling on output tokens: the least of caller, feature, rule and model."""

from __future__ import annotations

from router_service.domain.decision import TokenLimit
from router_service.domain.deployment import Deployment
from router_service.domain.policy import Feature, Rule


def asked_limit(requested: int | None, feature: Feature, rule: Rule | None) -> TokenLimit:
    """What caller, feature and rule agree on, whichever model answers. The first named wins a tie."""
    applied, reason = requested, "none" if requested is None else "caller"
    if feature.max_output_tokens is not None and (applied is None or feature.max_output_tokens < applied):
        applied, reason = feature.max_output_tokens, "feature"
    if (
        rule is not None
        and rule.max_output_tokens is not None
        and (applied is None or rule.max_output_tokens < applied)
    ):
        applied, reason = rule.max_output_tokens, "rule"
    return TokenLimit(requested=requested, applied=applied, reason=reason)


def limit_on(deployment: Deployment, asked: TokenLimit, input_tokens: int) -> TokenLimit:
    """The limit as this deployment allows it: no more than the model writes, or than the prompt leaves room for."""
    ceiling = deployment.max_output_tokens
    room = output_room(deployment, input_tokens)
    if room is not None and (asked.applied is not None or ceiling is not None):
        ceiling = room if ceiling is None else min(ceiling, room)
    if ceiling is None or (asked.applied is not None and asked.applied <= ceiling):
        return asked
    return TokenLimit(requested=asked.requested, applied=ceiling, reason="model")


def output_room(deployment: Deployment, input_tokens: int) -> int | None:
    """How many tokens the context window leaves for the answer; `None` where the window is unknown."""
    return None if deployment.context_window is None else deployment.context_window - input_tokens
