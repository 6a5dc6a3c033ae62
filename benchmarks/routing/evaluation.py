"""What routers make of one set of prompts: curves, savings, calibration, robustness, time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median, pstdev
from typing import Any

from benchmarks.routing.edits import EDITS
from router_service.lab.calibration import calibrate, kept_at, read_off
from router_service.lab.curves import curve
from router_service.lab.gate import LearnedGate
from router_service.lab.learning import learn
from router_service.lab.outcomes import Pair
from router_service.routing.classify import Classifier
from router_service.routing.complexity import COMPLEX, MODERATE, SIMPLE
from router_service.routing.excerpt import Excerpt, excerpt
from router_service.routing.learned import Learned

HALF, FEW, GATE, BOTH = "ours, half/half", "ours, 1,500 labels", "gate only", "gate + pre-router"
SPLITS = 3
FEW_LABELS = 1500
FEWEST_FOR_HALVES = 60
KEEPS = (0.95, 0.98, 0.99, 1.0)
_FEWEST_TO_LEARN_FROM = 2
_SAVING_SPLITS = 20
_HALVES = 2
_TIMED = 3
_EDITED = 2000

Score = Callable[[int], float]
"""A prompt's, by its number."""

Tell = Callable[[str], None]
"""Hears what is being done, for people who wait."""


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

    def answered(self) -> Prompts:
        """Those of which the weak model's answer is known, which is what gates can be judged by."""
        which = [one for one, answer in enumerate(self.pair.answers) if answer is not None]
        if len(which) == len(self):
            return self
        return Prompts(self.pair.among(which), [self.said[one] for one in which])


class Folds:
    """Routers that were each learned from one half of the prompts, to be judged by the other half."""

    def __init__(self, prompts: Prompts, learned: Callable[[Prompts, Sequence[int]], dict[str, Score]], tell: Tell):
        self.prompts, self.halves = prompts, halves(len(prompts))
        self._learned, self._tell = learned, tell
        self._of_first_split: dict[int, dict[str, Score]] = {}

    @classmethod
    def of_pre_routers(cls, prompts: Prompts, tell: Tell) -> Folds:
        """By the prompt alone."""
        return cls(prompts, _pre_routers, tell)

    @classmethod
    def of_gates(cls, prompts: Prompts, tell: Tell) -> Folds:
        """By the weak model's answer, with and without the prompt, of those prompts that have one."""
        return cls(prompts.answered(), _gates, tell)

    def routers(self, number: int) -> dict[str, Score]:
        """By name those that learned from this half; those of the first split, which are asked for twice, are kept."""
        if number in self._of_first_split:
            return self._of_first_split[number]
        routers = self._learned(self.prompts, self.halves[number][0])
        self._tell(f"{', '.join(routers)}: learned from half {number + 1} of {len(self.halves)}")
        if number < _HALVES:
            self._of_first_split[number] = routers
        return routers


def curves(prompts: Prompts, folds: Iterable[Folds], default: Classifier, heuristic: Classifier) -> dict[str, Any]:
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
    for fold in folds:
        judged = fold.prompts.pair
        for number, (train, test) in enumerate(fold.halves):
            if len(train) < _FEWEST_TO_LEARN_FROM or sum(judged.gains[one] for one in test) <= 0:
                continue
            for name, score in fold.routers(number).items():
                found.setdefault(name, []).append(_figures(score, test, judged))
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


def _pre_routers(prompts: Prompts, train: Sequence[int]) -> dict[str, Score]:
    routers = {HALF: _pre_router(prompts, train)}
    if len(train) > FEW_LABELS:
        routers[FEW] = _pre_router(prompts, train[:FEW_LABELS])
    return routers


def _gates(prompts: Prompts, train: Sequence[int]) -> dict[str, Score]:
    return {name: _gate(prompts, train, with_prompt) for name, with_prompt in ((GATE, False), (BOTH, True))}


def _pre_router(prompts: Prompts, train: Sequence[int]) -> Score:
    gains = prompts.pair.gains
    model = Learned(learn([prompts.said[one] for one in train], [gains[one] for one in train]))
    return lambda one: model.gain(prompts.said[one])


def _gate(prompts: Prompts, train: Sequence[int], with_prompt: bool) -> Score:
    answers, gains, said = [answer or "" for answer in prompts.pair.answers], prompts.pair.gains, prompts.said
    gate = LearnedGate(
        [said[one] for one in train],
        [answers[one] for one in train],
        [gains[one] for one in train],
        with_prompt=with_prompt,
    )
    return lambda one: gate.gain(said[one], answers[one])


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


@dataclass(frozen=True, slots=True)
class Unseen:
    """Prompts with the score of each by the best router, called so, that did not learn from it."""

    router: str
    prompts: Prompts
    scores: list[float]

    @property
    def weak_always_paid(self) -> bool:
        """Whether it reads the weak model's answer before it chooses."""
        return self.router == BOTH


def unseen(pre_routers: Folds, gates: Folds) -> Unseen:
    """By the gate with the pre-router where enough prompts were answered, else by the pre-router alone."""
    router, folds = (BOTH, gates) if len(gates.prompts) >= FEWEST_FOR_HALVES else (HALF, pre_routers)
    scores = [0.0] * len(folds.prompts)
    for number, (_, test) in enumerate(folds.halves[:_HALVES]):
        score = folds.routers(number)[router]
        for one in test:
            scores[one] = score(one)
    return Unseen(router, folds.prompts, scores)


def savings(by: Unseen, tell: Tell) -> list[dict[str, float]]:
    """For each share of the strong model's quality: what a threshold of one half's labels saves on the other half.

    Beside it what the curve of all prompts would promise, read off with hindsight.
    """
    pair, scores, lines = by.prompts.pair, by.scores, []
    for keep in KEEPS:
        tell(f"savings at {keep:.0%}")
        seen = []
        for train, test in halves(len(scores), _SAVING_SPLITS):
            found = calibrate(*_of(pair, scores, train), keep=keep)
            seen.append(kept_at(found.threshold, *_of(pair, scores, test)))
        hindsight = read_off(*_of(pair, scores, range(len(scores))), keep=keep)
        lines.append(
            {
                "keep": keep,
                "saved": round(mean(_saved(one.strong_share, by) for one in seen), 4),
                "strong_share": round(mean(one.strong_share for one in seen), 4),
                "kept": round(mean(one.kept for one in seen), 4),
                "missed": round(mean(one.kept < keep for one in seen), 4),
                "saved_with_hindsight": round(_saved(hindsight.strong_share, by), 4),
            }
        )
    return lines


def _saved(strong_share: float, by: Unseen) -> float:
    weak_share = 1.0 if by.weak_always_paid else 1.0 - strong_share
    return 1.0 - strong_share - weak_share * by.prompts.pair.cost_ratio


def calibration(
    by: Unseen, tell: Tell, *, keep: float = 0.98, labels: int = 1000, splits: int = 200
) -> dict[str, float]:
    """How often the promise is missed on the prompts that were not calibrated on, over many draws of the labels."""
    pair, scores = by.prompts.pair, by.scores
    seen, plug_in = [], []
    labels = min(labels, len(scores) // 2)
    for seed in range(splits):
        tell(f"calibration {seed + 1} of {splits}")
        order = list(range(len(scores)))
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
    return [scores[one] for one in among], *pair.qualities(among)


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
    return {"median": round(median(seen), 1), "p99": round(seen[round(0.99 * (len(seen) - 1))], 1)}
