"""One budget worth K calls, many clients, several processes: K calls are accepted, and not one more.

A hold is what a call may cost at most: its estimated prompt with a margin of a quarter, and all the output it may have.
Callers of these calls always get all of that output, so each call costs the same; but while it is under way it holds a
little more. Worth K calls is therefore a budget of K - 1 costs and one hold: the K-th call fits once the others have
settled, the next one never does. Callers that are refused come back until nobody was accepted for a while.
"""

from __future__ import annotations

import math
import secrets
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.postgres_server import PostgresServer
from benchmarks.redis_server import RedisServer
from benchmarks.soak.provider import ANSWER_TOKENS, Bill
from benchmarks.soak.report import Row
from benchmarks.soak.watch import percentile
from benchmarks.state.books import compare, complete, price
from benchmarks.state.load import PROMPT, Made
from benchmarks.state.stage import NAMESPACE, Setting, Stage, staged
from router_service.domain.chat import Chat, Message, Role, TextPart
from router_service.routing.tokens import estimate_input_tokens
from router_service.simulator import tokens

_MARGIN = 1.25
PATIENCE = 5.0
"""How long callers come back while nobody is accepted, in seconds."""

_BOOKED_WITHIN = 120.0
_REFUSALS = frozenset({"BUDGET_EXHAUSTED"})


def _usage(input_tokens: int) -> Bill:
    return Bill(
        attempt_id="",
        model="quick",
        outcome="finished",
        reported=True,
        input_tokens=input_tokens,
        cached_input_tokens=0,
        output_tokens=ANSWER_TOKENS,
    )


def cost_of_a_call() -> int:
    """What each of the calls costs, in nano-USD."""
    return price(_usage(tokens.count_message({"role": "user", "content": PROMPT})))


def hold_of_a_call() -> int:
    """What each of the calls holds while it is under way, in nano-USD."""
    chat = Chat(messages=(Message(role=Role.USER, parts=(TextPart(text=PROMPT),)),))
    return price(_usage(math.ceil(estimate_input_tokens(chat) * _MARGIN)))


def worth(calls: int) -> str:
    """A budget worth so many calls, in USD."""
    nano_usd = (calls - 1) * cost_of_a_call() + max(hold_of_a_call(), cost_of_a_call())
    return f"{nano_usd // 10**9}.{nano_usd % 10**9:09}"


async def one_budget(
    redis: RedisServer | None,
    postgres: PostgresServer | None,
    *,
    calls: int,
    clients: int,
    replicas: int = 1,
    workers: int = 1,
    patience: float = PATIENCE,
    broken: str = "",
) -> Row:
    """One hard budget; in process and over SQLite where there is no Redis."""
    where = f"{workers} workers x {replicas} replicas" if redis is not None else "one process"
    row = Row(f"a budget worth {calls} calls: {clients} clients, {where}")
    budgets = {"money": {"usd": worth(calls), "period": "total", "fail": "closed"}}
    setting = Setting(replicas=replicas, workers=workers, budgets=budgets, broken=broken)
    async with staged(setting, redis, postgres) as stage:
        made = await stage.called(2, clients=clients // 2, patience=patience)
        await _judge(row, stage, made, {0: ("", {"money": calls})})
    return row


async def side_by_side(
    redis: RedisServer | None,
    postgres: PostgresServer | None,
    *,
    calls: int,
    clients: int,
    replicas: int = 1,
    patience: float = PATIENCE,
) -> Row:
    """A budget per tenant and one per key: of a tenant's two keys neither gets all of its own, together they get the
    tenant's; another tenant's only key gets its own, and nothing of the first tenant's."""
    row = Row(f"budgets per tenant ({calls}) and per key ({calls * 3 // 4}): {clients} clients, {replicas} replicas")
    of_key = calls * 3 // 4
    budgets = {
        "of-tenant": {"usd": worth(calls), "period": "total", "per": "tenant", "fail": "closed"},
        "of-key": {"usd": worth(of_key), "period": "total", "per": "key", "fail": "closed"},
    }
    keys = {_key(): tenant for tenant in ("acme", "acme", "beta")}
    async with staged(Setting(replicas=replicas, budgets=budgets, keys=keys), redis, postgres) as stage:
        made = await stage.called(2, clients=clients // 2, keys=list(keys), patience=patience)
        accepted = Counter(one.key for one in made if one.code == "OK")
        row.figures["accepted by key, of acme, acme and beta"] = [accepted[place] for place in range(3)]
        row.claim(accepted[0] + accepted[1] == calls, f"acme got {accepted[0] + accepted[1]} calls, not {calls}")
        row.claim(max(accepted[0], accepted[1]) <= of_key, f"a key of acme got more than {of_key} calls")
        names = list(keys)
        wanted = {
            0: (names[0], {"of-tenant": calls, "of-key": accepted[0]}),
            1: (names[1], {"of-tenant": calls, "of-key": accepted[1]}),
            2: (names[2], {"of-tenant": of_key, "of-key": of_key}),
        }
        await _judge(row, stage, made, wanted)
    return row


async def _judge(
    row: Row, stage: Stage, made: Sequence[Made], wanted: Mapping[int, tuple[str, Mapping[str, int]]]
) -> None:
    """Claim of all that was called and kept that it is worth the wanted calls, by key and budget."""
    cost = cost_of_a_call()
    accepted = Counter(one.key for one in made if one.code == "OK")
    total = sum(accepted.values())
    bills = await stage.provider.bills()
    books = await complete(stage.database, bills, calls=len(made), within=_BOOKED_WITHIN)
    took = [one.took for one in made if one.code == "OK"]
    row.figures |= {
        "cost of a call and its hold, nano-USD": [cost, hold_of_a_call()],
        "calls accepted": total,
        "calls refused": sum(one.reason in _REFUSALS for one in made),
        "requests that reached the provider": len(bills),
        "accepted call ms, p50 and p99": [round(percentile(took, share) * 1000, 1) for share in (0.5, 0.99)],
    }
    others = Counter(f"{one.code} {one.reason}" for one in made if one.code != "OK" and one.reason not in _REFUSALS)
    row.claim(not others, f"calls ended otherwise: {dict(others)}")
    row.claim(len(bills) == total, f"{len(bills)} requests reached the provider for {total} accepted calls")
    for place, (key, budgets) in wanted.items():
        for replica in range(len(stage.routers)):
            kept = await stage.settled(key, replica)
            for name, calls in budgets.items():
                _judge_budget(row, kept[name], name, calls, cost, replica, place)
    if len(wanted) == 1:
        [calls] = wanted[0][1].values()
        row.claim(total == calls, f"{total} calls were accepted, not {calls}")
    if stage.redis is not None:
        row.figures["holds left in Redis"] = stage.holds()
        row.claim(not stage.holds(), f"{stage.holds()} holds are left in {NAMESPACE}")
    compare(row, books)
    row.claim(books.cost == total * cost, f"the ledger has {books.cost} nano-USD for {total} calls of {cost}")


def _judge_budget(row: Row, kept: Any, name: str, calls: int, cost: int, replica: int, place: int) -> None:
    who = f"budget {name} of key {place} at replica {replica}"
    if not replica:
        row.figures[f"{name} of key {place}: spent and reserved, nano-USD"] = [kept.used - kept.reserved, kept.reserved]
    row.claim(kept.reserved == 0, f"{who} still reserves {kept.reserved} nano-USD")
    spent = kept.used - kept.reserved
    row.claim(spent == calls * cost, f"{who} has spent {spent} nano-USD, {calls} calls cost {calls * cost}")


def _key() -> str:
    letters = string.ascii_letters + string.digits
    public, secret = ("".join(secrets.choice(letters) for _ in range(count)) for count in (12, 48))
    return f"rk_{public}_{secret}"
