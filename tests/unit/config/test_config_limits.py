"""Limits, budgets, providers' rates and Redis as the file writes them."""

from __future__ import annotations

import pytest

from router_service.domain.limit import (
    Budget,
    BudgetMode,
    DeploymentRate,
    Dimension,
    FailMode,
    Limit,
    Period,
    Scope,
    Unit,
)
from tests.unit.config.conftest import Load, Problems

REST = """
providers: {openai: {api_key: k}}
models: {fast: {provider: openai, model: gpt-x}}
policies: {default: {rules: [{use: fast}]}}
"""


def test_limits_and_budgets_are_compiled(read: Load) -> None:
    rules = read(
        REST
        + """
limits:
  free-rpm: {requests: 60, window: minute, per: tenant, match: {tier: Free}}
  tpm: {tokens: 100000, window: 90s, per: [tenant, model], match: {model: gpt-x}, fail: closed}
  at-once: {concurrent: 20, per: key}
budgets:
  team: {usd: 250.5, period: month, per: [tenant, feature]}
  cheap: {usd: 1, period: day, mode: degrade}
  both: {usd: 1, period: total, degrade_from: 0.5}
"""
    ).limits
    assert rules.limits == (
        Limit(
            name="free-rpm",
            unit=Unit.REQUESTS,
            amount=60,
            window=60.0,
            scope=Scope(per=(Dimension.TENANT,), match={Dimension.TIER: frozenset({"free"})}),
        ),
        Limit(
            name="tpm",
            unit=Unit.TOKENS,
            amount=100_000,
            window=90.0,
            scope=Scope(per=(Dimension.TENANT, Dimension.MODEL), match={Dimension.MODEL: frozenset({"gpt-x"})}),
            fail=FailMode.CLOSED,
        ),
        Limit(name="at-once", unit=Unit.CONCURRENT, amount=20, scope=Scope(per=(Dimension.KEY,))),
    )
    assert rules.budgets == (
        Budget(
            name="team",
            nano_usd=250_500_000_000,
            period=Period.MONTH,
            scope=Scope(per=(Dimension.TENANT, Dimension.FEATURE)),
        ),
        Budget(name="cheap", nano_usd=10**9, period=Period.DAY, mode=BudgetMode.DEGRADE, degrade_from=0.8),
        Budget(name="both", nano_usd=10**9, period=Period.TOTAL, degrade_from=0.5),
    )


def test_rates_of_deployments_are_compiled_where_they_are_given(read: Load) -> None:
    text = """
    providers: {openai: {api_key: k}}
    models:
      fast: {provider: openai, rpm: 500, tpm: 30000}
      own: {provider: openai, max_concurrent: 4}
      free: {provider: openai}
    policies: {default: {rules: [{use: fast}]}}
    """
    assert read(text).deployment_rates == {
        "fast": DeploymentRate(requests_per_minute=500, tokens_per_minute=30_000),
        "own": DeploymentRate(max_concurrent=4),
    }


def test_redis_is_used_only_where_it_is_asked_for(read: Load) -> None:
    assert read(REST, {"REDIS_URL": "redis://somewhere"}).redis is None


def test_redis_takes_its_url_from_the_usual_variable(read: Load) -> None:
    redis = read(REST + "redis: {replicas: 3, timeout: 100ms}", {"REDIS_URL": "redis://:secret@somewhere"}).redis
    assert redis is not None
    assert redis.url.reveal() == "redis://:secret@somewhere"
    assert (redis.replicas, redis.timeout, redis.namespace) == (3, 0.1, "llmrouter")
    assert "secret" not in repr(redis)


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("limits: {a: {window: minute}}", "limits.a", "does not say what it limits"),
        ("limits: {a: {requests: 1, tokens: 1, window: 1m}}", "limits.a", "does not say what it limits"),
        ("limits: {a: {requests: 1}}", "limits.a", "has no window"),
        ("limits: {a: {concurrent: 1, window: 1m}}", "limits.a", "limits calls at once"),
        ("limits: {a: {requests: 0, window: 1m}}", "limits.a.requests", "greater than or equal to 1"),
        ("limits: {a: {requests: 1, window: 100ms}}", "limits.a.window", "shorter than 1s"),
        ("limits: {a: {requests: 1, window: 1m, per: team}}", "limits.a.per", "team is not one of tenant"),
        ("limits: {a: {concurrent: 1, match: {model: gpt-y}}}", "limits.a.match.model", "there is no model gpt-y"),
        ("budgets: {a: {usd: 0, period: day}}", "budgets.a.usd", "more than 0"),
        ("budgets: {a: {usd: 9000001, period: day}}", "budgets.a.usd", "at most 9 million"),
        ("budgets: {a: {usd: 1, period: week}}", "budgets.a.period", "week is not one of hour, day, month, total"),
        ("budgets: {a: {usd: 1}}", "budgets.a.period", "is required"),
        ("limits: {a: {concurrent: 1}}\nbudgets: {a: {usd: 1, period: day}}", "budgets.a", "the name of a limit too"),
        ("redis: {}", "redis.url", "REDIS_URL is not set either"),
        ("redis: {url: 'http://x'}", "redis.url", "is not a Redis URL"),
        ("redis: {url: 'redis://x', namespace: 'a b'}", "redis.namespace", "match pattern"),
    ],
)
def test_mistakes_are_told_where_they_are(problems: Problems, text: str, path: str, message: str) -> None:
    (problem,) = problems(REST + text)
    assert problem.path.startswith(path)
    assert message in problem.message
    assert problem.line
