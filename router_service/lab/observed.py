"""The ledger's calls as trials: the arms of an experiment beside each other, a shadow beside the calls it is a copy of.

Nothing is asked here. One kind of evidence is the measure for all subjects: feedback of one arm beside the gates of
another would compare the two measures, not the arms.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from router_service.lab.comparison import FEWEST
from router_service.lab.grading import ITS_OWN_FAULT
from router_service.lab.judge import AskedJudge
from router_service.lab.trials import Source, Trial
from router_service.ledger.comparison import ArmCall, ComparisonReader, Outcome, ShadowPair, Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One call of the ledger, as what `subject` made of a prompt.

    `prompt_id` is the operation, of a shadow that of its parent. `unit` is what counts as one observation, such as a
    user; `honoured` as of arms. `feedback` is from 0 to 1. `words` are `None` where they were not recorded.
    """

    subject: str
    prompt_id: str
    unit: str
    feature: str
    outcome: Outcome
    honoured: bool = True
    feedback: float | None = None
    words: Words | None = None

    @property
    def error(self) -> str:
        """Why there was no answer, "" where there was one."""
        return "" if self.outcome.status == "OK" else self.outcome.error_reason or self.outcome.status

    @property
    def can_be_graded(self) -> bool:
        """Whether a judge can be shown what was said, all of it."""
        words = self.words
        return not self.error and words is not None and not words.is_cut and bool(words.prompt and words.answer.strip())


@dataclass(frozen=True, slots=True)
class Spell:
    """What is read: calls that began from `since` to before `until`, in seconds since the epoch, of this feature where
    one is named."""

    since: float
    until: float
    feature: str = ""


async def observed_arms(reader: ComparisonReader, experiment: str, spell: Spell) -> list[Observed]:
    """The calls of an experiment, the subjects are its arms. Raises `StorageError`."""
    asked = (experiment, spell.since, spell.until)
    calls = await reader.arm_calls(*asked)
    feedback, words = await reader.arm_feedback(*asked), await reader.arm_words(*asked)
    return [_of_arm(call, feedback, words) for call in calls if spell.feature in {"", call.feature}]


async def observed_shadow(reader: ComparisonReader, shadow: str, spell: Spell) -> list[Observed]:
    """The calls that a shadow was sent beside, each followed by its copy; the subjects are the models of both. Raises
    `StorageError`."""
    asked = (shadow, spell.since, spell.until)
    pairs, words = await reader.shadow_pairs(*asked), await reader.shadow_words(*asked)
    return [one for pair in pairs if spell.feature in {"", pair.feature} for one in _of_pair(pair, words)]


def _of_arm(call: ArmCall, feedback: Mapping[str, float], words: Mapping[str, Words]) -> Observed:
    operation_id = call.outcome.operation_id
    return Observed(
        subject=call.arm,
        prompt_id=operation_id,
        unit=call.key or operation_id,
        feature=call.feature,
        outcome=call.outcome,
        honoured=call.honoured,
        feedback=feedback.get(operation_id),
        words=words.get(operation_id),
    )


def _of_pair(pair: ShadowPair, words: Mapping[str, Words]) -> Iterable[Observed]:
    for outcome in (pair.parent, pair.copy):
        yield Observed(
            subject=outcome.model,
            prompt_id=pair.parent.operation_id,
            unit=pair.parent.operation_id,
            feature=pair.feature,
            outcome=outcome,
            words=words.get(outcome.operation_id),
        )


def known_by(calls: Iterable[Observed], source: Source) -> Counter[str]:
    """Of how many units of each subject there is evidence of this kind."""
    units: defaultdict[str, set[str]] = defaultdict(set)
    for call in calls:
        if _found(call, source):
            units[call.subject].add(call.unit)
    return Counter({subject: len(found) for subject, found in units.items()})


def _found(call: Observed, source: Source) -> bool:
    if source is Source.JUDGE:
        return call.can_be_graded
    return (call.feedback if source is Source.FEEDBACK else call.outcome.score) is not None


def best_measure(calls: Sequence[Observed], *, among: Sequence[Source]) -> Source | None:
    """The first of these that there is enough of for every subject, else that there is most of; `None` for none."""
    subjects = {call.subject for call in calls}
    known = {source: known_by(calls, source) for source in among}
    for source in among:
        if subjects and all(known[source][subject] >= FEWEST for subject in subjects):
            return source
    return max((source for source in among if known[source]), key=lambda one: known[one].total(), default=None)


def trials_of(
    calls: Sequence[Observed], measure: Source | None, *, judge: AskedJudge | None = None, paired: bool = False
) -> list[Trial]:
    """The calls as trials by one measure. Where they are `paired`, a quality counts only beside the other one."""
    found = [_trial(call, measure, judge, paired=paired) for call in calls]
    if not paired:
        return found
    known = Counter(trial.prompt_id for trial in found if trial.quality is not None)
    return [
        trial if known[trial.prompt_id] > 1 else replace(trial, quality=None, source=None)  # a half tells nothing
        for trial in found
    ]


def _trial(call: Observed, measure: Source | None, judge: AskedJudge | None, *, paired: bool) -> Trial:
    outcome, words = call.outcome, call.words
    quality, source = _quality(call, measure, judge, paired=paired), measure
    if quality is not None and call.error:
        source = Source.FAILURE
    asked = "" if words is None else "\n\n".join(f"{said.role}: {said.content}" for said in words.prompt)
    if words is not None and len(words.prompt) == 1:
        asked = words.prompt[0].content
    return Trial(
        prompt_id=call.prompt_id,
        prompt=asked or None,
        feature=call.feature,
        subject=call.subject,
        answer=(words.answer if words is not None else "") or None,
        quality=quality,
        source=None if quality is None else source,
        cost=outcome.cost,
        cost_status=outcome.cost_status,
        latency=outcome.duration,
        time_to_first_output=outcome.first_output,
        error=call.error,
        request_id=outcome.request_id,
        path=(outcome.deployment,) if outcome.deployment else (),
        unit=call.unit,
    )


def _quality(call: Observed, measure: Source | None, judge: AskedJudge | None, *, paired: bool) -> float | None:
    if call.error:
        # Only where all answers are measured, or the other half of the pair is: else failures would weigh more than
        # answers, of which most are not.
        counts = paired or measure is Source.GATES
        return 0.0 if counts and measure is not None and call.error in ITS_OWN_FAULT else None
    if measure is Source.FEEDBACK:
        return call.feedback
    if measure is Source.GATES:
        return call.outcome.score
    graded = judge.known(call.outcome.operation_id) if judge is not None and call.can_be_graded else None
    return graded.score if graded is not None else None
