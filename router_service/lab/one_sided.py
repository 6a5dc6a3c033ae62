"""Learns a router from feedback that is one-sided: most prompts were answered by one of the two models only.

How likely either model's answer is good is learned from the prompts that it answered, and the gain is the difference.
That is right as far as the prompt tells all that decided who answered it and who said something of it; what else
decided remains as an error that nobody sees. Filling in only the score that lacks (the X-learner) and weighting by who
answers (the doubly robust one, tried where chance decided that) came out no better on MMLU.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from router_service.domain.classifier import LearnedWeights
from router_service.lab.calibration import Threshold
from router_service.lab.feedback import JudgedPrompt, outcomes
from router_service.lab.learning import learn, learn_both
from router_service.lab.outcomes import OutcomesError, Pair, paired
from router_service.lab.train import HELD_OUT_PERCENT, as_setting, calibrated
from router_service.routing.excerpt import Excerpt, excerpt
from router_service.routing.learned import Learned

FEWEST = 100
"""Prompts that each model must have answered."""

FEWEST_PAIRS = 30
"""Pairs that a promise takes."""

UNLIKE = 0.65
"""From so often right on, guesses at who answered say that the two models answered different kinds of prompts."""

_WORST = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How well a model's score is predicted on prompts that were held out: mean squared error, beside that of always
    saying the mean score. `prompts` are those it was learned from, `mean` their mean score."""

    model: str
    prompts: int
    mean: float
    held_out: int
    error: float
    error_of_mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedOnFeedback:
    """Weights, and what is known of them. `both` counts the prompts of which both scores are known, `pairs` those of
    them that were held out and where both are feedback. With fewer than 30 pairs nothing is promised: `threshold` is
    `None`, and the weights' thresholds are shares of the prompts. `told_apart` says how often, of a held-out prompt of
    either model, it is guessed right from the prompts which was whose: 0.5 by chance, `None` without any."""

    weights: LearnedWeights
    weak: Fit
    strong: Fit
    learned_from: int
    both: int
    pairs: int
    threshold: Threshold | None
    told_apart: float | None


@dataclass(frozen=True, slots=True)
class _Prompt:
    said: Excerpt
    weak: float | None
    strong: float | None


def train_on_feedback(
    prompts: Sequence[JudgedPrompt], weak: str, strong: str, *, keep: float, confidence: float
) -> TrainedOnFeedback:
    """Learn where the strong model's answers are better liked than the weak one's.

    About 70% of the prompts are learned from, chosen by their text alone. Raises `OutcomesError` where either model has
    fewer than 100 prompts.
    """
    _check_counts(prompts, weak, strong)
    known: list[JudgedPrompt] = []
    held: list[JudgedPrompt] = []
    for one in prompts:
        (held if zlib.crc32(one.prompt.encode()) % 100 < HELD_OUT_PERCENT else known).append(one)
    learned_from = [found for one in known if (found := _prompt(one, weak, strong)) is not None]
    judged = [found for one in held if (found := _prompt(one, weak, strong)) is not None]
    weak_model = _Scorer([one.said for one in learned_from], [one.weak for one in learned_from])
    strong_model = _Scorer([one.said for one in learned_from], [one.strong for one in learned_from])
    weights = learn_both(
        [one.said for one in learned_from], [one.weak for one in learned_from], [one.strong for one in learned_from]
    )
    pairs = [one for one in held if weak in one.scores and strong in one.scores]
    threshold = None
    if len(pairs) >= FEWEST_PAIRS:
        threshold = _promised(weights, pairs, weak, strong, keep=keep, confidence=confidence)
        hard = as_setting(threshold.threshold)
        weights = replace(weights, complex_from=hard, moderate_from=min(weights.moderate_from, hard))
    return TrainedOnFeedback(
        weights=weights,
        weak=weak_model.fit(weak, [(one.said, one.weak) for one in judged if one.weak is not None]),
        strong=strong_model.fit(strong, [(one.said, one.strong) for one in judged if one.strong is not None]),
        learned_from=len(learned_from),
        both=sum(one.weak is not None and one.strong is not None for one in [*learned_from, *judged]),
        pairs=len(pairs),
        threshold=threshold,
        told_apart=_told_apart(learned_from, judged),
    )


def _told_apart(learned_from: Sequence[_Prompt], judged: Sequence[_Prompt]) -> float | None:
    """How well a prompt tells which of the models answered it, where one did: the area under the ROC curve."""
    seen = [one for one in learned_from if (one.weak is None) != (one.strong is None)]
    held = [one for one in judged if (one.weak is None) != (one.strong is None)]
    if len({one.strong is None for one in seen}) < 2 or len({one.strong is None for one in held}) < 2:
        return None
    answered = _Scorer([one.said for one in seen], [float(one.strong is not None) for one in seen])
    scores = [(answered.score(one.said), one.strong is not None) for one in held]
    strong, weak = ([score for score, by in scores if by is who] for who in (True, False))
    right = sum((one > other) + (one == other) / 2 for one in strong for other in weak)
    return right / (len(strong) * len(weak))


def judged_pair(prompts: Sequence[JudgedPrompt], weak: str, strong: str) -> Pair:
    """The prompts of which both models' answers have feedback, which alone can carry a promise.

    A prompt that one model answered says nothing of the other, and the policy, not chance, chose which one answers: by
    no weighting do such prompts become a sample of both. Raises `OutcomesError` where there are fewer than 30.
    """
    _check_named(prompts, weak, strong)
    pairs = [one for one in prompts if weak in one.scores and strong in one.scores]
    if len(pairs) < FEWEST_PAIRS:
        raise OutcomesError(
            f"Nothing can be promised: {len(pairs):,} prompts have feedback on {weak}'s and on {strong}'s answer, and "
            f"{FEWEST_PAIRS} are needed. Where one model answered, nobody knows what the other would have said, and "
            "the policy chose which one answers, so that no weighting makes up for it. Have both models answer a share "
            "of the calls and judge both answers, or calibrate on a file of labelled results"
        )
    return paired(outcomes(pairs), weak, strong)


def _check_counts(prompts: Sequence[JudgedPrompt], weak: str, strong: str) -> None:
    """Raise `OutcomesError` unless both models are named, differ, and have enough prompts with feedback."""
    counts = _check_named(prompts, weak, strong)
    for model in (weak, strong):
        if counts[model] < FEWEST:
            raise OutcomesError(
                f"{counts[model]:,} prompts that {model} answered have feedback, which are too few to learn from; at "
                f"least {FEWEST} of each model are needed. There is feedback on {_listed(counts)}"
            )


def _check_named(prompts: Sequence[JudgedPrompt], weak: str, strong: str) -> Counter[str]:
    counts = Counter(model for one in prompts for model in one.scores)
    if not weak or not strong or weak == strong:
        raise OutcomesError(f"Name two models by --weak and --strong. There is feedback on {_listed(counts)}")
    return counts


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{model} ({count:,} prompts)" for model, count in sorted(counts.items())) or "no model"


class _Scorer:
    """What score a model's answer gets, predicted from the prompt."""

    def __init__(self, said: Sequence[Excerpt], scores: Sequence[float | None]) -> None:
        known = [(one, score) for one, score in zip(said, scores, strict=True) if score is not None]
        if len(known) < 2:
            raise OutcomesError("Fewer than two prompts of a model are left once some are held out")
        self.prompts = len(known)
        self.mean = sum(score for _, score in known) / len(known)
        self._model = Learned(learn([one for one, _ in known], [score for _, score in known]))

    def score(self, said: Excerpt) -> float:
        return max(0.0, min(1.0, self.mean + self._model.gain(said)))

    def fit(self, model: str, held: Sequence[tuple[Excerpt, float]]) -> Fit:
        def error(predicted: Sequence[float]) -> float:
            return sum((one - score) ** 2 for one, (_, score) in zip(predicted, held, strict=True)) / len(held)

        return Fit(
            model=model,
            prompts=self.prompts,
            mean=self.mean,
            held_out=len(held),
            error=error([self.score(said) for said, _ in held]) if held else 0.0,
            error_of_mean=error([self.mean] * len(held)) if held else 0.0,
        )


def _prompt(one: JudgedPrompt, weak: str, strong: str) -> _Prompt | None:
    """The scores of a prompt; `None` where neither model has one. Beside a judged answer a refused one is worth 0."""
    weak_score, strong_score = one.scores.get(weak), one.scores.get(strong)
    if weak_score is None and strong_score is None:
        return None
    if weak_score is None and weak in one.refused:
        weak_score = _WORST
    if strong_score is None and strong in one.refused:
        strong_score = _WORST
    return _Prompt(excerpt(one.prompt), weak_score, strong_score)


def _promised(
    weights: LearnedWeights, pairs: Sequence[JudgedPrompt], weak: str, strong: str, *, keep: float, confidence: float
) -> Threshold:
    pair = judged_pair(pairs, weak, strong)
    said = [excerpt(prompt) for prompt in pair.prompts]
    return calibrated(pair, Learned(weights).score, said, range(len(said)), keep=keep, confidence=confidence)
