"""What routers make of one set of prompts: curves, savings, calibration, robustness, time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median, pstdev
from typing import Any

from benchmarks.routing.edits import EDITS
from router_service.lab.calibration import calibrate, kept_at, read_off
from router_service.lab.curves import curve
from router_service.lab.gate import LearnedGate
from router_service.lab.learning import learn_both
from router_service.lab.outcomes import Pair
from router_service.routing.classify import Classifier
from router_service.routing.complexity import COMPLEX, MODERATE, SIMPLE
from router_service.routing.excerpt import Excerpt, excerpt
from router_service.routing.learned import Learned

SPLITS = 3
FEW_LABELS = 1500
KEEPS = (0.95, 0.98, 0.99, 1.0)
_FEWEST_TO_LEARN_FROM = 2
_SAVING_SPLITS = 20
_TIMED = 3
_EDITED = 2000

Score = Callable[[int], float]


@dataclass(frozen=True, slots=True)
class Prompts:
    """A pair of models on prompts, which are read once."""

    pair: Pair
    said: list[Excerpt]

    @classmethod
    def of(cls, pair: Pair) -> Prompts:
        return cls(pair, [excerpt(prompt) for prompt in pair.prompts])

    def __len__(self) -> int:
        return len(self.said)


def curves(prompts: Prompts, default: Classifier, heuristic: Classifier) -> dict[str, Any]:
    """Each router's APGR, CPT50 and CPT80: on all prompts, or the mean over halves that it did not learn from.

    Empty where the strong model is no better than the weak one; halves of which that is true are left out.
    """
    pair, said = prompts.pair, prompts.said
    everything = range(len(prompts))
    if sum(pair.gains) <= 0:
        return {}
    found: dict[str, list[dict[str, float]]] = {
        "random": [_figures(lambda _: 0.0, everything, pair)],
        "prompt length": [_figures(lambda one: len(pair.prompts[one]), everything, pair)],
        "heuristic": [_figures(lambda one: heuristic.score(said[one]), everything, pair)],
        "shipped default": [_figures(lambda one: default.score(said[one]), everything, pair)],
        "oracle": [_figures(pair.gains.__getitem__, everything, pair)],
    }
    for train, test in halves(len(prompts)):
        if len(train) < _FEWEST_TO_LEARN_FROM or sum(pair.gains[one] for one in test) <= 0:
            continue
        for name, score in _learned(prompts, train).items():
            found.setdefault(name, []).append(_figures(score, test, pair))
    return {name: _with_spread(figures) for name, figures in found.items()}


def halves(count: int, splits: int = SPLITS) -> list[tuple[list[int], list[int]]]:
    """Each split twice, with the halves in both parts: what to learn from, and what to judge by."""
    pairs = []
    for seed in range(splits):
        order = list(range(count))
        random.Random(seed).shuffle(order)
        first, second = order[: count // 2], order[count // 2 :]
        pairs += [(first, second), (second, first)]
    return pairs


def _learned(prompts: Prompts, train: Sequence[int]) -> dict[str, Score]:
    said, answers = prompts.said, prompts.pair.answers
    routers = {"ours, half/half": _pre_router(prompts, train)}
    if len(train) > FEW_LABELS:
        routers["ours, 1,500 labels"] = _pre_router(prompts, train[:FEW_LABELS])
    if answers is not None:
        for name, with_prompt in (("gate only", False), ("gate + pre-router", True)):
            gate = _gate(prompts, train, with_prompt)
            routers[name] = lambda one, gate=gate: gate.gain(said[one], answers[one])  # type: ignore[misc]
    return routers


def _pre_router(prompts: Prompts, train: Sequence[int]) -> Score:
    said, weak, strong = prompts.said, prompts.pair.weak_scores, prompts.pair.strong_scores
    scores = ([side[one] for one in train] for side in (weak, strong))
    model = Learned(learn_both([said[one] for one in train], *scores))
    return lambda one: model.gain(prompts.said[one])


def _gate(prompts: Prompts, train: Sequence[int], with_prompt: bool) -> LearnedGate:
    answers, gains = prompts.pair.answers, prompts.pair.gains
    assert answers is not None
    said = [prompts.said[one] for one in train]
    return LearnedGate(said, [answers[one] for one in train], [gains[one] for one in train], with_prompt=with_prompt)


def _figures(score: Score, among: Sequence[int], pair: Pair) -> dict[str, float]:
    gains = pair.gains
    drawn = curve([score(one) for one in among], [gains[one] for one in among])
    return {"apgr": drawn.apgr, "cpt50": 100 * drawn.cpt(0.5), "cpt80": 100 * drawn.cpt(0.8)}


def _with_spread(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    told = {name: round(mean(one[name] for one in figures), 4) for name in figures[0]}
    if len(figures) > 1:
        told["apgr_spread"] = round(pstdev(one["apgr"] for one in figures), 4)
        told["folds"] = len(figures)
    return told


def unseen_scores(prompts: Prompts) -> tuple[list[float], bool]:
    """A score of every prompt by the best router that did not learn from it, and whether it reads the weak answer."""
    reads_answers = prompts.pair.answers is not None
    scores = [0.0] * len(prompts)
    for train, test in halves(len(prompts), splits=1):
        score = _learned(prompts, train)["gate + pre-router" if reads_answers else "ours, half/half"]
        for one in test:
            scores[one] = score(one)
    return scores, reads_answers


def savings(prompts: Prompts, scores: Sequence[float], *, weak_always_paid: bool) -> list[dict[str, float]]:
    """For each share of the strong model's quality: what a threshold of one half's labels saves on the other half.

    Beside it what the curve of all prompts would promise, read off with hindsight.
    """
    pair, lines = prompts.pair, []
    for keep in KEEPS:
        seen = []
        for train, test in halves(len(prompts), _SAVING_SPLITS):
            found = calibrate(*_of(pair, scores, train), keep=keep)
            seen.append(kept_at(found.threshold, *_of(pair, scores, test)))
        hindsight = read_off(scores, pair.weak_scores, pair.strong_scores, keep=keep)
        lines.append(
            {
                "keep": keep,
                "saved": round(mean(_saved(one.strong_share, pair, weak_always_paid) for one in seen), 4),
                "strong_share": round(mean(one.strong_share for one in seen), 4),
                "kept": round(mean(one.kept for one in seen), 4),
                "missed": round(mean(one.kept < keep for one in seen), 4),
                "saved_with_hindsight": round(_saved(hindsight.strong_share, pair, weak_always_paid), 4),
            }
        )
    return lines


def _saved(strong_share: float, pair: Pair, weak_always_paid: bool) -> float:
    weak_share = 1.0 if weak_always_paid else 1.0 - strong_share
    return 1.0 - strong_share - weak_share * pair.cost_ratio


def calibration(
    prompts: Prompts, scores: Sequence[float], *, keep: float = 0.98, labels: int = 1000, splits: int = 200
) -> dict[str, float]:
    """How often the promise is missed on the prompts that were not calibrated on, over many draws of the labels."""
    pair, seen, plug_in = prompts.pair, [], []
    labels = min(labels, len(prompts) // 2)
    for seed in range(splits):
        order = list(range(len(prompts)))
        random.Random(1000 + seed).shuffle(order)
        labelled, rest = order[:labels], order[labels:]
        known = _of(pair, scores, labelled)
        seen.append(kept_at(calibrate(*known, keep=keep).threshold, *_of(pair, scores, rest)))
        plug_in.append(kept_at(read_off(*known, keep=keep).threshold, *_of(pair, scores, rest)))
    return {
        "keep": keep,
        "labels": labels,
        "splits": splits,
        "missed": round(mean(one.kept < keep for one in seen), 4),
        "strong_share": round(mean(one.strong_share for one in seen), 4),
        "missed_plug_in": round(mean(one.kept < keep for one in plug_in), 4),
        "strong_share_plug_in": round(mean(one.strong_share for one in plug_in), 4),
    }


def _of(pair: Pair, scores: Sequence[float], among: Sequence[int]) -> tuple[list[float], list[float], list[float]]:
    return (
        [scores[one] for one in among],
        [pair.weak_scores[one] for one in among],
        [pair.strong_scores[one] for one in among],
    )


def robustness(texts: Sequence[str], classifier: Classifier) -> dict[str, float]:
    """The share of prompts that keep their tier under each kind of edit."""
    sample = list(texts) if len(texts) <= _EDITED else random.Random(0).sample(list(texts), _EDITED)
    before = [_tier(classifier, text) for text in sample]
    kept = {}
    for name, edit in EDITS.items():
        draw = random.Random(0)
        kept[name] = mean(
            _tier(classifier, edit(text, draw)) == tier for text, tier in zip(sample, before, strict=True)
        )
    return {**{name: round(share, 4) for name, share in kept.items()}, "all": round(mean(kept.values()), 4)}


def tiers(texts: Sequence[str], classifier: Classifier) -> dict[str, float]:
    """The share of prompts in each tier."""
    found = [_tier(classifier, text) for text in texts]
    return {tier: round(found.count(tier) / len(found), 4) for tier in (SIMPLE, MODERATE, COMPLEX)}


def _tier(classifier: Classifier, text: str) -> str:
    score = classifier.score(excerpt(text))
    return COMPLEX if score >= classifier.complex_from else MODERATE if score >= classifier.moderate_from else SIMPLE


def microseconds(texts: Sequence[str], classifier: Classifier) -> dict[str, float]:
    """CPU time from text to score, the best of three for each prompt: what the machine does besides is not counted."""
    seen = []
    for text in texts:
        times = []
        for _ in range(_TIMED):
            begun = time.thread_time_ns()
            classifier.score(excerpt(text))
            times.append(time.thread_time_ns() - begun)
        seen.append(min(times) / 1000)
    seen.sort()
    return {"median": round(median(seen), 1), "p99": round(seen[int(0.99 * (len(seen) - 1))], 1)}
