"""Short ways to write the values that routing works on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from router_service.domain.call import Call, Caller, Wishes
from router_service.domain.chat import Chat, Message, Parameters, Role, TextPart
from router_service.domain.decision import ComplexitySource, Signals
from router_service.domain.deployment import Deployment, Price, Rate
from router_service.domain.policy import Feature, Policy, Rule, TextMatch, When
from router_service.routing.table import RoutingTable

USD = 10**9


def price(input_usd: float, output_usd: float, cached_usd: float | None = None) -> Price:
    """USD per million tokens."""
    rates = [Rate(round(usd * USD)) for usd in (input_usd, output_usd, input_usd if cached_usd is None else cached_usd)]
    return Price(input=rates[0], output=rates[1], cached_input=rates[2], cache_write=rates[0], version="test")


def deployment(name: str, **changes: Any) -> Deployment:
    return Deployment(**{"id": name, "model": name, "provider": "acme-ai", "upstream_name": name, **changes})


def one_of(*values: str) -> TextMatch:
    return TextMatch(any_of=frozenset(values))


def none_of(*values: str) -> TextMatch:
    return TextMatch(none_of=frozenset(values))


def rule(name: str, candidates: Sequence[Deployment], when: When | None = None, **changes: Any) -> Rule:
    return Rule(name=name, when=when or When(), candidates=tuple(candidates), **changes)


def table(
    *rules: Rule, features: Sequence[Feature] = (), others: Sequence[Deployment] = (), **policy: Any
) -> RoutingTable:
    deployments = {one.id: one for made in rules for one in made.candidates} | {one.id: one for one in others}
    models: dict[str, tuple[Deployment, ...]] = {}
    for one in deployments.values():
        models[one.model] = (*models.get(one.model, ()), one)
    return RoutingTable(
        policies={"default": Policy(name="default", rules=rules, **policy)},
        deployments=deployments,
        models=models,
        features={feature.name: feature for feature in features},
        default_policy="default",
        fingerprint="fingerprint-1",
    )


def said(role: Role, text: str, **changes: Any) -> Message:
    return Message(role=role, parts=(TextPart(text),) if text else (), **changes)


def call(
    *messages: Message,
    request_id: str = "request-1",
    wishes: Wishes | None = None,
    parameters: Parameters | None = None,
    chat: Chat | None = None,
    **caller: Any,
) -> Call:
    return Call(
        request_id=request_id,
        tenant="acme",
        caller=Caller(**caller),
        chat=chat or Chat(messages=messages or (said(Role.USER, "Hello"),), parameters=parameters or Parameters()),
        wishes=wishes or Wishes(),
    )


def signals(**changes: Any) -> Signals:
    return Signals(
        **{
            "input_tokens": 100,
            "language": "en",
            "complexity": "simple",
            "complexity_source": ComplexitySource.HEURISTIC,
            "complexity_score": 0.1,
            "turns": 1,
            "needs": frozenset(),
            **changes,
        }
    )
