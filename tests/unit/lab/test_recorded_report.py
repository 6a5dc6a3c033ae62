"""What the ledger's calls come to as trials, by which measure, and what is said beside them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from router_service.domain.policy import Arm, Experiment
from router_service.domain.quality import Escalation, Gate, GateKind
from router_service.lab.comparison import Bar, Standing
from router_service.lab.observed import Observed, best_measure, trials_of
from router_service.lab.recorded_report import experiment_report, shadow_report
from router_service.lab.regrading import gradable
from router_service.lab.report import Report, caveats, conclusions
from router_service.lab.sample_ratio import chi_square_tail, sample_ratio
from router_service.lab.trials import Source
from router_service.ledger.comparison import Outcome, Said, Words

BAR = Bar(0.9, is_relative=True)
BOTH = [Source.FEEDBACK, Source.GATES]
SAID = Words((Said("user", "Why?"),), "Because.")


def outcome(name: str, **changes: Any) -> Outcome:
    known: dict[str, Any] = {
        "request_id": f"r-{name}", "started_at": 0.0, "deployment": "d", "model": "m", "status": "OK",
        "error_reason": "", "cost": 10, "cost_status": "actual", "duration": 1.0, "first_output": 0.1, "attempts": 1,
        "score": None,
    }  # fmt: skip
    return Outcome(operation_id=name, **{**known, **changes})


def calls(
    arm: str, count: int, *, first: int = 0, feedback: float | None = None, score: float | None = None, **more: Any
) -> list[Observed]:
    return [
        Observed(
            **{
                "subject": arm,
                "prompt_id": f"{arm}-{at}",
                "unit": f"{arm}-{at}",
                "feature": "",
                "outcome": outcome(f"{arm}-{at}", score=score),
                "feedback": feedback,
                **more,
            }
        )
        for at in range(first, first + count)
    ]


def failed(one: Observed, reason: str) -> Observed:
    return replace(one, feedback=None, outcome=replace(one.outcome, status="X", error_reason=reason, score=None))


def experiment(control: float, treated: float, **treatment: Any) -> Experiment:
    arms = (Arm(name="control", weight=control), Arm(name="treated", weight=treated, **treatment))
    return Experiment(name="cheap", arms=arms)


def told(report: Report) -> str:
    return " ".join(caveats(report))


def quality(report: Report, subject: str) -> tuple[float, int] | None:
    found = report.comparison.summary(subject).quality
    return None if found is None else (found.mean, found.count)


def test_feedback_of_one_arm_is_never_set_against_the_gates_of_another() -> None:
    made = [*calls("control", 30, feedback=1.0, score=1.0), *calls("treated", 26, score=0.5)]
    assert best_measure(made, among=BOTH) is Source.GATES
    made += calls("treated", 4, first=26, feedback=0.0, score=0.5)
    assert best_measure(made, among=BOTH) is Source.GATES
    made += calls("treated", 1, first=30, feedback=0.0, score=0.5)
    assert best_measure(made, among=BOTH) is Source.FEEDBACK
    for measure, counted in (
        (Source.GATES, {"control": 30, "treated": 31}),
        (Source.FEEDBACK, {"control": 30, "treated": 5}),
    ):
        report = experiment_report("cheap", made, BAR, measure=measure)
        assert {one.subject: one.quality.count for one in report.comparison.summaries if one.quality} == counted
        assert {trial.source for trial in report.trials} <= {measure, None}
        assert "which is not mixed in" in told(report)
    assert best_measure(calls("control", 3), among=BOTH) is None


def test_a_refusal_counts_where_all_answers_are_measured_and_not_beside_the_few_with_feedback() -> None:
    made = [
        *(failed(one, "UPSTREAM_REJECTED") for one in calls("a", 4, feedback=1.0, score=1.0)),
        *(failed(one, "ATTEMPTS_EXHAUSTED") for one in calls("a", 1, first=4)),
        *calls("a", 6, first=5, feedback=1.0, score=1.0),
        *calls("b", 6, feedback=1.0, score=1.0),
    ]
    by_gates, by_feedback = (
        experiment_report("cheap", made, BAR, measure=one) for one in (Source.GATES, Source.FEEDBACK)
    )
    assert quality(by_gates, "a") == (0.6, 10)
    assert "count as quality 0, all others have none" in told(by_gates)
    assert quality(by_feedback, "a") == (1.0, 6)
    assert "Calls without an answer: a 5. They have no quality." in told(by_feedback)


def test_the_shares_that_gave_feedback_are_told_beside_it() -> None:
    made = [*calls("a", 6, feedback=1.0), *calls("a", 6, first=6), *calls("b", 6, feedback=1.0)]
    assert "a 50.0%, b 100.0% of the answers" in told(experiment_report("cheap", made, BAR))


def test_a_key_is_one_observation_whatever_it_asked() -> None:
    loud = [replace(one, unit="loud") for one in calls("a", 100, score=0.0)]
    report = experiment_report("cheap", [*loud, *calls("a", 9, first=100, score=1.0), *calls("b", 9, score=1.0)], BAR)
    assert quality(report, "a") == (0.9, 10)
    assert report.comparison.summary("a").calls == 109
    assert "cannot tell with 9 keys" in " ".join(conclusions(report))
    assert "is one observation with the mean of its calls" in told(report)


def test_arms_are_compared_by_what_was_assigned_and_the_dishonoured_counted() -> None:
    made = [*calls("a", 6, score=1.0), *calls("b", 6, score=1.0), *calls("b", 6, first=6, score=0.0, honoured=False)]
    report = experiment_report("cheap", made, BAR)
    assert quality(report, "b") == (0.5, 12)
    assert "(it was not: a 0 of 6, b 6 of 12)" in told(report)


def test_scores_of_other_gates_are_no_measure() -> None:
    gates = Escalation(gates=(Gate(kind=GateKind.NOT_EMPTY),))
    made = [*calls("control", 9, score=1.0), *calls("treated", 9, score=0.0)]
    own = experiment_report("cheap", made, BAR, configured=[experiment(1, 1, escalation=gates)])
    assert (own.recorded or {})["measure"] is None
    assert "Arms have gates of their own" in told(own)
    alike = experiment_report("cheap", made, BAR, configured=[experiment(1, 1)])
    assert (alike.recorded or {})["measure"] is Source.GATES
    assert "is not known here" not in told(alike)
    assert "is not known here" in told(experiment_report("cheap", made, BAR))


def test_shares_are_checked_by_the_weights_unless_keys_moved_or_policies_differ() -> None:
    made = [*calls("control", 60), *calls("treated", 140)]

    def ratio(*configured: Experiment, among: list[Observed] = made) -> Any:
        return (experiment_report("cheap", among, BAR, configured=configured).recorded or {})["sample_ratio"]

    assert ratio(experiment(30, 70))["is_off"] is False
    assert ratio(experiment(50, 50))["is_off"] is True
    assert "WARNING" in told(experiment_report("cheap", made, BAR, configured=[experiment(50, 50)]))
    assert ratio(experiment(50, 50), experiment(30, 70)) is None
    assert ratio() is None
    moved = [*made, replace(made[0], subject="treated")]
    assert ratio(experiment(50, 50), among=moved) is None
    assert "Keys that fell to several arms in this time: 1." in told(
        experiment_report("cheap", moved, BAR, configured=[experiment(1, 1)])
    )


@pytest.mark.parametrize(
    ("value", "freedom", "p"),
    [(3.841, 1, 0.05), (6.635, 1, 0.01), (5.991, 2, 0.05), (7.815, 3, 0.05), (11.070, 5, 0.05), (18.307, 10, 0.05)],
)
def test_the_tail_of_chi_square_is_that_of_the_tables(value: float, freedom: int, p: float) -> None:
    assert chi_square_tail(value, freedom) == pytest.approx(p, abs=2e-5)
    assert chi_square_tail(0, freedom) == 1.0


def test_an_arm_without_weight_gets_nothing_and_few_keys_say_nothing() -> None:
    assert sample_ratio({"a": 5, "b": 1}, {"a": 1, "b": 0}).is_off
    few = sample_ratio({"a": 4, "b": 0}, {"a": 1, "b": 1})
    assert (few.p, few.is_off, few.expected) == (None, False, {"a": 2.0, "b": 2.0})
    assert sample_ratio({"a": 40}, {"a": 1, "b": 1}).is_off
    assert not sample_ratio({"a": 40}, {"a": 1, "b": 0}).is_off


def pair(at: int, parent: dict[str, Any], copy: dict[str, Any]) -> list[Observed]:
    sides = (("gpt", f"p{at}", parent), ("mini", f"c{at}", copy))
    return [
        Observed(
            subject=model,
            prompt_id=f"p{at}",
            unit=f"p{at}",
            feature="",
            outcome=outcome(name, model=model, **{key: value for key, value in more.items() if key != "words"}),
            words=more.get("words"),
        )
        for model, name, more in sides
    ]


REFUSED = {"status": "INVALID_ARGUMENT", "error_reason": "UPSTREAM_REJECTED"}
AWAY = {"status": "UNAVAILABLE", "error_reason": "ATTEMPTS_EXHAUSTED"}


def test_a_half_of_a_pair_counts_for_nothing_and_a_refusal_for_0() -> None:
    made = [one for at in range(8) for one in pair(at, {"score": 1.0}, {"score": 0.5})]
    made += [*pair(8, {"score": 1.0}, REFUSED), *pair(9, {"score": 0.0}, AWAY), *pair(10, {}, REFUSED)]
    report = shadow_report("default/try", made, BAR)
    assert quality(report, "gpt") == (1.0, 9)
    assert quality(report, "mini") == (pytest.approx(4 / 9), 9)
    verdict = report.comparison.verdict("mini")
    assert verdict.over is not None
    assert (verdict.standing, verdict.over.paired, verdict.over.count) == (Standing.DOES_NOT, True, 9)
    assert "11 calls beside their shadows" in told(report)


def test_a_judge_is_shown_whole_texts_only_and_of_a_pair_both() -> None:
    whole, cut = {"words": SAID}, {"words": replace(SAID, is_cut=True)}
    made = [*pair(0, whole, whole), *pair(1, whole, cut), *pair(2, whole, {}), *pair(3, whole, {**REFUSED})]
    made += pair(4, whole, {"words": replace(SAID, answer=" ")})
    assert sorted(one.outcome.operation_id for one in gradable(made, paired=True)) == ["c0", "p0", "p3"]
    assert len(gradable(made, paired=False)) == 6
    report = experiment_report("cheap", made, BAR, measure=Source.JUDGE)
    assert "1 were longer than what is recorded of a text, and are left out" in told(report)
    order = [one.prompt_id for one in gradable([*calls("a", 40, words=SAID)], paired=False)]
    assert order != sorted(order, key=lambda name: int(name[2:]))


def test_texts_stand_beside_each_other_also_where_nobody_graded_them() -> None:
    talk = Words((Said("system", "Be brief."), Said("user", "Why?")), "Because.")
    [parent, copy] = trials_of(pair(0, {"words": SAID}, {"words": talk}), None, paired=True)
    assert (parent.prompt, parent.answer, parent.source) == ("Why?", "Because.", None)
    assert copy.prompt == "system: Be brief.\n\nuser: Why?"
    assert (parent.prompt_id, parent.cost, parent.request_id) == (copy.prompt_id, 10, "r-p0")
