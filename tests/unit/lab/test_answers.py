from __future__ import annotations

import pytest

from router_service.lab.answers import FIGURES, arithmetic, figures_of

QUESTION = "Tom has 6 boxes of 8 pens and gives 3 pens away. How many are left?"


def seen(answer: str, question: str = QUESTION) -> dict[str, float]:
    return dict(zip(FIGURES, figures_of(question, answer), strict=True))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("6 * 8", 48.0),
        ("(1,000 - 10) / 2", 495.0),
        ("20% x 50", 10.0),
        ("3 ÷ 0", None),
        ("__import__('os')", None),
        ("9**9", None),
        ("2 +", None),
    ],
)
def test_arithmetic_is_numbers_and_four_operations(text: str, value: float | None) -> None:
    assert arithmetic(text) == value


def test_an_answer_that_adds_up_shows_nothing() -> None:
    right = seen("6 * 8 = <<6*8=48>>48\n48 - 3 = <<48-3=45>>45\n#### 45")
    assert (right["equations"], right["annotations"]) == (pytest.approx(1.0986, abs=1e-3),) * 2
    for name in (
        "no final answer",
        "wrong equation",
        "wrong annotation",
        "numbers not used",
        "results not used",
        "hedges",
    ):
        assert right[name] == 0.0, name


@pytest.mark.parametrize(
    ("answer", "figure"),
    [
        pytest.param("6 * 8 = 47\n#### 47", "wrong equation", id="re-check"),
        pytest.param("6 * 8 = <<6*8=47>>47\n#### 47", "wrong annotation", id="annotation"),
        pytest.param("6 * 8 = <<6*8=48>>50\n#### 50", "wrong annotation", id="annotation and text differ"),
        pytest.param("It is 45.", "no final answer", id="no final answer"),
        pytest.param("#### 45\n#### 46", "several final answers", id="several"),
        pytest.param("6 * 8 = 48\n#### 48", "numbers not used", id="a number of the question is not used"),
        pytest.param("#### 4.5", "not whole", id="not whole"),
        pytest.param("#### -3", "negative", id="negative"),
        pytest.param("It is unclear, assuming 6 boxes. #### 45", "hedges", id="hedging"),
        pytest.param("6 * 8 = <<6*", "ends in the middle", id="truncated"),
        pytest.param("Yes.\nYes.\n#### 1", "repeats a line", id="repetition"),
    ],
)
def test_what_is_wrong_with_an_answer_shows(answer: str, figure: str) -> None:
    assert seen(answer)[figure] > 0


@pytest.mark.parametrize("answer", ["", "####", "=", "<<=>>", "1" * 5000, "((((" * 50 + "= 3", "1,,2 = 3"])
def test_no_answer_is_too_odd(answer: str) -> None:
    assert len(figures_of("", answer)) == len(FIGURES)
