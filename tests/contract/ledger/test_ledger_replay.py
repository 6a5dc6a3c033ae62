"""Calls come out of every database as they must be known to decide them again."""

from __future__ import annotations

from ledger_values import START_US, closed, intent, opened, terminal

from router_service.domain.deployment import Capability
from router_service.domain.money import Usage
from router_service.lab.recorded import Unanswered, recorded_calls, unanswered
from router_service.lab.replay import PastCall

START = START_US / 1_000_000


async def calls(database):
    return [call async for page in recorded_calls(database, START, START + 60) for call in page]


async def test_an_answered_call_comes_back_with_its_signals_its_answer_and_its_whole_cost(store, database):
    await store.add(
        [
            opened(
                task_type="qa",
                tier="free",
                policy="default",
                asked_complexity="hard",
                asked_output_tokens=700,
                input_tokens=118,
                turns=2,
                language="en",
                complexity="moderate",
                needs=("tools", "an-unknown-need"),
                labels={"team": "blue"},
            ),
            terminal("op-1-1", outcome="error", cost_nano_usd=5),
            terminal("op-1-2", number=2, cost_nano_usd=11, input_tokens=120, output_tokens=30, cached_input_tokens=100),
            terminal("op-1-3", number=3, kind="judge", cost_nano_usd=2, input_tokens=999),
            closed(),
        ]
    )
    assert await calls(database) == [
        PastCall(
            feature="chat",
            tier="free",
            tenant="acme",
            task_type="qa",
            labels={"team": "blue"},
            policy="default",
            deployment="gpt-x",
            model="gpt",
            asked_complexity="hard",
            asked_output_tokens=700,
            input_tokens=118,
            turns=2,
            language="en",
            complexity="moderate",
            needs=frozenset({Capability.TOOLS}),
            usage=Usage(input_tokens=120, output_tokens=30, cached_input_tokens=100),
            cost=18,
        )
    ]


async def test_calls_without_an_answer_are_counted_apart(store, database):
    await store.add([opened(), intent(), closed(status="UNAVAILABLE", cost_nano_usd=40)])
    assert await calls(database) == []
    assert await unanswered(database, START, START + 60) == Unanswered(1, 40)


async def test_pages_hold_every_call_once(store, database, monkeypatch):
    monkeypatch.setattr("router_service.lab.recorded._PAGE", 7)
    for number in range(30):
        name = f"op{number:02}"
        await store.add(
            [opened(name, started_us=START_US + number // 5, rule=name), terminal(f"{name}-1"), closed(name)]
        )
    assert len(await calls(database)) == 30
