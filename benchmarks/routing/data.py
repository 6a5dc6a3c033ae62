"""The public data sets as prompts with outcomes: RouteLLM's for evaluation, LLMRouter's for training the default.

None of it is part of the repository. `folder` holds `routellm/` (lm-sys/RouteLLM, Apache-2.0) and `llmrouter/`
(ulab-uiuc/LLMRouter, MIT) as those projects publish them; prompts that the RouteLLM paper lists as contaminated are
left out, as there.
"""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from router_service.lab.outcomes import Outcome

WEAK, STRONG = "mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"
# USD per million tokens, blended, as the paper has them.
PRICES = {WEAK: 0.24, STRONG: 24.7}
SETS = ("MMLU", "GSM8K", "MT-Bench")
_SHINGLE = 13
_LETTERS = "ABCDEFGHIJ"


def evaluation_sets(folder: Path) -> dict[str, list[Outcome]]:
    """MMLU, GSM8K and MT-Bench. Raises `OSError` where the data is not there."""
    root = folder / "routellm"
    files = sorted((root / "mmlu" / "responses").glob("*.csv"))
    if not files:
        raise FileNotFoundError(f"no results of MMLU in {root}")
    mmlu, gsm8k = _contaminated(root / "mmlu"), _contaminated(root / "gsm8k")
    return {
        "MMLU": [row for file in files for row in _table(file, mmlu)],
        "GSM8K": list(_table(root / "gsm8k" / "gsm8k_responses.csv", gsm8k)),
        "MT-Bench": list(_judged(root / "mt_bench")),
    }


@dataclass(frozen=True, slots=True)
class Known:
    """A prompt of a task, as the models were asked, and the score of each model, from 0 to 1."""

    prompt: str
    task: str
    scores: Mapping[str, float]


def training_set(folder: Path) -> list[Known]:
    """Prompts none of which occurs in an evaluation set, each once.

    A prompt is dropped if it is one of theirs, but for case and punctuation, or shares thirteen words in a row with
    one, with its options or without.
    """
    theirs = [row.prompt for rows in evaluation_sets(folder).values() for row in rows]
    theirs += _all_prompts(folder / "routellm")
    taken = {_plain(prompt) for prompt in theirs} | {_plain(prompt.split("\nA. ")[0]) for prompt in theirs}
    shingles = {shingle for prompt in theirs for shingle in _shingles(prompt)}
    found = []
    for part in ("train", "test"):
        queries = [json.loads(line) for line in _lines(folder / "llmrouter" / f"default_query_{part}.jsonl")]
        by_question = {query["query"].strip(): query for query in queries}
        for row in json.loads((folder / "llmrouter" / f"{part}.json").read_text(encoding="utf-8")):
            query = by_question[row["question"].strip()]
            prompt = _as_asked(query)
            forms = {_plain(row["question"]), _plain(prompt)}
            if taken.isdisjoint(forms) and shingles.isdisjoint(_shingles(row["question"]) | _shingles(prompt)):
                found.append(Known(prompt, query["task_name"], row["scores"]))
            taken.add(_plain(prompt))
    return found


def _as_asked(query: Mapping[str, Any]) -> str:
    """The question, with the options below it, or the tests that a program has to pass.

    The data set writes them as a literal of Python: a list, or a dictionary with the list under "text".
    """
    question: str = query["query"].strip()
    if not query.get("choices"):
        return question
    choices = ast.literal_eval(query["choices"])
    texts: list[str] = choices["text"] if isinstance(choices, dict) else choices
    if query["metric"] == "code_eval":
        return "\n".join([question, "Your code should pass these tests:", *texts])
    return "\n".join([question, *(f"{letter}. {text.strip()}" for letter, text in zip(_LETTERS, texts, strict=False))])


def _table(file: Path, without: set[str]) -> Iterator[Outcome]:
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["prompt"] in without:
                continue
            told = {model: row[f"{model}_response"] for model in (WEAK, STRONG) if f"{model}_response" in row}
            outcomes = {model: float(row[model] == "True") for model in (WEAK, STRONG)}
            yield Outcome(prompt=row["prompt"], outcomes=outcomes, responses=told, prices=PRICES)


def _judged(folder: Path) -> Iterator[Outcome]:
    """The first question of each conversation; the outcome is the mean of the judge's scores of both turns."""
    without = _contaminated(folder)
    scores: dict[tuple[int, str], list[float]] = {}
    for line in _lines(folder / "judgements.jsonl"):
        judged = json.loads(line)
        scores.setdefault((judged["question_id"], judged["model"]), []).append(judged["score"])
    for line in _lines(folder / "question.jsonl"):
        question = json.loads(line)
        prompt, number = question["turns"][0], question["question_id"]
        if prompt not in without:
            outcomes = {model: sum(scores[number, model]) / len(scores[number, model]) for model in (WEAK, STRONG)}
            yield Outcome(prompt=prompt, outcomes=outcomes, prices=PRICES)


def _all_prompts(root: Path) -> Iterator[str]:
    """Those that the evaluation leaves out as well."""
    for name in ("mmlu", "gsm8k", "mt_bench"):
        yield from _contaminated(root / name)
    for line in _lines(root / "mt_bench" / "question.jsonl"):
        yield from json.loads(line)["turns"]


def _contaminated(folder: Path) -> set[str]:
    return {json.loads(line)["eval_prompt"] for line in _lines(folder / "contaminated_prompts.jsonl")}


def _lines(file: Path) -> list[str]:
    with file.open(encoding="utf-8", newline="\n") as lines:
        return [line for line in lines if line.strip()]


def _plain(text: str) -> str:
    return re.sub(r"\W+", " ", text.lower()).strip()


def _shingles(text: str) -> set[str]:
    words = _plain(text).split()
    return {" ".join(words[at : at + _SHINGLE]) for at in range(len(words) - _SHINGLE + 1)}
