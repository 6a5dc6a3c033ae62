from __future__ import annotations

from pathlib import Path

import pytest

from router_service.lab.outcomes import Outcome, OutcomesError, paired, read_outcomes


def test_jsonl_and_csv_say_the_same(tmp_path: Path) -> None:
    lines, table = tmp_path / "a.jsonl", tmp_path / "a.csv"
    lines.write_text('{"prompt": "p", "outcomes": {"s": true, "l": 0.5}, "responses": {"s": "x"}}\n\n')
    table.write_text("prompt,s,l,s_response\np,True,0.5,x\n")
    assert read_outcomes(lines) == read_outcomes(table)
    assert read_outcomes(lines) == [Outcome(prompt="p", outcomes={"s": 1.0, "l": 0.5}, responses={"s": "x"})]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        pytest.param("a.jsonl", '{"prompt": "p"}', r"a\.jsonl:1: .*outcomes", id="no outcomes"),
        pytest.param("a.jsonl", '{"prompt": "p", "outcomes": {"s": "good"}}', r"a\.jsonl:1: ", id="no score"),
        pytest.param("a.jsonl", "", "holds no prompt", id="empty"),
        pytest.param("a.csv", "question,s\np,1\n", "no column `prompt`", id="no prompt"),
        pytest.param("a.csv", "prompt,s\np,nan\n", r"a\.csv:2: s is no score", id="no number"),
    ],
)
def test_a_file_that_says_something_else_is_refused_with_its_line(
    tmp_path: Path, name: str, text: str, told: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(OutcomesError, match=told):
        read_outcomes(tmp_path / name)


def rows(**prices: float) -> list[Outcome]:
    return [Outcome(prompt="p", outcomes={"a": 0.2, "b": 0.5, "c": 0.9}, prices=prices) for _ in range(3)]


def test_the_strong_model_is_the_best_and_the_weak_one_the_cheapest_or_the_worst() -> None:
    assert (paired(rows()).weak, paired(rows()).strong) == ("a", "c")
    priced = paired(rows(a=3.0, b=1.0, c=10.0))
    assert (priced.weak, priced.strong, priced.cost_ratio) == ("b", "c", 0.1)
    named = paired(rows(), weak="c", strong="a")
    assert (named.weak, named.strong) == ("c", "a")


def test_a_pair_needs_two_models_that_are_there() -> None:
    with pytest.raises(OutcomesError, match='"d"'):
        paired(rows(), weak="d")
    with pytest.raises(OutcomesError, match="two models"):
        paired([Outcome(prompt="p", outcomes={"a": 1.0})])


def test_confidence_is_that_of_the_weak_model_where_it_is_told(tmp_path: Path) -> None:
    lines = tmp_path / "a.jsonl"
    lines.write_text(
        '{"prompt": "p", "outcomes": {"s": 0, "l": 1}, "confidence": {"s": 0.25, "l": 0.9}}\n'
        '{"prompt": "q", "outcomes": {"s": 1, "l": 1}}\n'
    )
    assert paired(read_outcomes(lines)).confidence == [(0.25, 0.0)]


def test_answers_count_only_where_every_prompt_has_one() -> None:
    both = [Outcome(prompt="p", outcomes={"a": 0.0, "b": 1.0}, responses={"a": "x"}) for _ in range(2)]
    assert paired(both).answers == ["x", "x"]
    assert paired([*both, Outcome(prompt="q", outcomes={"a": 0.0, "b": 1.0})]).answers is None
