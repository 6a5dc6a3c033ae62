"""Several workers are refused where they would not act as one router."""

from __future__ import annotations

import pytest

from tests.unit.config.conftest import Load, Problems

REST = """\
providers: {openai: {api_key: k}}
models: {fast: {provider: openai, model: gpt-x}}
policies: {default: {rules: [{use: fast}]}}
server:
  workers: 2
"""
REDIS = 'redis: {url: "redis://localhost:6379/0", replicas: 3}\n'
KEY = 'decision_tokens: {key: "0123456789abcdef"}\n'


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (REST + KEY, "2 workers need Redis: without it each would count limits, budgets and idempotency keys"),
        (REST + REDIS, "2 workers need a key for decision tokens: what one of them signs, the others would refuse"),
        (REST + REDIS + KEY + 'storage: {url: "sqlite://"}\n', "2 workers cannot share a database in memory"),
        (REST + "  address: unix:/tmp/router\n" + REDIS + KEY, "2 workers cannot share the socket unix:/tmp/router"),
    ],
)
def test_what_several_workers_lack_is_told_at_their_line(problems: Problems, file: str, says: str) -> None:
    [problem] = problems(file)
    assert (problem.line, problem.path) == (5, "server.workers")
    assert problem.message.startswith(says)
    assert problem.fix


def test_a_router_without_workers_needs_nothing(read: Load) -> None:
    assert read(REST.replace("2", "1")).server.workers == 1


def test_each_worker_allows_its_part_of_a_limit_while_redis_is_away(read: Load) -> None:
    redis = read(REST + REDIS + KEY).redis
    assert redis is not None
    assert redis.replicas == 6
