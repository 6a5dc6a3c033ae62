"""What a comparison says, and what it does not dare to."""

from __future__ import annotations

from random import Random

import pytest

from router_service.lab.comparison import Bar, Standing, compare
from tests.unit.lab.made_trials import trial, trials

ABSOLUTE = Bar(0.9)
OF_THE_BEST = Bar(0.9, is_relative=True)


def test_the_cheapest_that_meets_a_fixed_bar_is_chosen() -> None:
    found = compare(
        [
            *trials("dear", [1.0] * 60, cost=9_000),
            *trials("cheap", [1.0] * 60, cost=1_000),
            *trials("bad", [0.0, 1.0] * 30, cost=10),
        ],
        ABSOLUTE,
    )
    assert found.chosen == "cheap"
    assert [one.subject for one in found.summaries] == ["bad", "cheap", "dear"]
    assert found.verdict("bad").standing is Standing.DOES_NOT
    assert found.verdict("dear").standing is Standing.MEETS


def test_few_prompts_cannot_tell_and_say_how_many_would() -> None:
    found = compare(trials("one", [1.0] * 19 + [0.0]), ABSOLUTE)
    verdict = found.verdict("one")
    assert verdict.standing is Standing.CANNOT_TELL
    assert verdict.needed is not None
    assert verdict.needed > 20
    assert found.chosen == ""
    fewest = compare(trials("one", [1.0] * 4), ABSOLUTE).verdict("one")
    assert (fewest.standing, fewest.over, fewest.needed) == (Standing.CANNOT_TELL, None, None)


def test_a_share_of_the_best_is_met_or_not_prompt_by_prompt() -> None:
    best = [1.0] * 190 + [0.0] * 10
    found = compare(
        [
            *trials("best", best, cost=9_000),
            *trials("near", [0.0, *best[1:]], cost=1_000),
            *trials("far", [1.0, 0.0] * 100, cost=10),
        ],
        OF_THE_BEST,
    )
    assert found.best == "best"
    assert found.verdict("best").standing is Standing.REFERENCE
    assert found.verdict("near").standing is Standing.MEETS
    assert found.verdict("far").standing is Standing.DOES_NOT
    assert found.chosen == "near"
    over = found.verdict("near").over
    assert over is not None
    assert over.paired
    assert found.against_best["far"].mean == pytest.approx(0.5 - 0.95)


def test_a_share_is_of_the_named_reference_where_there_is_one() -> None:
    qualities = [*trials("today", [1.0, 0.0] * 50), *trials("other", [1.0] * 100)]
    found = compare(qualities, Bar(1.0, is_relative=True, reference="today"))
    assert found.verdict("today").standing is Standing.REFERENCE
    assert found.verdict("other").standing is Standing.MEETS
    with pytest.raises(ValueError, match='"yesterday" is not among those compared: today, other'):
        compare(qualities, Bar(1.0, is_relative=True, reference="yesterday"))


def test_arms_that_saw_different_prompts_are_compared_as_groups() -> None:
    found = compare(
        [
            *trials("control", [1.0] * 380 + [0.0] * 20, prompt=None, answer=None, cost=9_000),
            *trials("candidate", [1.0] * 380 + [0.0] * 20, first=400, prompt=None, answer=None, cost=100),
        ],
        OF_THE_BEST,
    )
    verdict = found.verdict("candidate")
    # Of equals the cheapest is the best, and so the reference.
    assert verdict.standing is Standing.REFERENCE
    other = found.verdict("control")
    assert other.over is not None
    assert not other.over.paired
    assert other.standing is Standing.MEETS


def test_prompts_that_one_subject_did_not_answer_are_left_out_of_the_pairs() -> None:
    found = compare(
        [*trials("a", [1.0] * 30), *trials("b", [1.0] * 20 + [None] * 10, error="DEADLINE_EXCEEDED")], OF_THE_BEST
    )
    over = found.verdict("b").over
    assert over is not None
    assert (over.count, over.paired) == (20, True)


def test_several_answers_to_a_prompt_are_one_observation() -> None:
    found = compare([trial("p", "a", quality) for quality in (0.0, 1.0, 1.0, 0.0)], ABSOLUTE)
    quality = found.summary("a").quality
    assert quality is not None
    assert (quality.mean, quality.count) == (0.5, 1)


def test_costs_latencies_and_failures_are_told_apart() -> None:
    found = compare(
        [
            *(trial(f"p{at}", "a", latency=at / 10, cost=at * 100, feature="x") for at in range(1, 21)),
            trial("f1", "a", None, error="DEADLINE_EXCEEDED", answer=None, cost=None, latency=60.0, feature="y"),
            trial("f2", "a", None, error="DEADLINE_EXCEEDED", answer=None, cost=0, latency=60.0, feature="y"),
        ],
        ABSOLUTE,
    )
    [one] = found.summaries
    assert one.failures == {"DEADLINE_EXCEEDED": 2}
    assert (one.calls, one.answered, one.unpriced, one.total_cost) == (22, 20, 1, 21_000)
    assert one.cost is not None
    assert one.cost.mean == 1_000
    assert (one.latency_median, one.latency_p95, one.first_output_median) == (1.05, 1.9, 0.1)
    assert {feature: [one.calls for one in of] for feature, of in found.features.items()} == {"x": [20], "y": [2]}


def test_a_subject_without_a_known_cost_is_never_the_cheapest() -> None:
    found = compare([*trials("free?", [1.0] * 60, cost=None), *trials("priced", [1.0] * 60)], ABSOLUTE)
    assert found.chosen == "priced"
    assert found.summaries[-1].subject == "free?"


def test_a_subject_below_the_bar_is_rarely_said_to_meet_it() -> None:
    """With five subjects, all just below the bar, no more than one in twenty runs may name any."""
    rng = Random(5)
    misled, runs = 0, 150
    for _ in range(runs):
        made = [one for subject in "abcde" for one in trials(subject, [float(rng.random() < 0.899) for _ in range(29)])]
        misled += any(verdict.standing is Standing.MEETS for verdict in compare(made, ABSOLUTE).verdicts)
    assert misled <= 0.05 * runs + 7


def test_picking_the_best_by_the_same_scores_condemns_few_that_are_as_good() -> None:
    """Of eight that are all the same, the worst looks much worse than the best."""
    rng = Random(6)
    condemned, runs = 0, 100
    for _ in range(runs):
        made = [
            one for subject in "abcdefgh" for one in trials(subject, [float(rng.random() < 0.7) for _ in range(60)])
        ]
        verdicts = compare(made, Bar(1.0, is_relative=True)).verdicts
        condemned += any(verdict.standing is Standing.DOES_NOT for verdict in verdicts)
    assert condemned <= 0.05 * runs + 6


def test_none_is_the_best_of_what_nobody_answered() -> None:
    found = compare(
        [*trials("a", [0.0] + [None] * 20), *trials("b", [None] * 21, error="ATTEMPTS_EXHAUSTED")], OF_THE_BEST
    )
    assert (found.best, found.chosen) == ("", "")
    assert {verdict.standing for verdict in found.verdicts} == {Standing.CANNOT_TELL}


def test_nothing_at_all_is_compared_without_a_fault() -> None:
    found = compare([], OF_THE_BEST)
    assert (found.chosen, found.best, found.verdicts) == ("", "", ())
