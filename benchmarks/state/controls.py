"""Negative controls: routers broken on purpose. The harness is worth nothing unless it notices each of them."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.postgres_server import PostgresServer
from benchmarks.redis_server import RedisServer
from benchmarks.soak.report import Row
from benchmarks.state.budget import one_budget
from benchmarks.state.chaos import chaos

_PATIENCE = 2.0
_CHAOS = 300
_CALLS, _CLIENTS = 20, 160


async def controls(redis: RedisServer, postgres: PostgresServer) -> list[Row]:
    """Every broken router of `benchmarks.state.broken`, and what the harness says of it."""
    return [await control(redis, postgres, name) for name in _SHOWS]


async def control(redis: RedisServer, postgres: PostgresServer, name: str) -> Row:
    """One of them: a miss where it was not noticed, or only by something else than what it breaks."""
    if name == "drops-terminals":
        broken = await chaos(redis, postgres, calls=_CHAOS, booked_within=5.0, broken=name)
    else:
        # Many more clients than calls: all of them want what is left.
        broken = await one_budget(
            redis, postgres, calls=_CALLS, clients=_CLIENTS, replicas=2, patience=_PATIENCE, broken=name
        )
    row = Row(f"control: a router that {name.replace('-', ' ')}")
    row.figures["noticed"] = len(broken.misses)
    row.figures |= {f"miss {number}": miss for number, miss in enumerate(broken.misses, 1)}
    row.claim(any(_SHOWS[name] in miss for miss in broken.misses), f"nothing said {_SHOWS[name]!r}")
    return row


_SHOWS: Mapping[str, str] = {
    "checks-then-increments": f"calls were accepted, not {_CALLS}",
    "drops-terminals": "have no end",
    "skips-settling": "still reserves",
    "settles-the-reserve": "has spent",
}
"""By the control's name, what must be said of it."""
