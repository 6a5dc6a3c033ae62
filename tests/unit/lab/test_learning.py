from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from synthetic import SYNTHETIC, rows_of

from router_service.config.router_file import RouterFileError, read_router_file
from router_service.lab.curves import curve
from router_service.lab.gate import LearnedGate
from router_service.lab.learning import Leaning, learn, learn_both, router_file
from router_service.lab.outcomes import OutcomesError, Pair, paired, read_outcomes
from router_service.lab.train import as_setting, train
from router_service.routing.excerpt import Excerpt, excerpt
from router_service.routing.learned import Learned


@pytest.fixture(scope="module")
def pair() -> Pair:
    return paired(read_outcomes(SYNTHETIC))


def test_the_committed_set_is_what_its_recipe_makes() -> None:
    assert SYNTHETIC.read_text() == "".join(rows_of(240, seed=5))


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


HARD = ("lemma", "sheaf", "cohomology", "functor", "adjoint", "ideal", "spectrum", "torsor")
EASY = ("cat", "dog", "house", "tree", "bread", "milk", "song", "garden")


def between(count: int) -> tuple[list[Excerpt], list[float], list[float]]:
    """Prompts with scores of both models: of those that are neither easy nor hard only the strong one is right."""
    draw = random.Random(2)
    prompts, weak, strong = [], [], []
    for _ in range(count):
        hard = draw.randrange(9)
        words = [*draw.sample(HARD, hard), *draw.sample(EASY, 8 - hard)]
        draw.shuffle(words)
        prompts.append(excerpt(" ".join(words)))
        weak.append(float(hard < 3))
        strong.append(float(hard < 6))
    return prompts, weak, strong


def test_two_chances_see_that_little_is_gained_where_both_fail_or_neither_does() -> None:
    said, weak, strong = between(400)
    gains = [high - low for high, low in zip(strong, weak, strict=True)]
    both = Learned(learn_both(said[:200], weak[:200], strong[:200]))
    one = Learned(learn(said[:200], gains[:200]))
    apgr = {model: curve([model.gain(prompt) for prompt in said[200:]], gains[200:]).apgr for model in (both, one)}
    assert apgr[both] > 0.75
    assert apgr[one] < 0.65


def test_scores_may_be_on_any_scale() -> None:
    said, weak, strong = between(60)
    known = Learned(learn_both(said, weak, strong))
    scaled = Learned(learn_both(said, [8 * one - 3 for one in weak], [8 * one - 3 for one in strong]))
    assert [scaled.score(one) for one in said] == pytest.approx([known.score(one) for one in said])


def test_each_model_learns_from_the_prompts_whose_answer_is_known() -> None:
    said, weak, strong = between(400)
    gains = [high - low for high, low in zip(strong, weak, strict=True)]
    even = [one % 2 == 0 for one in range(200)]
    model = Learned(
        learn_both(
            said[:200],
            [score if own else None for score, own in zip(weak, even, strict=False)],
            [None if own else score for score, own in zip(strong, even, strict=False)],
        )
    )
    assert curve([model.gain(prompt) for prompt in said[200:]], gains[200:]).apgr > 0.7
    with pytest.raises(ValueError, match="a model without any score"):
        learn_both(said[:200], weak[:200], [None] * 200)


@pytest.mark.parametrize(("weak", "strong"), [(0.0, 1.0), (1.0, 1.0), (0.0, 0.0)])
def test_models_that_are_always_or_never_right_leave_a_file_that_can_be_read(
    weak: float, strong: float, tmp_path: Path
) -> None:
    said, *_ = between(60)
    weights = learn_both(said, [weak] * 60, [strong] * 60)
    file = tmp_path / "router.json"
    file.write_bytes(router_file(weights, {}))
    assert read_router_file(file, "router.json").spread == pytest.approx(weights.spread, rel=0.01)
    assert [Learned(weights).score(one) for one in said] == pytest.approx([0.5] * 60, abs=0.2)


def test_an_average_prompt_scores_in_the_middle() -> None:
    said, weak, strong = between(200)
    model = Learned(learn_both(said, weak, strong))
    assert sum(map(model.gain, said)) / 200 == pytest.approx(0.0, abs=1e-9)


def test_two_chances_survive_a_router_file_and_their_reasons_add_up(tmp_path: Path) -> None:
    said, weak, strong = between(60)
    leaning = Leaning(penalty=1.0, ferns=8, together=1.0)
    weights = learn_both(said, weak, strong, leaning=leaning)
    file = tmp_path / "router.json"
    file.write_bytes(router_file(weights, {}))
    read = read_router_file(file, "router.json")
    again = Learned(read)
    for one in said:
        assert again.score(one) == pytest.approx(Learned(weights).score(one), abs=1e-3)
        assert sum(reason.weight for reason in again.reasons(one)) == pytest.approx(again.gain(one) / read.spread)
    assert router_file(learn_both(said, weak, strong, leaning=leaning), {}) == file.read_bytes()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: re.sub(r', "odds": [^]]*]', "", text), "does not have 2 numbers for each term"),
        (lambda text: re.sub(r'("cat": \[[^,]*,[^,]*),[^]]*]', r"\1]", text), "does not have 3 numbers for each term"),
        (lambda text: re.sub(r'"weak": \[[^]]*]', '"weak": [1.0]', text, count=1), "a weight for each leaf"),
    ],
)
def test_a_file_with_too_few_numbers_for_two_models_is_refused(
    change: Callable[[str], str], told: str, tmp_path: Path
) -> None:
    said, weak, strong = between(60)
    weights = learn_both(said, weak, strong, leaning=Leaning(penalty=1.0, ferns=2, together=1.0))
    text = router_file(weights, {}).decode()
    assert change(text) != text
    file = tmp_path / "router.json"
    file.write_text(change(text))
    with pytest.raises(RouterFileError, match=told):
        read_router_file(file, "router.json")


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
