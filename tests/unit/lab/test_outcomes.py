from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from router_service.lab.outcomes import Outcome, OutcomesError, paired, read_outcomes


def written(folder: Path, name: str, text: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


ONE = '{"prompt": "p", "outcomes": {"s": 0, "l": 1}}\n'


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
        pytest.param("a.jsonl", '{"prompt": "p", "outcomes": {"s": NaN}}', "for NaN or Infinity write null", id="NaN"),
        pytest.param("a.jsonl", '{"prompt": "p", "outcomes": {"s": 1e300}}', "1: s is no score", id="out of range"),
        pytest.param("a.jsonl", '{"prompt": "p", "outcomes": {"s": 1}, "prices": {"s": -1}}', "price of s", id="price"),
        pytest.param("a.jsonl", "[" * 9_999, "one JSON array", id="array"),
        pytest.param("a.jsonl", '{"prompt": ' + "[" * 9_999, r"a\.jsonl:1: ", id="deep"),
        pytest.param("a.jsonl", b'{"prompt": "\xe9", "outcomes": {}}', "jsonl:1: is not UTF-8 text", id="Latin-1"),
        pytest.param("a.jsonl", ONE.encode("utf-16"), "is not UTF-8 text", id="UTF-16"),
        pytest.param("a.jsonl.gz", gzip.compress(ONE.encode()), "is compressed; unpack it", id="compressed"),
        pytest.param("a.csv", "prompt,s\n\xe9,1\n".encode("latin-1"), "is not UTF-8 text", id="Latin-1 table"),
        pytest.param("a.csv", "prompt,s\np,1,2\n", r"a\.csv:2: has more values", id="too many values"),
        pytest.param("a.csv", "prompt;s\np;1\n", "first line says 'prompt;s'.*commas", id="semicolons"),
        pytest.param("a.csv", 'prompt,s\n"p' + "x" * 2**24 + '",1\n', "is not CSV: field larger", id="huge value"),
        pytest.param("a.jsonl", "", "holds no prompt", id="empty"),
        pytest.param("a.csv", "question,s\np,1\n", "no column `prompt`", id="no prompt"),
        pytest.param("a.csv", "prompt,s\np,nan\n", r"a\.csv:2: s is no score", id="no number"),
    ],
)
def test_a_file_that_says_something_else_is_refused_with_its_line(
    tmp_path: Path, name: str, text: str | bytes, told: str
) -> None:
    with pytest.raises(OutcomesError, match=told):
        read_outcomes(written(tmp_path, name, text))


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
    with pytest.raises(OutcomesError, match="strong one; there is a"):
        paired([Outcome(prompt="p", outcomes={"a": 1.0})])
    with pytest.raises(OutcomesError, match="a cannot be both"):
        paired(rows(), "a", "a")
    with pytest.raises(OutcomesError, match="Fewer than two of 1 prompts"):
        paired(rows()[:1])


def test_confidence_is_that_of_the_weak_model_where_it_is_told(tmp_path: Path) -> None:
    lines = tmp_path / "a.jsonl"
    lines.write_text(
        '{"prompt": "p", "outcomes": {"s": 0, "l": 1}, "confidence": {"s": 0.25, "l": 0.9}}\n'
        '{"prompt": "q", "outcomes": {"s": 1, "l": 1}}\n'
    )
    assert paired(read_outcomes(lines)).confidence == [(0.25, 0.0)]


def test_answers_are_those_of_the_weak_model_where_there_are_any() -> None:
    both = [Outcome(prompt=one, outcomes={"a": 0.0, "b": 1.0}, responses={"a": one}) for one in "xy"]
    pair = paired([*both, Outcome(prompt="z", outcomes={"a": 0.5, "b": 1.0}, responses={"b": "z"})])
    assert pair.answers == ["x", "y", None]
    assert (pair.among([2, 0]).answers, pair.among([2, 0]).weak_scores) == ([None, "x"], [0.5, 0.0])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("a.jsonl", "\ufeff" + ONE, id="byte order mark"),
        pytest.param("a.jsonl", "\r\n \r\n" + ONE.replace("\n", "\r\n"), id="blank lines"),
        pytest.param("results", ONE, id="no suffix"),
        pytest.param("a.csv", ONE, id="lines called CSV"),
        pytest.param("a.txt", "prompt,s,l\np,0,1\n", id="CSV by another name"),
        pytest.param("a.csv", "id, prompt ,s,l\n7,p,0,1\n", id="an id, and blanks around names"),
        pytest.param("a.jsonl", ONE.replace('"s": 0', '"s": 0, "m": null'), id="an outcome that is not known"),
        pytest.param("a.jsonl", ONE.replace("}}", '}, "responses": null, "prices": {"s": null}, "x": 1}'), id="nulls"),
    ],
)
def test_the_same_is_read_from_what_other_programs_write(tmp_path: Path, name: str, text: str) -> None:
    assert read_outcomes(written(tmp_path, name, text)) == [Outcome(prompt="p", outcomes={"s": 0.0, "l": 1.0})]


def test_of_a_conversation_the_last_thing_the_user_said_is_the_prompt(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "And"}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": "now?"}]
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "Well"},
    ]
    line = json.dumps({"prompt": messages, "outcomes": {"s": 0, "l": 1}})
    assert read_outcomes(written(tmp_path, "a.jsonl", line))[0].prompt == "Andnow?"


def test_a_table_tells_prices_too(tmp_path: Path) -> None:
    read = read_outcomes(written(tmp_path, "a.csv", "prompt,s,s_price,l,l_price\np,0,0.2,1,\n"))
    assert read == [Outcome(prompt="p", outcomes={"s": 0.0, "l": 1.0}, prices={"s": 0.2})]


def test_a_free_model_is_the_cheapest_and_costs_nothing() -> None:
    pair = paired(rows(a=1.0, b=0.0, c=2.0))
    assert (pair.weak, pair.cost_ratio, pair.is_priced) == ("b", 0.0, True)
    assert not paired(rows(a=0.0, c=0.0)).is_priced


def test_of_equally_good_models_the_dearest_is_the_strong_one() -> None:
    pair = paired([Outcome(prompt="p", outcomes={"a": 1.0, "b": 1.0}, prices={"a": 1.0, "b": 9.0})] * 2)
    assert (pair.weak, pair.strong) == ("a", "b")


def test_it_is_told_what_else_there_was_to_choose_and_what_does_not_count() -> None:
    (others,) = paired(rows(a=3.0, b=1.0, c=10.0)).remarks
    assert others == (
        "of 3 models c is the best, and b the cheapest of the others; --weak and --strong choose otherwise: a 0.200"
    )
    assert paired(rows(), weak="a", strong="c").remarks == ()
    lacking = [*rows(), Outcome(prompt="q", outcomes={"a": 0.1})]
    assert paired(lacking, "a", "b").remarks == ("1 of 4 prompts lack an outcome of a or b: left out",)
    assert paired(rows(b=5.0, c=2.0), "b", "c").remarks == ("b costs no less than c: nothing can be saved",)


def test_shares_of_quality_count_from_the_least_score_where_it_is_negative() -> None:
    pair = paired([Outcome(prompt="p", outcomes={"a": -1.0, "b": 1.0})] * 2)
    assert pair.qualities([0]) == ([0.0], [2.0])
    assert pair.remarks == ("scores go down to -1: shares of a quality count from there, not from 0",)
    assert paired(rows(), "a", "c").qualities([0]) == ([0.2], [0.9])


def test_a_blank_answer_in_a_table_is_not_known(tmp_path: Path) -> None:
    rows = read_outcomes(written(tmp_path, "a.csv", "prompt,s,l,s_response\np,0,1,\nq,1,1,hello\n"))
    assert [row.responses for row in rows] == [{}, {"s": "hello"}]


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutcomesError, match="'s' is there twice"):
        read_outcomes(written(tmp_path, "a.csv", "prompt,s,l,s\np,0,1,1\n"))
