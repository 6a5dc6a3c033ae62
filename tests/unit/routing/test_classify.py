from __future__ import annotations

from dataclasses import replace

import pytest
from routing_values import call, deployment, rule, said, table

from router_service.config.router_file import shipped
from router_service.domain.chat import Role
from router_service.domain.classifier import Classification, LearnedWeights
from router_service.domain.decision import ComplexitySource
from router_service.routing.assess import assess
from router_service.routing.classify import Heuristic, Judge
from router_service.routing.excerpt import excerpt
from router_service.routing.learned import Learned
from router_service.routing.shape import SHAPE, shape_of
from router_service.routing.table import RoutingTable

EASY = "What is the capital of France?"
HARD = "Prove step by step that there are infinitely many primes, and analyse the complexity of the sieve."
FLAT = tuple((0.0, 1.0, 0.0) for _ in SHAPE)


def weights(name: str = "own.json", **changes: float) -> LearnedWeights:
    """Knows that proofs are hard and capitals are easy."""
    terms = {"prove": (1.0, 2.0), "capital": (1.0, -2.0), ("the", "capital"): (1.0, -1.0)}
    return replace(
        LearnedWeights(name=name, terms=terms, shape=FLAT, spread=1.0, moderate_from=0.4, complex_from=0.8), **changes
    )


def table_of(settings: Classification, *known: LearnedWeights) -> RoutingTable:
    policies = table(rule("all", [deployment("a")])).policies
    return RoutingTable(
        policies={name: replace(policy, classification=settings) for name, policy in policies.items()},
        deployments={},
        models={},
        features={},
        default_policy="default",
        fingerprint="",
        weights={one.name: one for one in known},
    )


def test_a_policy_is_judged_by_the_heuristic_unless_it_says_otherwise() -> None:
    known = assess(call(said(Role.USER, HARD)), table(rule("all", [deployment("a")])))
    assert (known.complexity, known.complexity_source, known.classifier) == ("complex", "heuristic", "heuristic")
    assert known.complexity_cause.startswith("its score")


@pytest.mark.parametrize(("text", "tier"), [(EASY, "simple"), ("Say something.", "moderate"), (HARD, "complex")])
def test_a_learned_classifier_judges_by_its_own_thresholds(text: str, tier: str) -> None:
    known = assess(call(said(Role.USER, text)), table_of(Classification(use="own.json"), weights()))
    assert (known.complexity, known.complexity_source, known.classifier) == (tier, ComplexitySource.LEARNED, "own.json")
    assert known.complexity_score is not None
    assert f"{known.complexity_score:.2f}" in known.complexity_cause


def test_the_policys_thresholds_win_over_the_classifiers() -> None:
    settings = Classification(use="own.json", moderate_from=0.0, complex_from=0.01)
    assert Judge(settings, {"own.json": weights()}).judge(excerpt(EASY)).tier == "complex"


def test_within_the_band_the_next_one_judges_and_the_cause_tells_both() -> None:
    settings = Classification(use="own.json", band=(0.4, 0.6), then="heuristic")
    judge = Judge(settings, {"own.json": weights()})
    uncertain = judge.judge(excerpt("Analyse and optimize this algorithm from scratch."))
    assert (uncertain.tier, uncertain.classifier) == ("complex", "heuristic")
    assert uncertain.cause == "own.json is uncertain between 0.4 and 0.6 (0.50); its score 0.60 is at least 0.50"
    assert judge.judge(excerpt(EASY)).classifier == "own.json"


def test_a_model_is_asked_only_within_the_band_and_until_then_the_first_tier_holds() -> None:
    settings = Classification(use="own.json", band=(0.4, 0.6), then="llm")
    judge = Judge(settings, {"own.json": weights()})
    assert judge.judge(excerpt("Say something.")).asks == "llm"
    assert judge.judge(excerpt("Say something.")).tier == "moderate"
    assert judge.judge(excerpt(HARD)).asks == ""


def test_after_ten_turns_nothing_that_is_learned_is_simple_either() -> None:
    turns = [message for _ in range(10) for message in (said(Role.USER, "Go on"), said(Role.ASSISTANT, "Yes."))]
    known = assess(call(*turns, said(Role.USER, EASY)), table_of(Classification(use="own.json"), weights()))
    assert (known.complexity, known.complexity_source) == ("moderate", ComplexitySource.CONVERSATION)
    assert known.classifier == "own.json"
    assert known.complexity_cause.endswith("after more than 10 turns nothing is simple")


def test_the_caller_needs_no_classifier() -> None:
    known = assess(
        call(said(Role.USER, HARD), complexity="simple"), table_of(Classification(use="own.json"), weights())
    )
    assert (known.complexity, known.classifier, known.complexity_score) == ("simple", "", None)


def test_the_reasons_add_up_to_the_gain() -> None:
    model = Learned(shipped())
    prompt = excerpt(HARD)
    reasons = model.reasons(prompt)
    assert sum(reason.weight for reason in reasons) == pytest.approx(model.gain(prompt) / shipped().spread)
    assert [abs(reason.weight) for reason in reasons] == sorted((abs(one.weight) for one in reasons), reverse=True)


def test_the_heuristics_reasons_are_the_parts_of_its_score() -> None:
    prompt = excerpt(HARD)
    reasons = Heuristic().reasons(prompt)
    assert min(sum(reason.weight for reason in reasons), 1.0) == pytest.approx(Heuristic().score(prompt))
    assert reasons[0].name == "(words of work)"


@pytest.mark.parametrize("text", ["", "?", "1 + 1", "a" * 50_000, "日本の首都はどこですか", "\n" * 2000, "\ud800"])
def test_every_text_has_a_score_from_0_to_1(text: str) -> None:
    assert 0.0 <= Learned(shipped()).score(excerpt(text)) <= 1.0


def test_case_and_politeness_change_no_score() -> None:
    model = Learned(shipped())
    plain = model.score(excerpt("Explain how vaccines work"))
    assert model.score(excerpt("EXPLAIN HOW VACCINES WORK")) == plain
    assert model.score(excerpt("Hello, please explain how vaccines work. Thank you very much!")) == pytest.approx(
        model.score(excerpt("Explain how vaccines work."))
    )


def test_the_shape_sees_options_and_numbers() -> None:
    shape = dict(zip(SHAPE, shape_of(excerpt("Which is prime?\nA. 4\nB. 7\nC. 9\nD. 12")), strict=True))
    assert shape["options"] == pytest.approx(1.609, abs=1e-3)
    assert shape["options of numbers"] == 1.0
    assert dict(zip(SHAPE, shape_of(excerpt("Which is prime?")), strict=True))["options"] == 0.0
