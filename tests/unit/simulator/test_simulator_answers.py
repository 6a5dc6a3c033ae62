import json
from random import Random
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_service.simulator import tokens
from router_service.simulator.answers import answer, difficulty, thoughts
from router_service.simulator.structured import instance


@given(st.text())
def test_pieces_join_to_the_text_and_are_as_many_as_counted(text: str) -> None:
    assert "".join(tokens.pieces(text)) == text
    assert len(tokens.pieces(text)) == tokens.count(text)


def test_a_chinese_character_is_a_token_and_a_short_word_too() -> None:
    assert (tokens.count("数据库"), tokens.count("two words")) == (3, 2)


def said(prompt: str, quality: float, seed: int = 1, system: str = "") -> str:
    return answer(prompt, system=system, quality=quality, rng=Random(seed))


def test_the_same_seed_says_the_same_and_another_something_else() -> None:
    prompt = "Explain how a database index speeds up queries"
    assert said(prompt, 0.8, seed=1) == said(prompt, 0.8, seed=1)
    assert len({said(prompt, 0.8, seed=seed) for seed in range(8)}) > 4


def test_a_strong_model_calculates_right_and_a_weak_one_does_not() -> None:
    hard = "Analyse the trade-offs, prove it step by step: 12 * 13"
    assert {said(hard, 0.95, seed) for seed in range(20)} == {"12 * 13 = 156."}
    assert len({said(hard, 0.2, seed) for seed in range(20)}) > 2


def test_a_weak_model_is_unsure_of_a_hard_prompt_and_a_strong_one_is_structured() -> None:
    hard = "Prove the theorem on distributed consensus and analyse the architecture's trade-offs"
    assert all(len(said(hard, 0.2, seed)) < 60 for seed in range(20))
    assert all("\n1. " in said(hard, 0.96, seed) for seed in range(20))


def test_a_label_is_chosen_from_those_offered_by_what_the_text_says() -> None:
    prompt = "Classify as one of: billing, bug, praise. My invoice shows a charge I never made."
    assert said(prompt, 0.8) == "billing"
    assert said("The app crashes at start.", 0.8, system="Answer with one of: billing, bug, praise") == "bug"


def test_a_chinese_prompt_is_answered_in_chinese() -> None:
    assert "数据库" in said("请解释一下数据库索引的原理", 0.8)


def test_more_effort_means_longer_thoughts() -> None:
    low, high = (thoughts("Prove it", effort=effort, rng=Random(1)) for effort in ("low", "high"))
    assert 0 < len(low) < len(high)
    assert thoughts("Prove it", effort="none", rng=Random(1)) == ""


@given(st.text())
def test_difficulty_is_between_nothing_and_one(prompt: str) -> None:
    assert 0 <= difficulty(prompt) <= 1


LEAVES = st.one_of(
    st.just({"type": "string"}),
    st.just({"type": "string", "minLength": 3, "maxLength": 5}),
    st.sampled_from([{"type": "string", "format": name} for name in ("email", "date", "date-time", "uri", "uuid")]),
    st.integers(-50, 50).map(lambda low: {"type": "integer", "minimum": low, "maximum": low + 7}),
    st.integers(-50, 50).map(lambda low: {"type": "integer", "exclusiveMinimum": low}),
    st.just({"type": "integer", "multipleOf": 5, "minimum": 3, "maximum": 12}),
    st.just({"type": "number", "minimum": 0, "maximum": 1}),
    st.just({"type": "boolean"}),
    st.just({"type": ["null", "string"]}),
    st.lists(st.sampled_from(["red", "green", 3, None]), min_size=1, unique=True).map(lambda values: {"enum": values}),
    st.just({"const": 7}),
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda items, least: {"type": "array", "items": items, "minItems": least}, inner, st.integers(0, 3)),
        st.builds(
            lambda properties: {
                "type": "object",
                "properties": properties,
                "required": sorted(properties),
                "additionalProperties": False,
            },
            st.dictionaries(st.sampled_from(["name", "email", "total", "tags"]), inner),
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
    ),
    max_leaves=8,
)


@given(SCHEMAS, st.text(), st.integers(0, 100))
def test_an_instance_follows_its_schema(schema: dict[str, Any], text: str, seed: int) -> None:
    value = instance(schema, text, Random(seed))
    jsonschema.validate(json.loads(json.dumps(value)), schema)


def test_an_instance_takes_its_values_from_the_text() -> None:
    schema = {
        "type": "object",
        "properties": {
            "customer": {"type": "string"},
            "email": {"type": "string"},
            "total": {"type": "number"},
            "currency": {"enum": ["USD", "EUR"]},
            "due": {"type": "string", "format": "date"},
        },
    }
    text = "Invoice for Ada Byron (ada@example.org): 412.50 EUR, due 2026-12-01"
    assert instance(schema, text, Random(1)) == {
        "customer": "Invoice",
        "email": "ada@example.org",
        "total": 412.5,
        "currency": "EUR",
        "due": "2026-12-01",
    }


@pytest.mark.parametrize("required", [True, False])
def test_a_recursive_schema_ends(required: bool) -> None:
    node: dict[str, Any] = {
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
    }
    if required:
        node["required"] = ["children"]
    schema = {"$ref": "#/$defs/node", "$defs": {"node": node}}
    jsonschema.validate(instance(schema, "", Random(1)), schema)


def test_all_of_is_merged() -> None:
    schema = {
        "allOf": [
            {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]},
            {"properties": {"b": {"const": 2}}, "required": ["b"]},
        ]
    }
    assert instance(schema, "", Random(1)) == {"a": 1, "b": 2}


SORTS = "Sort the request. Labels: simple, moderate, complex"
GRADES = 'Grade the answer. Reply with {"reason": "...", "score": N}'
HARD = "Prove the theorem, analyse the trade-offs and derive a strategy."


def test_a_request_is_sorted_by_how_hard_it_is() -> None:
    asked = "<request 1f>\n{}\n<request 1f>\n\nIts label:"
    assert {said(asked.format("Say hello"), 1.0, seed, SORTS) for seed in range(20)} == {"simple"}
    assert {said(asked.format(HARD), 1.0, seed, SORTS) for seed in range(20)} == {"complex"}


def test_an_answer_is_graded_by_what_it_says() -> None:
    asked = "<answer 1f>\n{}\n<answer 1f>\n\nThe grade:"
    grades = {
        text: json.loads(said(asked.format(text), 1.0, 1, GRADES))["score"]
        for text in (
            "I don't know.",
            "Maybe look at the tides first. I think that helps.",
            "1. One.\n2. Two.\n3. Three.",
        )
    }
    assert list(grades.values()) == sorted(grades.values())
    assert min(grades.values()) <= 3
    assert max(grades.values()) >= 8


@pytest.mark.parametrize("system", [SORTS, GRADES])
def test_a_weak_model_misbehaves_now_and_then(system: str) -> None:
    kinds = {said("Say hello", 0.3, seed, system) for seed in range(200)}
    assert len(kinds) > 6
    usual = [said("Say hello", 0.95, seed, system) for seed in range(200)]
    assert usual.count(max(set(usual), key=usual.count)) > 100
