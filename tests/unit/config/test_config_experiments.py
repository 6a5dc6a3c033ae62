"""Experiments and shadows in the file: what they compile to, and every mistake with its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from router_service.config.configuration import Configuration
from router_service.config.problem import Problem
from router_service.domain.chat import Parameters
from router_service.domain.limit import Budget, FailMode, Period
from router_service.domain.policy import Arm, ArmKey, Experiment, Shadow, Strategy, TextMatch, When
from router_service.domain.quality import Escalation, Gate, GateKind

Load = Callable[..., Configuration]
Problems = Callable[..., tuple[Problem, ...]]
HEAD = """\
providers:
  openai: {}
models:
  gpt-4o: {provider: openai}
  weak: {provider: openai, model: gpt-4o-mini}
policies:
  default:
    rules: [{use: gpt-4o}]
"""


def test_an_experiment_says_who_is_in_it_and_how_each_arm_answers(read: Load) -> None:
    configuration = read(
        HEAD
        + """\
    experiments:
      cheap-chat:
        when: {feature: Chat}
        tenants: {not: Acme}
        key: conversation
        version: 2
        arms:
          control: {weight: 90}
          weak: {weight: 10, use: gpt-4o-mini, strategy: cheapest, parameters: {temperature: 0.2},
                 escalate: {gates: [not_empty]}}
"""
    )
    weak = configuration.deployments["weak"]
    assert configuration.policies["default"].experiments == (
        Experiment(
            name="cheap-chat",
            when=When(feature=TextMatch(any_of=frozenset({"chat"}))),
            tenants=TextMatch(none_of=frozenset({"Acme"})),
            key=ArmKey.CONVERSATION,
            version=2,
            arms=(
                Arm(name="control", weight=90),
                Arm(
                    name="weak",
                    weight=10,
                    candidates=(weak,),
                    strategy=Strategy.CHEAPEST,
                    parameters=Parameters(temperature=0.2),
                    escalation=Escalation(gates=(Gate(kind=GateKind.NOT_EMPTY),)),
                ),
            ),
        ),
    )


def test_a_shadow_says_whom_to_ask_how_often_and_at_what_cost(read: Load) -> None:
    configuration = read(
        HEAD
        + """\
    shadow:
      try-weak: {use: weak, share: 0.05, max_cost: {usd: 5, period: month}, timeout: 30s, max_concurrent: 3,
                 gates: [not_refusal], when: {tier: free}}
      other: {use: [weak, gpt-4o], share: 1, max_cost: {usd: 0.5}}
"""
    )
    weak, strong = configuration.deployments["weak"], configuration.deployments["gpt-4o"]
    assert configuration.policies["default"].shadows == (
        Shadow(
            id="default/try-weak",
            candidates=(weak,),
            share=0.05,
            max_cost_nano_usd=5 * 10**9,
            period=Period.MONTH,
            when=When(tier=TextMatch(any_of=frozenset({"free"}))),
            max_concurrent=3,
            timeout=30.0,
            escalation=Escalation(gates=(Gate(kind=GateKind.NOT_REFUSAL),)),
        ),
        Shadow(
            id="default/other",
            candidates=(weak, strong),
            share=1.0,
            max_cost_nano_usd=10**9 // 2,
            period=Period.DAY,
        ),
    )
    assert configuration.limits.budgets == ()
    assert configuration.limits.shadows["default/other"] == Budget(
        name="shadow default/other", nano_usd=10**9 // 2, period=Period.DAY, fail=FailMode.CLOSED
    )


ARMS = "arms: {a: {weight: 1}, b: {weight: 1, use: weak}}"
SHADOW: dict[str, Any] = {"use": "weak", "share": "0.1", "max_cost": "{usd: 1}"}


@pytest.mark.parametrize(
    ("written", "path", "message"),
    [
        ("arms: {a: {weight: 1}}", "", "has nothing to compare"),
        ("arms: {a: {weight: 0}, b: {weight: 0}}", "", "all arms have the weight 0"),
        ("arms: {a: {weight: 1}, b: {weight: -1}}", "arms.b.weight", "should be greater than or equal to 0"),
        ("arms: {a: {weight: 1}, b: {use: weak}}", "arms.b.weight", "is required"),
        ("arms: {a: {weight: 1}, b: {weight: 1, use: gpt-5}}", "arms.b.use", "there is no model or deployment gpt-5"),
        (
            "arms: {a: {weight: 1}, b: {weight: 1, use: [weak, gpt-5]}}",
            "arms.b.use[1]",
            "there is no model or deployment gpt-5",
        ),
        ("arms: {a: {weight: 1}, b: {weight: 1, use: []}}", "arms.b.use", "names no model"),
        (f"key: tier, {ARMS}", "key", "tier is not one of"),
        (f"when: {{complexity: hard}}, {ARMS}", "when.complexity", "hard is no complexity"),
        (f"when: {{language: zh-CN}}, {ARMS}", "when.language", "never matches"),
        (f"when: {{featur: chat}}, {ARMS}", "when.featur", "unknown key"),
        (
            "arms: {a: {weight: 1}, b: {weight: 1, escalate: {gates: [not_empty], to: [gpt-5]}}}",
            "arms.b.escalate.to[0]",
            "there is no model or deployment gpt-5",
        ),
    ],
)
def test_a_mistake_in_an_experiment_is_reported_where_it_is(
    problems: Problems, written: str, path: str, message: str
) -> None:
    (found,) = problems(HEAD + f"    experiments: {{x: {{{written}}}}}\n")
    assert found.path == f"policies.default.experiments.x.{path}".rstrip("."), str(found)
    assert message in found.message
    assert found.line == 9


def test_an_experiment_behind_one_that_has_every_call_is_never_reached(problems: Problems) -> None:
    (found,) = problems(HEAD + f"    experiments: {{x: {{{ARMS}}}, y: {{{ARMS}}}}}\n")
    assert found.path == "policies.default.experiments.y"
    assert "is never reached: policies.default.experiments.x" in found.message


@pytest.mark.parametrize(
    ("changed", "path", "message"),
    [
        ({"use": "gpt-5"}, "use", "there is no model or deployment gpt-5"),
        ({"use": "[]"}, "", "names no model"),
        ({"share": "0"}, "share", "should be greater than 0"),
        ({"share": "1.1"}, "share", "should be less than or equal to 1"),
        ({"max_cost": "{usd: 0}"}, "max_cost.usd", "must be more than 0"),
        ({"max_cost": "{usd: 1, period: week}"}, "max_cost.period", "week is not one of"),
        ({"max_concurrent": "0"}, "max_concurrent", "should be greater than or equal to 1"),
        ({"gates": "[not_empty, confident]"}, "", "shadow calls ask for no log-probabilities"),
        ({"gates": "[{gate: judge, use: gpt-4o}]"}, "", "no model judges shadow calls"),
        ({"gates": "[not_empty, not_empty]"}, "gates[1]", "is listed twice"),
        ({"when": "{complexity: hard}"}, "when.complexity", "hard is no complexity"),
        ({"max_cost": None}, "max_cost", "is required"),
    ],
)
def test_a_mistake_in_a_shadow_is_reported_where_it_is(
    problems: Problems, changed: dict[str, str | None], path: str, message: str
) -> None:
    written = ", ".join(f"{key}: {value}" for key, value in {**SHADOW, **changed}.items() if value is not None)
    (found,) = problems(HEAD + f"    shadow: {{s: {{{written}}}}}\n")
    assert found.path == f"policies.default.shadow.s.{path}".rstrip("."), str(found)
    assert message in found.message
    assert found.line == 9
