from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_service.routing.complexity import assess_complexity, label_of
from router_service.routing.excerpt import excerpt


def label(text: str) -> str:
    return label_of(assess_complexity(excerpt(text)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hi",
        "Thanks, that helps!",
        "What is the capital of France?",
        "How do I reset my password?",
        "Translate to German: good morning",
        "Is this review positive or negative? 'Great phone'",
        "Summarize: the meeting moved to Tuesday.",
        "Write a short poem about autumn",
        "My order has not arrived, where is it?",
        "你好，今天天气怎么样？",
        "Wie geht es dir?",
    ],
)
def test_small_talk_and_light_work_are_simple(text: str) -> None:
    assert label(text) == "simple"


@pytest.mark.parametrize(
    "text",
    [
        "Write a Python function that reverses a linked list",
        "Prove that sqrt(2) is irrational",
        "Solve x^2 + 3x + 2 = 0",
        "Fix this:\n```python\ndef f(x):\n    return x+1\n```",
        "Tom has 4 boxes with 12 pens each and sells 7 pens. How many pens are left?",
        "Beweise, dass es unendlich viele Primzahlen gibt",
        "Compare the two offers and explain which one is better",
        "写一个排序函数，并解释它",
    ],
)
def test_one_kind_of_hard_work_is_moderate(text: str) -> None:
    assert label(text) == "moderate"


@pytest.mark.parametrize(
    "text",
    [
        "Design a distributed rate limiter and analyse the trade-offs step by step",
        "Refactor this module to remove the race condition and explain why",
        "设计一个分布式限流系统，并分析其优缺点",
        "Entwirf eine Architektur für den Shop und bewerte sie Schritt für Schritt",
        "Compare Kafka and RabbitMQ for our order pipeline, then recommend one and outline a migration plan",
    ],
)
def test_several_kinds_of_hard_work_are_complex(text: str) -> None:
    assert label(text) == "complex"


def test_a_list_of_tasks_is_harder_than_one_of_them() -> None:
    task = "Write two lines about spring"
    listed = "\n".join(f"{number}. {task}" for number in range(1, 7))
    assert assess_complexity(excerpt(listed)) > assess_complexity(excerpt(task))


def test_a_long_text_is_harder_than_a_short_one() -> None:
    sentence = "The parcel left the warehouse on Tuesday. "
    assert assess_complexity(excerpt(sentence * 100)) > assess_complexity(excerpt(sentence))


@given(st.text())
def test_the_score_is_between_0_and_1(text: str) -> None:
    assert 0 <= assess_complexity(excerpt(text)) <= 1


@given(st.sampled_from(["Prove the theorem step by step.", "Write a SQL query.", "What is the time?"]))
def test_case_does_not_matter(text: str) -> None:
    assert assess_complexity(excerpt(text)) == assess_complexity(excerpt(text.upper()))


def test_the_task_is_found_at_the_end_of_long_material() -> None:
    material = "lorem ipsum dolor sit amet " * 2000
    task = "\nDesign a better structure for this text and analyse its trade-offs."
    assert assess_complexity(excerpt(material + task)) > assess_complexity(excerpt(material)) + 0.4
