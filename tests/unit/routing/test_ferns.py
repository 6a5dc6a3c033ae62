from __future__ import annotations

import random
from pathlib import Path

import pytest

from router_service.config.router_file import RouterFileError, read_router_file
from router_service.lab.learning import Leaning, learn, router_file
from router_service.lab.planting import planted
from router_service.routing.excerpt import excerpt
from router_service.routing.ferns import Ferns
from router_service.routing.learned import Learned, terms_of


def test_a_leaf_is_the_answers_to_a_ferns_questions() -> None:
    ferns = Ferns([((0, 1.0), (1, 2.0)), ((1, 5.0), (0, 1.0), (0, 3.0))], figures=2)
    assert list(ferns.leaves((0.0, 0.0))) == [0b00, 0b000]
    assert list(ferns.leaves((2.0, 0.0))) == [0b01, 0b010]
    assert list(ferns.leaves((4.0, 6.0))) == [0b11, 0b111]
    assert list(ferns.leaves((1.0, 2.0))) == [0b00, 0b000], "a figure equal to its cut is not above it"


def test_the_same_figures_plant_the_same_ferns_and_none_cuts_below_a_figure_it_was_drawn_from() -> None:
    draw = random.Random(3)
    figures = [(draw.random(), float(draw.randrange(4))) for _ in range(50)]
    ferns = planted(figures, 20)
    assert planted(figures, 20) == ferns
    assert {len(cuts) for cuts in ferns} == {5}
    for place, cut in (one for cuts in ferns for one in cuts):
        assert any(0 < cut - row[place] < 0.0002 for row in figures)


def test_ferns_learn_what_no_sum_of_figures_tells() -> None:
    """Long prompts gain where there are numbers, short ones where there are none."""
    draw = random.Random(7)
    prompts, gains = [], []
    for _ in range(400):
        long, numbers = draw.random() < 0.5, draw.random() < 0.5
        # No word occurs twice: as words they tell nothing.
        words = ["".join(draw.choices("abcdefgh", k=9)) for _ in range(draw.randrange(40, 60) if long else 9)]
        prompts.append(excerpt(" ".join([*words, *([str(draw.randrange(10**8, 10**9))] if numbers else [])])))
        gains.append(float(long == numbers))
    rate = {}
    for count in (0, 64):
        model = Learned(learn(prompts[:300], gains[:300], leaning=Leaning(penalty=3.0, ferns=count, together=1.0)))
        middle = sorted(map(model.gain, prompts[:300]))[150]
        rate[count] = sum(
            (model.gain(one) >= middle) == (gain > 0.5) for one, gain in zip(prompts[300:], gains[300:], strict=True)
        )
    assert rate[64] > 90
    assert rate[64] > rate[0] + 10


def test_ferns_survive_a_router_file(tmp_path: Path) -> None:
    draw = random.Random(1)
    said = [excerpt("what is " + "so " * draw.randrange(30) + str(draw.randrange(99))) for _ in range(60)]
    weights = learn(said, [draw.random() for _ in said], leaning=Leaning(penalty=2.0, ferns=8, together=1.0))
    file = tmp_path / "router.json"
    file.write_bytes(router_file(weights, {}))
    again = Learned(read_router_file(file, "router.json"))
    assert max(abs(again.score(one) - Learned(weights).score(one)) for one in said) < 1e-3
    total = sum(reason.weight for reason in again.reasons(said[0]))
    assert total == pytest.approx(again.gain(said[0]) / read_router_file(file, "x").spread)
    assert any(reason.name == "(the figures together)" for reason in again.reasons(said[0]))
    file.write_bytes(router_file(weights, {}).replace(b'"cuts": [', b'"cuts": [[99, 1.0],', 1))
    with pytest.raises(RouterFileError, match="has a fern without 1 to 8 cuts"):
        read_router_file(file, "router.json")


def test_numbers_are_words_single_letters_are_not_and_each_sign_of_chinese_is() -> None:
    assert dict(terms_of(excerpt("A 12 x apples"))) == {"12": 1, "apples": 1, ("12", "apples"): 1}
    assert {"天", "空", "gpt4", ("天", "空")} <= set(terms_of(excerpt("gpt4 天空")))
