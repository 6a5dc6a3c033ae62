from __future__ import annotations

from routing_values import call, deployment, one_of, price, rule, signals, table

from router_service.domain.asking import Asking
from router_service.domain.classifier import Classification
from router_service.domain.decision import ComplexitySource
from router_service.domain.deployment import Capability
from router_service.domain.policy import Feature, When
from router_service.routing.decide import decide
from router_service.routing.explain import explain
from router_service.routing.world import World


def test_a_decision_explains_itself_in_plain_text() -> None:
    tools = frozenset({Capability.TOOLS})
    rules = table(
        rule(
            "free",
            [
                deployment("deepseek-chat", price=price(0.27, 1.09), capabilities=tools),
                deployment("unpriced", capabilities=tools),
                deployment("blind"),
            ],
            When(tier=one_of("free")),
        ),
        features=[Feature(name="chat", max_output_tokens=300)],
    )
    decision = decide(call(tier="free", feature="chat"), signals(needs=tools), rules, World())
    assert explain(decision).splitlines() == [
        "policy      default",
        "signals     about 100 input tokens; simple (heuristic, score 0.10); language en; turn 1; needs tools",
        'cause       rule "free": tier is free; order',
        "candidates",
        "  1. deepseek-chat  about $0.000354, at most 300 output tokens (feature)",
        "  2. unpriced       price unknown, at most 300 output tokens (feature)",
        "rejected",
        "  -  blind          CAPABILITY: it lacks tools",
    ]


def test_what_is_not_known_is_said_so() -> None:
    known = signals(language="", complexity_score=None, complexity_source=ComplexitySource.CALLER)
    decision = decide(call(), known, table(rule("r", [deployment("d")])), World())
    text = explain(decision)
    assert "simple (caller); language undetermined" in text
    assert "no token limit" in text
    assert "rejected" not in text


def test_what_a_model_would_still_be_asked_is_said() -> None:
    asking = Asking(deployments=(deployment("mini"), deployment("micro")), timeout=1.0, max_cost_nano_usd=1)
    rules = table(rule("all", [deployment("a")]), classification=Classification(use="llm", asking=asking))
    decision = decide(call(), signals(asks="llm"), rules, World())
    told = "before it is answered, mini or micro is asked how complex it is, which may choose another rule"
    assert f"provisional {told}" in explain(decision).splitlines()
