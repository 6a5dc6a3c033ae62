"""Tables of tiers that ship with the project, end to end: who answers, and that every cent of it is told."""

from __future__ import annotations

import pytest

from benchmarks.escalations import prompts, run, running
from llmrouter.v1 import receipt_pb2


async def test_each_tier_of_table_7_answers_what_the_one_before_it_could_not():
    async with running("table-7-tiers") as (client, simulator):
        outcome = await run(client, prompts(120), "default")
        called = len(simulator.journal)

    assert outcome.calls == outcome.asked["Qwen3-8B"] == 120
    assert outcome.asked.total() == called
    assert outcome.asked["deepseek-v4-flash"] == outcome.refused["Qwen3-8B"] == outcome.escalated
    assert outcome.asked["deepseek-reasoner"] == outcome.refused["deepseek-v4-flash"]
    shares = [outcome.answered[name] / 120 for name in ("Qwen3-8B", "deepseek-v4-flash", "deepseek-reasoner")]
    assert shares == pytest.approx([0.75, 0.20, 0.05], abs=0.08)
    assert 0 < outcome.cost < outcome.baseline / 10


async def test_table_4_with_gates_sends_what_they_refuse_to_the_strong_model():
    async with running("table-4-complexity") as (client, _):
        unjudged = await run(client, prompts(120), "default")
        checked = await run(client, prompts(120), "checked")

    assert unjudged.refused.total() == unjudged.escalated == 0
    assert checked.escalated == checked.refused["deepseek-chat"] + checked.refused["qwen-plus"] > 0
    assert checked.answered["gpt-4o"] == unjudged.answered["gpt-4o"] + checked.escalated
    assert checked.cost > unjudged.cost


async def test_a_doubtful_answer_of_the_cheapest_tier_is_never_what_the_caller_gets():
    async with running("table-7-tiers") as (client, _):
        answers = [await client.complete(prompt) for prompt in prompts(40)]
    accepted = [answer for answer in answers if answer.receipt.quality == receipt_pb2.QUALITY_PASSED]
    assert len(accepted) >= 38
    assert not any(answer.text.startswith(("I don't know", "I'm not sure", "I'm sorry")) for answer in accepted)


async def test_table_4_asks_a_model_and_what_gives_no_label_is_moderate():
    async with running("table-4-complexity") as (client, simulator):
        outcome = await run(client, prompts(120), "asked")
        entries = [entry for entry in simulator.journal if entry.model == "gpt-4o-mini"]

    assert outcome.labelled == len(entries) == 120
    assert 0 < outcome.unusable < 20
    assert outcome.tiers.total() == 120
    assert outcome.tiers["moderate"] == outcome.answered["qwen-plus"] >= outcome.unusable
    assert outcome.tiers["complex"] == outcome.answered["gpt-4o"] > 0
    shares = [outcome.tiers[tier] / 120 for tier in ("simple", "moderate", "complex")]
    assert shares == pytest.approx([0.72, 0.23, 0.05], abs=0.08)
    assert 0 < outcome.labels_cost < outcome.cost
    assert outcome.labels_cost / 120 < 100_000  # a hundredth of a cent
