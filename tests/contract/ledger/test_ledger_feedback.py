"""Feedback and texts beside the calls they are about, in every database."""

from __future__ import annotations

from typing import Any

import pytest
from ledger_values import START_US, closed, intent, opened, terminal, text

from router_service.domain.feedback import Feedback, FeedbackSource, Thumbs
from router_service.lab.feedback import Choice, JudgedPrompt, Recorded, recorded_feedback
from router_service.ledger.feedback import JudgedCall, record_feedback
from router_service.ledger.store import SqlLedgerStore
from router_service.ledger.texts import Erased, erase
from router_service.ledger.usage import UsageBy, UsageQuery, UsageReader
from router_service.storage.database import Database

START = START_US / 1_000_000
DAY = 86_400.0
DAY_US = 86_400_000_000
ALL = Choice(since=START - DAY, until=START + 10 * DAY)
SMALL = {"deployment": "small", "model": "small", "provider": "ours"}


async def give(
    database: Database, operation_id: str = "op-1", *, at: float = START + 60, began: float = START, **said: Any
) -> None:
    judged = JudgedCall(operation_id=operation_id, request_id=f"req-{operation_id}", tenant="acme", started_at=began)
    await record_feedback(database, judged, Feedback(**said), key_id="rk_1", at=at)


async def given(database: Database) -> list[tuple[Any, ...]]:
    return await database.fetch(
        "SELECT operation_id, source, author, score, thumbs, label, comment FROM ledger_feedback "
        "ORDER BY operation_id, source, author"
    )


async def test_feedback_is_kept_by_source_and_author_and_a_later_one_replaces(
    store: SqlLedgerStore, database: Database
) -> None:
    await give(database, score=0.25, comment="too\x00long")
    await give(database, thumbs=Thumbs.UP, author="ann")
    await give(database, score=1.0, label="fine", source=FeedbackSource.REVIEWER, author="ann")
    await give(database, thumbs=Thumbs.DOWN, author="ann", at=START + 61)
    await give(database, thumbs=Thumbs.UP, author="ann", at=START + 59)
    assert await given(database) == [
        ("op-1", "reviewer", "ann", 1.0, "", "fine", ""),
        ("op-1", "user", "", 0.25, "", "", "too\ufffdlong"),
        ("op-1", "user", "ann", None, "down", "", ""),
    ]


async def test_feedback_is_forgotten_with_its_call(store: SqlLedgerStore, database: Database) -> None:
    await store.add([opened("old", started_us=START_US - DAY_US), closed("old"), opened("new"), closed("new")])
    await give(database, "old", began=START - DAY, score=1.0)
    await give(database, "new", score=0.0)
    await store.forget(START_US)
    assert [row[0] for row in await given(database)] == ["new"]


async def test_usage_has_the_feedback_of_each_group(store: SqlLedgerStore, database: Database) -> None:
    await store.add(
        [
            *(opened("a"), closed("a")),
            *(opened("b", feature="summary", started_us=START_US + DAY_US), closed("b", **SMALL)),
            *(opened("c"), closed("c")),
        ]
    )
    await give(database, "a", score=0.5, thumbs=Thumbs.UP)
    await give(database, "a", score=1.0, source=FeedbackSource.REVIEWER)
    await give(database, "a", thumbs=Thumbs.DOWN, author="bob")
    # On a call that the database has not got yet: it counts once it is there.
    await give(database, "later", thumbs=Thumbs.DOWN, began=START + DAY)
    reader, query = UsageReader(database), UsageQuery(since=START - DAY, until=START + 10 * DAY, by=(UsageBy.FEATURE,))
    chat, summary = sorted((await reader.usage(query)).rows, key=lambda row: row.group[UsageBy.FEATURE])
    assert (chat.calls, chat.feedbacks, chat.mean_score, chat.thumbs_up, chat.thumbs_down) == (2, 3, 0.75, 1, 1)
    assert chat.thumbs_up_share == 0.5
    assert (summary.calls, summary.feedbacks, summary.mean_score, summary.thumbs_up_share) == (1, 0, None, None)
    await store.add([opened("later", feature="summary", started_us=START_US + DAY_US), closed("later", **SMALL)])
    by_model = await reader.usage(UsageQuery(since=START - DAY, until=START + 10 * DAY, by=(UsageBy.MODEL,)))
    assert {row.group[UsageBy.MODEL]: row.feedbacks for row in by_model.rows} == {"gpt": 3, "small": 1}
    only = UsageQuery(since=START, until=START + 60, only={UsageBy.FEATURE: frozenset({"chat"})})
    assert (await reader.usage(only)).total.thumbs_down == 1


async def test_texts_are_deleted_once_they_expire(store: SqlLedgerStore, database: Database) -> None:
    await store.add([text("a"), text("b", expires_us=START_US + 5)])
    assert await store.expire(START_US + 5) == 0
    assert await store.expire(START_US + 6) == 1
    assert await database.fetch("SELECT operation_id, answer, is_cut FROM ledger_texts") == [("a", "Because.", 0)]


async def test_a_text_that_is_shipped_again_changes_nothing(store: SqlLedgerStore, database: Database) -> None:
    await store.add([text()])
    await store.add([text(answer="Another."), text()])
    assert await database.fetch("SELECT answer FROM ledger_texts") == [("Because.",)]


async def test_what_was_erased_stays_away_also_where_a_journal_brings_it_later(
    store: SqlLedgerStore, database: Database
) -> None:
    await store.add([text("a"), text("b"), text("theirs", tenant="globex")])
    await give(database, "a", score=0.5, comment="my address is ...")
    await give(database, "b", score=0.5)
    assert await erase(database, "acme", START + 100) == Erased(texts=2, comments=1)
    await store.add([text("a"), text("late"), text("new", started_us=START_US + 100_000_000)])
    rows = await database.fetch("SELECT operation_id FROM ledger_texts ORDER BY operation_id")
    assert [row[0] for row in rows] == ["new", "theirs"]
    assert [row[3:] for row in await given(database)] == [(0.5, "", "", "")] * 2
    assert await erase(database, "acme", START + 50) == Erased(texts=0, comments=0)
    await store.add([text("late", started_us=START_US + 70_000_000)])
    assert len(await database.fetch("SELECT 1 FROM ledger_texts")) == 2


def prompt(said: str) -> str:
    return f'[{{"role":"system","content":"Be brief."}},{{"role":"user","content":"{said}"}}]'


@pytest.fixture
async def judged(store: SqlLedgerStore, database: Database) -> Database:
    """Why? was answered by both models and escalated once; How? by one, When? too but nobody knows the prompt."""
    await store.add(
        [
            *(opened("a"), closed("a"), text("a", prompt=prompt("Why?"))),
            *(opened("b"), closed("b", **SMALL), text("b", prompt=prompt("Why?"))),
            *(opened("c", feature="summary"), text("c", prompt=prompt("How?"))),
            terminal("c-1", **SMALL),
            terminal("c-2", number=2, model="other", outcome="error"),
            terminal("c-3", number=3, reason="escalation"),
            closed("c"),
            *(opened("d"), terminal("d-1", **SMALL), terminal("d-2", reason="fallback"), closed("d")),
            *(opened("failed"), intent("failed-1"), closed("failed", status="UNAVAILABLE", model="")),
            text("failed", prompt=prompt("Never?")),
        ]
    )
    await give(database, "a", score=1.0)
    await give(database, "a", thumbs=Thumbs.DOWN, source=FeedbackSource.AUTOMATIC)
    await give(database, "b", thumbs=Thumbs.DOWN)
    await give(database, "c", score=0.75, thumbs=Thumbs.DOWN)
    await give(database, "c", label="said nothing of how good it was", author="x")
    await give(database, "d", thumbs=Thumbs.UP)
    await give(database, "failed", thumbs=Thumbs.DOWN)
    return database


WHY = JudgedPrompt(prompt="Why?", scores={"gpt": 0.5, "small": 0.0})
HOW = JudgedPrompt(prompt="How?", scores={"gpt": 0.75}, refused=frozenset({"small"}))


def by_prompt(found: Recorded) -> list[JudgedPrompt]:
    return sorted(found.prompts, key=lambda one: one.prompt)


async def test_recorded_feedback_is_what_was_made_of_each_models_answer(
    judged: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router_service.lab.feedback._PAGE", 2)
    found = await recorded_feedback(judged, ALL)
    assert by_prompt(found) == [HOW, WHY]
    assert (found.calls, found.known) == (4, 3)


async def test_prompts_may_be_given_by_request_id_and_feedback_be_chosen(judged: Database) -> None:
    found = await recorded_feedback(judged, ALL, {"req-d": "When?", "req-b": "What for?"})
    assert by_prompt(found) == [
        HOW,
        JudgedPrompt(prompt="What for?", scores={"small": 0.0}),
        JudgedPrompt(prompt="When?", scores={"gpt": 1.0}),
        JudgedPrompt(prompt="Why?", scores={"gpt": 0.5}),
    ]
    by_users = Choice(since=ALL.since, until=ALL.until, feature="chat", sources=[FeedbackSource.USER])
    [one] = (await recorded_feedback(judged, by_users)).prompts
    assert one.scores == {"gpt": 1.0, "small": 0.0}
    assert (await recorded_feedback(judged, Choice(since=ALL.since, until=ALL.until, tenant="globex"))).calls == 0
    assert (await recorded_feedback(judged, Choice(since=START + 1, until=ALL.until))).calls == 0
