"""Every gate against the YAML cases that say what it passes and refuses.

`gates/<gate>.yaml` is a list of cases for the gate of that name:

    description     what is shown
    gate            the gate's options as a policy writes them, without its name; none where left out
    prompt          what was asked; "Tell me about it." where left out
    answer          what the model said, or `answers`: several, each of which is judged so
    finish          stop (where left out), length, tool_calls or content_filter
    format          json, or a JSON Schema: what the call asks the provider for
    calls_tools     true where the answer calls a tool
    margins         by how much probability each token led; left out where the provider says nothing
    want            passes or refuses; and `score`, `reason` where they matter
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from router_service.config.escalation_compilation import escalation
from router_service.config.escalation_shape import EscalationShape
from router_service.domain.call import Call, Caller
from router_service.domain.chat import Chat, FinishReason, JsonObjectFormat, JsonSchemaFormat, Message, Role, TextPart
from router_service.domain.quality import GateKind, Verdict
from router_service.quality.gates import Gates
from router_service.quality.given import GivenAnswer
from router_service.routing.excerpt import excerpt
from router_service.routing.language import detect_language, language_of_answer

CASES = Path(__file__).parent / "gates"

Case = Mapping[str, Any]


def cases() -> list[Any]:
    return [
        pytest.param(file.stem, case, answer, id=f"{file.stem}: {case['description']} ({number})")
        for file in sorted(CASES.glob("*.yaml"))
        for case in yaml.safe_load(file.read_text("utf-8"))
        for number, answer in enumerate(case.get("answers", [case.get("answer")]), 1)
    ]


def judged(kind: str, case: Case, answer: str) -> Verdict:
    written = {"gates": [{"gate": kind, **case.get("gate", {})}]}
    compiled = escalation(EscalationShape.model_validate(written), {})
    assert compiled is not None
    prompt = case.get("prompt", "Tell me about it.")
    asked = detect_language(excerpt(prompt))
    wanted = case.get("format")
    form = JsonObjectFormat() if wanted == "json" else None
    if isinstance(wanted, Mapping):
        form = JsonSchemaFormat(name="answer", schema_json=json.dumps(wanted))
    call = Call(
        request_id="request-1",
        tenant="acme",
        caller=Caller(),
        chat=Chat(messages=(Message(role=Role.USER, parts=(TextPart(prompt),)),), response_format=form),
    )
    given = GivenAnswer(
        text=answer,
        finish_reason=FinishReason(case.get("finish", "stop")),
        calls_tools=case.get("calls_tools", False),
        language=language_of_answer(answer, asked),
        asked_language=asked,
        margins=case.get("margins"),
    )
    judgement = Gates(compiled).judge(call, given, attempt=1, complexity="simple", deployment="a")
    return judgement.verdicts[0]


@pytest.mark.parametrize(("kind", "case", "answer"), cases())
def test_judges_as_described(kind: str, case: Case, answer: str) -> None:
    verdict = judged(kind, case, answer)
    want = case["want"] if isinstance(case["want"], Mapping) else {case["want"]: None}
    assert verdict.passed is ("passes" in want), verdict.reason
    assert 0 <= verdict.score <= 1
    if "score" in want:
        assert verdict.score == pytest.approx(want["score"], abs=0.005)
    if "reason" in want:
        assert verdict.reason == want["reason"]


def test_every_gate_has_cases_of_both_kinds() -> None:
    seen = {
        (file.stem, "passes" if "passes" in case["want"] else "refuses")
        for file in CASES.glob("*.yaml")
        for case in yaml.safe_load(file.read_text("utf-8"))
    }
    assert seen == {(kind.value, want) for kind in GateKind for want in ("passes", "refuses")}


@pytest.mark.parametrize(("kind", "case", "answer"), cases())
def test_no_reason_quotes_the_answer(kind: str, case: Case, answer: str) -> None:
    words = {word for word in answer.split() if len(word) > 6 and not word.isdecimal()}
    assert not words & set(judged(kind, case, answer).reason.split()) - {"answer", "calculation", "several"}
