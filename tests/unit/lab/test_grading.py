"""What an answer is worth, by the best evidence there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from router_service.domain.chat import FinishReason
from router_service.domain.quality import Escalation, Gate, GateKind
from router_service.lab.expected import expected_of
from router_service.lab.grading import Grade, Grader, settles
from router_service.lab.prompt_set import EvalPrompt, read_prompt_set
from router_service.lab.trials import Source

STOP = FinishReason.STOP


@pytest.fixture
def prompt(tmp_path: Path) -> Any:
    def made(**fields: Any) -> EvalPrompt:
        file = tmp_path / "set.jsonl"
        file.write_text(json.dumps({"prompt": "What is the capital of France?", **fields}))
        [read] = read_prompt_set(file)
        return read

    return made


@pytest.mark.parametrize(
    ("expected", "right", "wrong"),
    [
        ("Paris", "paris.", "It is Paris"),
        ({"contains": "new  york"}, "It is New York, of course", "York"),
        (42, "20 + 22 = 42.", "42 or 43"),
        ({"number": 1234.5}, "so 1,234.5", "1,234.56"),
        ({"number": -3}, "x = -3", "x = 3"),
        ({"regex": "(?i)^yes"}, "Yes, it is", "Oh yes"),
        (["a", "b"], " B ", "c"),
        (True, "True", "false"),
    ],
)
def test_expected_answers_are_told_from_others(expected: Any, right: str, wrong: str) -> None:
    check = expected_of(expected)
    assert check.holds(right)
    assert not check.holds(wrong)


def test_a_pattern_of_an_operator_cannot_hang_on_a_hostile_answer() -> None:
    assert not expected_of({"regex": "^(a+)+$"}).holds("a" * 90_000 + "!")


def test_what_is_expected_settles_it_and_needs_the_schema_too(prompt: Any) -> None:
    grader = Grader()
    plain = prompt(expected="Paris")
    assert grader.certain(plain, "Paris", STOP) == Grade(1.0, Source.EXPECTED)
    assert grader.certain(plain, "Rome", STOP) == Grade(0.0, Source.EXPECTED)
    both = prompt(expected={"contains": "paris"}, schema={"type": "object", "required": ["city"]})
    assert grader.certain(both, '{"city": "Paris"}', STOP) == Grade(1.0, Source.EXPECTED)
    assert grader.certain(both, "Paris", STOP) == Grade(0.0, Source.EXPECTED)


def test_a_schema_that_is_followed_is_left_to_a_judge_and_one_that_is_not_is_not(prompt: Any) -> None:
    asked = prompt(schema={"type": "object", "required": ["city"]})
    follows, breaks = Grader().certain(asked, '{"city": "Rome"}', STOP), Grader().certain(asked, "{}", STOP)
    assert (follows, settles(follows)) == (Grade(1.0, Source.SCHEMA), False)
    assert (breaks, settles(breaks)) == (Grade(0.0, Source.SCHEMA), True)
    assert Grader().certain(prompt(), "anything", STOP) is None
    assert not settles(None)


@pytest.mark.parametrize(
    ("answer", "finish_reason", "quality"),
    [
        ("The capital of France is Paris, on the Seine.", STOP, 1.0),
        ("The capital of France is", FinishReason.LENGTH, 0.0),
        ("I'm sorry, but I can't help with that.", STOP, 0.0),
        ("", STOP, 0.0),
    ],
)
def test_gates_judge_where_nothing_else_does(
    prompt: Any, answer: str, finish_reason: FinishReason, quality: float
) -> None:
    assert Grader().by_gates(prompt(), answer, finish_reason) == Grade(quality, Source.GATES)


def test_the_gates_of_a_policy_replace_the_default_ones(prompt: Any) -> None:
    own = Grader(Escalation(gates=(Gate(kind=GateKind.JSON),)))
    assert own.by_gates(prompt(), "The capital of France is Paris.", STOP).quality == 0.0
    assert Grader(Escalation()).by_gates(prompt(), "The capital of France is Paris.", STOP).quality == 1.0
