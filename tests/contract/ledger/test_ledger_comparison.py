"""What the report on experiments and shadows is made from, out of every database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ledger_values import START_US, closed, intent, opened, terminal, text

from router_service.domain.feedback import Feedback, FeedbackSource, Thumbs
from router_service.domain.limit import SettledSpend, Subject
from router_service.lab.recorded import recorded_calls, unanswered
from router_service.ledger.comparison import ArmCall, ComparisonReader, Outcome, Said, ShadowPair, Words
from router_service.ledger.feedback import JudgedCall, record_feedback
from router_service.ledger.receipts import recorded_receipt
from router_service.ledger.usage import UsageBy, UsageQuery, UsageReader

START = START_US / 1_000_000
SPAN = (START - 10, START + 10)
SHADOW = {"kind": "shadow", "reason": "shadow", "deployment": "try-x", "model": "try"}
TRIED = {"deployment": "try-x", "model": "try", "provider": "other"}


def in_arm(arm: str, **more: Any) -> dict[str, Any]:
    known = {"experiment": "cheap", "arm": arm, "arm_honoured": True, "arm_key": "ann", "fingerprint": "f"}
    return {**known, **more}


@pytest.fixture(autouse=True)
async def rows(store):
    """Three calls of an experiment, one without an answer; one call with a shadow that answered, one with one that
    failed; and a shadow whose parent is not kept any more."""
    copied = {"shadow": "default/try", "request_id": "req-a"}
    await store.add(
        [
            opened("a", **in_arm("control", complexity_source="heuristic")),
            intent("a-1"),
            terminal("a-1"),
            closed(
                "a", cost_nano_usd=1_000, cost_status="actual", first_output_us=250_000, attempts=1, quality="passed",
                quality_score=0.75,
            ),
            opened("b", **in_arm("treated", arm_honoured=False, started_us=START_US + 1_000_000)),
            closed("b", cost_nano_usd=10, cost_status="estimated", attempts=2, quality_score=0.9),
            opened("c", **in_arm("treated", started_us=START_US + 2_000_000, feature="summary")),
            closed("c", status="UNAVAILABLE", error_reason="ATTEMPTS_EXHAUSTED", deployment="", model="", provider=""),
            opened("d", **in_arm("treated", started_us=START_US + 3_000_000)),
            opened("a2", **copied, parent_id="a", started_us=START_US + 500_000),
            intent("a2-1", **SHADOW),
            terminal("a2-1", **SHADOW, cost_nano_usd=7, input_tokens=5, output_tokens=5),
            closed(
                "a2", **TRIED, cost_nano_usd=7, cost_status="actual", attempts=1, quality="below_threshold",
                quality_score=0.25, parent_score=1.0,
            ),
            opened("b2", **copied, parent_id="b", started_us=START_US + 1_500_000),
            intent("b2-1", **SHADOW),
            terminal("b2-1", **SHADOW, outcome="error", status="unbilled", cost_status="unbilled", cost_nano_usd=0),
            closed("b2", status="DEADLINE_EXCEEDED", error_reason="DEADLINE_EXCEEDED", deployment="", model=""),
            opened("z2", **copied, parent_id="z", started_us=START_US + 1_600_000),
            closed("z2", **TRIED),
        ]
    )  # fmt: skip


def outcome(operation_id: str, seconds: float = 0, **changes: Any) -> Outcome:
    known: dict[str, Any] = {
        "deployment": "gpt-x", "model": "gpt", "status": "OK", "error_reason": "", "cost": None, "cost_status": "",
        "duration": 1.0, "first_output": None, "attempts": 0, "score": None, "request_id": f"req-{operation_id[0]}",
    }  # fmt: skip
    return Outcome(operation_id=operation_id, started_at=START + seconds, **{**known, **changes})


A = outcome("a", cost=1_000, cost_status="actual", first_output=0.25, attempts=1, score=0.75)
B = outcome("b", 1, cost=10, cost_status="estimated", attempts=2, score=0.9)
C = outcome("c", 2, status="UNAVAILABLE", error_reason="ATTEMPTS_EXHAUSTED", deployment="", model="")


async def test_the_calls_of_an_experiment_by_the_arm_they_fell_to(database) -> None:
    assert await ComparisonReader(database).arm_calls("cheap", *SPAN) == [
        ArmCall(experiment="cheap", key="ann", arm="control", honoured=True, feature="chat", outcome=A),
        ArmCall(experiment="cheap", key="ann", arm="treated", honoured=False, feature="chat", outcome=B),
        ArmCall(experiment="cheap", key="ann", arm="treated", honoured=True, feature="summary", outcome=C),
    ]


async def test_a_shadow_stands_beside_its_parent_scored_by_the_same_gates(database) -> None:
    tried = {"deployment": "try-x", "model": "try"}
    answered = outcome("a2", 0.5, **tried, cost=7, cost_status="actual", attempts=1, score=0.25)
    failed = outcome(
        "b2", 1.5, **tried, request_id="req-a", status="DEADLINE_EXCEEDED", error_reason="DEADLINE_EXCEEDED"
    )
    parent = outcome("a", cost=1_000, cost_status="actual", first_output=0.25, attempts=1, score=1.0)
    assert await ComparisonReader(database).shadow_pairs("default/try", *SPAN) == [
        ShadowPair(shadow="default/try", feature="chat", parent=parent, copy=answered),
        ShadowPair(shadow="default/try", feature="chat", parent=replace(B, score=None), copy=failed),
    ]


async def test_only_what_began_in_time_is_read_and_nothing_without_a_name(database) -> None:
    reader = ComparisonReader(database)
    assert [call.outcome.operation_id for call in await reader.arm_calls("cheap", START + 1, START + 2)] == ["b"]
    assert await reader.arm_calls("", *SPAN) == []
    assert await reader.shadow_pairs("", *SPAN) == []


async def test_feedback_is_a_mean_over_those_who_gave_it(database) -> None:
    for operation_id, feedback in (
        ("a", Feedback(thumbs=Thumbs.UP, author="ann")),
        ("a", Feedback(score=0.5, thumbs=Thumbs.DOWN, source=FeedbackSource.REVIEWER)),
        ("a", Feedback(label="slow", author="bob")),
        ("b", Feedback(thumbs=Thumbs.DOWN)),
        ("a2", Feedback(score=0.25)),
    ):
        judged = JudgedCall(operation_id=operation_id, request_id="r", tenant="acme", started_at=START)
        await record_feedback(database, judged, feedback, key_id="", at=START)
    reader = ComparisonReader(database)
    assert await reader.arm_feedback("cheap", *SPAN) == {"a": 0.75, "b": 0.0}
    assert await reader.arm_feedback("cheap", START + 1, START + 2) == {"b": 0.0}


async def test_the_words_of_arms_and_of_both_sides_of_a_shadow(database, store) -> None:
    await store.add([text("a"), text("a2", answer="Whatever.", is_cut=True), text("c", answer="No.", prompt="")])
    reader = ComparisonReader(database)
    why = (Said("user", "Why?"),)
    assert await reader.arm_words("cheap", *SPAN) == {"a": Words(why, "Because."), "c": Words((), "No.")}
    assert await reader.shadow_words("default/try", *SPAN) == {
        "a": Words(why, "Because."),
        "a2": Words(why, "Whatever.", is_cut=True),
    }


async def test_the_names_that_there_is_something_of(database) -> None:
    reader = ComparisonReader(database)
    assert (await reader.experiments(), await reader.shadows()) == (["cheap"], ["default/try"])


async def test_pages_neither_repeat_nor_lose_a_row(database, monkeypatch) -> None:
    monkeypatch.setattr("router_service.ledger.comparison._PAGE", 1)
    reader = ComparisonReader(database)
    assert [call.outcome.operation_id for call in await reader.arm_calls("cheap", *SPAN)] == ["a", "b", "c"]
    assert len(await reader.shadow_pairs("default/try", *SPAN)) == 2


# Shadow calls are no caller's


async def test_usage_is_by_arm_and_leaves_shadows_out(database) -> None:
    query = UsageQuery(since=SPAN[0], until=SPAN[1], by=(UsageBy.EXPERIMENT, UsageBy.ARM))
    usage = await UsageReader(database).usage(query)
    assert {tuple(row.group.values()): (row.calls, row.errors, row.attempts) for row in usage.rows} == {
        ("cheap", "control"): (1, 0, 1),
        ("cheap", "treated"): (3, 1, 0),
    }
    assert (usage.total.calls, usage.total.cost) == (4, 1_000)


async def test_usage_of_shadows_is_seen_where_it_is_asked_for(database) -> None:
    usage = await UsageReader(database).usage(UsageQuery(since=SPAN[0], until=SPAN[1], by=(UsageBy.SHADOW,)))
    assert {tuple(row.group.values()): (row.calls, row.cost) for row in usage.rows} == {
        ("",): (4, 1_000),
        ("default/try",): (3, 7),
    }


async def test_budgets_are_not_rebuilt_from_shadows_but_their_caps_are(database) -> None:
    spent = await UsageReader(database).settled_spend(SPAN[0])
    known = {"tenant": "acme", "feature": "chat"}
    assert {(row.subject, row.model): row.nano_usd for row in spent} == {
        (Subject(**known), "gpt"): 1_000,
        (Subject(**known, shadow="default/try"), "try"): 7,
    }
    assert all(isinstance(row, SettledSpend) for row in spent)


async def test_no_receipt_and_no_replay_is_made_from_a_shadow(database) -> None:
    """It began later than the call whose request id it has here."""
    receipt = await recorded_receipt(database, "acme", "req-a")
    assert receipt is not None
    assert receipt.cost == 1_000
    assert receipt.decision is not None
    assert receipt.decision.assignment is not None
    assert (receipt.decision.assignment.experiment, receipt.decision.assignment.arm) == ("cheap", "control")
    calls = [call async for page in recorded_calls(database, *SPAN) for call in page]
    assert [call.model for call in calls] == ["gpt"]
    assert (await unanswered(database, *SPAN)).calls == 1
