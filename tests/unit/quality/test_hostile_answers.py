"""Whatever a model says, judging it ends soon and raises nothing."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_service.domain.call import Call, Caller
from router_service.domain.chat import Chat, FinishReason, JsonSchemaFormat, Message, Role, TextPart
from router_service.domain.quality import Gate, GateKind
from router_service.quality.gates import judge_of
from router_service.quality.given import GivenAnswer

CALL = Call(
    request_id="r",
    tenant="t",
    caller=Caller(),
    chat=Chat(
        messages=(Message(role=Role.USER, parts=(TextPart("Why?"),)),),
        response_format=JsonSchemaFormat(name="a", schema_json='{"anyOf": [{"$ref": "#"}, {"type": "object"}]}'),
    ),
)
PURE = [kind for kind in GateKind if kind is not GateKind.JUDGE]
JUDGES = {kind: judge_of(Gate(kind=kind, pattern="(a+)+b|(.*)*x")) for kind in PURE}
N = 100_000
HOSTILE = {
    "brackets": "(" * N,
    "json": "[" * N,
    "objects": '{"a":' * N,
    "python": "```python\n" + "(" * N + "\n```",
    "signs": "```python\nx = " + "-" * N + "1\n```",
    "nots": "```python\nx = " + "not " * (N // 8) + "1\n```",
    "lambdas": "```python\nx = " + "lambda:" * (N // 40) + "1\n```",
    "powers": "```python\nx = " + "2**" * (N // 40) + "1\n```",
    "indents": "```python\n" + "\n".join(" " * depth + "if x:" for depth in range(190)) + "\n```",
    "attributes": "```python\nx" + ".a" * 9000 + "\n```",
    "calls": "```python\nx" + "()" * 9000 + "\n```",
    "elses": "```python\nif a: pass\n" + "elif a: pass\n" * 1500 + "```",
    "sum": "```python\nx = 1" + "+1" * 9000 + "\n```",
    "fences": "```\n" * N,
    "equals": "1 = " * N,
    "sums": "1+" * N + "1 = 2",
    "towers": "9^9^9^9^9 = 1\n" * 2000,
    "power": "99999999999 ^ 64 = 1 / 0 = 2",
    "parentheses": "(" * N + "1" + ")" * N + " = 1",
    "digits": "1" * N + " = 2",
    "a": "a" * N,
    "spaces": " " * N,
    "lines": "\n" * N,
    "marks": "#### \n" * N,
    "words": "maybe perhaps i think " * (N // 20),
    "surrogates": "\ud83d" * N,
    "zeros": "\0" * N,
}


def answer(text: str) -> GivenAnswer:
    return GivenAnswer(text=text, finish_reason=FinishReason.STOP, language="en", asked_language="de")


@pytest.mark.parametrize("kind", PURE)
@pytest.mark.parametrize("name", list(HOSTILE))
def test_a_hostile_answer_is_judged_soon(kind: GateKind, name: str) -> None:
    began = time.process_time()
    verdict = JUDGES[kind].judge(CALL, answer(HOSTILE[name]))
    assert 0 <= verdict.score <= 1
    assert len(verdict.reason) < 120
    # Tens of milliseconds at the very most; what is quadratic or worse takes seconds.
    assert time.process_time() - began < 0.5


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="0123456789+-*/()=^%.,$ x\n<>#`{}[]\":'aπ。", max_size=400), st.sampled_from(FinishReason))
def test_no_answer_makes_a_gate_fail(text: str, finish: FinishReason) -> None:
    given_answer = GivenAnswer(text=text, finish_reason=finish, language="en", asked_language="en")
    for kind, judge in JUDGES.items():
        verdict = judge.judge(CALL, given_answer)
        assert verdict.gate == kind
        assert 0 <= verdict.score <= 1
