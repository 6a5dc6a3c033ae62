"""Prompts with what each model made of them: labelled results, as files hold them.

JSONL, a line for each prompt:
    {"prompt": "...", "outcomes": {"small": 0.4, "large": 1}, "responses": {"small": "..."}, "prices": {"small": 0.2},
     "confidence": {"small": 0.31}}
CSV, with a header: `prompt`, then a column for each model (0.4, 1, true); columns `<model>_response` and
`<model>_price` hold its answers and prices. A column `id` is passed over.

`prompt` is a text or, in JSONL, a list of messages. Outcomes are scores, more is better; `responses` and `prices` (of
a token, a call, or anything that is the same for all) may be left out, and so may `confidence`: the margin that the
gate `confident` found, its score in the receipt as long as it has no calibration. What is `null` is not known.
"""

from __future__ import annotations

import csv
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import msgspec

from router_service.lab.said import Said, last_said

T = TypeVar("T")

_TRUTHS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
_RESPONSE, _PRICE = "_response", "_price"
_PASSED_OVER = frozenset({"prompt", "id"})
_AS_MANY_AS_IT_TAKES = 2**24
_FARTHEST = 1e9
_JSONL = frozenset({".jsonl", ".ndjson", ".json"})
_EXAMPLE = '{"prompt": "...", "outcomes": {"model": 1}}'


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
    prompt: str | list[Said]
    outcomes: dict[str, float | bool | None]
    responses: dict[str, str | None] | None = None
    prices: dict[str, float | None] | None = None
    confidence: dict[str, float | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The prompts that both a weak and a strong model answered.

    `cost_ratio` is the price of a weak call over that of a strong one; it is made up unless `is_priced`. `answers` are
    the weak model's, `None` where one is missing. `confidence` has (how sure it was, its score) for the prompts that
    say so. `remarks` are for people: what else there was to choose, and what was left out.
    """

    weak: str
    strong: str
    prompts: list[str]
    weak_scores: list[float]
    strong_scores: list[float]
    answers: list[str | None]
    cost_ratio: float
    is_priced: bool = True
    confidence: list[tuple[float, float]] = field(default_factory=list)
    remarks: tuple[str, ...] = ()

    @property
    def gains(self) -> list[float]:
        """What the strong model gains on each prompt."""
        return [strong - weak for weak, strong in zip(self.weak_scores, self.strong_scores, strict=True)]

    @property
    def floor(self) -> float:
        """Where shares of quality count from: 0, or the least score where some are negative."""
        return min((0.0, *self.weak_scores, *self.strong_scores))

    def qualities(self, which: Sequence[int]) -> tuple[list[float], list[float]]:
        """The weak and the strong model's scores on some of the prompts, from `floor` up: what shares are of."""
        floor = self.floor
        return [self.weak_scores[one] - floor for one in which], [self.strong_scores[one] - floor for one in which]

    def among(self, which: Sequence[int]) -> Pair:
        """The pair on some of its prompts, without their confidence."""
        return replace(
            self,
            prompts=[self.prompts[one] for one in which],
            weak_scores=[self.weak_scores[one] for one in which],
            strong_scores=[self.strong_scores[one] for one in which],
            answers=[self.answers[one] for one in which],
            confidence=[],
        )


def paired(rows: Iterable[Outcome], weak: str = "", strong: str = "", *, price_ratio: float = 0.1) -> Pair:
    """The rows as a pair of models: those named, else the best, and the cheapest of the others (without prices: the
    worst). Of equally good ones the dearest is the best.

    `price_ratio` holds where prices are missing. Raises `OutcomesError` where there are no two models.
    """
    rows = list(rows)
    models = sorted({model for row in rows for model in row.outcomes})
    for name in (weak, strong):
        if name and name not in models:
            raise OutcomesError(f'No prompt has an outcome of "{name}"; there are {", ".join(models)}')
    if weak == strong != "":
        raise OutcomesError(f"{weak} cannot be both the weak and the strong model; there {_are(models)}")
    if len(models) < 2:
        raise OutcomesError(f"Outcomes of two models are needed, a cheap one and a strong one; there {_are(models)}")
    means = _means(rows, lambda row: row.outcomes)
    prices = _means(rows, lambda row: row.prices)
    given = bool(weak and strong)
    strong = strong or max(
        (model for model in models if model != weak), key=lambda model: (means[model], prices.get(model, 0.0))
    )
    weak = weak or min(
        (model for model in models if model != strong), key=lambda model: (prices.get(model, math.inf), means[model])
    )
    both = [row for row in rows if weak in row.outcomes and strong in row.outcomes]
    if len(both) < 2:
        raise OutcomesError(
            f"Fewer than two of {len(rows):,} prompts have outcomes of both {weak} and {strong}; there {_are(models)}"
        )
    is_priced = weak in prices and prices.get(strong, 0.0) > 0
    remarks = []
    if len(models) > 2 and not given:
        others = ", ".join(f"{model} {means[model]:.3f}" for model in models if model not in (weak, strong))
        remarks.append(
            f"of {len(models)} models {strong} is the best, and {weak} the {'cheapest' if weak in prices else 'worst'} "
            f"of the others; --weak and --strong choose otherwise: {others}"
        )
    if len(both) < len(rows):
        remarks.append(
            f"{len(rows) - len(both):,} of {len(rows):,} prompts lack an outcome of {weak} or {strong}: left out"
        )
    if is_priced and prices[weak] >= prices[strong]:
        remarks.append(f"{weak} costs no less than {strong}: nothing can be saved")
    least = min(min(row.outcomes[weak], row.outcomes[strong]) for row in both)
    if least < 0:
        remarks.append(f"scores go down to {least:g}: shares of a quality count from there, not from 0")
    return Pair(
        weak=weak,
        strong=strong,
        prompts=[row.prompt for row in both],
        weak_scores=[row.outcomes[weak] for row in both],
        strong_scores=[row.outcomes[strong] for row in both],
        answers=[row.responses.get(weak) for row in both],
        cost_ratio=prices[weak] / prices[strong] if is_priced else price_ratio,
        is_priced=is_priced,
        confidence=[(row.confidence[weak], row.outcomes[weak]) for row in both if weak in row.confidence],
        remarks=tuple(remarks),
    )


def _are(models: Sequence[str]) -> str:
    return f"are {', '.join(models)}" if len(models) > 1 else f"is {models[0]}" if models else "is none"


def _means(rows: Sequence[Outcome], of: Callable[[Outcome], Mapping[str, float]]) -> dict[str, float]:
    """By model, over the rows that say something of it."""
    told: dict[str, list[float]] = {}
    for row in rows:
        for model, value in of(row).items():
            told.setdefault(model, []).append(value)
    return {model: sum(values) / len(values) for model, values in told.items()}


def read_outcomes(path: Path) -> list[Outcome]:
    """All prompts of a file: JSONL where it begins with `{` or is called so, else CSV.

    Raises `OutcomesError`, and `OSError` where it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    begun = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"\x1f\x8b"):
        raise OutcomesError(f"{path} is compressed; unpack it first, with gunzip")
    if b"\0" in head:
        raise OutcomesError(f"{path} is not UTF-8 text; write JSONL or CSV in UTF-8")
    if begun.startswith(b"["):
        raise OutcomesError(f"{path} is one JSON array; write an object on each line, as jq -c '.[]' does")
    in_lines = not begun or begun.startswith(b"{") or path.suffix.lower() in _JSONL
    rows = list(_from_jsonl(path) if in_lines else _from_csv(path))
    if not rows:
        raise OutcomesError(f"{path} holds no prompt; write one a line, such as {_EXAMPLE}")
    return rows


def read_lines(path: Path, kind: type[T], example: str) -> Iterator[T]:
    """The lines of a JSONL file. Raises `OutcomesError`, which shows the `example`, and `OSError`."""
    for _, read in _numbered(path, kind, example):
        yield read


def _numbered(path: Path, kind: type[T], example: str) -> Iterator[tuple[int, T]]:
    decoder = msgspec.json.Decoder(kind)
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if not text.strip():
                continue
            try:
                yield number, decoder.decode(text)
            except UnicodeDecodeError as exc:
                raise OutcomesError(f"{path}:{number}: is not UTF-8 text; save the file as UTF-8") from exc
            except (msgspec.DecodeError, RecursionError) as exc:
                hint = "; for NaN or Infinity write null" if b"NaN" in text or b"Infinity" in text else ""
                raise OutcomesError(
                    f"{path}:{number}: {exc}. Each line is one JSON object, such as {example}{hint}"
                ) from exc


def _from_jsonl(path: Path) -> Iterator[Outcome]:
    for number, read in _numbered(path, _Line, _EXAMPLE):
        place = f"{path}:{number}"
        yield Outcome(
            prompt=last_said(read.prompt),
            outcomes={model: _score(place, model, score) for model, score in _known(read.outcomes)},
            responses=dict(_known(read.responses)),
            prices={model: _price(place, model, price) for model, price in _known(read.prices)},
            confidence=dict(_known(read.confidence)),
        )


def _known(told: Mapping[str, T | None] | None) -> Iterator[tuple[str, T]]:
    for model, value in (told or {}).items():
        if value is not None:
            yield model, value


def _from_csv(path: Path) -> Iterator[Outcome]:
    csv.field_size_limit(min(sys.maxsize, _AS_MANY_AS_IT_TAKES))
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        try:
            yield from _rows(path, reader)
        except UnicodeDecodeError as exc:
            raise OutcomesError(f"{path} is not UTF-8 text; save it as UTF-8") from exc
        except csv.Error as exc:
            raise OutcomesError(f"{path}:{reader.line_num}: is not CSV: {exc}") from exc


def _rows(path: Path, reader: csv.DictReader[str]) -> Iterator[Outcome]:
    columns = reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
    if "prompt" not in columns:
        raise OutcomesError(
            f"{path}: there is no column `prompt`; the first line says {','.join(columns)[:80]!r}. Write CSV with the "
            f"columns prompt,small,large and commas between them, or lines of JSON, such as {_EXAMPLE}"
        )
    if twice := sorted(name for name, count in Counter(columns).items() if count > 1):
        raise OutcomesError(f"{path}: the column {twice[0]!r} is there twice; name each once")
    described = {
        kind: {name.removesuffix(kind): name for name in columns if name.removesuffix(kind) in {*columns} - {name}}
        for kind in (_RESPONSE, _PRICE)
    }
    taken = {name for of_model in described.values() for name in of_model.values()} | _PASSED_OVER
    models = [name for name in columns if name not in taken]
    for row in reader:
        place = f"{path}:{reader.line_num}"
        if None in row:
            raise OutcomesError(f"{place}: has more values than there are columns; quote those with a comma")
        yield Outcome(
            prompt=row["prompt"] or "",
            outcomes={name: _score(place, name, _number(row[name])) for name in models if (row[name] or "").strip()},
            responses={model: row[name] for model, name in described[_RESPONSE].items() if row[name]},
            prices={
                model: _price(place, model, _number(row[name]))
                for model, name in described[_PRICE].items()
                if (row[name] or "").strip()
            },
        )


def _number(text: str) -> float:
    """What a cell says; no number at all where that is none."""
    truth = _TRUTHS.get(text.strip().lower())
    try:
        return float(text) if truth is None else truth
    except ValueError:
        return math.nan


def _score(place: str, model: str, score: float) -> float:
    if not abs(score) <= _FARTHEST:
        raise OutcomesError(
            f"{place}: {model} is no score; write a number, true or false, and leave out what is not of a model"
        )
    return float(score)


def _price(place: str, model: str, price: float) -> float:
    if not 0 <= price <= _FARTHEST:
        raise OutcomesError(f"{place}: the price of {model} is none; write a number from 0")
    return price
