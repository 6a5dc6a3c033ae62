"""Subjects beside each other: quality, cost, latency, failures, and the cheapest that meets a bar.

Pure statistics over trials. Subjects that answered the same prompts are compared prompt by prompt, arms of an
experiment that saw different ones as two groups.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist, median

from router_service.lab.intervals import (
    Difference,
    Estimate,
    above_bar,
    holm,
    mean_amount,
    mean_score,
    paired_difference,
    unpaired_difference,
)
from router_service.lab.trials import Trial, subjects_of

FEWEST = 5
"""With fewer observations nothing is said: no interval means much."""
_POWER = 0.8


class Standing(StrEnum):
    """How a subject stands to the bar: the confidence is there to say so, or it is not."""

    REFERENCE = "reference"
    MEETS = "meets"
    CANNOT_TELL = "cannot tell"
    DOES_NOT = "does not"


@dataclass(frozen=True, slots=True)
class Bar:
    """The quality that is asked for: a score, or with `is_relative` a share of the quality of the best subject, or of
    `reference` where it is named."""

    value: float
    is_relative: bool = False
    reference: str = ""

    def __str__(self) -> str:
        if not self.is_relative:
            return f"quality {self.value:g}"
        return f"{100 * self.value:g}% of {self.reference or 'the best'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a subject did, over all prompts or those of one feature.

    `quality` is over the answers that have one; `sources` counts what they rest on. `cost` is the mean in nano-USD of
    the calls with a known cost, `total_cost` their sum; `unpriced` counts the others. Latencies are in seconds, of
    answered calls. `failures` are by reason.
    """

    subject: str
    calls: int
    answered: int
    failures: Mapping[str, int]
    quality: Estimate | None
    sources: Mapping[str, int]
    cost: Estimate | None
    total_cost: int
    unpriced: int
    latency_median: float | None
    latency_p95: float | None
    first_output_median: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a subject meets the bar. `over` is how far its quality is above it, `None` where nothing is known.

    `p` is the p-value of the standing, adjusted for the number of subjects. `needed` is about how many prompts would
    tell, were the difference what it seems; `None` where that cannot be said.
    """

    subject: str
    standing: Standing
    over: Difference | None
    p: float | None
    needed: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Subjects from the cheapest to the dearest, by call. `best` is the one with the highest quality, `chosen` the
    cheapest that meets the bar; both are empty where there is none. `against_best` is how far each of the others is
    above the best. `counted` is the word for an observation, in the plural."""

    prompts: int
    counted: str
    bar: Bar
    confidence: float
    summaries: tuple[Summary, ...]
    features: Mapping[str, tuple[Summary, ...]]
    best: str
    against_best: Mapping[str, Difference]
    verdicts: tuple[Verdict, ...]
    chosen: str

    def verdict(self, subject: str) -> Verdict:
        """What is said of a subject."""
        return next(verdict for verdict in self.verdicts if verdict.subject == subject)

    def summary(self, subject: str) -> Summary:
        """What a subject did."""
        return next(summary for summary in self.summaries if summary.subject == subject)


def compare(trials: Sequence[Trial], bar: Bar, confidence: float = 0.95, *, counted: str = "prompts") -> Comparison:
    """All that the trials say. Raises `ValueError` where the bar's reference is no subject."""
    subjects = subjects_of(trials)
    if bar.reference and bar.reference not in subjects:
        raise ValueError(f'"{bar.reference}" is not among those compared: {", ".join(subjects)}')
    of_subject = {subject: [trial for trial in trials if trial.subject == subject] for subject in subjects}
    summaries = [_summary(subject, of_subject[subject], confidence) for subject in subjects]
    summaries.sort(key=lambda one: math.inf if one.cost is None else one.cost.mean)
    scores = {one.subject: _scores(of_subject[one.subject]) for one in summaries}
    known = [one for one in summaries if len(scores[one.subject]) >= FEWEST]
    # Of equals the cheapest.
    best = max(known, key=lambda one: one.quality.mean if one.quality else 0.0).subject if known else ""
    features = sorted({trial.feature for trial in trials})
    verdicts = _verdicts(scores, bar, bar.reference or best, confidence)
    return Comparison(
        prompts=len({trial.prompt_id for trial in trials}),
        counted=counted,
        bar=bar,
        confidence=confidence,
        summaries=tuple(summaries),
        features={
            feature: tuple(
                _summary(one.subject, found, confidence)
                for one in summaries
                if (found := [trial for trial in of_subject[one.subject] if trial.feature == feature])
            )
            for feature in features
        },
        best=best,
        against_best={
            subject: difference
            for subject in scores
            if subject != best and (difference := _difference(scores[subject], scores.get(best, {}), 1.0, confidence))
        },
        verdicts=verdicts,
        chosen=_cheapest(summaries, verdicts),
    )


def _cheapest(summaries: Sequence[Summary], verdicts: Sequence[Verdict]) -> str:
    meeting = {one.subject for one in verdicts if one.standing in {Standing.MEETS, Standing.REFERENCE}}
    return next((one.subject for one in summaries if one.subject in meeting and one.cost is not None), "")


def _verdicts(
    scores: Mapping[str, Mapping[str, float]], bar: Bar, reference: str, confidence: float
) -> tuple[Verdict, ...]:
    """What can be said of each subject. A subject meets a share of the best where it meets it of every other, so that
    it does not matter that the best was picked by these very scores; the other way round the pick is paid for."""
    found: dict[str, tuple[Difference | None, float, float]] = {}
    for subject, own in scores.items():
        if not bar.is_relative:
            over = above_bar(list(own.values()), bar.value, confidence) if len(own) >= FEWEST else None
            found[subject] = (over, over.above, over.below) if over else (None, 1.0, 1.0)
        elif subject != reference:
            others = [bar.reference] if bar.reference else [other for other in scores if other != subject]
            overs = {other: _difference(own, scores[other], bar.value, confidence) for other in others}
            known = [over for over in overs.values() if over is not None]
            above = max((over.above for over in known), default=1.0)
            below = min(1.0, min((over.below for over in known), default=1.0) * max(1, len(known)))
            found[subject] = (overs.get(reference), above, below)
    meets = dict(zip(found, holm([above for _, above, _ in found.values()]), strict=True))
    fails = dict(zip(found, holm([below for _, _, below in found.values()]), strict=True))
    verdicts = []
    for subject in scores:
        if subject not in found:
            verdicts.append(Verdict(subject=subject, standing=Standing.REFERENCE, over=None, p=None, needed=None))
            continue
        over = found[subject][0]
        standing, p = Standing.CANNOT_TELL, None
        if over is not None and meets[subject] <= 1 - confidence:
            standing, p = Standing.MEETS, meets[subject]
        elif over is not None and fails[subject] <= 1 - confidence:
            standing, p = Standing.DOES_NOT, fails[subject]
        needed = _needed(over, confidence) if standing is Standing.CANNOT_TELL else None
        verdicts.append(Verdict(subject=subject, standing=standing, over=over, p=p, needed=needed))
    return tuple(verdicts)


def _needed(over: Difference | None, confidence: float) -> int | None:
    """About how many prompts would tell with a chance of 80%, were the difference what it seems."""
    if over is None or not over.mean:
        return None
    normal = NormalDist()
    reach = (normal.inv_cdf(confidence) + normal.inv_cdf(_POWER)) * over.deviation / over.mean
    return max(over.count + 1, math.ceil(reach**2))


def _difference(
    scores: Mapping[str, float], others: Mapping[str, float], ratio: float, confidence: float
) -> Difference | None:
    """Over the prompts of both where they share most of them, else over two groups; `None` for too few."""
    shared = [prompt for prompt in scores if prompt in others]
    if len(shared) >= FEWEST and 2 * len(shared) >= min(len(scores), len(others)):
        return paired_difference(
            [scores[prompt] for prompt in shared], [others[prompt] for prompt in shared], ratio, confidence
        )
    if min(len(scores), len(others)) < FEWEST:
        return None
    return unpaired_difference(list(scores.values()), list(others.values()), ratio, confidence)


def _scores(trials: Sequence[Trial]) -> dict[str, float]:
    """The quality by unit, most often the prompt: several answers to one prompt are one observation."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for trial in trials:
        if trial.quality is not None:
            found[trial.unit or trial.prompt_id].append(trial.quality)
    return {prompt: sum(qualities) / len(qualities) for prompt, qualities in found.items()}


def _summary(subject: str, trials: Sequence[Trial], confidence: float) -> Summary:
    scores = list(_scores(trials).values())
    costs = [trial.cost for trial in trials if trial.cost is not None]
    latencies = sorted(one.latency for one in trials if one.answered and one.latency is not None)
    firsts = [one.time_to_first_output for one in trials if one.answered and one.time_to_first_output is not None]
    return Summary(
        subject=subject,
        calls=len(trials),
        answered=sum(trial.answered for trial in trials),
        failures=dict(Counter(trial.error for trial in trials if trial.error).most_common()),
        quality=mean_score(scores, confidence) if scores else None,
        sources=dict(Counter(trial.source.value for trial in trials if trial.source is not None).most_common()),
        cost=mean_amount(costs, confidence) if costs else None,
        total_cost=sum(costs),
        unpriced=len(trials) - len(costs),
        latency_median=median(latencies) if latencies else None,
        # The least that 95 of 100 calls do not exceed.
        latency_p95=latencies[math.ceil(0.95 * len(latencies)) - 1] if latencies else None,
        first_output_median=median(firsts) if firsts else None,
    )
