"""What routers make of one set of prompts: curves, savings, calibration, robustness, time."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
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

HALF, FEW, GATE, BOTH = "ours, half/half", "ours, 1,500 labels", "gate only", "gate + pre-router"
SPLITS = 3
FEW_LABELS = 1500
FEWEST_FOR_HALVES = 60
KEEPS = (0.95, 0.98, 0.99, 1.0)
_FEWEST_TO_LEARN_FROM = 2
_SAVING_SPLITS = 20
_MANY = 2000
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


Learn = Callable[[Prompts, Sequence[int]], Mapping[str, Score]]
"""Makes routers, by their names, from some of the prompts."""


@dataclass(frozen=True, slots=True)
class Fold:
    """What routers that learned from one half of the prompts score those of the other half, by their names."""

    test: list[int]
    scores: dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Folds:
    """The halves of some prompts, each judged by routers that learned from the other one; the first two are a split."""

    prompts: Prompts
    folds: list[Fold]

    @classmethod
    def of_pre_routers(cls, prompts: Prompts, tell: Tell) -> Folds:
        """By the prompt alone."""
        return cls(prompts, list(_folds(prompts, _pre_routers, tell)))

    @classmethod
    def of_gates(cls, prompts: Prompts, tell: Tell) -> Folds:
        """By the weak model's answer, with and without the prompt, of those prompts that have one."""
        answered = prompts.answered()
        return cls(answered, list(_folds(answered, _gates, tell)))


def _folds(prompts: Prompts, learn: Learn, tell: Tell) -> Iterator[Fold]:
    """Of many prompts on all cores at once. Where there is no gap, one split is enough, for savings."""
    todo = halves(len(prompts), SPLITS if sum(prompts.pair.gains) > 0 else 1)
    with ExitStack() as closing:
        folds: Iterator[Fold]
        if len(prompts) >= _MANY:
            # Processes get the prompts once: with each half they would be copied six times over.
            processes = min(len(todo), os.cpu_count() or 1)
            pool = ProcessPoolExecutor(processes, initializer=_share, initargs=(prompts, learn))
            folds = closing.enter_context(pool).map(_fold_of_shared, todo)
        else:
            folds = map(partial(_fold, prompts, learn), todo)
        for number, fold in enumerate(folds, 1):
            tell(f"{', '.join(fold.scores)}: half {number} of {len(todo)}")
            yield fold


def _fold(prompts: Prompts, learn: Learn, half: tuple[list[int], list[int]]) -> Fold:
    train, test = half
    routers = learn(prompts, train) if len(train) >= _FEWEST_TO_LEARN_FROM else {}
    return Fold(test, {name: [score(one) for one in test] for name, score in routers.items()})


_shared: list[tuple[Prompts, Learn]] = []
"""What a process of the pool works on."""


def _share(prompts: Prompts, learn: Learn) -> None:
    _shared.append((prompts, learn))


def _fold_of_shared(half: tuple[list[int], list[int]]) -> Fold:
    return _fold(*_shared[-1], half)


def curves(prompts: Prompts, learned: Iterable[Folds], default: Classifier, heuristic: Classifier) -> dict[str, Any]:
    """Each router's APGR, CPT50 and CPT80: on all prompts, or the mean over halves that it did not learn from.

    Empty where the strong model is no better than the weak one; halves of which that is true are left out.
    """
    pair, said = prompts.pair, prompts.said
    gains = pair.gains
    if sum(gains) <= 0:
        return {}
    found: dict[str, list[dict[str, float]]] = {
        "random": [_figures([0.0] * len(gains), gains)],
        "prompt length": [_figures([len(prompt) for prompt in pair.prompts], gains)],
        "heuristic": [_figures([heuristic.score(one) for one in said], gains)],
        "shipped default": [_figures([default.score(one) for one in said], gains)],
        "oracle": [_figures(gains, gains)],
    }
    for routers in learned:
        gains = routers.prompts.pair.gains
        for fold in routers.folds:
            judged = [gains[one] for one in fold.test]
            if sum(judged) <= 0:
                continue
            for name, scores in fold.scores.items():
                found.setdefault(name, []).append(_figures(scores, judged))
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
    said, weak, strong = prompts.said, prompts.pair.weak_scores, prompts.pair.strong_scores
    scores = ([side[one] for one in train] for side in (weak, strong))
    model = Learned(learn_both([said[one] for one in train], *scores))
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


def _figures(scores: Sequence[float], gains: Sequence[float]) -> dict[str, float]:
    drawn = curve(scores, gains)
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
    router, learned = (BOTH, gates) if len(gates.prompts) >= FEWEST_FOR_HALVES else (HALF, pre_routers)
    scores = [0.0] * len(learned.prompts)
    for fold in learned.folds[:2]:
        for one, score in zip(fold.test, fold.scores[router], strict=True):
            scores[one] = score
    return Unseen(router, learned.prompts, scores)


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
