"""Gates and escalation in the file: short and long forms, and every mistake with its place."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from router_service.config.load import load
from router_service.config.problem import Problem
from router_service.domain.policy import Policy
from router_service.domain.quality import Escalation, Gate, GateDelivery, GateKind, Threshold, Unsatisfied

Problems = Callable[..., tuple[Problem, ...]]
HEAD = """\
providers:
  openai: {}
models:
  gpt-4o: {provider: openai}
  weak: {provider: openai, model: gpt-4o-mini}
policies:
  default:
    rules: [{use: weak}]
"""


def policy(tmp_path: Path, text: str) -> Policy:
    file = tmp_path / "router.yaml"
    file.write_text(HEAD + text)
    return load(file, lambda provider, model: None, {}).policies["default"]


def test_the_short_form_names_gates_and_models(tmp_path: Path) -> None:
    compiled = policy(tmp_path, "    escalate: {gates: [not_empty, not_refusal], to: [gpt-4o]}\n")
    assert compiled.escalation is not None
    assert compiled.escalation.gates == (Gate(kind=GateKind.NOT_EMPTY), Gate(kind=GateKind.NOT_REFUSAL))
    assert [deployment.id for deployment in compiled.escalation.to] == ["gpt-4o"]
    assert compiled.escalation_of(None) is None
    assert compiled.escalation_of(compiled.rules[0]) is compiled.escalation


def test_the_long_form_says_everything(tmp_path: Path) -> None:
    compiled = policy(
        tmp_path,
        """\
    escalate:
      gates:
        - {gate: long_enough, min: 50, weight: 2}
        - {gate: json_schema, schema: {type: object}, required: true}
        - {gate: number_of_answers, min: 1, max: 2}
        - {gate: regex, pattern: "^[A-Z]+$"}
        - {gate: confident, min_margin: 0.2, quantile: 0, calibration: [[0, 0.5], [0.4, 0.9]]}
      threshold: {least: 0.5, complexity: {complex: 0.8}, tier: {Pro: 0.9}, model: {gpt-4o-mini: 0.7}}
      streams: optimistic
      unsatisfied: fail
      max_escalations: 1
      skip: {gpt-4o-mini: 0.6}
""",
    )
    assert compiled.escalation == Escalation(
        gates=(
            Gate(kind=GateKind.LONG_ENOUGH, at_least=50, weight=2),
            Gate(kind=GateKind.JSON_SCHEMA, schema_json='{"type": "object"}', required=True),
            Gate(kind=GateKind.NUMBER_OF_ANSWERS, at_least=1, at_most=2),
            Gate(kind=GateKind.REGEX, pattern="^[A-Z]+$"),
            Gate(kind=GateKind.CONFIDENT, least_margin=0.2, quantile=0.0, calibration=((0.0, 0.5), (0.4, 0.9))),
        ),
        threshold=Threshold(
            least=0.5, by_complexity={"complex": 0.8}, by_tier={"pro": 0.9}, by_deployment={"weak": 0.7}
        ),
        delivery=GateDelivery.OPTIMISTIC,
        unsatisfied=Unsatisfied.FAIL,
        most=1,
        skip={"weak": 0.6},
    )


def test_a_threshold_may_be_a_number(tmp_path: Path) -> None:
    compiled = policy(tmp_path, "    escalate: {gates: [not_empty], threshold: 0.7}\n").escalation
    assert compiled is not None
    assert compiled.threshold == Threshold(least=0.7)


def test_a_rule_without_gates_is_not_judged(tmp_path: Path) -> None:
    file = tmp_path / "router.yaml"
    text = HEAD + "    escalate: {gates: [not_empty]}\n"
    file.write_text(text.replace("[{use: weak}]", "[{use: weak, escalate: {gates: []}}]"))
    compiled = load(file, lambda provider, model: None, {}).policies["default"]
    found = compiled.escalation_of(compiled.rules[0])
    assert found is not None
    assert found.gates == ()


@pytest.mark.parametrize(
    ("written", "path", "message"),
    [
        ("gates: [not_empti]", "gates[0].gate", "not_empti is not one of"),
        ("gates: [not_empty, not_empty]", "gates[1]", "not_empty is listed twice"),
        ("gates: [{gate: not_empty, min: 3}]", "gates[0]", "not_empty has no min"),
        ("gates: [{gate: regex}]", "gates[0]", "regex needs a pattern"),
        ("gates: [{gate: regex, pattern: '(?=a)b'}]", "gates[0]", "the pattern is not in RE2's syntax"),
        ("gates: [{gate: number_of_answers, min: 3, max: 2}]", "gates[0]", "its minimum is above its maximum"),
        ("gates: [{gate: not_empty, min_margin: 0.3}]", "gates[0]", "not_empty has no min_margin"),
        ("gates: [{gate: confident, min_margin: 2}]", "gates[0].min_margin", "should be less than or equal to 1"),
        (
            "gates: [{gate: confident, calibration: [[0.1, 0.9], [0.2, 0.8]]}]",
            "gates[0]",
            "the calibration does not rise",
        ),
        (
            "gates: [{gate: confident, calibration: [[0.2, 0.1], [0.2, 0.8]]}]",
            "gates[0]",
            "the calibration does not rise",
        ),
        ("gates: [{gate: not_empty, wieght: 2}]", "gates[0].wieght", "unknown key"),
        ("gates: [not_empty], to: [gpt-5]", "to[0]", "there is no model or deployment gpt-5"),
        ("gates: [not_empty], threshold: 1.5", "threshold", "should be less than or equal to 1"),
        ("gates: [not_empty], threshold: {model: {gpt-5: 1}}", "threshold.model.gpt-5", "there is no model"),
        (
            "gates: [not_empty], threshold: {complexity: {hard: 1}}",
            "threshold.complexity.hard",
            "hard is no complexity",
        ),
        ("gates: [not_empty], skip: {gpt-5: 0.5}", "skip.gpt-5", "there is no model or deployment gpt-5"),
        ("gates: [not_empty], streams: later", "streams", "later is not one of hold, optimistic"),
        ("gates: [], to: [gpt-4o]", "gates", "is empty: nothing is judged"),
        ("to: [gpt-4o]", "gates", "is required"),
    ],
)
@pytest.mark.parametrize("where", ["policy", "rule"])
def test_a_mistake_is_reported_where_it_is(
    problems: Problems, where: str, written: str, path: str, message: str
) -> None:
    if where == "policy":
        text, at = HEAD + f"    escalate: {{{written}}}\n", "policies.default.escalate"
    else:
        text = HEAD.replace("[{use: weak}]", f"[{{use: weak, escalate: {{{written}}}}}]")
        at = "policies.default.rules[0].escalate"
    (found,) = problems(text)
    # A number stands for the threshold's `least`, which the file does not have.
    assert (found.path.startswith(at), message in found.message) == (True, True), str(found)
    assert found.path.removeprefix(f"{at}.").removesuffix(".gate") == path.removesuffix(".gate")
    assert found.fix or "is not one of" in found.message


def test_regex_without_re2_says_what_to_install(problems: Problems, monkeypatch: pytest.MonkeyPatch) -> None:
    modules: Mapping[str, Any] = sys.modules
    monkeypatch.setitem(modules, "re2", None)  # type: ignore[arg-type]
    (found,) = problems(HEAD + "    escalate: {gates: [{gate: regex, pattern: a}]}\n")
    assert "llmrouter[re2]" in found.fix
