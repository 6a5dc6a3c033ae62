"""Several processes, many clients, one budget."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
from pathlib import Path

from benchmarks.redis_server import RedisServer
from router_service.domain.limit import LapsedHold
from tests.contract.limits.budget_worker import CALLER, spending

ROOT = Path(__file__).parents[3]
CALLS = 400
COST = 1000


async def worker(url: str, namespace: str, *, dies: bool = False) -> tuple[int, int]:
    """Its exit code and how many calls it made."""
    arguments = [url, namespace, str(CALLS * COST), "40", str(COST), *(["dies"] if dies else [])]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.contract.limits.budget_worker",
        *arguments,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    return process.returncode or 0, int(printed or 0)


async def test_processes_accept_exactly_what_the_budget_is_worth(redis: RedisServer) -> None:
    namespace = f"test-{secrets.token_hex(6)}"
    results = await asyncio.gather(*(worker(redis.url, namespace) for _ in range(3)))
    assert [code for code, _ in results] == [0, 0, 0]
    assert sum(made for _, made in results) == CALLS
    connection, limiter = spending(redis.url, namespace, CALLS * COST)
    (state,) = await limiter.state(CALLER)
    assert (state.used, state.reserved) == (CALLS * COST, 0)
    await connection.aclose()


async def test_what_a_killed_process_held_is_swept_and_spent_by_others(redis: RedisServer) -> None:
    namespace = f"test-{secrets.token_hex(6)}"
    code, _ = await worker(redis.url, namespace, dies=True)
    assert code == -signal.SIGKILL
    connection, limiter = spending(redis.url, namespace, CALLS * COST)
    (state,) = await limiter.state(CALLER)
    assert state.reserved == 40 * COST
    swept: tuple[LapsedHold, ...] = ()
    async with asyncio.timeout(30):
        while len(swept) < 40:
            swept = await limiter.sweep()
    for lapsed in swept:
        limiter.settle_lapsed(lapsed, tokens=0, nano_usd=0)
    await limiter.aclose()
    _, made = await worker(redis.url, namespace)
    assert made == CALLS
    (state,) = await limiter.state(CALLER)
    assert (state.used, state.reserved) == (CALLS * COST, 0)
    await connection.aclose()
