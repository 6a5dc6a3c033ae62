"""Budgets, holds and the ledger against the provider's journal, whatever dies meanwhile; exits with 1 on any miss.

python -m benchmarks.state [--only budget] [--calls 2000] [--clients 500] [--kills 12] [--seconds 60] [--chaos 20000]
                           [--short]
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.postgres_server import PostgresMissing, PostgresServer, postgres_server
from benchmarks.redis_server import RedisMissing, RedisServer, redis_server
from benchmarks.soak import report
from benchmarks.soak.report import Row
from benchmarks.state.budget import one_budget, side_by_side
from benchmarks.state.chaos import chaos
from benchmarks.state.controls import controls
from benchmarks.state.database import away, away_for_too_long, disk_takes_nothing
from benchmarks.state.kills import kills
from benchmarks.state.outages import ABSENCES, redis_away
from benchmarks.state.replicas import REPLICAS, replicas

RESULTS = Path(__file__).parent.parent / "results" / "state.json"
KILL_EVERY = 5.0

_FULL = {"calls": 2000, "clients": 500, "kills": 12, "seconds": 60.0, "chaos": 20_000}
_SHORT = {"calls": 100, "clients": 60, "kills": 2, "seconds": 4.0, "chaos": 500}
# A budget that the first calls of all clients exhaust already.
_CROWDED = 5

Scenario = Callable[[RedisServer, PostgresServer], Awaitable[list[Row]]]


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.state", description=__doc__)
    parser.add_argument("--only", default="", help=f"only this one: {', '.join(scenarios({**_FULL, 'short': False}))}")
    parser.add_argument("--calls", type=int, help="what the budget is worth")
    parser.add_argument("--clients", type=int, help="how many spend it")
    parser.add_argument("--kills", type=int, help="how often a replica is killed; a third of it among three")
    parser.add_argument("--seconds", type=float, help="how long PostgreSQL is down; Redis is for a sixth of it")
    parser.add_argument("--chaos", type=int, help="calls of all kinds against the provider's journal")
    parser.add_argument("--short", action="store_true", help="a short run, where nothing else is given")
    options = parser.parse_args()
    defaults: Mapping[str, Any] = _SHORT if options.short else _FULL
    parameters = {name: getattr(options, name) or value for name, value in defaults.items()}
    parameters["short"] = options.short
    try:
        with redis_server() as redis, postgres_server() as postgres:
            passes = uvloop.run(state(options.only, parameters, redis, postgres, None if options.short else RESULTS))
    except (RedisMissing, PostgresMissing) as missing:
        print(missing)
        return 1
    except asyncio.CancelledError:
        print("ended by a signal")
        return 1
    return 0 if passes else 1


def scenarios(parameters: Mapping[str, Any]) -> dict[str, Scenario]:
    """All of them, by name."""
    calls, clients, seconds, short = (parameters[name] for name in ("calls", "clients", "seconds", "short"))
    many = {"clients": clients, "replicas": 2, "workers": 2}

    async def budget(redis: RedisServer, postgres: PostgresServer) -> list[Row]:
        return [
            await one_budget(redis, postgres, calls=calls, **many),
            await one_budget(redis, postgres, calls=max(2, calls // _CROWDED // 4), **many),
            await side_by_side(redis, postgres, calls=calls // 2 // 4 * 4, clients=clients, replicas=4),
            await one_budget(None, None, calls=calls // 2, clients=clients),
        ]

    async def killed(redis: RedisServer, postgres: PostgresServer) -> list[Row]:
        return [await kills(redis, postgres, times=parameters["kills"], every=KILL_EVERY, hasten=short)]

    async def rolled(redis: RedisServer, postgres: PostgresServer) -> list[Row]:
        rounds = max(1, parameters["kills"] // REPLICAS)
        return [await replicas(redis, postgres, rounds=rounds, clients=clients // 5, calls=calls // 4)]

    async def redis_outages(redis: RedisServer, postgres: PostgresServer) -> list[Row]:
        lasts = max(2.0, seconds / 6)
        return [await redis_away(redis, postgres, one, seconds=lasts, timed=not short) for one in ABSENCES]

    async def database(_: RedisServer, postgres: PostgresServer) -> list[Row]:
        return [
            await away(postgres, seconds=seconds),
            await away_for_too_long(postgres, seconds=seconds),
            await disk_takes_nothing(seconds=seconds),
        ]

    async def all_chaos(redis: RedisServer, postgres: PostgresServer) -> list[Row]:
        return [await chaos(redis, postgres, calls=parameters["chaos"])]

    return {
        "budget": budget,
        "kills": killed,
        "replicas": rolled,
        "redis": redis_outages,
        "database": database,
        "chaos": all_chaos,
        "controls": controls,
    }


async def state(
    only: str, parameters: Mapping[str, Any], redis: RedisServer, postgres: PostgresServer, results: Path | None
) -> bool:
    """Run all scenarios, or only the one of this name; each is printed and written once it is known.

    Returns whether there were any and all claims held.
    """
    task = asyncio.current_task()
    assert task is not None
    # Otherwise SIGTERM would leave the processes behind that were started here.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    command = shlex.join(["python", "-m", "benchmarks.state", *sys.argv[1:]])
    verdicts: list[bool] = []
    for name, scenario in scenarios(parameters).items():
        if only in {"", name}:
            began = time.monotonic()
            rows = await scenario(redis, postgres)
            seconds = time.monotonic() - began
            print("\n".join(report.table(rows)), f"\n({name}: {seconds:.0f} s)", flush=True)
            if results is not None:
                report.write_json(name, rows, results, command=command, seconds=seconds, parameters=parameters)
            verdicts.append(not any(row.misses for row in rows))
    return bool(verdicts) and all(verdicts)


if __name__ == "__main__":
    sys.exit(main())
