"""A router is learned from feedback although most prompts were answered by one model only."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from router_service.lab.calibration import calibrate
from router_service.lab.curves import curve
from router_service.lab.feedback import JudgedPrompt, read_prompts
from router_service.lab.one_sided import UNLIKE, judged_pair, train_on_feedback
from router_service.lab.outcomes import Outcome, OutcomesError, read_outcomes
from router_service.routing.excerpt import excerpt
from router_service.routing.learned import Learned

SYNTHETIC = Path(__file__).parent / "synthetic.jsonl"


@pytest.fixture(scope="module")
def rows() -> list[Outcome]:
    return read_outcomes(SYNTHETIC)


def seen_by_one(rows: list[Outcome], *, small_of_hard: float, small_of_easy: float) -> list[JudgedPrompt]:
    """Each prompt as if one model had answered it, drawn with these chances."""
    draw = random.Random(3)
    prompts = []
    for row in rows:
        chance = small_of_easy if len(row.prompt) < 50 else small_of_hard
        model = "small" if draw.random() < chance else "large"
        prompts.append(JudgedPrompt(prompt=row.prompt, scores={model: row.outcomes[model]}))
    return prompts


def area(rows: list[Outcome], learned: Learned) -> float:
    gains = [row.outcomes["large"] - row.outcomes["small"] for row in rows]
    return curve([learned.gain(excerpt(row.prompt)) for row in rows], gains).apgr


@pytest.mark.parametrize(("small_of_hard", "small_of_easy"), [(0.5, 0.5), (0.3, 0.7), (0.8, 0.2)])
def test_one_sided_feedback_tells_hard_prompts_from_easy_ones(
    rows: list[Outcome], small_of_hard: float, small_of_easy: float
) -> None:
    prompts = seen_by_one(rows, small_of_hard=small_of_hard, small_of_easy=small_of_easy)
    found = train_on_feedback(prompts, "small", "large", keep=0.9, confidence=0.95)
    assert (found.both, found.pairs, found.threshold) == (0, 0, None)
    assert area(rows, Learned(found.weights)) > 0.65
    assert found.weak.prompts + found.strong.prompts == found.learned_from
    assert found.weak.held_out + found.strong.held_out == len(rows) - found.learned_from
    assert found.weak.error < found.weak.error_of_mean
    assert found.told_apart is not None
    assert (found.told_apart >= UNLIKE) is (small_of_hard != small_of_easy)


def test_where_both_answers_were_judged_nothing_is_predicted_and_something_is_promised(rows: list[Outcome]) -> None:
    prompts = [JudgedPrompt(prompt=row.prompt, scores=row.outcomes) for row in rows]
    found = train_on_feedback(prompts, "small", "large", keep=0.8, confidence=0.9)
    assert found.both == len(rows)
    assert found.pairs >= 30
    assert found.threshold is not None
    assert found.weights.complex_from == pytest.approx(found.threshold.threshold, abs=1e-4)
    assert area(rows, Learned(found.weights)) > 0.7


def test_a_refusal_counts_as_the_worst_beside_a_judged_answer_and_promises_nothing(rows: list[Outcome]) -> None:
    """The small model answered, and where it failed a gate sent the prompt on to the large one."""
    prompts = [
        JudgedPrompt(prompt=row.prompt, scores={"small": 1.0})
        if row.outcomes["small"]
        else JudgedPrompt(prompt=row.prompt, scores={"large": row.outcomes["large"]}, refused=frozenset({"small"}))
        for row in rows
    ]
    large = sum("large" in one.scores for one in prompts)
    more = [JudgedPrompt(prompt=f"Filler {n}.", scores={"large": 1.0}) for n in range(100 - large)]
    found = train_on_feedback([*prompts, *more], "small", "large", keep=0.9, confidence=0.95)
    assert (found.both, found.pairs, found.threshold) == (large, 0, None)
    assert area(rows, Learned(found.weights)) > 0.7
    blind = [JudgedPrompt(prompt=one.prompt, scores=one.scores) for one in [*prompts, *more]]
    assert train_on_feedback(blind, "small", "large", keep=0.9, confidence=0.95).both == 0


def test_too_few_prompts_of_a_model_are_refused_with_the_counts(rows: list[Outcome]) -> None:
    prompts = seen_by_one(rows, small_of_hard=1.0, small_of_easy=1.0)
    with pytest.raises(OutcomesError, match=r"^0 prompts that large .* least 100 .* small \(\d+ prompts\)$"):
        train_on_feedback(prompts, "small", "large", keep=0.9, confidence=0.95)
    for weak, strong in (("", "large"), ("small", ""), ("small", "small")):
        with pytest.raises(OutcomesError, match=r"^Name two models by --weak and --strong"):
            train_on_feedback(prompts, weak, strong, keep=0.9, confidence=0.95)


def test_a_promise_is_made_from_pairs_alone(rows: list[Outcome]) -> None:
    one_sided = seen_by_one(rows, small_of_hard=0.5, small_of_easy=0.5)
    refused = [JudgedPrompt(prompt=f"p{n}", scores={"large": 1.0}, refused=frozenset({"small"})) for n in range(50)]
    with pytest.raises(OutcomesError, match="Nothing can be promised: 0 prompts"):
        judged_pair([*one_sided, *refused], "small", "large")
    both = [JudgedPrompt(prompt=f"p{n}", scores={"small": 0.5, "large": 1.0}) for n in range(30)]
    pair = judged_pair([*one_sided, *both], "small", "large")
    assert (pair.weak_scores, pair.strong_scores) == ([0.5] * 30, [1.0] * 30)
    assert calibrate([0.5] * 30, pair.weak_scores, pair.strong_scores, keep=0.9).strong_share == 1.0


def test_prompts_that_are_kept_elsewhere_are_texts_or_conversations(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text(
        '{"request_id": "a", "prompt": "Why?"}\n\n'
        '{"request_id": "b", "prompt": [{"role": "user", "content": "How?"}, '
        '{"role": "assistant", "content": "So."}]}\n'
    )
    assert read_prompts(file) == {"a": "Why?", "b": "How?"}
    file.write_text('{"prompt": "Why?"}\n')
    with pytest.raises(OutcomesError, match=r"prompts\.jsonl:1: .*request_id"):
        read_prompts(file)
