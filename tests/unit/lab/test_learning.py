from __future__ import annotations

import random
from pathlib import Path

import pytest
from synthetic import SYNTHETIC, rows_of

from router_service.config.router_file import read_router_file
from router_service.lab.curves import curve
from router_service.lab.gate import LearnedGate
from router_service.lab.learning import dot, learn, ridge, router_file
from router_service.lab.outcomes import OutcomesError, Pair, paired, read_outcomes
from router_service.lab.train import as_setting, train
from router_service.routing.excerpt import excerpt
from router_service.routing.learned import Learned


@pytest.fixture(scope="module")
def pair() -> Pair:
    return paired(read_outcomes(SYNTHETIC))


def test_the_committed_set_is_what_its_recipe_makes() -> None:
    assert SYNTHETIC.read_text() == "".join(rows_of(240, seed=5))


def test_ridge_solves_the_normal_equations() -> None:
    draw = random.Random(0)
    rows = [((0, 1, 2), tuple(draw.random() for _ in range(3))) for _ in range(50)]
    targets = [2 * values[0] - values[2] for _, values in rows]
    solved = ridge(rows, targets, 3, 0.5)
    mean = sum(targets) / len(targets)
    for column in range(3):
        slope = sum(
            row[1][column] * (target - mean - dot(row, solved)) for row, target in zip(rows, targets, strict=True)
        )
        assert slope == pytest.approx(0.5 * solved[column], abs=1e-3)


def test_what_was_learned_ranks_prompts_it_has_not_seen(pair: Pair) -> None:
    said = [excerpt(prompt) for prompt in pair.prompts]
    model = Learned(learn(said[:120], pair.gains[:120]))
    assert curve([model.gain(one) for one in said[120:]], pair.gains[120:]).apgr > 0.7


def test_a_router_file_scores_like_the_weights_it_was_made_from(pair: Pair, tmp_path: Path) -> None:
    said = [excerpt(prompt) for prompt in pair.prompts]
    weights = learn(said, pair.gains)
    file = tmp_path / "router.json"
    file.write_bytes(router_file(weights, {"data": "synthetic"}))
    again = Learned(read_router_file(file, "router.json"))
    for one in said:
        assert again.score(one) == pytest.approx(Learned(weights).score(one), abs=1e-3)
    assert router_file(learn(said, pair.gains), {"data": "synthetic"}) == file.read_bytes()


def test_training_holds_prompts_out_and_promises_on_them(pair: Pair) -> None:
    found = train(pair, keep=0.9, confidence=0.9)
    assert found.learned_from + found.held_out == len(pair.prompts)
    assert found.evidence is not None
    assert found.evidence.apgr > 0.6
    assert found.weights.complex_from == as_setting(found.threshold.threshold)
    assert found.weights.moderate_from <= found.weights.complex_from
    assert found.threshold.strong_share < 1.0


def test_a_gate_tells_answers_that_do_not_add_up(pair: Pair) -> None:
    said, answers = [excerpt(prompt) for prompt in pair.prompts], [answer or "" for answer in pair.answers]
    for with_prompt in (False, True):
        gate = LearnedGate(said[:120], answers[:120], pair.gains[:120], with_prompt=with_prompt)
        scores = [gate.gain(one, answer) for one, answer in zip(said[120:], answers[120:], strict=True)]
        assert curve(scores, pair.gains[120:]).apgr > 0.8


def test_a_threshold_as_a_setting_never_sends_fewer_calls_to_the_strong_model() -> None:
    assert [as_setting(one) for one in (0.56789, float("inf"), float("-inf"), 1.2)] == [0.5678, 1.0, 0.0, 1.0]


def test_too_few_prompts_to_learn_from_are_refused(pair: Pair) -> None:
    few = paired(read_outcomes(SYNTHETIC)[:50])
    with pytest.raises(OutcomesError, match="50 prompts are too few"):
        train(few, keep=0.9, confidence=0.9)
