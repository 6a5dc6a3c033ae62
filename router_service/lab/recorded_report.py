"""The report on what the ledger has of an experiment or a shadow, with what has to be known to read it right."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from router_service.domain.policy import Experiment
from router_service.lab.comparison import Bar
from router_service.lab.judge import AskedJudge
from router_service.lab.observed import Observed, best_measure, known_by, trials_of
from router_service.lab.report import Report, report_on
from router_service.lab.sample_ratio import SampleRatio, sample_ratio
from router_service.lab.trials import Judging, Source

_KINDS = (Source.FEEDBACK, Source.GATES, Source.JUDGE)
_WORDS = {Source.FEEDBACK: "feedback", Source.GATES: "gates", Source.JUDGE: "recorded texts"}


def experiment_report(
    name: str,
    calls: Sequence[Observed],
    bar: Bar,
    *,
    configured: Sequence[Experiment] | None = None,
    measure: Source | None = None,
    judge: AskedJudge | None = None,
    judging: Judging | None = None,
    notes: Sequence[str] = (),
) -> Report:
    """The arms of an experiment by intention to treat.

    `configured` are the experiments of this name as the policies have them now, `None` where that is not known; without
    a `measure` it is the judge where there is one, else the best that there is of all arms. Raises `ValueError` where
    the bar's reference is no arm.
    """
    own_gates = configured is not None and any(_gates_differ(one) for one in configured)
    if measure is None:
        among = [Source.FEEDBACK] if own_gates else [Source.FEEDBACK, Source.GATES]
        measure = Source.JUDGE if judge is not None else best_measure(calls, among=among)
    keys = _keys_by_arm(calls)
    moved = sum(count > 1 for count in Counter(key for of_arm in keys.values() for key in of_arm).values())
    ratio = _ratio(keys, configured) if not moved else None
    remarks = [
        *_on_arms(calls),
        *_on_evidence(calls, measure),
        *_on_gates(measure, own_gates=own_gates, is_known=configured is not None),
        *_on_keys(calls, moved),
        *_on_ratio(ratio),
    ]
    recorded = {
        "experiment": name,
        "measure": measure,
        "arms": {
            arm: {
                "calls": len(of_arm := [call for call in calls if call.subject == arm]),
                "not_honoured": sum(not call.honoured for call in of_arm),
                "keys": len(keys[arm]),
            }
            for arm in keys
        },
        "keys_in_several_arms": moved,
        "sample_ratio": None if ratio is None else {**asdict(ratio), "is_off": ratio.is_off},
        "known_by": _known(calls),
    }
    return report_on(
        f"experiment {name}",
        trials_of(calls, measure, judge=judge),
        bar,
        judging=judging,
        notes=notes,
        remarks=remarks,
        recorded=recorded,
        counted="keys" if any(call.unit != call.prompt_id for call in calls) else "calls",
    )


def shadow_report(
    name: str,
    calls: Sequence[Observed],
    bar: Bar,
    *,
    judge: AskedJudge | None = None,
    judging: Judging | None = None,
    notes: Sequence[str] = (),
) -> Report:
    """A shadow beside the calls it was sent beside, pair by pair, by the judge where there is one, else by the shadow's
    gates. Raises `ValueError` where the bar's reference is no model of theirs."""
    measure = Source.JUDGE if judge is not None else best_measure(calls, among=[Source.GATES])
    remarks = [
        f"{len(calls) // 2:,} calls beside their shadows: where one of the two has no quality, neither counts. Shadows "
        "that were dropped left no row.",
        "A caller's call has the cost and the time of all its attempts, of what the router asked for it, and of "
        "waiting for gates; a shadow has those of one attempt.",
        *_on_evidence(calls, measure),
    ]
    models = {call.outcome.model for call in calls[::2]}
    if len(models) > 1:
        told = ", ".join(sorted(models))
        remarks.append(f"Callers were answered by {told}: each answered only the calls that its policy gave it.")
    recorded = {"shadow": name, "measure": measure, "pairs": len(calls) // 2, "known_by": _known(calls)}
    return report_on(
        f"shadow {name}",
        trials_of(calls, measure, judge=judge, paired=True),
        bar,
        judging=judging,
        notes=notes,
        remarks=remarks,
        recorded=recorded,
        counted="pairs",
    )


def _known(calls: Sequence[Observed]) -> dict[str, dict[str, int]]:
    return {_WORDS[source].replace(" ", "_"): dict(known_by(calls, source)) for source in _KINDS}


def _gates_differ(experiment: Experiment) -> bool:
    """Whether arms are judged by gates of their own; `None` is those of the rule."""
    found = [None if arm.escalation is None else arm.escalation.gates for arm in experiment.arms]
    return any(gates != found[0] for gates in found)


def _keys_by_arm(calls: Sequence[Observed]) -> dict[str, set[str]]:
    keys: defaultdict[str, set[str]] = defaultdict(set)
    for call in calls:
        keys[call.subject].add(call.unit)
    return dict(keys)


def _ratio(keys: Mapping[str, set[str]], configured: Sequence[Experiment] | None) -> SampleRatio | None:
    weights = [{arm.name: arm.weight for arm in one.arms} for one in configured or ()]
    if not weights or any(one != weights[0] for one in weights):
        return None
    return sample_ratio({arm: len(found) for arm, found in keys.items()}, weights[0])


def _on_arms(calls: Sequence[Observed]) -> Iterator[str]:
    of_arm = Counter(call.subject for call in calls)
    missed = Counter(call.subject for call in calls if not call.honoured)
    told = ", ".join(f"{arm} {missed[arm]:,} of {count:,}" for arm, count in of_arm.items())
    yield f"Compared by the arm that a call fell to, whether or not its choice was asked first (it was not: {told})."
    if len(of_arm) == 1:
        yield f"All calls fell to {next(iter(of_arm))}: there is nothing to compare it with."


def _on_evidence(calls: Sequence[Observed], measure: Source | None) -> Iterator[str]:
    known = {source: known_by(calls, source).total() for source in _KINDS}
    if measure is None:
        yield (
            "No quality is known: nobody gave feedback, and no gates scored the answers. Have gates score them, or "
            "texts recorded for a --judge."
        )
        return
    others = ", ".join(f"{_WORDS[one]} {known[one]:,}" for one in _KINDS if one is not measure and known[one])
    also = f" There is more, which is not mixed in: {others}." if others else ""
    yield f"Quality rests on one measure for all subjects: {_WORDS[measure]}.{also}"
    if measure is Source.FEEDBACK:
        answered = Counter(call.subject for call in calls if not call.error)
        given = Counter(call.subject for call in calls if not call.error and call.feedback is not None)
        told = ", ".join(f"{arm} {given[arm] / count:.1%}" for arm, count in answered.items())
        yield (
            f"Feedback is of those who chose to give it ({told} of the answers), and no sample of all: people who are "
            "annoyed, or delighted, speak more often. Distrust a difference where these shares differ, and confirm it "
            "with a --judge."
        )
    if measure is Source.JUDGE:
        cut = sum(call.words is not None and call.words.is_cut for call in calls)
        left_out = f" {cut:,} were longer than what is recorded of a text, and are left out." if cut else ""
        yield f"Graded were answers whose texts were recorded whole, of the share of calls that is recorded.{left_out}"


def _on_gates(measure: Source | None, *, own_gates: bool, is_known: bool) -> Iterator[str]:
    if own_gates:
        yield "Arms have gates of their own, so that scores of gates cannot be compared between them."
    elif measure is Source.GATES and not is_known:
        yield "Whether all arms have the same gates is not known here: scores by others do not compare. See --config."


def _on_keys(calls: Sequence[Observed], moved: int) -> Iterator[str]:
    if any(call.unit != call.prompt_id for call in calls):
        yield (
            "What keeps its arm, such as a user, is one observation with the mean of its calls. Costs are those of "
            "single calls, and their intervals too narrow where few users make most calls."
        )
    if moved:
        yield (
            f"Keys that fell to several arms in this time: {moved:,}. The weights or the version changed. Compare "
            "a time in which they did not (--since, --until)."
        )


def _on_ratio(ratio: SampleRatio | None) -> Iterator[str]:
    if ratio is None or not ratio.is_off:
        return
    told = ", ".join(f"{arm} {count:,} of {ratio.expected[arm]:,.0f}" for arm, count in ratio.counts.items())
    yield (
        f"WARNING: the arms did not get the keys that their weights give them ({told} expected; chi-square, "
        f"p {'< 0.001' if ratio.p else '= 0'}). Either the weights changed in this time, or calls of one arm are lost "
        "on their way: find out which before you believe anything here."
    )
