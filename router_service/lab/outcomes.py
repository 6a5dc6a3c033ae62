"""Prompts with what each model made of them: labelled results, as files hold them.

JSONL, a line for each prompt:
    {"prompt": "...", "outcomes": {"small": 0.4, "large": 1}, "responses": {"small": "..."}, "prices": {"small": 0.2},
     "confidence": {"small": 0.31}}
CSV, with a header: `prompt`, then a column for each model (0.4, 1, true); a column `<model>_response` holds its answer.

Outcomes are scores, more is better; `responses` and `prices` (USD per million tokens, or any unit that is the same for
all) may be left out, and so may `confidence`: the margin that the gate `confident` found, its score in the receipt as
long as it has no calibration.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

_TRUTHS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
_RESPONSE = "_response"
_AS_MANY_AS_IT_TAKES = 2**24


class OutcomesError(Exception):
    """The file does not say what is needed; the message tells where, and what to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One prompt: the score of each model, and where known its answer, its price and how sure it was."""

    prompt: str
    outcomes: Mapping[str, float]
    responses: Mapping[str, str] = field(default_factory=dict)
    prices: Mapping[str, float] = field(default_factory=dict)
    confidence: Mapping[str, float] = field(default_factory=dict)


class _Line(msgspec.Struct):
    prompt: str
    outcomes: dict[str, float | bool]
    responses: dict[str, str] = {}
    prices: dict[str, float] = {}
    confidence: dict[str, float] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The prompts that both a weak and a strong model answered.

    `cost_ratio` is the price of a weak call over that of a strong one. `answers` are the weak model's,
    `None` where any is missing. `confidence` has (how sure it was, its score) for the prompts that say so.
    """

    weak: str
    strong: str
    prompts: list[str]
    weak_scores: list[float]
    strong_scores: list[float]
    answers: list[str] | None
    cost_ratio: float
    confidence: list[tuple[float, float]] = field(default_factory=list)

    @property
    def gains(self) -> list[float]:
        """What the strong model gains on each prompt."""
        return [strong - weak for weak, strong in zip(self.weak_scores, self.strong_scores, strict=True)]


def read_outcomes(path: Path) -> list[Outcome]:
    """All prompts of a .jsonl or .csv file. Raises `OutcomesError`, and `OSError` where it cannot be read."""
    rows = list(_from_csv(path) if path.suffix.lower() == ".csv" else _from_jsonl(path))
    if not rows:
        raise OutcomesError(f"{path} holds no prompt")
    return rows


def paired(rows: Iterable[Outcome], weak: str = "", strong: str = "", *, price_ratio: float = 0.1) -> Pair:
    """The rows as a pair of models: those named, else the cheapest (without prices: the worst) and the best.

    `price_ratio` holds where prices are missing. Raises `OutcomesError` where there are no two models.
    """
    rows = list(rows)
    models = sorted({model for row in rows for model in row.outcomes})
    for name in (weak, strong):
        if name and name not in models:
            raise OutcomesError(f'No prompt has an outcome of "{name}"; there are {", ".join(models)}')
    means = {model: _mean(row.outcomes[model] for row in rows if model in row.outcomes) for model in models}
    prices = {model: _mean(row.prices[model] for row in rows if model in row.prices) for model in models}
    strong = strong or max((model for model in models if model != weak), key=lambda model: means[model], default="")
    others = [model for model in models if model != strong]
    if not strong or not others:
        raise OutcomesError("Outcomes of two models are needed, a cheap one and a strong one")
    weak = weak or min(others, key=lambda model: (prices[model] or math.inf, means[model]))
    both = [row for row in rows if weak in row.outcomes and strong in row.outcomes]
    if len(both) < 2:
        raise OutcomesError(f"Fewer than two prompts have outcomes of both {weak} and {strong}")
    answers = [row.responses.get(weak) for row in both]
    told = [answer for answer in answers if answer is not None]
    return Pair(
        weak=weak,
        strong=strong,
        prompts=[row.prompt for row in both],
        weak_scores=[row.outcomes[weak] for row in both],
        strong_scores=[row.outcomes[strong] for row in both],
        answers=told if len(told) == len(answers) else None,
        cost_ratio=prices[weak] / prices[strong] if prices[weak] and prices[strong] else price_ratio,
        confidence=[(row.confidence[weak], row.outcomes[weak]) for row in both if weak in row.confidence],
    )


def _mean(values: Iterable[float]) -> float:
    told = list(values)
    return sum(told) / len(told) if told else 0.0


def _from_jsonl(path: Path) -> Iterator[Outcome]:
    decoder = msgspec.json.Decoder(_Line)
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                read = decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as exc:
                raise OutcomesError(
                    f'{path}:{number}: {exc}. Write {{"prompt": "...", "outcomes": {{"model": 1}}}}'
                ) from exc
            outcomes = {model: float(score) for model, score in read.outcomes.items()}
            yield Outcome(
                prompt=read.prompt,
                outcomes=outcomes,
                responses=read.responses,
                prices=read.prices,
                confidence=read.confidence,
            )


def _from_csv(path: Path) -> Iterator[Outcome]:
    csv.field_size_limit(min(sys.maxsize, _AS_MANY_AS_IT_TAKES))
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        columns = [name for name in reader.fieldnames or () if name != "prompt"]
        if "prompt" not in (reader.fieldnames or ()):
            raise OutcomesError(f"{path}: there is no column `prompt`")
        answers = [name for name in columns if name.endswith(_RESPONSE) and name.removesuffix(_RESPONSE) in columns]
        models = [name for name in columns if name not in answers]
        for row in reader:
            yield Outcome(
                prompt=row["prompt"],
                outcomes={name: _score(path, reader.line_num, name, row[name]) for name in models if row[name]},
                responses={name.removesuffix(_RESPONSE): row[name] for name in answers if row[name] is not None},
            )


def _score(path: Path, line: int, name: str, text: str) -> float:
    truth = _TRUTHS.get(text.strip().lower())
    try:
        score = float(text) if truth is None else truth
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise OutcomesError(f"{path}:{line}: {name} is no score; write a number, true or false")
    return score
