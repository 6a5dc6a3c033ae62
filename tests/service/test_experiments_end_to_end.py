"""Experiments and shadow calls over real channels; the provider's journal is the judge."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.sdk.trace import ReadableSpan
from running_router import (
    ADMIN_KEY,
    CONFIGURATION,
    Running,
    bearer,
    billed,
    configured,
    in_redis,
    refused,
    running,
    until,
    with_keys,
)
from typer.testing import CliRunner

from llmrouter.v1 import router_service_pb2, usage_pb2
from router_service.cli.main import app
from router_service.ledger.comparison import ComparisonReader
from router_service.ledger.usage import UsageBy, UsageQuery
from router_service.simulator import SimulatedModel, Simulator
from router_service.telemetry import semconv
from router_service.telemetry.tree import SpanCollector

USERS = [f"user-{number}" for number in range(24)]
SPAN = (0.0, 4e9)
QUICK = {"first_token_seconds": 0.001, "tokens_per_second": 5000}
MODELS = [SimulatedModel(name="gpt-4o", **QUICK), SimulatedModel(name="deepseek-chat", **QUICK)]


def compared(folder: Path, **policy: Any) -> dict[str, Any]:
    """One policy that is served by gpt-4o, and a ledger that keeps every trace's call."""
    return configured(
        ledger={"folder": str(folder / "ledger")},
        telemetry={"sample_ratio": 1.0},
        features={"short": {"max_output_tokens": 40}},
        policies={"default": {**CONFIGURATION["policies"]["default"], "rules": [{"use": "gpt-4o"}], **policy}},
    )


def experiment(control: int, treated: int) -> dict[str, Any]:
    arms = {"control": {"weight": control}, "treated": {"weight": treated, "use": "deepseek-chat"}}
    return {"cheap": {"when": {"feature": "short"}, "arms": arms}}


def shadow(**changes: Any) -> dict[str, Any]:
    return {"try": {"use": "deepseek-chat", "share": 1, "max_cost": {"usd": 5}, **changes}}


async def arms(router: Running) -> dict[str, str]:
    """The arm of each user, who is answered by it."""
    found = {}
    for user in USERS:
        receipt = (await router.client().complete("Hello", feature="short", user=user)).receipt
        assert (receipt.experiment, receipt.arm_honoured) == ("cheap", True)
        assert receipt.model == ("deepseek-chat" if receipt.arm == "treated" else "gpt-4o")
        found[user] = receipt.arm
    return found


async def shadows_over(router: Running) -> None:
    async def over() -> bool:
        return router.application.engine.shadows.under_way == 0

    await until(over)


def spans_named(spans: SpanCollector, name: str) -> Sequence[ReadableSpan]:
    return [span for span in spans.spans if span.name == name]


async def test_replicas_draw_the_same_arms_and_a_reload_moves_few_users(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    async with (
        Simulator(MODELS) as simulator,
        running(folders[0], compared(folders[0], experiments=experiment(50, 50)), simulator=simulator) as one,
    ):
        async with running(
            folders[1], compared(folders[1], experiments=experiment(50, 50)), simulator=simulator
        ) as two:
            before = await arms(one)
            assert await arms(two) == before
        assert 4 <= Counter(before.values())["treated"] <= 20
        text = one.file.read_text()
        one.file.write_text(text.replace("weight: 50", "weight: 20", 1))
        assert await one.application.reload() is None
        after = await arms(one)
    moved = {(before[user], after[user]) for user in USERS if before[user] != after[user]}
    assert moved == {("control", "treated")}


async def test_the_arm_is_in_decision_receipt_ledger_usage_and_spans(tmp_path: Path) -> None:
    async with running(tmp_path, compared(tmp_path, experiments=experiment(0, 1))) as router:
        client = router.client()
        decision = await client.route("Hello", feature="short", user="u")
        assert (decision.decision.experiment, decision.decision.arm) == ("cheap", "treated")
        assert decision.decision.arm_honoured
        await client.complete("Hello", feature="short", user="u", request_id="in-it")
        outside = (await client.complete("Hello", feature="short")).receipt
        assert (outside.experiment, outside.arm, outside.model) == ("", "", "gpt-4o")
        await router.shipped()
        usage = await router.usage(None, group_by=[usage_pb2.USAGE_DIMENSION_EXPERIMENT, usage_pb2.USAGE_DIMENSION_ARM])
        assert {tuple(value.value for value in row.group): row.calls for row in usage.rows} == {
            ("cheap", "treated"): 1,
            ("", ""): 1,
        }
        assert router.application._state._database is not None
        [row] = await ComparisonReader(router.application._state._database).arm_calls("cheap", *SPAN)
    assert (row.arm, row.honoured, row.feature, row.outcome.model) == ("treated", True, "short", "deepseek-chat")
    assert row.outcome.cost
    roots = [span for span in router.spans.spans if span.attributes and semconv.REQUEST_ID in span.attributes]
    [root] = [span for span in roots if (span.attributes or {})[semconv.REQUEST_ID] == "in-it"]
    assert root.attributes is not None
    assert (root.attributes[semconv.EXPERIMENT], root.attributes[semconv.EXPERIMENT_ARM]) == ("cheap", "treated")


async def test_a_shadow_is_asked_after_the_answer_and_nothing_of_it_reaches_the_caller(tmp_path: Path) -> None:
    async with (
        Simulator(MODELS) as simulator,
        running(tmp_path, compared(tmp_path, shadow=shadow(gates=["not_empty"])), simulator=simulator) as router,
    ):
        simulator.fail("deepseek-chat", "stall", after_tokens=3)
        client = router.client()
        answer = await client.complete("Tell me of tides.", request_id="seen")
        await simulator.journal.wait_for(lambda entry: entry.model == "deepseek-chat")
        assert answer.text == simulator.journal[0].intended
        # The caller has the answer while the shadow's provider is silent.
        assert router.application.engine.shadows.under_way == 1
        assert [entry.model for entry in simulator.journal] == ["gpt-4o", "deepseek-chat"]
        assert [attempt.model for attempt in answer.receipt.attempts] == ["gpt-4o"]

        events = [event async for event in client.stream("Tell me of tides.")]
        await until(lambda: _answered(router))
        assert not any("deepseek" in str(event) for event in events)
        assert (await client.receipt("seen")).cost_nano_usd == answer.receipt.cost_nano_usd


async def budget_command(router: Running, key: str) -> str:
    """What `llmrouter budget` prints to whoever has the key."""
    result = await asyncio.to_thread(
        CliRunner().invoke, app, ["budget", "--address", f"127.0.0.1:{router.port}"], env={"LLMROUTER_API_KEY": key}
    )
    assert result.exit_code == 0, result.output
    return result.stdout


async def _answered(router: Running) -> int:
    return router.application.engine.shadows.counts().calls.get(("default/try", "answered"), 0)


async def test_a_shadow_is_paid_by_the_operator_and_seen_by_administrators(tmp_path: Path) -> None:
    configuration = {**compared(tmp_path, shadow=shadow(gates=["not_empty", "not_refusal"])), **with_keys()}
    async with running(tmp_path, configuration) as router:
        _, key = await router.new_key()
        receipt = (await router.client(key).complete("Hello", request_id="mine")).receipt
        await shadows_over(router)
        await router.shipped()
        own = await router.usage(key, group_by=[usage_pb2.USAGE_DIMENSION_MODEL])
        assert [row.group[0].value for row in own.rows] == ["gpt-4o"]
        assert own.total.cost_nano_usd == receipt.cost_nano_usd
        asked = router_service_pb2.QueryUsageRequest(group_by=[usage_pb2.USAGE_DIMENSION_SHADOW])
        code, reason, _ = await refused(router.stub.QueryUsage(asked, metadata=(("authorization", f"Bearer {key}"),)))
        assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
        seen = await router.usage(group_by=[usage_pb2.USAGE_DIMENSION_SHADOW])
        costs = {row.group[0].value: row.cost_nano_usd for row in seen.rows}
        made = [entry for entry in router.simulator.journal if entry.model == "deepseek-chat"]
        assert costs["default/try"] == billed(router.application, made) > 0

        request = router_service_pb2.GetBudgetRequest()
        assert not (await router.stub.GetBudget(request, metadata=bearer(key))).shadow_caps
        [cap] = await router.client(ADMIN_KEY).shadow_caps()
        assert (cap.name, cap.unit, cap.amount, cap.window) == ("default/try", "nano_usd", 5 * 10**9, "day")
        assert (cap.used, cap.reserved) == (costs["default/try"], 0)
        assert 0 < cap.resets_in.seconds <= 86_400
        told = await budget_command(router, ADMIN_KEY)
        row = r"^ *shadow +default/try +all +day +\$0.0\S+ +\$0\S* +\$5\S* +USD +\d+:\d\d:\d\d *$"
        assert re.search(row, told, re.MULTILINE), told
        assert "No limit and no budget applies" in await budget_command(router, key)

        database = router.application._state._database
        assert database is not None
        [pair] = await ComparisonReader(database).shadow_pairs("default/try", *SPAN)
        # No process kept the shadow's receipt under a name that its caller could ask for.
        for name in (f"shadow-{pair.parent.operation_id}", "mine"):
            found = await router.application._state.receipt("acme", name)
            assert found is None or found.cost == receipt.cost_nano_usd
    assert (pair.parent.model, pair.copy.model) == ("gpt-4o", "deepseek-chat")
    assert (pair.parent.score, pair.copy.score) == (1.0, 1.0)
    assert (pair.parent.cost, pair.copy.cost) == (receipt.cost_nano_usd, costs["default/try"])
    assert (pair.copy.status, pair.copy.first_output is not None) == ("OK", True)


async def test_a_shadows_trace_is_its_own_and_linked_to_the_callers(tmp_path: Path) -> None:
    async with running(tmp_path, compared(tmp_path, shadow=shadow(gates=["not_empty"]))) as router:
        receipt = (await router.client().complete("Hello")).receipt
        await shadows_over(router)
        [root] = spans_named(router.spans, semconv.SHADOW_SPAN)
    context = root.get_span_context()
    assert context is not None
    [link] = root.links
    assert f"{link.context.trace_id:032x}" == receipt.trace_id != f"{context.trace_id:032x}"
    assert root.attributes is not None
    assert root.attributes[semconv.SHADOW] == "default/try"
    assert root.attributes[semconv.REQUEST_COST_TOTAL]
    children = [span for span in router.spans.trace(f"{context.trace_id:032x}") if span is not root]
    assert {span.name for span in children} == {"chat deepseek-chat", semconv.QUALITY_SPAN}
    assert all(span.parent is not None and span.parent.span_id == context.span_id for span in children)
    assert len(router.spans.trace(receipt.trace_id)) == 3


async def test_a_repeat_under_an_idempotency_key_is_not_shadowed_again(tmp_path: Path) -> None:
    async with running(tmp_path, compared(tmp_path, shadow=shadow(), keep_answers="1m")) as router:
        for _ in range(3):
            await router.client().complete("Hello", idempotency_key="once")
        await shadows_over(router)
        assert Counter(entry.model for entry in router.simulator.journal) == {"gpt-4o": 1, "deepseek-chat": 1}


async def test_replicas_spend_no_more_on_a_shadow_than_its_cap(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    cap = 0.0002
    with in_redis() as redis:
        configurations = []
        for folder in folders:
            folder.mkdir()
            made = compared(folder, shadow=shadow(max_cost={"usd": cap}, max_concurrent=100))
            configurations.append({**made, "redis": {"url": redis.url, "replicas": 2, "timeout": "5s"}})
        async with (
            Simulator(MODELS) as simulator,
            running(folders[0], configurations[0], simulator=simulator) as one,
            running(folders[1], configurations[1], simulator=simulator) as two,
        ):
            calls = [router.client().complete("Hello", feature="short") for router in (one, two) for _ in range(20)]
            await asyncio.gather(*calls)
            for router in (one, two):
                await shadows_over(router)
            made_by = [entry for entry in simulator.journal if entry.model == "deepseek-chat"]
            assert 0 < billed(one.application, made_by) <= cap * 1e9
            outcomes = Counter[str]()
            for router in (one, two):
                for (_, outcome), count in router.application.engine.shadows.counts().calls.items():
                    outcomes[outcome] += count
    assert outcomes == {"answered": len(made_by), "dropped_cap": 40 - len(made_by)}


async def test_a_shadow_that_a_drain_cuts_short_is_accounted_for(tmp_path: Path) -> None:
    configuration = compared(tmp_path, shadow=shadow())
    async with Simulator(MODELS) as simulator:
        simulator.fail("deepseek-chat", "stall", after_tokens=3, times=None)
        async with running(tmp_path, configuration, simulator=simulator) as router:
            await router.client().complete("Hello")
            await simulator.journal.wait_for(lambda entry: entry.model == "deepseek-chat" and entry.tokens_sent >= 3)
        assert router.application.engine.shadows.counts().calls == {("default/try", "cancelled"): 1}
        async with running(tmp_path, configuration, simulator=simulator) as again:
            await again.shipped()
            database = again.application._state._database
            assert database is not None
            [pair] = await ComparisonReader(database).shadow_pairs("default/try", *SPAN)
            usage = await again.application._state.usage(
                UsageQuery(since=SPAN[0], until=SPAN[1], only={UsageBy.SHADOW: frozenset({"default/try"})})
            )
    assert (pair.copy.status, pair.copy.error_reason, pair.copy.model) == ("UNAVAILABLE", "DRAINING", "deepseek-chat")
    assert (usage.total.attempts, usage.total.calls) == (1, 1)
