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
    file = tmp_path / "router.yaml"
    file.write_text(CONFIGURATION.replace("FOLDER", str(tmp_path / "ledger")))
    kept = State(load(file, catalogue_facts, {"KEY": "sk-state"}))
    await kept.start()
    try:
        database = await open_database(f"sqlite:///{tmp_path / 'ledger' / 'ledger.db'}")
        now = round(time.time() * 1_000_000)
        # As a dead predecessor's journal does, it arrives after the counters were made.
        late = [opened(started_us=now), intent(started_us=now), terminal(started_us=now, cost_nano_usd=700)]
        await SqlLedgerStore(database).add(late)
        await database.aclose()
        async with asyncio.timeout(10):
            while not await _counts(kept, 700):  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
    finally:
        await kept.aclose()


async def _counts(kept: State, nano_usd: int) -> bool:
    return [one.used for one in await kept.allowances(Subject(tenant="acme"), "gpt-4o")] == [nano_usd]
