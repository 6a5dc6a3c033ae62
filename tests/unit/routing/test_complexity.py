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
        "What does the word 'critique' mean?",
        "What does 'refactor' mean?",
        "Tell me a joke about strategy consultants.",
        "Spell the word algorithm, please",
        "讲一个关于算法的笑话",
        "我想找一位好的设计师和分析师",
        "I have waited 3 days and 2 hours, where is my parcel?",
        "There is a leak in my kitchen, who do I call?",
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
        "帮我分析一下明天会不会下雨",
        "이 보고서를 분석해 줘",
        "今の売上を分析して",
        "演算法是什么",
        "怎么解这个方程式",
        "Two trains leave stations 300 km apart, at 60 km/h and 80 km/h: when does the second catch up?",
        "Three gods answer yes-no questions: one speaks the truth, one lies, one does either. Infer who is who.",
        "How would you split the database without downtime?",
        "My pods are OOMKilled, how do I find the leak?",
        "Our cache and our replicas disagree after a failover",
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


@pytest.mark.parametrize(
    "text",
    [
        "Write a lock-free MPMC queue in C++20 with hazard pointers.",
        "公司要从单体迁移到微服务，如何保证数据一致性？",
        "Wie migriere ich eine Oracle-Datenbank ohne Ausfallzeit nach PostgreSQL?",
        "マイクロサービスへの移行でデータの整合性をどう保つ？",
        "Comment migrer Postgres vers MongoDB sans downtime ?",
    ],
)
def test_work_on_systems_is_more_than_simple(text: str) -> None:
    assert label(text) != "simple"


def test_a_word_within_a_longer_one_counts_once() -> None:
    assert assess_complexity(excerpt("演算法")) == assess_complexity(excerpt("算法"))
    assert assess_complexity(excerpt("方程式")) == assess_complexity(excerpt("方程"))


PROMPTS = (
    "Design a distributed rate limiter and analyse the trade-offs step by step",
    "Compare the two offers and explain which one is better",
    "How would you split the database without downtime?",
    "Write a Python function that reverses a linked list",
    "What is the capital of France?",
    "Tell me a joke about strategy consultants.",
)


@pytest.mark.parametrize("text", PROMPTS)
def test_courtesies_do_not_change_the_label(text: str) -> None:
    assert label(f"Hi, please help me: {text} Thanks!") == label(text)


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
