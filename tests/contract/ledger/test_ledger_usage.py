"""The figures that every database gives of the same calls."""

from __future__ import annotations

import pytest
from ledger_values import START_US, closed, intent, opened, terminal

from router_service.domain.limit import SettledSpend, Subject
from router_service.ledger.records import swept_closing, swept_terminal
from router_service.ledger.usage import UsageBy, UsageQuery, UsageReader

START = START_US / 1_000_000
DAY_US = 86_400_000_000
ALL = UsageQuery(since=START - 86_400, until=START + 10 * 86_400)


@pytest.fixture
async def reader(store, database):
    """Five calls on two days: two chats, one of which fell back, a summary, one that failed, one nobody knows."""
    chat = {"feature": "chat", "tenant": "acme", "tier": "free", "key_id": "k1"}
    summary = {"feature": "summary", "tenant": "acme", "tier": "pro", "key_id": "k2", "started_us": START_US + DAY_US}
    cheap = {"deployment": "small", "model": "small", "provider": "ours"}
    await store.add(
        [
            opened("a", **chat),
            intent("a-1"),
            terminal("a-1", input_tokens=100, output_tokens=20, cached_input_tokens=60, reasoning_tokens=5),
            closed("a", duration_us=1_000_000, cost_nano_usd=1_000, baseline_nano_usd=1_500),
            opened("b", **chat),
            intent("b-1"),
            terminal("b-1", status="unbilled", cost_status="unbilled", cost_nano_usd=0, outcome="error"),
            intent("b-2", **cheap, number=2, reason="fallback"),
            terminal("b-2", **cheap, number=2, reason="fallback", cost_nano_usd=10, input_tokens=100, output_tokens=30),
            closed("b", **cheap, fallbacks=1, duration_us=3_000_000, cost_nano_usd=10, baseline_nano_usd=1_600),
            opened("c", **summary),
            intent("c-1", **cheap, started_us=START_US + DAY_US),
            terminal(
                "c-1",
                **cheap,
                started_us=START_US + DAY_US,
                status="estimated",
                cost_status="partial",
                cost_nano_usd=7,
                input_tokens=50,
                output_tokens=9,
            ),
            intent("c-2", **cheap, kind="judge", started_us=START_US + DAY_US),
            terminal(
                "c-2", **cheap, kind="judge", started_us=START_US + DAY_US, cost_status="unpriced", cost_nano_usd=None
            ),
            closed("c", status="UNAVAILABLE", deployment="", model="", provider="", duration_us=9_000_000),
            opened("d", tenant="other", feature="chat"),
            closed("d", status="CANCELLED", deployment="", model="", provider="", duration_us=9_000_000),
            opened("e", tenant="other", feature="chat"),
            intent("e-1"),
            swept_terminal(intent("e-1")),
            swept_closing("e"),
        ]
    )
    return UsageReader(database)


def by(usage, *columns):
    return {tuple(row.group.values()): tuple(getattr(row, one) for one in columns) for row in usage.rows}


async def test_the_sum_over_everything(reader):
    total = (await reader.usage(ALL)).total
    assert (total.calls, total.errors, total.cancelled, total.fallback_calls) == (5, 2, 1, 1)
    assert (total.attempts, total.input_tokens, total.output_tokens) == (6, 250, 59)
    assert (total.cached_input_tokens, total.reasoning_tokens) == (60, 5)
    assert (total.cost, total.settled_cost, total.estimated_cost) == (1_017, 1_010, 7)
    assert (total.indeterminate, total.unpriced) == (1, 1)
    assert total.saved == 500 + 1_590
    assert (total.error_rate, total.fallback_rate) == (0.4, 0.2)


async def test_attempts_are_not_calls(reader):
    """BerriAI/litellm#39455."""
    usage = await reader.usage(UsageQuery(since=ALL.since, until=ALL.until, by=(UsageBy.FEATURE,)))
    assert by(usage, "calls", "attempts") == {("chat",): (4, 4), ("summary",): (1, 2)}


@pytest.mark.parametrize(
    ("dimension", "wanted"),
    [
        (UsageBy.TENANT, {("acme",): (3, 1_017), ("other",): (2, 0)}),
        (UsageBy.TIER, {("free",): (2, 1_010), ("pro",): (1, 7), ("",): (2, 0)}),
        (UsageBy.KEY, {("k1",): (2, 1_010), ("k2",): (1, 7), ("",): (2, 0)}),
        (UsageBy.MODEL, {("gpt",): (1, 1_000), ("small",): (1, 17), ("",): (3, 0)}),
        (UsageBy.PROVIDER, {("openai",): (1, 1_000), ("ours",): (1, 17), ("",): (3, 0)}),
        (UsageBy.DAY, {("2027-01-15",): (4, 1_010), ("2027-01-16",): (1, 7)}),
    ],
)
async def test_calls_and_cost_by_each_dimension(reader, dimension, wanted):
    usage = await reader.usage(UsageQuery(since=ALL.since, until=ALL.until, by=(dimension,)))
    assert by(usage, "calls", "cost") == wanted


async def test_several_dimensions_at_once_the_dearest_first(reader):
    usage = await reader.usage(UsageQuery(since=ALL.since, until=ALL.until, by=(UsageBy.FEATURE, UsageBy.MODEL)))
    assert [(*row.group.values(), row.cost) for row in usage.rows] == [
        ("chat", "gpt", 1_000),
        ("chat", "small", 10),
        ("summary", "small", 7),
        ("chat", "", 0),
        ("summary", "", 0),
    ]


async def test_only_some_values_and_some_time(reader):
    only = {UsageBy.TENANT: frozenset({"acme"}), UsageBy.FEATURE: frozenset({"chat", "summary"})}
    usage = await reader.usage(UsageQuery(since=ALL.since, until=START + 60, only=only))
    assert (usage.total.calls, usage.total.attempts, usage.total.cost) == (2, 3, 1_010)
    none = await reader.usage(UsageQuery(since=0, until=1))
    assert (none.total.calls, none.total.cost, none.total.p50_us) == (0, 0, None)


async def test_only_attempts_of_a_kind(reader):
    usage = await reader.usage(UsageQuery(since=ALL.since, until=ALL.until, kinds=frozenset({"judge"})))
    assert (usage.total.attempts, usage.total.unpriced) == (1, 1)


async def test_pages_follow_each_other(reader):
    seen, start = [], 0
    while start is not None:
        query = UsageQuery(since=ALL.since, until=ALL.until, by=(UsageBy.TIER,), start=start, page_size=2)
        usage = await reader.usage(query)
        seen += [row.group[UsageBy.TIER] for row in usage.rows]
        assert usage.total.calls == 5
        start = usage.next_start
    assert seen == ["free", "pro", ""]


async def test_latencies_are_the_nearest_rank_among_answered_calls(store, database):
    for number in range(1, 201):
        name = f"op-{number}"
        await store.add([opened(name), closed(name, duration_us=number * 1_000)])
    total = (await UsageReader(database).usage(ALL)).total
    assert (total.p50_us, total.p95_us, total.p99_us) == (100_000, 190_000, 198_000)


async def test_what_budgets_have_counted_is_told_by_subject_model_and_hour(reader):
    spent = await reader.settled_spend(START - 3600)
    chat = Subject(tenant="acme", key="k1", feature="chat", tier="free")
    summary = Subject(tenant="acme", key="k2", feature="summary", tier="pro")
    hour = START // 3600 * 3600
    assert spent == [
        SettledSpend(subject=chat, model="gpt", at=hour, nano_usd=1_000),
        SettledSpend(subject=chat, model="small", at=hour, nano_usd=10),
        SettledSpend(subject=summary, model="small", at=hour + 86_400, nano_usd=7),
    ]


async def test_what_budgets_have_counted_leaves_out_the_attempts_it_is_told_to(reader):
    spent = await reader.settled_spend(START - 3600, without={"a-1", "c-1", "nobody"})
    assert [(one.model, one.nano_usd) for one in spent] == [("small", 10)]


async def test_an_attempt_that_ends_while_spend_is_summed_may_be_left_out(store, database):
    """Its place was not among the sums when they were taken."""

    class Ends:
        looks = 0

        async def fetch(self, sql, *args):
            self.looks += 1
            if self.looks == 2:
                await store.add([opened("a"), intent("a-1"), terminal("a-1", cost_nano_usd=5)])
            return await database.fetch(sql, *args)

    assert await UsageReader(Ends()).settled_spend(START - 3600, without={"a-1"}) == []
