"""Budgets' counters are made of the ledger again, also of what reaches it a little later."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from router_service import state
from router_service.config.load import load
from router_service.domain.limit import Subject
from router_service.ledger.store import SqlLedgerStore
from router_service.spend.catalogue import catalogue_facts
from router_service.state import State
from router_service.storage.opening import open_database
from tests.ledger_values import intent, opened, terminal

CONFIGURATION = """
providers: {openai: {api_key: "${KEY}"}}
models: {gpt-4o: {provider: openai}}
policies: {default: {rules: [{use: gpt-4o}]}}
budgets: {money: {usd: 1, period: total, per: tenant}}
ledger: {folder: FOLDER}
"""


async def test_counters_are_raised_again_to_what_was_on_its_way_to_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "_RAISE_AGAIN", (0.05,) * 100)
    kept = _state(tmp_path)
    await kept.start()
    try:
        # As a dead predecessor's journal does, it arrives after the counters were made.
        await _book(tmp_path, {"op-1-1": 700})
        assert await _first_spend(kept) == 700
    finally:
        await kept.aclose()


async def test_a_raise_leaves_out_attempts_whose_reserve_is_still_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "_RAISE_AGAIN", (0.05,) * 100)
    kept = _state(tmp_path)
    await kept.start()
    try:
        limiter = kept.limits.limiter
        entry = await limiter.enter(Subject(tenant="acme"))
        await limiter.hold(entry, model="gpt-4o", tokens=10, nano_usd=900, attempt_id="op-1-1")
        await _book(tmp_path, {"op-1-1": 700, "op-1-2": 300})
        assert await _first_spend(kept) == 300
    finally:
        await kept.aclose()


def _state(folder: Path) -> State:
    file = folder / "router.yaml"
    file.write_text(CONFIGURATION.replace("FOLDER", str(folder / "ledger")))
    return State(load(file, catalogue_facts, {"KEY": "sk-state"}))


async def _book(folder: Path, costs: dict[str, int]) -> None:
    """Attempts of one call that just began, by id, with what each cost in nano-USD."""
    database = await open_database(f"sqlite:///{folder / 'ledger' / 'ledger.db'}")
    now = round(time.time() * 1_000_000)
    booked = [opened(started_us=now)]
    for attempt_id, nano_usd in costs.items():
        booked += [
            intent(attempt_id, started_us=now),
            terminal(attempt_id, started_us=now, cost_nano_usd=nano_usd),
        ]
    await SqlLedgerStore(database).add(booked)
    await database.aclose()


async def _first_spend(kept: State) -> int:
    """What the budget counts as spent, in nano-USD, as soon as that is anything."""
    async with asyncio.timeout(30):
        while True:
            (budget,) = await kept.allowances(Subject(tenant="acme"), "gpt-4o")
            if budget.used > budget.reserved:
                return budget.used - budget.reserved
            await asyncio.sleep(0.01)
