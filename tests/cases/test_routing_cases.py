"""Every policy file that ships, against the YAML cases that say how it routes.

`routing/<policy file>.yaml` is a list of cases for the policy file of that name:

    description     what is shown
    call            caller fields, wishes and parameters by their names; `prompt`, or `turns` (a number of user
                    messages before the prompt); `tools`, `image`, `json_schema`: true
    world           `cooling` (seconds by deployment), `first_token_latency`, `expected_output`,
                    `conversation_deployment`; everything is well and unknown without it
    without_keys    environment variables that are not set; all others are
    want            some of: rule, candidates (all, in order), first, rejected (reason by deployment), token_limit
                    ([applied, whose]), parameters, complexity, complexity_source, language, error
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

import router_service
from router_service.config.load import load
from router_service.config.vendors import VENDORS
from router_service.domain.call import Call, Caller, Wishes
from router_service.domain.chat import (
    Chat,
    ImagePart,
    JsonSchemaFormat,
    Message,
    Parameters,
    Part,
    Role,
    TextPart,
    Tool,
)
from router_service.domain.decision import Decision
from router_service.domain.error import RouterError
from router_service.routing.assess import assess
from router_service.routing.decide import decide
from router_service.routing.table import RoutingTable
from router_service.routing.world import Cooling, World

POLICIES = Path(router_service.__file__).parent / "policies"
CASES = Path(__file__).parent / "routing"

CALLER = {"feature", "tier", "task_type", "user", "conversation_id", "language", "complexity", "labels"}
WISHES = {"policy", "model", "deployment", "latency_target", "max_cost_nano_usd"}
PARAMETERS = {"max_output_tokens", "temperature"}
CHAT = {"prompt", "turns", "tools", "image", "json_schema"}

Case = Mapping[str, Any]


def cases() -> list[Any]:
    return [
        pytest.param(file.stem, case, id=f"{file.stem}: {case['description']}")
        for file in sorted(CASES.glob("*.yaml"))
        for case in yaml.safe_load(file.read_text("utf-8"))
    ]


@cache
def table(policy_file: str, without_keys: frozenset[str]) -> RoutingTable:
    variables = {variable for vendor in VENDORS.values() for variable in vendor.key_variables}
    environ = dict.fromkeys(variables - without_keys, "sk-of-a-test")
    configuration = load(POLICIES / f"{policy_file}.yaml", lambda provider, model: None, environ)
    return RoutingTable(
        policies=configuration.policies,
        deployments=configuration.deployments,
        models=configuration.models,
        features=configuration.features,
        default_policy=configuration.default_policy,
        fingerprint=configuration.fingerprint,
    )


def some(given: Case, names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name in names}


def chat(given: Case) -> Chat:
    earlier = [
        Message(role=role, parts=(TextPart("And then?"),))
        for _ in range(given.get("turns", 0))
        for role in (Role.USER, Role.ASSISTANT)
    ]
    parts: tuple[Part, ...] = (TextPart(given.get("prompt", "Hello")),)
    if given.get("image"):
        parts = (*parts, ImagePart(url="https://example.com/receipt.png"))
    return Chat(
        messages=(*earlier, Message(role=Role.USER, parts=parts)),
        tools=(Tool(name="look_up", parameters_json='{"type":"object"}'),) if given.get("tools") else (),
        response_format=JsonSchemaFormat(name="answer", schema_json="{}") if given.get("json_schema") else None,
        parameters=Parameters(**some(given, PARAMETERS)),
    )


def call(given: Case) -> Call:
    unknown = given.keys() - CALLER - WISHES - PARAMETERS - CHAT
    assert not unknown, f"the case says {unknown}, which is no field of a call"
    return Call(
        request_id="request-1",
        tenant="acme",
        caller=Caller(**some(given, CALLER)),
        chat=chat(given),
        wishes=Wishes(**some(given, WISHES)),
    )


def world(given: Case) -> World:
    cooling = {name: Cooling("429", seconds) for name, seconds in given.get("cooling", {}).items()}
    return World(**{**given, "cooling": cooling})


def said(decision: Decision) -> dict[str, Any]:
    first = decision.candidates[0]
    return {
        "rule": decision.rule_name,
        "candidates": [candidate.deployment.id for candidate in decision.candidates],
        "first": first.deployment.id,
        "rejected": {rejection.deployment.id: rejection.reason.value for rejection in decision.rejections},
        "token_limit": [first.token_limit.applied, first.token_limit.reason],
        "parameters": {"temperature": decision.parameters.temperature},
        "complexity": decision.signals.complexity,
        "complexity_source": decision.signals.complexity_source.value,
        "language": decision.signals.language,
    }


@pytest.mark.parametrize(("policy_file", "case"), cases())
def test_routes_as_described(policy_file: str, case: Case) -> None:
    rules = table(policy_file, frozenset(case.get("without_keys", ())))
    asked = call(case["call"])
    got: dict[str, Any]
    try:
        got = said(decide(asked, assess(asked, rules), rules, world(case.get("world", {}))))
    except RouterError as error:
        got = {"error": error.reason.value}
    want = case["want"]
    assert {name: got.get(name) for name in want} == want


def test_every_policy_that_ships_has_cases() -> None:
    assert {file.stem for file in POLICIES.glob("*.yaml")} == {file.stem for file in CASES.glob("*.yaml")}


@pytest.mark.parametrize("file", sorted(POLICIES.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_policy_that_ships_loads_without_any_key(file: Path) -> None:
    assert not any(
        deployment.has_credentials for deployment in load(file, lambda provider, model: None, {}).deployments.values()
    )
