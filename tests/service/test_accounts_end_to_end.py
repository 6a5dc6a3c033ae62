"""What was used, what is left, and what a spent limit or budget does; the provider's journal is the judge."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from running_router import (
    ADMIN_KEY,
    CONFIGURATION,
    Running,
    bearer,
    billed,
    configured,
    detail,
    refused,
    running,
    with_keys,
)
from scripted_engine import complete_request

from llmrouter import AsyncClient, RateLimited, RouterError
from llmrouter.v1 import call_pb2, router_service_pb2, usage_pb2

ONE_MODEL = {"default": {**CONFIGURATION["policies"]["default"], "rules": [{"use": ["gpt-4o"]}]}}
SHORT = {"short": {"max_output_tokens": 40}}
# Of a short call of one of these models: room for the answer it may give, less than for two.
ONE_RESERVE = 0.0006


def accounted(folder: Path, **sections: Any) -> dict[str, Any]:
    """Keys in the database, a ledger, and these sections."""
    return configured(**{"ledger": {"folder": str(folder / "ledger")}, "features": SHORT, **with_keys(), **sections})


async def short(client: AsyncClient, text: str = "Hello") -> Any:
    return (await client.complete(text, feature="short")).receipt


async def refused_for_money(router: Running, key: str) -> tuple[str, status_pb2.Status]:
    request = complete_request("Hello")
    request.caller.feature = "short"
    code, reason, status = await refused(router.stub.Complete(request, metadata=bearer(key)))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    return reason, status


async def test_usage_equals_the_providers_journal_and_is_seen_by_its_own_tenant_alone(tmp_path: Path) -> None:
    async with running(tmp_path, accounted(tmp_path)) as router:
        keys = {tenant: (await router.new_key(tenant=tenant))[1] for tenant in ("acme", "globex")}
        router.simulator.fail("gpt-4o", "503", contains="call 3.", times=None)
        router.simulator.fail("gpt-4o", "end_without_finish", contains="call 4.", after_tokens=4, times=None)
        receipts: dict[str, list[Any]] = {"acme": [], "globex": []}
        for number in range(12):
            tenant = "acme" if number % 3 else "globex"
            client, text = router.client(keys[tenant]), f"call {number}. What is the capital of France?"
            if number % 2:
                receipts[tenant].append(await short(client, text))
                continue
            async with client.stream(text, feature="short") as stream:
                with contextlib.suppress(RouterError):
                    async for _ in stream:
                        pass
                receipts[tenant].append(stream.finished.receipt)
        await router.shipped()
        by_tenant = [usage_pb2.USAGE_DIMENSION_TENANT]
        seen = {tenant: await router.usage(key, group_by=by_tenant) for tenant, key in keys.items()}
        everything = await router.usage(ADMIN_KEY, group_by=by_tenant)
        for tenant, theirs in seen.items():
            entries = [
                entry
                for receipt in receipts[tenant]
                for attempt in receipt.attempts
                if (entry := router.simulator.journal.of_attempt(attempt.attempt_id)) is not None
            ]
            [row] = theirs.rows
            assert [value.value for value in row.group] == [tenant]
            assert row in everything.rows
            assert (row.calls, row.attempts) == (len(receipts[tenant]), len(entries))
            told = [entry for entry in entries if entry.usage_reported]
            assert row.settled_cost_nano_usd == billed(router.application, told)
            assert row.cost_nano_usd == sum(receipt.cost_nano_usd for receipt in receipts[tenant])
        assert len(everything.rows) == 2
        assert everything.total.cost_nano_usd == sum(row.cost_nano_usd for row in everything.rows)
        assert everything.total.attempts == len(router.simulator.journal)

        only = usage_pb2.UsageFilter(dimension=usage_pb2.USAGE_DIMENSION_TENANT, values=["globex"])
        asked = router_service_pb2.QueryUsageRequest(filters=[only])
        denied = await refused(router.stub.QueryUsage(asked, metadata=bearer(keys["acme"])))
        assert denied[:2] == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
        assert (await router.usage(ADMIN_KEY, filters=[only])).total == seen["globex"].total


async def test_usage_is_paged_and_its_total_is_of_all_pages(tmp_path: Path) -> None:
    async with running(tmp_path, accounted(tmp_path)) as router:
        _, key = await router.new_key()
        client = router.client(key)
        for tier in ("a", "b", "c"):
            await client.complete("Hello", tier=tier)
        await router.shipped()
        asked: dict[str, Any] = {"group_by": [usage_pb2.USAGE_DIMENSION_TIER], "page_size": 2}
        first = await router.usage(key, **asked)
        second = await router.usage(key, **asked, page_token=first.next_page_token)
    tiers = [row.group[0].value for page in (first, second) for row in page.rows]
    assert (sorted(tiers), len(first.rows), second.next_page_token) == (["a", "b", "c"], 2, "")
    assert first.total == second.total
    assert first.total.calls == 3


async def test_a_router_without_a_ledger_says_what_to_configure(tmp_path: Path) -> None:
    async with running(tmp_path) as router:
        code, reason, status = await refused(router.stub.QueryUsage(router_service_pb2.QueryUsageRequest()))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NOT_CONFIGURED")
    assert "`ledger`" in status.message


async def test_a_hard_budget_is_never_overspent_and_says_when_to_come_back(tmp_path: Path) -> None:
    budgets = {"team": {"usd": 4 * ONE_RESERVE, "period": "day", "per": "tenant"}}
    async with running(tmp_path, accounted(tmp_path, budgets=budgets, policies=ONE_MODEL)) as router:
        keys = {tenant: (await router.new_key(tenant=tenant))[1] for tenant in ("acme", "globex")}
        client, spent = router.client(keys["acme"]), 0
        while True:
            try:
                spent += (await short(client)).cost_nano_usd
            except RateLimited:
                break
        reason, status = await refused_for_money(router, keys["acme"])
        assert reason == "BUDGET_EXHAUSTED"
        metadata = detail(status, error_details_pb2.ErrorInfo).metadata
        assert (metadata["budget"], metadata["scope"], metadata["unit"]) == ("team", "tenant acme", "nano_usd")
        assert [one.subject for one in detail(status, error_details_pb2.QuotaFailure).violations] == ["team"]
        assert 0 < detail(status, error_details_pb2.RetryInfo).retry_delay.seconds <= 86_400
        [allowance] = (await router.stub.GetBudget(asked(), metadata=bearer(keys["acme"]))).allowances
        assert (allowance.name, allowance.mode, allowance.window) == ("team", "hard", "day")
        assert (allowance.used, allowance.reserved) == (spent, 0)
        assert spent <= allowance.amount == round(4 * ONE_RESERVE * 10**9)
        assert allowance.resets_in.seconds > 0
        assert (await short(router.client(keys["globex"]))).status == "OK"


def asked(feature: str = "short", model: str = "") -> router_service_pb2.GetBudgetRequest:
    return router_service_pb2.GetBudgetRequest(caller=call_pb2.Caller(feature=feature), model=model)


async def test_a_budget_spent_on_one_model_still_has_room_for_a_cheaper_one(tmp_path: Path) -> None:
    budgets = {"team": {"usd": ONE_RESERVE / 4, "period": "day", "per": "tenant"}}
    async with running(tmp_path, accounted(tmp_path, budgets=budgets)) as router:
        receipt = await short(router.client((await router.new_key())[1]))
    assert (receipt.model, len(receipt.attempts)) == ("deepseek-chat", 1)


@pytest.mark.parametrize(
    ("limit", "served"),
    [({"requests": 2, "window": "minute", "per": "key"}, 2), ({"tokens": 90, "window": "minute", "per": "key"}, 1)],
)
async def test_a_limit_lets_no_more_through_and_leaves_others_alone(
    tmp_path: Path, limit: dict[str, Any], served: int
) -> None:
    async with running(tmp_path, accounted(tmp_path, limits={"cap": limit}, policies=ONE_MODEL)) as router:
        _, key = await router.new_key()
        for _ in range(served):
            await short(router.client(key))
        reason, status = await refused_for_money(router, key)
        assert reason == "RATE_LIMITED"
        assert detail(status, error_details_pb2.ErrorInfo).metadata["limit"] == "cap"
        assert [one.subject for one in detail(status, error_details_pb2.QuotaFailure).violations] == ["cap"]
        assert 0 < detail(status, error_details_pb2.RetryInfo).retry_delay.ToMilliseconds() <= 62_000
        assert len(router.simulator.journal) == served
        assert (await short(router.client((await router.new_key())[1]))).status == "OK"


async def test_calls_at_once_are_limited_and_a_slot_is_free_once_its_caller_left(tmp_path: Path) -> None:
    limits = {"at-once": {"concurrent": 1, "per": "tenant"}}
    async with running(tmp_path, accounted(tmp_path, limits=limits)) as router:
        _, key = await router.new_key()
        client = router.client(key)
        router.simulator.fail("gpt-4o", "stall", after_tokens=2, times=1)
        async with client.stream("Hello") as stream:
            await anext(stream.text())
            reason, status = await refused_for_money(router, key)
            assert (reason, detail(status, error_details_pb2.ErrorInfo).metadata["limit"]) == (
                "RATE_LIMITED",
                "at-once",
            )
        async with asyncio.timeout(30):
            while router.application._server.in_flight:  # noqa: ASYNC110 - the count has no event
                await asyncio.sleep(0.001)
        assert (await short(client)).status == "OK"


async def test_a_degrading_budget_prefers_cheaper_models_once_its_share_is_spent(tmp_path: Path) -> None:
    budgets = {"team": {"usd": 0.0001, "period": "day", "mode": "degrade"}}
    async with running(tmp_path, accounted(tmp_path, budgets=budgets)) as router:
        client = router.client((await router.new_key())[1])
        models = [(await short(client)).model for _ in range(3)]
    assert models == ["gpt-4o", "deepseek-chat", "deepseek-chat"]


async def test_a_receipt_names_the_soft_budgets_that_were_spent_when_the_call_began(tmp_path: Path) -> None:
    budgets = {
        "watch": {"usd": 0.0001, "period": "total", "mode": "soft"},
        "ample": {"usd": 100, "period": "day", "mode": "soft"},
    }
    async with running(tmp_path, accounted(tmp_path, budgets=budgets)) as router:
        client = router.client((await router.new_key())[1])
        first = await short(client)
        second = await client.complete("Hello", feature="short", request_id="second")
        async with client.stream("Hello", feature="short") as stream:
            async for _ in stream:
                pass
        kept = await client.receipt("second")
    assert not first.spent_budgets
    for receipt in (second.receipt, stream.finished.receipt, kept):
        assert list(receipt.spent_budgets) == ["watch"]


async def test_counters_begin_where_the_ledger_ended_before_a_restart(tmp_path: Path) -> None:
    budgets = {"team": {"usd": 1, "period": "month", "per": ["tenant", "model"]}}
    configuration = accounted(tmp_path, budgets=budgets)
    async with running(tmp_path, configuration) as router:
        _, key = await router.new_key()
        spent = sum([(await short(router.client(key))).cost_nano_usd for _ in range(3)])
    async with running(tmp_path, configuration) as router:
        [allowance] = (await router.stub.GetBudget(asked(model="gpt-4o"), metadata=bearer(key))).allowances
        assert (allowance.used, allowance.scope) == (spent, "tenant acme, model gpt-4o")
        assert not (await router.stub.GetBudget(asked(), metadata=bearer(key))).allowances
