"""What the shipped classifier is made of, on a folder as the public data sets write theirs."""

from __future__ import annotations

import json
from dataclasses import replace
from math import log1p
from pathlib import Path

import pytest

from benchmarks.routing import train_default
from benchmarks.routing.data import STRONG, WEAK, Known, training_set
from benchmarks.routing.train_default import RECIPE, gains_of, learned, with_prior
from router_service.routing.excerpt import excerpt
from router_service.routing.learned import Learned

LONG = "a train leaves the town at nine and meets another one that left at ten after"
SCORES = {"small": 0.0, "large": 1.0}


def lines(file: Path, *rows: dict[str, object]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def query(text: str, choices: object = None, task: str = "quiz", metric: str = "em_mc") -> dict[str, object]:
    return {"query": text, "choices": None if choices is None else str(choices), "task_name": task, "metric": metric}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """RouteLLM's sets with one prompt each; what LLMRouter has is for `publish`."""
    theirs = tmp_path / "routellm"
    for name in ("mmlu", "gsm8k", "mt_bench"):
        lines(theirs / name / "contaminated_prompts.jsonl", {"eval_prompt": f"Leaked {name}"})
    header = f"prompt,{WEAK},{STRONG}\n"
    (theirs / "mmlu" / "responses").mkdir()
    (theirs / "mmlu" / "responses" / "one.csv").write_text(f'{header}"Who wrote it?\nA. Me\nB. You",True,True\n')
    (theirs / "gsm8k" / "gsm8k_responses.csv").write_text(f"{header}{LONG} how many hours?,True,True\n")
    lines(theirs / "mt_bench" / "question.jsonl", {"question_id": 1, "turns": ["Write a haiku", "Another one"]})
    judged = [{"question_id": 1, "model": model, "score": 9} for model in (WEAK, STRONG)]
    lines(theirs / "mt_bench" / "judgements.jsonl", *judged)
    return tmp_path


def publish(folder: Path, *queries: dict[str, object]) -> None:
    for part, rows in (("train", queries), ("test", ())):
        lines(folder / "llmrouter" / f"default_query_{part}.jsonl", *rows)
        scored = [{"question": row["query"], "scores": SCORES} for row in rows]
        (folder / "llmrouter" / f"{part}.json").write_text(json.dumps(scored))


@pytest.mark.parametrize(
    ("asked", "prompt"),
    [
        (query("Which?", ["this one", "that"]), "Which?\nA. this one\nB. that"),
        (query("Which?", {"text": ["red", "it's blue "], "label": ["A", "B"]}), "Which?\nA. red\nB. it's blue"),
        (
            query("Add two.", ["assert add(1, 2) == 3"], "mbpp", "code_eval"),
            "Add two.\nYour code should pass these tests:\nassert add(1, 2) == 3",
        ),
        (query("How much is it?"), "How much is it?"),
    ],
    ids=["list", "labelled", "tests", "open"],
)
def test_a_prompt_is_what_the_models_were_asked(folder: Path, asked: dict[str, object], prompt: str) -> None:
    publish(folder, asked)
    assert training_set(folder) == [Known(prompt, str(asked["task_name"]), SCORES)]


@pytest.mark.parametrize(
    "asked",
    [
        query("who wrote IT"),
        query("Who wrote it?", ["Them", "Us"]),
        query("Leaked gsm8k!"),
        query("another one"),
        query(f"{LONG.capitalize()} how far?"),
        query("Which is right?", [LONG, "none"]),
    ],
    ids=["question", "other options", "contaminated", "second turn", "thirteen words", "thirteen words of an option"],
)
def test_no_prompt_of_an_evaluation_set_is_learned_from(folder: Path, asked: dict[str, object]) -> None:
    publish(folder, query("Something else"), asked)
    assert [row.prompt for row in training_set(folder)] == ["Something else"]


def test_a_prompt_that_is_there_twice_counts_once(folder: Path) -> None:
    publish(folder, query("Something else"), query("something else?"))
    assert [row.prompt for row in training_set(folder)] == ["Something else"]


def test_a_gain_is_of_means_and_its_task_can_be_taken_off() -> None:
    rows = [
        Known("one", "easy", {"small": 1, "tiny": 0, "large": 1}),
        Known("two", "easy", {"small": 0, "tiny": 0, "large": 1}),
        Known("three", "hard", {"small": 1, "tiny": 1, "large": 0}),
    ]
    assert gains_of(rows, ["small", "tiny"], ["large"], 0.0) == [0.5, 1.0, -1.0]
    assert gains_of(rows, ["small", "tiny"], ["large"], 1.0) == [-0.25, 0.25, 0.0]


def test_the_prior_adds_deviations_for_length_and_for_words_of_work() -> None:
    said = [excerpt(f"{word} thing {'and so on ' * times}") for times in range(8) for word in ("red", "blue", "green")]
    plain = learned(said, [float(at % 3) for at in range(len(said))], RECIPE)
    asked = excerpt("prove")
    before = Learned(plain).gain(asked)

    lengthy = Learned(with_prior(plain, len(said), replace(RECIPE, length=2.0, words=0.0)))
    centre, spread, _ = plain.shape[0]
    deviations = max(-3.0, (log1p(len("prove")) - centre) / spread)
    assert lengthy.gain(asked) - before == pytest.approx(2.0 * plain.spread * deviations)
    worded = Learned(with_prior(plain, len(said), replace(RECIPE, length=0.0, words=3.0)))
    assert worded.gain(asked) - before == pytest.approx(3.0 * plain.spread)


def test_the_same_data_give_the_same_bytes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(folder, *(query(f"{word} number {at}") for at in range(6) for word in ("what", "which", "whose")))
    monkeypatch.setattr(train_default, "WEAKER", ("small",))
    monkeypatch.setattr(train_default, "STRONGER", ("large",))
    first = train_default.train(folder)
    assert first == train_default.train(folder)
    assert json.loads(first)["about"]["prompts"] == "18"
